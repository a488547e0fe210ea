"""One forward pass on images, with the outputs of all rows of the layer table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convatlas.arithmetic.network import summarize
from convatlas.arithmetic.rows import last_operations, last_row
from convatlas.arithmetic.trace import trace
from convatlas.errors import ConvAtlasError, ShapeError, UsageError
from convatlas.modes import eval_mode

# kinds of rows that only move, drop or normalise values; the map before them is used instead
_PASSIVE = frozenset({"flatten", "reshape", "dropout", "slice", "softmax", "log_softmax", "pad"})
_WEIGHTED = frozenset({"conv", "fc"})


class ForwardPass:
    """The outputs of every row of ``convatlas show``, from one pass in evaluation mode.

    Args:
        net: any network; its mode, buffers and hooks are restored afterwards, also after an error.
        images: (N, C, H, W), preprocessed for the network.
        gradients: record gradients, so that gradients of and with respect to a row's output can be computed.
    Attributes:
        logits: (N, K), or the first tensor that the network returns.

    Raises:
        ShapeError: the images are not a batch.
        ForwardError: they do not fit the network; the message names the layer.
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
            with errors_that_name_the_layer(net, images):
                raise traced.failure
        self.images = images
        self.logits = traced.outputs[0]
        last = last_operations(traced)
        places = {id(operation): place for place, operation in enumerate(traced.operations)}
        weighted = [place for place, operation in enumerate(traced.operations) if operation.work.kind in _WEIGHTED]
        self._outputs = {name: operation.outputs[0] for name, operation in last.items()}
        self._kinds = {name: operation.work.kind for name, operation in last.items()}
        self._before_classifier = {
            name for name, operation in last.items() if weighted and places[id(operation)] < weighted[-1]
        }

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of all rows, in the order they ran."""
        return tuple(self._outputs)

    def row_of(self, layer: str) -> str:
        """The row of that name, or the last row of the block of that name.

        Raises:
            UnknownNameError: no such layer.
        """
        return last_row(layer, self._outputs)

    def output(self, layer: str) -> Tensor:
        """The output of a row or a block: (N, C, H, W) for a map, (N, K) for a vector.

        Raises:
            UnknownNameError: no such layer.
        """
        return self._outputs[self.row_of(layer)]

    def maps(self, layer: str) -> Tensor:
        """The output (N, C, H, W) of a row or a block with spatial axes.

        Raises:
            UnknownNameError: no such layer.
            ShapeError: its output has no spatial axes.
        """
        output = self.output(layer)
        if output.dim() != 4:
            raise ShapeError(
                "the output of {row} has no spatial axes: its shape is {shape}. The last layer with spatial axes is "
                "{last}.",
                row=layer,
                shape=tuple(output.shape[1:]),
                last=self.last_spatial_row(),
            )
        return output

    def last_spatial_row(self) -> str:
        """The last row before the classifier, except poolings, whose output is a map of more than one pixel.

        The classifier is the last convolution or fully connected layer. Grad-CAM uses this row by default, as its maps
        are the last features with a position in the image. Where no such row is before the classifier, it is the last
        one of all.

        Raises:
            UsageError: the network has no spatial map.
        """
        spatial = [name for name in self._outputs if self._is_spatial(name)]
        if not spatial:
            raise UsageError("the network has no layer with a spatial map.")
        return next((name for name in reversed(spatial) if name in self._before_classifier), spatial[-1])

    def penultimate_row(self) -> str:
        """The last row before the classifier, whose output are the features that it reads.

        Raises:
            UsageError: the network has no convolution or fully connected layer, or only one.
        """
        before = [name for name in self._outputs if name in self._before_classifier]
        if not before:
            raise UsageError("the network has no layer before its classifier.")
        return before[-1]

    def _is_spatial(self, name: str) -> bool:
        output, kind = self._outputs[name], self._kinds[name]
        return output.dim() == 4 and output[0, 0].numel() > 1 and kind not in _PASSIVE and "pool" not in kind


def logits_of(net: nn.Module, images: Tensor) -> Tensor:
    """The logits (N, K), or the first tensor that the network returns, in evaluation mode and without gradients."""
    with eval_mode(net), torch.no_grad(), errors_that_name_the_layer(net, images):
        return first_tensor(net(images))


@contextmanager
def errors_that_name_the_layer(net: nn.Module, images: Tensor) -> Iterator[None]:
    """Raise ForwardError, which names the layer, in the place of torch's error for images that do not fit."""
    try:
        yield
    except ConvAtlasError:
        raise
    except Exception:
        if images.dim() == 4:
            summarize(net, tuple(images.shape[1:]))
        raise


def first_tensor(result: Any) -> Tensor:
    """The logits of a network that also returns the outputs of its auxiliary heads."""
    return next(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
