"""Gradients through depth: by hand, with and without a good initialisation, and that the network is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import UsageError
from convatlas.inspection import gradient_norms
from convatlas.training.gradient_norms import GradientNorms as Recorder


def test_the_gradient_of_a_softmax_by_hand():
    """Two equal logits: dL/dz = (p - y) = (-0.5, 0.5), and dL/dW = dL/dz x."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.zeros_(net[1].weight)
    found = gradient_norms(net, torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([0]))
    assert found.layers == ("1",)
    assert found.norms[0] == pytest.approx(5 * 0.5**0.5)
    assert found.per_weight[0] == pytest.approx(5 * 0.5**0.5 / 2)
    assert found.loss == pytest.approx(0.6931, abs=1e-4)


def stack(deviation):
    """Ten convolutions of 16 channels with ReLUs and a classifier; weights of this standard deviation."""
    torch.manual_seed(0)
    layers = [layer for _ in range(10) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    net = nn.Sequential(nn.Conv2d(3, 16, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=deviation)
    return net


def test_gradients_vanish_with_small_weights_and_not_with_those_of_he():
    images, targets = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    small, he = (gradient_norms(stack(std), images, targets).norms for std in (0.02, (2 / (9 * 16)) ** 0.5))
    assert small[1] / small[-2] < 1e-3
    assert 0.05 < he[1] / he[-2] < 50


def test_the_network_is_left_as_it_was_and_dropout_repeats():
    net = ca.create_model("resnet20_cifar")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images, targets = torch.randn(4, 3, 32, 32), torch.arange(4)
    generator = torch.get_rng_state()
    first, second = (gradient_norms(net, images, targets).norms for _ in range(2))
    assert (first == second).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    with pytest.raises(UsageError, match="no layer with weights"):
        gradient_norms(nn.Flatten(), images, targets)


def test_auxiliary_heads_are_left_out():
    net = ca.create_model("googlenet", num_classes=4, image_size=79)
    found = gradient_norms(net, torch.randn(2, 3, 79, 79), torch.tensor([0, 1]))
    assert any(layer.startswith("inception_5b") for layer in found.layers)
    assert not any(layer.startswith("aux") for layer in found.layers)


def test_a_training_records_the_same_layers():
    net = ca.create_model("lenet5@modern")
    found = gradient_norms(net, torch.randn(2, 1, 32, 32), torch.tensor([0, 1]))
    assert tuple(Recorder(net).weights) == found.layers
