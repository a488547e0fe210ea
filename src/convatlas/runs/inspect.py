"""`attribute`: the pixels of images that a class score of a run, or of a network with weights, depends on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from convatlas.data import Preprocessing
from convatlas.errors import UsageError
from convatlas.i18n import _
from convatlas.inspection import attribution as methods
from convatlas.inspection.attribution import Attribution
from convatlas.inspection.methods import Progress, is_long
from convatlas.inspection.sanity import SanityCheck, randomisation_check
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run
from convatlas.runs.seen_images import AT_ONCE, SeenImages, class_and_probability, class_index, see, summary
from convatlas.visualization import inspection as pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convatlas.runs.predict import ImageSource

    Inspectable = Run | str | Path | nn.Module | LoadedNetwork
    Images = ImageSource | Iterable[ImageSource]


@dataclass(frozen=True, eq=False)
class Attributed:
    """The pixels of some images that a class score depends on. Measured.

    Attributes:
        network: its name, or the run.
        seen: the images, as the network sees them.
        attribution: the maps of the method, in the order of the images.
        sanity: the maps of randomised weights, if they were asked for.
    """

    network: str
    seen: SeenImages
    attribution: Attribution
    sanity: SanityCheck | None = None

    def to_dict(self) -> dict[str, Any]:
        found, maps = self.attribution, self.attribution.values
        source = methods.method(found.method)
        document: dict[str, Any] = {
            "network": self.network,
            "what": cli_name(found.method),
            "kind": "measured",
            "layer": found.layer or None,
            "unit": source.unit,
            "signed": found.signed,
            "source": source.source,
            "notes": dict(found.notes),
            "images": [
                {**self.seen.record(place, index), **summary(maps[place])} for place, index in enumerate(found.classes)
            ],
        }
        if self.sanity is not None:
            document["sanity"] = self.sanity.to_dict()
        return document

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """A row of each image: the image, the map over it, and that of randomised weights."""
        found, heat = self.attribution, self.attribution.heat()
        places = range(len(self.seen)) if places is None else places
        control = None if self.sanity is None else self.sanity.control.heat()
        grid = pictures.panels(len(places), 2 if control is None else 3)
        for row, place in zip(grid, places, strict=True):
            pixels, index = self.seen.pixels[place], found.classes[place]
            predicted = self.seen.predicted[place]
            pictures.image(row[0], pixels, class_and_probability(self.seen, place, predicted, with_file=True))
            method_and_layer = cli_name(found.method) + (f", {found.layer}" if found.layer else "")
            pictures.heat_map(
                row[1], pixels, heat[place], f"{class_and_probability(self.seen, place, index)}\n{method_and_layer}"
            )
            if control is not None and self.sanity is not None:
                correlation = self.sanity.correlations[place]
                title = _("randomised weights\nrank correlation {r}", r=f"{correlation:.2f}")
                pictures.heat_map(row[2], pixels, control[place], title)
        return grid[0][0]


def attribute(
    what: Inspectable,
    images: Images,
    method: str = "grad_cam",
    *,
    target: str | int | None = None,
    layer: str | None = None,
    sanity: bool = False,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Attributed:
    """Find the pixels of images that a class score depends on.

    Args:
        what: a run or its directory, or a network with loaded weights, as in `predict`.
        images: as in `predict`.
        method: "grad_cam", "grad_cam_plus_plus", "gradient", "smoothgrad", "integrated_gradients",
            "guided_backpropagation", "occlusion" or "rise".
        target: the class to explain, by name or index; each image's most probable class where None.
        layer: for Grad-CAM, the row of ``convatlas show`` whose maps are used; the last one with spatial axes where
            None.
        sanity: compute the maps of randomised weights as well.
        classes, preprocessing: as in `predict`.
        progress: called with the number of images that were passed through the network, and of all that will be; of
            a method of few passes with the number of images done.
        settings: of the method, such as ``samples=50`` of smoothgrad.

    Raises:
        UnknownNameError: no such method, class or layer.
        UsageError: ``layer`` with a method that uses none, or as in `predict`.
        BadImageError: an image that cannot be read.
    """
    network = load_network(what, classes, preprocessing)
    function = methods.method(method).function
    if layer is not None:
        if not method.startswith("grad_cam"):
            raise UsageError("{method} uses no layer; leave it out, or use grad-cam.", method=cli_name(method))
        settings["layer"] = layer
    function = functools.partial(function, **settings)
    seen = see(network, images)
    indices = seen.predicted if target is None else (_index(network, target),) * len(seen)
    found, checks = [], []
    for start in range(0, len(seen), AT_ONCE):
        some, wanted = seen.images[start : start + AT_ONCE], indices[start : start + AT_ONCE]
        told = _told(progress, start, len(some), len(seen)) if is_long(method) else {}
        found.append(function(network.net, some, wanted, **told))
        if progress is not None and not told:
            progress(start + len(some), len(seen))
        if sanity:
            checks.append(randomisation_check(network.net, some, function, wanted))
    return Attributed(network.name, seen, _joined(found), _joined_checks(checks) if sanity else None)


def _index(network: LoadedNetwork, target: str | int) -> int:
    return target if isinstance(target, int) else class_index(network, target)


def _told(progress: Progress | None, before: int, count: int, images: int) -> dict[str, Progress]:
    """The argument ``progress`` for ``count`` of all images, ``before`` of which are done."""
    if progress is None:
        return {}

    def tell(done: int, total: int) -> None:
        each = total // count  # passes for one image
        progress(before * each + done, images * each)

    return {"progress": tell}


def _joined(parts: Sequence[Attribution]) -> Attribution:
    largest: dict[str, float] = {}
    for name, value in (note for part in parts for note in part.notes):
        largest[name] = max(value, largest.get(name, value))
    return replace(
        parts[0],
        classes=tuple(index for part in parts for index in part.classes),
        values=np.concatenate([part.values for part in parts]),
        notes=tuple(largest.items()),
    )


def _joined_checks(parts: Sequence[SanityCheck]) -> SanityCheck:
    return replace(
        parts[0],
        correlations=tuple(each for part in parts for each in part.correlations),
        between_random=tuple(each for part in parts for each in part.between_random),
        control=_joined([part.control for part in parts]),
    )


def cli_name(method: str) -> str:
    """The name of a method on the command line."""
    return method.replace("_", "-")
