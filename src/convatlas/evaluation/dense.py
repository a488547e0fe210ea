"""A classifier read fully convolutionally: its scores at every place of a larger image, in one pass.

Source: Simonyan and Zisserman, arXiv:1409.1556, section 3.2, after Sermanet and others, arXiv:1312.6229: the first
fully connected layer becomes a convolution with as large a kernel as the map it read, the others become 1x1
convolutions. A global average pooling becomes one with windows of its map's size and stride 1, as in the fully
convolutional form of He and others, arXiv:1512.03385, section 4.1.

Nothing is rebuilt. The network's own ``forward`` runs, and three functions of torch mean something else meanwhile:
``flatten`` leaves a map a map, ``linear`` on a map is the convolution, ``adaptive_avg_pool2d`` is the pooling with
stride 1. How large the maps are that they read is seen in a rehearsal on an image of the network's own size, where the
score map must also be one place with the network's own logits, or the network is refused.
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
_TOLERANCE = 1e-3  # of the largest logit: the convolution adds up in another order


class FullyConvolutional:
    """Images (N, C, H, W), at least as large as the network's input, -> class scores (N, K, H', W').

    Args:
        network: in eval mode, with logits (N, K).
        size: (h, w) of its input.

    Raises:
        UsageError: on the first images, of a network whose head is not one of those above: a spatial pyramid, an RBF
            layer, a head that flattens in another way.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        self.network, self.size = network, size
        self._maps: list[tuple[int, int]] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        if self._maps is None:
            self._maps = self._rehearse(images)
        return self._scores(images, self._maps)

    def _scores(self, images: Tensor, maps: Sequence[tuple[int, int]]) -> Tensor:
        with any_size(self.network), _Convolutional(maps):
            scores: Tensor = self.network(images)
        return scores

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def _rehearse(self, images: Tensor) -> list[tuple[int, int]]:
        """The sides of the maps the head reads; and the proof that the score map is the network's at one place."""
        image = images[:1, :, : self.size[0], : self.size[1]].float()
        with _Watching() as watch:
            logits: Tensor = self.network(image)
        try:
            scores = self._scores(image, watch.maps)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self._refused(str(error).splitlines()[0]) from error
        if scores.shape != (*logits.shape, 1, 1):
            raise self._refused(
                Message(
                    "scores of shape {shape} instead of {wanted}",
                    shape=tuple(scores.shape),
                    wanted=(*logits.shape, 1, 1),
                )
            )
        difference = float((scores[:, :, 0, 0] - logits).abs().max())
        if not difference <= _TOLERANCE * max(1.0, float(logits.abs().max())):
            raise self._refused(Message("scores {difference:.3g} off the network's logits", difference=difference))
        return watch.maps

    def _refused(self, why: str) -> UsageError:
        name = getattr(self.network, "network", type(self.network).__name__)
        return UsageError(
            "{name} cannot be evaluated densely: its head is not made of flattening, fully connected layers and "
            "global average pooling ({why}). Use the protocol ten-crop, or centre.",
            name=name,
            why=why,
        )


@contextmanager
def any_size(network: nn.Module) -> Iterator[None]:
    """For a while no module of the network insists on the one image size that its first fully connected layer fits."""
    fixed = [(module, module.image_size) for module in network.modules() if hasattr(module, "image_size")]
    for module, _ in fixed:
        module.image_size = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, image_size in fixed:
            module.image_size = image_size


class _Watching(TorchFunctionMode):
    """Notes the sides of every map that is flattened or pooled adaptively, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[tuple[int, int]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if (func in _FLATTEN or func is F.adaptive_avg_pool2d) and args[0].dim() == 4:
            self.maps.append((args[0].shape[2], args[0].shape[3]))
        return func(*args, **(kwargs or {}))


class _Convolutional(TorchFunctionMode):
    """The three functions with their convolutional meaning; ``maps`` as `_Watching` noted them."""

    def __init__(self, maps: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.maps = iter(maps)
        self.kernel = (1, 1)  # of the next fully connected layer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _FLATTEN and args[0].dim() == 4:
            self.kernel = next(self.maps)
            return args[0]
        if func is F.adaptive_avg_pool2d and args[0].dim() == 4:
            return self._pooled(args[0], args[1])
        if func is F.linear and args[0].dim() == 4:
            return self._convolved(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _pooled(self, x: Tensor, output_size: Any) -> Tensor:
        side = next(self.maps)
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
