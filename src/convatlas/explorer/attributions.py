"""The documents of attributions. The list of methods needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convatlas.errors import UnknownNameError, UsageError
from convatlas.explorer.networks import SCHEMA
from convatlas.i18n import translated
from convatlas.inspection.methods import DESCRIPTIONS, Progress, is_long

if TYPE_CHECKING:
    import numpy as np

    from convatlas.explorer.images import Picture, Pictures
    from convatlas.explorer.ready import Workbench
    from convatlas.explorer.subjects import Subject

FIELD_IMAGES = 4  # whose gradients are averaged for an effective field
FIELD_SEED = 0  # of the noise for networks with random weights


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
            for name, method in DESCRIPTIONS.items()
        ],
    }


def attribution_document(
    bench: Workbench,
    subject: Subject,
    image: Picture,
    name: str,
    layer: str | None = None,
    class_: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """``api/attribution``: the pixels of an image that a class score depends on. Measured.

    Args:
        layer: for Grad-CAM; the last one with spatial axes where None.
        class_: index of the class to explain; the most probable one where None.
        progress: called after each batch of a method of many passes.

    Raises:
        UnknownNameError: no such method or layer.
        UsageError: the network has no classes, or not that one; a layer that has no maps.
    """
    from convatlas.explorer.image_documents import class_scores
    from convatlas.inspection import attribution as library

    if name not in DESCRIPTIONS:
        raise UnknownNameError("method", name, DESCRIPTIONS)
    found = bench.network(subject)
    forward = bench.forward(subject, image)
    scores = class_scores(found, forward.logits.detach())
    if class_ is not None and class_ >= len(scores):
        raise UsageError("class {index}: the network has the classes 0 to {last}.", index=class_, last=len(scores) - 1)
    settings: dict[str, Any] = {}
    if progress is not None and is_long(name):
        settings["progress"] = progress
    if DESCRIPTIONS[name].needs_layer and layer is not None:
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
        "sanity": DESCRIPTIONS[name].sanity,
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
