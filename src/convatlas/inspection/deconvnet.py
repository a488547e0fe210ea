"""The deconvnet: the pixels that activate a feature map. Zeiler and Fergus, ECCV 2014, section 2.1.

A deconvnet inverts the layers one by one: max pooling with the recorded switches, ReLU by a ReLU, convolution by the
transposed filters. For pooling and convolution this is exactly the gradient. For ReLU it is not: the deconvnet keeps
the positive part of the *backward signal*, whatever the sign of the input was. The deconvnet is therefore one backward
pass with a different backward rule for ReLU, and for normalisation across maps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convatlas.errors import ShapeError, UnknownNameError
from convatlas.inspection.relus import ReLUsWith
from convatlas.modes import eval_mode


class DeconvReLU(torch.autograd.Function):
    """Forward: ReLU. Backward: the positive part of the signal, whatever the sign of the input."""

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
        net: any network; its mode and its gradients are not changed.
        images: (N, C, H, W).
        layer: path of the module whose output is projected back, as in ``named_modules``.
        channel: the feature map.
        passed_through: types of modules that pass the backward signal unchanged, such as local response normalisation.
    Returns:
        (N, C, H, W): the pattern in each image that activates the map; zero outside the receptive field of its maximum.
    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer's output is not (N, channels, H, W), or has no such channel.
    """
    modules = dict(net.named_modules())
    if layer not in modules or not layer:
        raise UnknownNameError("layer", layer, [name for name in modules if name])
    outputs: list[Tensor] = []
    handles = [modules[layer].register_forward_hook(lambda module, inputs, output: outputs.append(output))]
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
    if not outputs:
        raise ShapeError("layer {layer} did not run in the forward pass of evaluation mode.", layer=layer)
    maps = outputs[0]
    if maps.dim() != 4 or not 0 <= channel < maps.shape[1]:
        raise ShapeError(
            "the output of layer {layer} has the shape {shape}; it has no feature map {channel}.",
            layer=layer,
            shape=tuple(maps.shape),
            channel=channel,
        )
    strongest = maps[:, channel].flatten(start_dim=1).max(dim=1).values  # (N,)
    (projection,) = torch.autograd.grad(strongest.sum(), pixels)
    return projection


def pass_through(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook: the output of the module is unchanged, and its backward pass is the identity."""
    return inputs[0] + (output - inputs[0]).detach()
