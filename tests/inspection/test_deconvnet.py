"""The deconvnet against its three rules worked out by hand, and that it leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import convatlas as ca
from convatlas.errors import ShapeError, UnknownNameError
from convatlas.inspection import deconvolve


def by_hand(conv1: nn.Conv2d, conv2: nn.Conv2d, x: torch.Tensor, channel: int) -> torch.Tensor:
    """Forward, then unpool with switches, ReLU the signal, and convolve with the transposed filters."""
    a = F.relu(conv1(x))
    pooled, switches = F.max_pool2d(a, 2, return_indices=True)
    maps = conv2(pooled)
    signal = torch.zeros_like(maps)
    for image in range(len(x)):
        signal[image, channel].flatten()[maps[image, channel].argmax()] = 1.0
    back = F.conv_transpose2d(signal, conv2.weight, padding=1)
    back = F.max_unpool2d(back, switches, 2)
    return F.conv_transpose2d(back.clamp(min=0), conv1.weight, padding=1)


def test_a_two_layer_network_by_hand():
    torch.manual_seed(0)
    conv1, conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
    net = nn.Sequential(conv1, nn.ReLU(inplace=True), nn.MaxPool2d(2), conv2, nn.ReLU())
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(deconvolve(net, x, "3", channel=2), by_hand(conv1, conv2, x, 2), atol=1e-6)


def test_it_is_not_the_gradient():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    x = torch.randn(1, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0].max(), x)
    assert not torch.allclose(deconvolve(net, x, "2", channel=0), gradient)


def test_a_network_of_the_atlas_is_left_as_it_was():
    torch.manual_seed(0)
    net = ca.create_model("zfnet", image_size=95, num_classes=4).train()
    images = torch.randn(1, 3, 95, 95)
    lrn = type(net.norm1)
    projection = deconvolve(net, images, "conv3", channel=7, passed_through=(lrn,))
    assert projection.shape == images.shape
    assert projection.ne(0).any()
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_functional_relu_has_the_row_that_show_prints():
    net, images = ca.create_model("lenet5@modern"), torch.randn(1, 1, 32, 32)
    assert deconvolve(net, images, "relu:2", channel=0).shape == images.shape


def test_wrong_layers_and_channels():
    net = ca.create_model("lenet5@modern")
    images = torch.randn(1, 1, 32, 32)
    with pytest.raises(UnknownNameError, match="unknown layer 'C4'"):
        deconvolve(net, images, "C4", channel=0)
    with pytest.raises(ShapeError, match=r"C3 has the shape .* it has no feature map 16"):
        deconvolve(net, images, "C3", channel=16)
    with pytest.raises(ShapeError, match="F6 has the shape"):
        deconvolve(net, images, "F6", channel=0)
