"""The values of ``inspect --what``: what each shows, and which options it uses. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.errors import UnknownNameError
from convatlas.inspection.methods import DESCRIPTIONS
from convatlas.message import Message


@dataclass(frozen=True)
class ViewOptions:
    """One value of --what.

    Attributes:
        shows: what it shows, in words.
        source: the paper and its section; empty where there is none.
        allows_first_weights: whether it is of use for a network without trained weights.
    """

    shows: Message
    source: str = ""
    takes_images: bool = True
    takes_layer: bool = False
    takes_channels: bool = False
    takes_class: bool = False
    takes_data: bool = False
    allows_first_weights: bool = False


METHODS = {
    name.replace("_", "-"): ViewOptions(method.shows, method.source, takes_layer=method.needs_layer)
    for name, method in DESCRIPTIONS.items()
}
VIEWS = {
    **METHODS,
    "maps": ViewOptions(
        Message("the feature maps of a layer"), takes_layer=True, takes_channels=True, allows_first_weights=True
    ),
    "filters": ViewOptions(
        Message("the kernels of the first convolution as colour pictures"),
        takes_images=False,
        allows_first_weights=True,
    ),
    "statistics": ViewOptions(
        Message("mean, standard deviation and share of zeros of each channel of a layer; dead channels"),
        takes_layer=True,
        allows_first_weights=True,
    ),
    "deconvnet": ViewOptions(
        Message("the pixels that activate feature maps of a layer"),
        "Zeiler and Fergus, arXiv:1311.2901, section 2.1",
        takes_layer=True,
        takes_channels=True,
    ),
    "patches": ViewOptions(
        Message("the nine images of a data set that excite a channel most, and the part that it sees of each"),
        "Zeiler and Fergus, arXiv:1311.2901, section 4, figure 2",
        takes_images=False,
        takes_layer=True,
        takes_channels=True,
        takes_data=True,
    ),
    "maximise": ViewOptions(
        Message("an image that is made to excite a channel or a class, by gradient ascent from noise"),
        "Yosinski et al., arXiv:1506.06579, section 3",
        takes_images=False,
        takes_layer=True,
        takes_channels=True,
        takes_class=True,
    ),
    "embedding": ViewOptions(
        Message("the penultimate features of a data set, on a plane by PCA and by t-SNE"),
        "van der Maaten and Hinton, JMLR 9 (2008)",
        takes_images=False,
        takes_data=True,
    ),
    "neighbours": ViewOptions(
        Message("the images of a data set whose penultimate features are nearest to those of an image"),
        takes_data=True,
    ),
    "gradient-norms": ViewOptions(
        Message("the norm of the loss's gradient per layer: at the start of a training on --data, or of a run"),
        "Glorot and Bengio, AISTATS 2010, section 4.2",
        takes_images=False,
        takes_data=True,
        allows_first_weights=True,
    ),
}
ALIASES = {
    "cam": "grad-cam",
    "grad-cam++": "grad-cam-plus-plus",
    "gradcam++": "grad-cam-plus-plus",
    "saliency": "gradient",
    "ig": "integrated-gradients",
    "guided-backprop": "guided-backpropagation",
    "gradients": "gradient-norms",
    "maximize": "maximise",
    "deepdream": "maximise",
    "t-sne": "embedding",
    "pca": "embedding",
    "neighbors": "neighbours",
    "nearest": "neighbours",
    "feature-maps": "maps",
    "activations": "maps",
    "weights": "filters",
    "kernels": "filters",
}


def view_name(text: str) -> str:
    """The value of --what that a text stands for: case, blanks, - and _ make no difference, and aliases are known.

    Raises:
        UnknownNameError: no such view; similar names are listed.
    """
    letters = _letters(text)
    for name, meant in (*((each, each) for each in VIEWS), *ALIASES.items()):
        if letters == _letters(name):
            return meant
    raise UnknownNameError("value of --what", text, VIEWS, aliases=ALIASES)


def _letters(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "").replace(" ", "")
