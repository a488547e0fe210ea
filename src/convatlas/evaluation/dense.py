"""Dense evaluation: class scores at every position of an image that is larger than the network's input.

Source: Simonyan and Zisserman, arXiv:1409.1556, section 3.2, after Sermanet and others, arXiv:1312.6229. The first
fully connected layer becomes a convolution whose kernel has the size of the map that the layer reads; the others become
1x1 convolutions. A global average pooling becomes an average pooling with a window of the map's size and stride 1, as
in the fully convolutional form of He and others, arXiv:1512.03385, section 4.1.

The network is not rebuilt. Its own ``forward`` runs while three torch functions are replaced: ``flatten`` returns the
map unchanged, ``linear`` on a map is the convolution, and ``adaptive_avg_pool2d`` is the pooling with stride 1. The
sizes of the maps that they read are recorded first, on an image of the network's input size. On that image the dense
form must give one position with the network's own logits; otherwise the network is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from convatlas.errors import UsageError
from convatlas.message import Message

_FLATTEN = (torch.flatten, torch.Tensor.flatten)
_TOLERANCE = 1e-3  # relative to the largest logit; the convolution adds in another order


class FullyConvolutional:
    """Map images (N, C, H, W), at least as large as the network's input, to class scores (N, K, H', W').

    Args:
        network: in evaluation mode, with logits (N, K).
        size: (h, w) of the network's input.

    Raises:
        UsageError: at the first call, if the network's head has no dense form (a spatial pyramid, an RBF layer, another
            way of flattening).
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        self.network, self.size = network, size
        self._map_sizes: list[tuple[int, int]] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        if self._map_sizes is None:
            self._map_sizes = self._checked_map_sizes(images)
        return self._scores(images, self._map_sizes)

    def _scores(self, images: Tensor, map_sizes: Sequence[tuple[int, int]]) -> Tensor:
        with any_size(self.network), _ConvolutionalFunctions(map_sizes):
            scores: Tensor = self.network(images)
        return scores

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def _checked_map_sizes(self, images: Tensor) -> list[tuple[int, int]]:
        """The sizes of the maps that the head reads, after checking that the dense form gives the network's logits."""
        image = images[:1, :, : self.size[0], : self.size[1]].float()
        with _MapSizeRecorder() as recorder:
            logits: Tensor = self.network(image)
        try:
            scores = self._scores(image, recorder.map_sizes)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self._refused(str(error).splitlines()[0]) from error
        if scores.shape != (*logits.shape, 1, 1):
            raise self._refused(
                Message(
                    "the dense scores have shape {shape} instead of {expected}",
                    shape=tuple(scores.shape),
                    expected=(*logits.shape, 1, 1),
                )
            )
        difference = float((scores[:, :, 0, 0] - logits).abs().max())
        if not difference <= _TOLERANCE * max(1.0, float(logits.abs().max())):
            raise self._refused(
                Message("the dense scores differ from the logits by {difference:.3g}", difference=difference)
            )
        return recorder.map_sizes

    def _refused(self, why: str) -> UsageError:
        name = getattr(self.network, "network", type(self.network).__name__)
        return UsageError(
            "dense evaluation needs a head of flattening, fully connected layers and global average pooling; {name} "
            "has another head ({why}). Use the protocol ten-crop or centre.",
            name=name,
            why=why,
        )


@contextmanager
def any_size(network: nn.Module) -> Iterator[None]:
    """Suspend the checks of the image size in all modules of the network; restore them at the end."""
    fixed = [(module, module.image_size) for module in network.modules() if hasattr(module, "image_size")]
    for module, _ in fixed:
        module.image_size = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, image_size in fixed:
            module.image_size = image_size


class _MapSizeRecorder(TorchFunctionMode):
    """Records the size of every map that is flattened or pooled adaptively, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.map_sizes: list[tuple[int, int]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if (func in _FLATTEN or func is F.adaptive_avg_pool2d) and args[0].dim() == 4:
            self.map_sizes.append((args[0].shape[2], args[0].shape[3]))
        return func(*args, **(kwargs or {}))


class _ConvolutionalFunctions(TorchFunctionMode):
    """Replaces the three functions by their convolutional forms; ``map_sizes`` from `_MapSizeRecorder`."""

    def __init__(self, map_sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.map_sizes = iter(map_sizes)
        self.kernel = (1, 1)  # of the next fully connected layer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _FLATTEN and args[0].dim() == 4:
            self.kernel = next(self.map_sizes)
            return args[0]
        if func is F.adaptive_avg_pool2d and args[0].dim() == 4:
            return self._pooled(args[0], args[1])
        if func is F.linear and args[0].dim() == 4:
            return self._convolved(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _pooled(self, x: Tensor, output_size: Any) -> Tensor:
        side = next(self.map_sizes)
        wanted = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        if wanted == side:
            return x
        if wanted != (1, 1):
            raise ValueError(
                Message(
                    "its adaptive pooling from {side} to {wanted} has no convolutional form", side=side, wanted=wanted
                )
            )
        return F.avg_pool2d(x, side, stride=1)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel, self.kernel = self.kernel, (1, 1)
        return F.conv2d(x, weight.view(len(weight), x.shape[1], *kernel), bias)
