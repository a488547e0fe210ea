"""What a channel responds to: on a channel whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.arithmetic import receptive_box
from convatlas.errors import ShapeError, UsageError
from convatlas.inspection import channel_patches, maximise


def vertical_edges():
    """A channel that is bright left of dark, and its negative."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    kernel = torch.tensor([[1.0, 0.0, -1.0]] * 3)
    with torch.no_grad():
        net[0].weight.copy_(torch.stack((kernel, -kernel))[:, None])
    return net


def test_the_image_with_the_edge_comes_first_and_the_patch_is_around_it():
    images = torch.zeros(5, 1, 8, 8)
    images[3, :, :, :4] = 1.0  # bright left of dark between columns 3 and 4
    images[1, :, :, :4] = 0.5
    found = channel_patches(vertical_edges(), images.split(2), "0", [0], count=2)
    assert found.images.tolist() == [[3, 1]]
    assert found.activations[0].tolist() == [3.0, 1.5]
    row, column = found.positions[0, 0]
    assert column in (3, 4)
    assert found.boxes[0, 0].tolist() == [row - 1, row + 1, column - 1, column + 1]


def test_boxes_are_those_of_the_arithmetic_and_the_channels_the_strongest():
    torch.manual_seed(0)
    net = ca.create_model("squeezenet1_1")
    images = torch.randn(4, 3, 64, 64)
    found = channel_patches(net, images.split(2), "fire3")
    assert found.layer == "fire3.concat"
    assert found.images.shape == (9, 4)
    assert (np.diff(found.activations, axis=1) <= 0).all()
    assert (np.diff(found.activations[:, 0]) <= 0).all()
    for k in range(3):
        box = receptive_box(net, (3, 64, 64), found.layer, found.positions[k, 0].tolist())
        assert found.boxes[k, 0].tolist() == [*box.in_image[0], *box.in_image[1]]


def test_the_maximised_image_has_the_pattern_of_the_kernel_and_repeats():
    net = vertical_edges()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])  # now its mean is the mean pixel
    found = maximise(net, (1, 12, 12), "0", 0, steps=20)
    assert found.activations[-1] > found.activations[0] + 0.5
    assert found.image.mean() > 0.5
    assert (maximise(net, (1, 12, 12), "0", 0, steps=20).image == found.image).all()
    assert not (maximise(net, (1, 12, 12), "0", 0, steps=20, seed=1).image == found.image).all()


@pytest.mark.parametrize("layer", ["stage1.0.conv1", "stage1.0.relu:2", "fc"])
def test_modules_rows_and_logits_are_maximised(layer):
    torch.manual_seed(0)
    net = ca.create_model("resnet20_cifar").train()
    found = maximise(net, (3, 32, 32), layer, 3, steps=8, step_size=0.02, jitter=0, blur=0)
    assert found.activations[-1] > found.activations[0]
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_what_cannot_be_asked_is_named():
    net = vertical_edges()
    with pytest.raises(ShapeError, match="channels 0 to 1; got 2"):
        maximise(net, (1, 8, 8), "0", 2)
    with pytest.raises(ShapeError, match="channels 0 to 1; got 7"):
        channel_patches(net, [torch.zeros(1, 1, 8, 8)], "0", [7])
    with pytest.raises(UsageError, match="at least one batch"):
        channel_patches(net, [], "0")
