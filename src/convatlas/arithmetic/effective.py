"""The effective receptive field: how much each pixel really matters to one position of a layer.

Measured by the gradient of that position, on the user's image or on noise; the theoretical field says only which pixels
can matter at all. Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field in deep convolutional neural
networks", NIPS 2016: it is a small blob inside the theoretical box, and grows as a network is trained.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convatlas.arithmetic.network import Seen, place_of, seen_by
from convatlas.arithmetic.trace import FunctionResults
from convatlas.errors import ShapeError, UsageError

BATCH = 8  # images whose gradients are taken at once


@dataclass(frozen=True)
class EffectiveField:
    """What one position of a layer is moved by.

    Attributes:
        mass: (H, W), absolute gradient summed over channels, averaged over images, scaled to sum 1.
        seen: the theoretical field: its box, and the part of it inside the image.
        layer, position: where; of a vector all elements together, without a position.
    """

    mass: np.ndarray
    seen: Seen
    layer: str
    position: tuple[int, int] | None

    @property
    def field_pixels(self) -> int:
        """How many pixels of the image the theoretical field holds."""
        return math.prod(0 if span is None else span[1] - span[0] + 1 for span in self.seen.image)

    def pixels(self, mass: float = 0.95) -> int:
        """The fewest pixels that hold ``mass`` of the gradient."""
        pixels = np.sort(self.mass, axis=None)[::-1]
        return int(np.searchsorted(np.cumsum(pixels), mass * pixels.sum()) + 1)

    def share_of_field(self, mass: float = 0.95) -> float:
        """The smallest share of the theoretical field (inside the image) whose pixels hold ``mass`` of the gradient."""
        return self.pixels(mass) / self.field_pixels

    def to_dict(self) -> dict[str, Any]:
        (top, bottom), (left, right) = self.seen.theory
        return {
            "layer": self.layer,
            "position": None if self.position is None else list(self.position),
            "receptive_field": [bottom - top + 1, right - left + 1],
            "rows": [top, bottom],
            "columns": [left, right],
            "field_pixels": self.field_pixels,
            "effective_pixels": self.pixels(),
            "mass": 0.95,
        }


def effective_field(
    net: nn.Module, images: Tensor, layer: str, position: Sequence[int] | None = None
) -> EffectiveField:
    """Measure the effective receptive field of one position of a layer.

    Args:
        net: the network with its weights; evaluated as it is, in evaluation mode, and not changed.
        images: (N, C, H, W), already preprocessed; noise shows the architecture, photographs the trained network.
        layer: a row's name or a module's. Its output is a map, whose channels are summed, or a vector, all of whose
            elements are.
        position: (row, column); the middle of the map where None.
    Raises:
        UnknownNameError: no such layer.
        ShapeError: the images are no batch, or the layer's output is neither map nor vector.
        UsageError: the layer did not run, or the position is outside the map.
    """
    if images.dim() != 4:
        raise ShapeError("images come as (N, C, H, W); got {shape}.", shape=tuple(images.shape))
    place_in_pass = place_of(net, tuple(images.shape[1:]), layer)
    net = copy.deepcopy(net).eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    caught: list[Tensor] = []
    if place_in_pass.module is not None:
        hook_on = net.get_submodule(place_in_pass.module)
        hook_on.register_forward_hook(lambda module, given, result: caught.append(result.clone()))
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    place, is_vector = (0, 0), False
    for batch in images.split(BATCH):
        caught.clear()
        batch = batch.detach().clone().requires_grad_()
        if place_in_pass.function is None:
            net(batch)
        else:
            with FunctionResults(_keep(place_in_pass.function, caught)):
                net(batch)
        if not caught:
            raise UsageError("{layer} did not run.", layer=layer)
        is_vector = caught[0].dim() == 2
        output = caught[0][:, :, None, None] if is_vector else caught[0]
        if output.dim() != 4:
            raise ShapeError(
                "the output of {layer} is neither a map nor a vector: {shape}.",
                layer=layer,
                shape=tuple(output.shape[1:]),
            )
        height, width = output.shape[2:]
        place = (height // 2, width // 2) if position is None else (int(position[0]), int(position[1]))
        if not (0 <= place[0] < height and 0 <= place[1] < width):
            raise UsageError(
                "{layer} has {height} x {width} positions; got {place}.",
                layer=layer,
                height=height,
                width=width,
                place=place,
            )
        (gradient,) = torch.autograd.grad(output[:, :, place[0], place[1]].sum(), batch)
        total += gradient.abs().sum(dim=(0, 1)).double()
    mass = (total / total.sum()).numpy() if total.sum() > 0 else total.numpy()
    where = None if is_vector else place
    return EffectiveField(mass, seen_by(net, tuple(images.shape[1:]), layer, where), layer, where)


def _keep(number: int, caught: list[Tensor]) -> Callable[[Any], None]:
    """Keeps the first tensor of the result with that number, before the network may write into it."""
    count = itertools.count()

    def receive(result: Any) -> None:
        if next(count) == number:
            caught.append(next(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)).clone())

    return receive
