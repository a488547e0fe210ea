"""The attribution methods, and their documents. The list of methods needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convatlas.errors import UnknownNameError, UsageError
from convatlas.explorer.networks import SCHEMA
from convatlas.i18n import translated
from convatlas.message import Message

if TYPE_CHECKING:
    import numpy as np

    from convatlas.explorer.images import Picture, Pictures
    from convatlas.explorer.ready import Workbench
    from convatlas.explorer.subjects import Subject

FIELD_IMAGES = 4  # whose gradients are averaged for an effective field
FIELD_SEED = 0  # of the noise for networks with random weights


@dataclass(frozen=True)
class Method:
    """A method of `convatlas.inspection.attribution`; a test compares the two lists.

    Attributes:
        title: a message, or a name that is the same in every language.
        sanity: whether its maps change when the weights are randomised (Adebayo et al.).
        needs_layer: whether it uses the maps of a layer.
        passes: roughly how many forward passes it needs.
    """

    title: str
    source: str
    passes: int
    sanity: bool = True
    needs_layer: bool = False


METHODS = {
    "grad_cam": Method("Grad-CAM", "Selvaraju et al., arXiv:1610.02391, equations 1 and 2", 2, needs_layer=True),
    "grad_cam_plus_plus": Method(
        "Grad-CAM++", "Chattopadhyay et al., arXiv:1710.11063, equations 10 and 19", 2, needs_layer=True
    ),
    "gradient": Method(
        Message("gradient of the score"), "Simonyan, Vedaldi and Zisserman, arXiv:1312.6034, section 3", 2
    ),
    "smoothgrad": Method("SmoothGrad", "Smilkov et al., arXiv:1706.03825", 50),
    "integrated_gradients": Method(
        Message("integrated gradients"), "Sundararajan, Taly and Yan, arXiv:1703.01365, section 3", 128, sanity=False
    ),
    "guided_backpropagation": Method(
        Message("guided backpropagation"), "Springenberg et al., arXiv:1412.6806, section 3.4", 2, sanity=False
    ),
    "occlusion": Method(Message("occlusion"), "Zeiler and Fergus, arXiv:1311.2901, section 4.2", 225),
    "rise": Method(Message("RISE, random masks"), "Petsiuk, Das and Saenko, arXiv:1806.07421, section 3", 1000),
}


def methods_document() -> dict[str, Any]:
    """``api/methods``."""
    return {
        "schema": SCHEMA,
        "methods": [
            {
                "name": name,
                "title": translated(method.title),
                "source": method.source,
                "sanity": method.sanity,
                "needs_layer": method.needs_layer,
                "passes": method.passes,
            }
            for name, method in METHODS.items()
        ],
    }


def attribution_document(
    bench: Workbench, subject: Subject, image: Picture, name: str, layer: str | None = None, class_: int | None = None
) -> dict[str, Any]:
    """``api/attribution``: the pixels of an image that a class score depends on. Measured.

    Args:
        layer: for Grad-CAM; the last one with spatial axes where None.
        class_: index of the class to explain; the most probable one where None.

    Raises:
        UnknownNameError: no such method or layer.
        UsageError: the network has no classes, or not that one; a layer that has no maps.
    """
    from convatlas.explorer.image_documents import class_scores
    from convatlas.inspection import attribution as library

    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    found = bench.network(subject)
    forward = bench.forward(subject, image)
    scores = class_scores(found, forward.logits.detach())
    if class_ is not None and class_ >= len(scores):
        raise UsageError("class {index}: the network has the classes 0 to {last}.", index=class_, last=len(scores) - 1)
    settings: dict[str, Any] = {}
    if METHODS[name].needs_layer and layer is not None:
        from convatlas.explorer.image_documents import row_of

        settings["layer"] = row_of(forward, layer)
    result = library.METHODS[name].function(found.net, forward.images.detach(), class_ if class_ is None else (class_,),
                                            **settings)  # fmt: skip
    index = result.classes[0]
    values = result.values[0]
    return {
        "schema": SCHEMA,
        "method": name,
        "layer": result.layer,
        "class": {
            "index": index,
            "label": found.label(index),
            "probability": float(scores.softmax(dim=0)[index]),
        },
        "heat": grey(result.heat()[0]),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "signed": result.signed,
        "notes": [{"name": translated(note), "value": value} for note, value in result.notes],
        "sanity": METHODS[name].sanity,
    }


def grey(heat: np.ndarray) -> str:
    """(H, W), not negative, as a grey PNG: 255 is the largest value."""
    import numpy as np

    from convatlas.explorer.pixels import png

    largest = float(heat.max())
    return png(np.nan_to_num(heat * (255 / largest if largest > 0 else 0)).round().clip(0, 255).astype(np.uint8))


def effective_document(bench: Workbench, subject: Subject, pictures: Pictures, layer: str) -> dict[str, Any]:
    """``api/effective``: the pixels that move the middle of a layer. Measured.

    Of a network with random weights on noise, of a trained one on the offered images.

    Raises:
        UnknownNameError: no such layer.
        UsageError: its receptive field is not known.
    """
    import torch

    from convatlas.arithmetic.effective import effective_field

    found = bench.network(subject)
    if found.trained:
        images = torch.cat([found.input(each) for each in pictures.offered()[:FIELD_IMAGES]])
    else:
        preprocessing = found.preprocessing
        generator = torch.Generator().manual_seed(FIELD_SEED)
        images = torch.randn(FIELD_IMAGES, preprocessing.channels, *preprocessing.size, generator=generator)
    field = effective_field(found.net, images, layer)
    (top, bottom), (left, right) = field.box.theoretical
    return {
        "schema": SCHEMA,
        "layer": layer,
        "heat": grey(field.mass),
        "size": [bottom - top + 1, right - left + 1],
        "pixels": field.pixels(),
        "share": field.share_of_field() if field.field_pixels else 0.0,
        "position": None if field.position is None else list(field.position),
    }
