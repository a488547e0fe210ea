"""The deconvnet: the pixels that activate a feature map. Zeiler and Fergus, ECCV 2014, section 2.1.

A deconvnet inverts the layers one by one: max pooling with the recorded switches, ReLU by a ReLU, convolution by the
transposed filters. For pooling and convolution this is exactly the gradient. For ReLU it is not: the deconvnet keeps
the positive part of the *backward signal*, whatever the sign of the input was. The deconvnet is therefore one backward
pass with a different backward rule for ReLU, and for normalisation across maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.errors import ShapeError
from convatlas.inspection.forward import ForwardPass
from convatlas.inspection.relus import ReLUsWith


class DeconvReLU(torch.autograd.Function):
    """Forward: ReLU. Backward: the positive part of the signal, whatever the sign of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.relu(x)  # a row that is named as without this rule

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> Tensor:
        return signals[0].clamp(min=0)


@dataclass(frozen=True)
class Deconvolution:
    """The patterns that activate feature maps of a layer. Measured.

    Attributes:
        layer: a layer of ``convatlas show``.
        channels: (K,), the feature maps.
        values: (N, K, C, H, W) float32, each strongest activation projected back to the pixels.
        activations: (N, K), the strongest activation of each map.
        positions: (N, K, 2), row and column of that activation in the map.
    """

    layer: str
    channels: tuple[int, ...]
    values: np.ndarray
    activations: np.ndarray
    positions: np.ndarray


def strongest_channels(net: nn.Module, images: Tensor, layer: str, count: int = 9) -> tuple[int, ...]:
    """The feature maps of a layer with the largest maximum over these images, the largest first."""
    peaks = ForwardPass(net, images).maps(layer).amax(dim=(0, 2, 3))
    return tuple(peaks.argsort(descending=True, stable=True)[:count].tolist())


def deconvolutions(
    net: nn.Module,
    images: Tensor,
    layer: str,
    channels: Sequence[int],
    passed_through: Sequence[type[nn.Module]] | None = None,
) -> Deconvolution:
    """Project the strongest activation of each of several feature maps back to the pixels, image by image.

    Args:
        net: any network; it is not changed.
        images: (N, C, H, W), preprocessed for the network.
        layer: a row of ``convatlas show``, or a block.
        channels: the feature maps.
        passed_through: types of modules that pass the backward signal unchanged; those named LocalResponseNorm where
            None, as the paper's deconvnet does not invert the normalisation across maps.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer's output is not (N, channels, H, W), or has no such channel.
    """
    modules = [
        module
        for module in net.modules()
        if (type(module).__name__ == "LocalResponseNorm" if passed_through is None else type(module) in passed_through)
    ]
    handles = [module.register_forward_hook(pass_through) for module in modules]
    try:
        with ReLUsWith(DeconvReLU):
            forward = ForwardPass(net, images, gradients=True)
    finally:
        for handle in handles:
            handle.remove()
    maps = forward.output(layer)
    if maps.dim() != 4 or not all(0 <= channel < maps.shape[1] for channel in channels):
        raise ShapeError(
            "the output of layer {layer} has the shape {shape}; it has no feature map {channel}.",
            layer=layer,
            shape=tuple(maps.shape),
            channel=next((c for c in channels if maps.dim() != 4 or not 0 <= c < maps.shape[1]), ""),
        )
    values, activations, positions = [], [], []
    for channel in channels:
        strongest, places = maps[:, channel].flatten(start_dim=1).max(dim=1)  # (N,)
        (projection,) = torch.autograd.grad(strongest.sum(), forward.images, retain_graph=True)
        values.append(projection.float())
        activations.append(strongest.detach())
        positions.append(torch.stack((places // maps.shape[3], places % maps.shape[3]), dim=1))
    return Deconvolution(
        layer,
        tuple(channels),
        torch.stack(values, dim=1).cpu().numpy(),
        torch.stack(activations, dim=1).cpu().numpy(),
        torch.stack(positions, dim=1).cpu().numpy(),
    )


def deconvolve(
    net: nn.Module, images: Tensor, layer: str, channel: int, passed_through: Sequence[type[nn.Module]] | None = None
) -> Tensor:
    """`deconvolutions` of one feature map.

    Args:
        net: the network; its parameters are not changed.
        images: (N, C, H, W), preprocessed.
        layer: name of a row.
        channel: number of the feature map, from 0.
        passed_through: types of modules that pass the backward signal unchanged; None as in `deconvolutions`.

    Returns:
        (N, C, H, W): the pattern in each image that activates the map; zero outside the receptive field of its maximum.
    """
    return torch.from_numpy(deconvolutions(net, images, layer, [channel], passed_through).values[:, 0])


def pass_through(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook: the output of the module is unchanged, and its backward pass is the identity."""
    return inputs[0] + (output - inputs[0]).detach()
