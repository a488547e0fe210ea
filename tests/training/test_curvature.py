"""LeNet-5's rule of 1998: second derivatives with squared factors, against sums written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.errors import RecipeError
from convatlas.models import create_model
from convatlas.training import losses
from convatlas.training.curvature import StochasticDiagonalLM, diagonal_curvature, second_derivative


@pytest.fixture
def patterns():
    torch.manual_seed(1)
    return torch.randn(6, 1, 32, 32), torch.randint(10, (6,))


def test_the_output_layer_is_taken_exactly(patterns):
    """At F6 the loss is y_c + log(e^-j + sum e^-y_k) of squared distances: here in closed form."""
    net, (_, labels) = create_model("lenet5"), patterns
    x = torch.randn(6, 84)
    found = second_derivative(lambda f6: losses.map_1998()(net.OUTPUT(f6), labels), x)
    distances = -net.OUTPUT(x)  # (N, K) penalties y_k
    weights = torch.exp(-distances)
    p = weights / (weights.sum(1, keepdim=True) + torch.exp(torch.tensor(-0.1)))  # of each class; the rest is rubbish
    slope = 2 * (x[:, None, :] - net.OUTPUT.codes)  # dy_k/dx
    mean = (p[..., None] * slope).sum(1)
    expected = 2 - 2 * p.sum(1, keepdim=True) + (p[..., None] * slope**2).sum(1) - mean**2
    assert torch.allclose(found, expected / 6, atol=1e-5)
    assert bool((found >= 0).all())


def test_one_layer_back_every_factor_is_squared(patterns):
    """h of F6's weights is f'(a)^2 h_out x^2, summed over the patterns (equation 30)."""
    net, (images, labels) = create_model("lenet5").double(), patterns
    images = images.double()
    inputs, outputs = [], []
    with net.F6.register_forward_hook(lambda m, i, o: inputs.append(i[0]) or outputs.append(o)):
        net(images)
    (x,), (a,) = inputs, outputs
    derivative = 1.7159 * 2 / 3 * (1 - torch.tanh(2 / 3 * a) ** 2)
    f6 = 1.7159 * torch.tanh(2 / 3 * a)
    h_out = second_derivative(lambda f: losses.map_1998()(net.OUTPUT(f), labels), f6.detach())
    expected = (derivative**2 * h_out).T @ x**2
    found = diagonal_curvature(net, images, labels, losses.map_1998())
    assert torch.allclose(found[net.F6.weight], expected)


def test_shared_weights_add_their_connections(patterns):
    """The curvature of a bias of C5, a 1 x 1 map, is that of one connection; every curvature is positive."""
    net, (images, labels) = create_model("lenet5"), patterns
    found = diagonal_curvature(net, images, labels, losses.map_1998())
    assert {p.shape for p in net.parameters()} == {h.shape for h in found.values()}
    assert all(bool((h >= 0).all()) and float(h.sum()) > 0 for h in found.values())


def test_a_step_is_eta_over_mu_plus_curvature(patterns):
    net, (images, labels) = create_model("lenet5"), patterns
    loss_fn = losses.map_1998()
    rule = StochasticDiagonalLM(net.parameters(), lr=5e-4)
    rule.estimate(net, images, labels, loss_fn)
    curvature = diagonal_curvature(net, images, labels, loss_fn)
    loss_fn(net(images), labels).backward()
    before = net.C1.weight.detach().clone()
    rule.step()
    expected = before - 5e-4 / (0.02 + curvature[net.C1.weight]) * net.C1.weight.grad
    assert torch.allclose(net.C1.weight, expected)


def test_another_network_is_refused_by_name(patterns):
    images, labels = patterns
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))
    with pytest.raises(RecipeError, match="LeNet-5"):
        diagonal_curvature(net, images, labels, losses.map_1998())
