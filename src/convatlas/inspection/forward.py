"""One forward pass on images, with the outputs of all rows of the layer table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.arithmetic.rows import last_operations
from convatlas.arithmetic.trace import trace
from convatlas.errors import ShapeError, UnknownNameError, UsageError

# kinds of rows that only move, drop or normalise values; the map before them is used instead
_PASSIVE = frozenset({"flatten", "reshape", "dropout", "slice", "softmax", "log_softmax", "pad"})


class ForwardPass:
    """The outputs of every row of ``convatlas show``, from one pass in evaluation mode.

    Args:
        net: any network; its mode, buffers and hooks are restored afterwards, also after an error.
        images: (N, C, H, W), preprocessed for the network.
        gradients: record gradients, so that gradients of and with respect to a row's output can be computed.
    Attributes:
        logits: (N, K), or the first tensor that the network returns.

    Raises:
        ShapeError: the images are not a batch, or do not fit the network.
    """

    def __init__(self, net: nn.Module, images: Tensor, *, gradients: bool = False) -> None:
        if images.dim() != 4:
            raise ShapeError("images must have the shape (N, C, H, W); got {shape}.", shape=tuple(images.shape))
        batch = len(images)
        with torch.enable_grad() if gradients else torch.no_grad():
            if gradients and not images.requires_grad:
                images = images.detach().clone().requires_grad_()
            traced = trace(net, (images,), {}, batch, training=False, values=True)
        if traced.failure is not None:
            raise traced.failure
        self.images = images
        self.logits = traced.outputs[0]
        self._outputs = {name: operation.outputs[0] for name, operation in last_operations(traced).items()}
        self._kinds = {name: operation.work.kind for name, operation in last_operations(traced).items()}

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of all rows, in the order they ran."""
        return tuple(self._outputs)

    def output(self, row: str) -> Tensor:
        """The output of a row: (N, C, H, W) for a map, (N, K) for a vector.

        Raises:
            UnknownNameError: no such row.
        """
        if row not in self._outputs:
            raise UnknownNameError("layer", row, self._outputs)
        return self._outputs[row]

    def maps(self, row: str) -> Tensor:
        """The output (N, C, H, W) of a row with spatial axes.

        Raises:
            UnknownNameError: no such row.
            ShapeError: its output has no spatial axes.
        """
        output = self.output(row)
        if output.dim() != 4:
            raise ShapeError(
                "the output of {row} has no spatial axes: its shape is {shape}. The last layer with spatial axes is "
                "{last}.",
                row=row,
                shape=tuple(output.shape[1:]),
                last=self.last_spatial_row(),
            )
        return output

    def last_spatial_row(self) -> str:
        """The last row, except poolings, whose output is a map of more than one pixel.

        Grad-CAM uses it by default, as its maps are the last features with a position in the image.

        Raises:
            UsageError: the network has no spatial map.
        """
        for name in reversed(self._outputs):
            output, kind = self._outputs[name], self._kinds[name]
            if output.dim() == 4 and output[0, 0].numel() > 1 and kind not in _PASSIVE and "pool" not in kind:
                return name
        raise UsageError("the network has no layer with a spatial map.")
