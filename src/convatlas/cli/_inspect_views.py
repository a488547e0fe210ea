"""The values of ``inspect --what``: what each shows, and which options it uses. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.errors import UnknownNameError
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


# spelt out, for --help and completion do not wait for torch; a test compares them with inspection.attribution.METHODS
METHODS = {
    "grad-cam": ViewOptions(
        Message("the feature maps of a layer, weighted by their mean gradient"),
        "Selvaraju et al., arXiv:1610.02391, equations 1 and 2",
        takes_layer=True,
    ),
    "grad-cam-plus-plus": ViewOptions(
        Message("Grad-CAM with weights for several objects of a class"),
        "Chattopadhyay et al., arXiv:1710.11063, equations 10 and 19",
        takes_layer=True,
    ),
    "gradient": ViewOptions(
        Message("the gradient of the class score with respect to the pixels"),
        "Simonyan, Vedaldi and Zisserman, arXiv:1312.6034, section 3",
    ),
    "smoothgrad": ViewOptions(
        Message("the mean gradient over noisy copies of the image"),
        "Smilkov et al., arXiv:1706.03825",
    ),
    "integrated-gradients": ViewOptions(
        Message(
            "the gradient along the line from the mean image, times the difference; it adds up to the score. Much of "
            "the map is the image itself and stays with random weights (results/inspection)"
        ),
        "Sundararajan, Taly and Yan, arXiv:1703.01365, section 3",
    ),
    "guided-backpropagation": ViewOptions(
        Message(
            "the gradient, with negative signals set to zero at each ReLU; it mostly shows edges: with random weights "
            "half of the map's order stays (results/inspection)"
        ),
        "Springenberg et al., arXiv:1412.6806, section 3.4",
    ),
    "occlusion": ViewOptions(
        Message("the decrease of the class score when a patch is covered"),
        "Zeiler and Fergus, arXiv:1311.2901, section 4.2",
    ),
    "rise": ViewOptions(
        Message("the mean of random masks, weighted by the class probability of the masked image"),
        "Petsiuk, Das and Saenko, arXiv:1806.07421, section 3",
    ),
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
