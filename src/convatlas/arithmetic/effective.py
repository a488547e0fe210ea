"""The effective receptive field: how much each pixel influences one position of a layer.

It is measured by the gradient of that position with respect to the pixels, on an image or on noise. The theoretical
receptive field only says which pixels can have an influence. Luo, Li, Urtasun and Zemel, "Understanding the effective
receptive field in deep convolutional neural networks", NIPS 2016: the effective field is much smaller than the
theoretical one, and grows during training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.arithmetic.network import ReceptiveBox, receptive_box
from convatlas.arithmetic.rows import last_operations, last_row
from convatlas.arithmetic.trace import trace
from convatlas.errors import ShapeError, UsageError

BATCH = 8  # images per backward pass


@dataclass(frozen=True)
class EffectiveField:
    """The effective receptive field of one position of a layer.

    Attributes:
        mass: (H, W), absolute gradient summed over channels, averaged over images, scaled to sum 1.
        box: the theoretical receptive field, and its part inside the image.
        layer: name of the layer.
        position: (row, column) in the layer's map; None for a vector, all of whose elements are summed.
    """

    mass: np.ndarray
    box: ReceptiveBox
    layer: str
    position: tuple[int, int] | None

    @property
    def field_pixels(self) -> int:
        """Number of pixels of the image inside the theoretical field."""
        return math.prod(0 if span is None else span[1] - span[0] + 1 for span in self.box.in_image)

    def pixels(self, mass: float = 0.95) -> int:
        """The smallest number of pixels whose gradients add up to ``mass`` of the total."""
        pixels = np.sort(self.mass, axis=None)[::-1]
        return int(np.searchsorted(np.cumsum(pixels), mass * pixels.sum()) + 1)

    def share_of_field(self, mass: float = 0.95) -> float:
        """``pixels(mass)`` as a share of the theoretical field inside the image."""
        return self.pixels(mass) / self.field_pixels

    def to_dict(self) -> dict[str, Any]:
        (top, bottom), (left, right) = self.box.theoretical
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
        net: the network with its weights. It is evaluated in evaluation mode and not changed.
        images: (N, C, H, W), preprocessed. Noise shows the architecture, photographs show the trained network.
        layer: name of a row or of a module. The output is a map, whose channels are summed, or a vector, whose elements
            are summed.
        position: (row, column); the middle of the map where None.
    Raises:
        UnknownNameError: no such layer.
        ShapeError: the images are not a batch, or the layer's output is neither a map nor a vector.
        UsageError: the position is outside the map.
    """
    if images.dim() != 4:
        raise ShapeError("images must have the shape (N, C, H, W); got {shape}.", shape=tuple(images.shape))
    receptive_box(net, tuple(images.shape[1:]), layer, None)  # raises, with an explanation, where the images do not fit
    net = copy.deepcopy(net)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    row_column, is_vector = (0, 0), False
    for batch in images.split(BATCH):
        batch = batch.detach().clone().requires_grad_()
        traced = trace(net, (batch,), {}, len(batch), training=False, values=True)
        if traced.failure is not None:
            raise traced.failure
        operations = last_operations(traced)
        result = operations[last_row(layer, operations)].outputs[0]
        is_vector = result.dim() == 2
        output = result[:, :, None, None] if is_vector else result
        if output.dim() != 4:
            raise ShapeError(
                "the output of {layer} must be a map (C, H, W) or a vector (K,); its shape is {shape}.",
                layer=layer,
                shape=tuple(output.shape[1:]),
            )
        height, width = output.shape[2:]
        row_column = (height // 2, width // 2) if position is None else (int(position[0]), int(position[1]))
        if not (0 <= row_column[0] < height and 0 <= row_column[1] < width):
            raise UsageError(
                "the output of {layer} has {height} x {width} positions; {position} is outside.",
                layer=layer,
                height=height,
                width=width,
                position=row_column,
            )
        (gradient,) = torch.autograd.grad(output[:, :, row_column[0], row_column[1]].sum(), batch)
        total += gradient.abs().sum(dim=(0, 1)).double()
    mass = (total / total.sum()).numpy() if total.sum() > 0 else total.numpy()
    measured_at = None if is_vector else row_column
    box = receptive_box(net, tuple(images.shape[1:]), layer, measured_at)
    return EffectiveField(mass, box, layer, measured_at)
