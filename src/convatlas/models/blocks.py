"""Layers that two or more papers share, and the base class of all networks, which checks the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.arithmetic.formulas import output_size
from convatlas.errors import ShapeError
from convatlas.message import Message

if TYPE_CHECKING:
    from convatlas.models.loaded import Loaded


class Classifier(nn.Module):
    """Base class of the networks: images (N, C, H, W) in, logits (N, K) out.

    The ``forward`` of a subclass begins with ``self.check(images)``. ``create_model`` sets ``network``,
    ``smallest_size`` and ``num_classes`` of the instance; the messages of ``check`` use them. ``load_weights`` sets
    ``loaded``, by which images are preprocessed.
    """

    network = "this network"
    num_classes = 0
    # no annotations that torch.jit.script cannot read
    loaded = cast("Loaded | None", None)
    smallest_size = 1
    in_channels = 3
    image_size = cast("int | None", None)  # the only possible size, if a layer reads a whole map
    fixed_by = ""  # the layer that requires that size, for the message

    def check(self, images: Tensor) -> None:
        """Raise ShapeError where the images do not fit. The message says which images do. Omitted when scripted."""
        if not torch.jit.is_scripting():
            self._check(images)

    def _check(self, images: Tensor) -> None:
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ShapeError(
                "{network} needs images of the shape (N, {in_channels}, H, W); got {shape}. {advice}",
                network=self.network,
                in_channels=self.in_channels,
                shape=tuple(images.shape),
                advice=Message("Build it with in_channels={channels}, or convert the images.", channels=images.shape[1])
                if images.dim() == 4
                else Message("A single image needs images.unsqueeze(0)."),
            )
        channels, height, width = images.shape[1:]
        least = self.smallest_size
        if min(height, width) < least:
            raise ShapeError(
                "{network} is too deep for {channels} x {height} x {width} images; the smallest possible size is "
                "{least} x {least}. Enlarge the images, or choose a shallower network.",
                network=self.network,
                channels=channels,
                height=height,
                width=width,
                least=least,
            )
        if self.image_size is not None and (height, width) != (self.image_size, self.image_size):
            advice = Message("Pass image_size={height}, or resize the images.", height=height)
            if height != width:
                advice = Message("Crop or resize them to a square.")
            raise ShapeError(
                "{network} needs {image_size} x {image_size} images for {fixed_by}; "
                "got {channels} x {height} x {width}. {advice}",
                network=self.network,
                image_size=self.image_size,
                fixed_by=self.fixed_by,
                channels=channels,
                height=height,
                width=width,
                advice=advice,
            )


class AuxiliaryClassifier(nn.Module):
    """A second classifier at an intermediate layer, used in training only. Its last layer has one output per class."""


class LocalResponseNorm(nn.Module):
    """Local response normalisation by the formula of AlexNet, section 3.3, as printed.

        b_i = a_i / (k + alpha * sum of a_j^2 over the n maps around i) ^ beta

    ``torch.nn.LocalResponseNorm`` and Caffe divide alpha by n; the formula does not.
    """

    def __init__(self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def forward(self, a: Tensor) -> Tensor:  # (N, C, H, W), any shape from two dimensions up
        maps, reach = a.shape[1], self.n // 2
        squares = a.float().square()  # in float32, as lower precision would lose the small terms of the sum
        padded = F.pad(squares, (0, 0) * (a.dim() - 2) + (reach, reach))
        total = padded[:, :maps]
        for offset in range(1, self.n):
            total = total + padded[:, offset : offset + maps]
        scale = self.k + self.alpha * total
        if self.beta == 0.75:  # two square roots are several times as fast as a power
            root = scale.rsqrt()
            return (a * (root * root.sqrt())).to(a.dtype)
        return (a * scale.pow(-self.beta)).to(a.dtype)

    def extra_repr(self) -> str:
        return f"n={self.n}, k={self.k:g}, alpha={self.alpha:g}, beta={self.beta:g}"


class Residual(nn.Module):
    """A block ``branch(x) + shortcut(x)``, whose branch may be skipped in an update (stochastic depth).

    ``survival`` is the probability that the branch is not skipped.
    """

    survival = 1.0

    def skips_branch(self) -> bool:
        """Whether this pass uses the shortcut only. Each call draws from torch's generator."""
        if torch.jit.is_scripting():  # a scripted network is not trained
            return False
        return self.training and self.survival < 1 and float(torch.rand(())) >= self.survival

    def rescaled(self, y: Tensor) -> Tensor:
        """The branch's output divided by ``survival``, so that its expected value is the output in evaluation."""
        if torch.jit.is_scripting():
            return y
        return y / self.survival if self.training and self.survival < 1 else y


class SamePool(nn.Module):
    """TensorFlow's "same" 3x3 max pooling with stride 2: sides are halved and rounded up.

    It pads an odd side by one pixel at both ends, and an even side at the end only, as ``ceil_mode`` does.
    """

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))
        height, width = x.shape[2:]
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=(height % 2, width % 2), ceil_mode=True)


def side_after(size: int, *windows: tuple[int, int, int]) -> int:
    """Side of a map after several windows of (kernel, stride, padding), rounded down each time."""
    for kernel, stride, padding in windows:
        size = output_size(size, kernel, stride, padding)
    return size
