"""The deconvnet: which pixels excite a feature map. Zeiler and Fergus, ECCV 2014, section 2.1.

A deconvnet inverts the layers one by one: max pooling with the switches it recorded, ReLU by a ReLU, convolution by the
transposed filters. The gradient does the first and the last of these exactly. Only ReLU differs: the deconvnet keeps
the positive part of the *signal coming back*, whatever the sign of the input was. So this is one backward pass in which
ReLU, and normalisation across maps, have a rule of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convatlas.errors import ShapeError, UnknownNameError
from convatlas.inspection.relus import ReLUsWith
from convatlas.modes import eval_mode


class DeconvReLU(torch.autograd.Function):
    """ReLU forward; backward the positive part of the signal, without regard to the input's sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> Tensor:
        return signals[0].clamp(min=0)


def deconvolve(
    net: nn.Module, images: Tensor, layer: str, channel: int, passed_through: tuple[type[nn.Module], ...] = ()
) -> Tensor:
    """Project the strongest activation of one feature map back to the pixels, image by image.

    Args:
        net: any network; its mode and its gradients are left as they were.
        images: (N, C, H, W).
        layer: path of the module whose output is projected back, as in ``named_modules``.
        channel: the feature map.
        passed_through: modules the signal passes unchanged, such as local response normalisation.
    Returns:
        (N, C, H, W): the pattern in each image that excites the map; zeros outside the receptive field of its maximum.
    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer's output is not (N, channels, H, W), or has no such channel.
    """
    modules = dict(net.named_modules())
    if layer not in modules or not layer:
        raise UnknownNameError("layer", layer, [name for name in modules if name])
    seen: list[Tensor] = []
    handles = [modules[layer].register_forward_hook(lambda module, inputs, output: seen.append(output))]
    for module in net.modules():
        if isinstance(module, passed_through):
            handles.append(module.register_forward_hook(pass_through))
    pixels = images.detach().clone().requires_grad_()
    try:
        with eval_mode(net), ReLUsWith(DeconvReLU), torch.enable_grad():
            net(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ShapeError("layer {layer} did not run in the forward pass of evaluation mode.", layer=layer)
    maps = seen[0]
    if maps.dim() != 4 or not 0 <= channel < maps.shape[1]:
        raise ShapeError(
            "layer {layer} puts out {shape}; it has no feature map {channel}.",
            layer=layer,
            shape=tuple(maps.shape),
            channel=channel,
        )
    strongest = maps[:, channel].flatten(start_dim=1).max(dim=1).values  # (N,)
    (projection,) = torch.autograd.grad(strongest.sum(), pixels)
    return projection


def pass_through(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Its values forward, the identity backward."""
    return inputs[0] + (output - inputs[0]).detach()
