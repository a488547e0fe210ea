"""The attribution methods by name: what each shows, its unit and its source. Needs no torch.

`convatlas.inspection.attribution` has their functions. The page and ``inspect --list-methods`` describe them from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convatlas.message import Message

Progress = Callable[[int, int], None]
"""Called with the number of images that were passed through the network, and of all that will be."""

FEW_PASSES = 10
LOGIT = Message("logit")
LOGIT_PER_PIXEL = Message("logit per unit of a preprocessed pixel")
PROBABILITY = Message("probability")


@dataclass(frozen=True)
class Description:
    """An attribution method.

    Attributes:
        title: a message, or a name that is the same in every language.
        shows: what the map shows, in words.
        unit: of the map's values.
        source: the paper and its section.
        passes: roughly how many forward passes it needs for one image.
        sanity: whether its maps change when the weights are randomised (Adebayo et al., NeurIPS 2018).
        needs_layer: whether it uses the maps of a layer.
    """

    title: str
    shows: Message
    unit: Message
    source: str
    passes: int
    sanity: bool = True
    needs_layer: bool = False


DESCRIPTIONS = {
    "grad_cam": Description(
        "Grad-CAM",
        Message("the feature maps of a layer, weighted by their mean gradient"),
        LOGIT,
        "Selvaraju et al., arXiv:1610.02391, equations 1 and 2",
        passes=2,
        needs_layer=True,
    ),
    "grad_cam_plus_plus": Description(
        "Grad-CAM++",
        Message("Grad-CAM with weights for several objects of a class"),
        LOGIT,
        "Chattopadhyay et al., arXiv:1710.11063, equations 10 and 19",
        passes=2,
        needs_layer=True,
    ),
    "gradient": Description(
        Message("gradient of the score"),
        Message("the gradient of the class score with respect to the pixels"),
        LOGIT_PER_PIXEL,
        "Simonyan, Vedaldi and Zisserman, arXiv:1312.6034, section 3",
        passes=2,
    ),
    "smoothgrad": Description(
        "SmoothGrad",
        Message("the mean gradient over noisy copies of the image"),
        LOGIT_PER_PIXEL,
        "Smilkov et al., arXiv:1706.03825",
        passes=50,
    ),
    "integrated_gradients": Description(
        Message("integrated gradients"),
        Message(
            "the gradient along the line from the mean image, times the difference; it adds up to the score. Much of "
            "the map is the image itself and stays with random weights (results/inspection)"
        ),
        LOGIT,
        "Sundararajan, Taly and Yan, arXiv:1703.01365, section 3",
        passes=128,
        sanity=False,
    ),
    "guided_backpropagation": Description(
        Message("guided backpropagation"),
        Message(
            "the gradient, with negative signals set to zero at each ReLU; it mostly shows edges: with random weights "
            "half of the map's order stays (results/inspection)"
        ),
        LOGIT_PER_PIXEL,
        "Springenberg et al., arXiv:1412.6806, section 3.4",
        passes=2,
        sanity=False,
    ),
    "occlusion": Description(
        Message("occlusion"),
        Message("the decrease of the class score when a patch is covered"),
        LOGIT,
        "Zeiler and Fergus, arXiv:1311.2901, section 4.2",
        passes=225,
    ),
    "rise": Description(
        Message("RISE, random masks"),
        Message("the mean of random masks, weighted by the class probability of the masked image"),
        PROBABILITY,
        "Petsiuk, Das and Saenko, arXiv:1806.07421, section 3",
        passes=1000,
    ),
}


def is_long(method: str) -> bool:
    """Whether a method runs the network so often that its function takes ``progress``."""
    return DESCRIPTIONS[method].passes > FEW_PASSES
