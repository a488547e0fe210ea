"""The shapes of every network's tensors, from a generated table: which networks are alike, and which a file is near to.

``shapes.json`` is written by ``make catalogue`` (python -m convatlas.models.weight_shapes); a test fails when it is
stale. Auxiliary heads and counters are not in it.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib import resources

import torch
from torch import Tensor

from convatlas.models.blocks import Classifier
from convatlas.models.initialisation import SkipFills
from convatlas.models.registry import declared, entry
from convatlas.models.weights.source import spare

TABLE = "shapes.json"
FAINT = 0.1  # a lower score says nothing
CLOSE = 12  # networks whose order is looked at, of those that have most shapes in common
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Near:
    """A network of the atlas and how much of a file it has.

    Attributes:
        shapes: number of the network's tensors.
        common: how many of the file's tensors have the shapes of different tensors of the network.
        order: share of the kernels and matrices, of file and network, that agree in order.
        score: from 0 to 1: 1 where every tensor has its counterpart in the same order.
    """

    name: str
    shapes: int
    common: int
    order: float
    score: float


@dataclass(frozen=True)
class Line:
    """What the table has of a network: the shapes in order, and its `twins`."""

    shapes: tuple[Shape, ...]
    twins: tuple[str, ...]


@functools.cache
def table() -> dict[str, Line]:
    """Every network's line."""
    document = json.loads(resources.files("convatlas.models.weights").joinpath(TABLE).read_text("utf-8"))
    shapes = [tuple(shape) for shape in document["shapes"]]
    return {
        name: Line(tuple(shapes[place] for place in line["shapes"]), tuple(line["twins"]))
        for name, line in document["networks"].items()
    }


def twins(network: str) -> tuple[str, ...]:
    """The other networks that the same weights fit by names and shapes, and whose outputs with them are others."""
    return table()[network].twins


def nearest(shapes: Sequence[Shape], most: int = 5) -> list[Near]:
    """The networks whose tensors are most like these, by shapes and by the order of the kernels.

    The last layer of another number of classes counts as one or two shapes that differ.
    """
    own = Counter(shapes)
    commons = {name: sum((own & Counter(line.shapes)).values()) for name, line in table().items()}

    def share(name: str) -> float:
        return 2 * commons[name] / (len(shapes) + len(table()[name].shapes))

    close = sorted((name for name in commons if commons[name]), key=share, reverse=True)[:CLOSE]
    kernels = [shape for shape in shapes if len(shape) > 1]
    found = []
    for name in close:
        theirs = [shape for shape in table()[name].shapes if len(shape) > 1]
        order = SequenceMatcher(None, kernels, theirs, autojunk=False).ratio()
        found.append(Near(name, len(table()[name].shapes), commons[name], order, (share(name) + order) / 2))
    ordered = sorted(found, key=lambda near: -near.score)[:most]
    return [near for near in ordered if near.score >= FAINT]


def shapes_of(tensors: Mapping[str, Tensor], kind: str) -> list[Shape]:
    """The shapes of a file in PyTorch's order of sides, without counters; Keras has (H, W, I, O) and (I, O)."""
    found = [tuple(value.shape) for name, value in tensors.items() if not spare(name) and value.dim()]
    if kind in ("keras", "hdf5"):
        found = [(*shape[:-3:-1], *shape[:2]) if len(shape) == 4 else shape[::-1] for shape in found]
    if kind == "caffe":
        found = [squeezed(shape) for shape in found]
    return found


def squeezed(shape: Shape) -> Shape:
    """Old caffemodels carry leading ones before vectors and matrices."""
    return tuple(side for side in shape if side != 1) if shape[:2] == (1, 1) else shape


def built(
    name: str, num_classes: int | None = None, in_channels: int | None = None, image_size: int | None = None
) -> Classifier:
    """A network as its file declares it; on the meta device without drawing weights."""
    line = entry(name)
    meta = torch.get_default_device().type == "meta"
    with SkipFills() if meta else nullcontext():
        return declared(line.family)[name].build(
            num_classes=num_classes or line.num_classes,
            in_channels=in_channels or line.input[0],
            image_size=image_size or line.input[1],
        )
