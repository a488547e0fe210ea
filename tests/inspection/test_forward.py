"""One real pass: every row that `show` prints can be read, and the network is left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import ShapeError, UnknownNameError, UsageError
from convatlas.inspection.forward import ForwardPass
from convatlas.models import entry, list_models

LARGEST = 3e9  # multiply-adds; the larger networks are the same blocks more often
NAMES = [name for name in list_models() if entry(name).macs < LARGEST and name != "resnet1202_cifar"]


@pytest.fixture(scope="module", params=NAMES)
def subject(request):
    torch.manual_seed(0)
    net = ca.create_model(request.param)
    images = torch.randn(2, *entry(request.param).input)
    return request.param, net, images


def test_every_row_of_the_table_has_its_shape_and_the_logits_are_the_networks(subject):
    name, net, images = subject
    net.eval()
    seen = ForwardPass(net, images)
    rows = ca.summarize(net, entry(name).input).rows
    assert seen.rows == tuple(row.name for row in rows)
    assert [tuple(seen.output(row.name).shape) for row in rows] == [(2, *row.output) for row in rows]
    with torch.no_grad():
        logits = net(images)
    logits = logits if torch.is_tensor(logits) else logits[0]
    # the logits of a thousand layers with first weights overflow in evaluation mode
    torch.testing.assert_close(seen.logits, logits, rtol=0, atol=0, equal_nan=True)


def test_the_network_is_left_as_it_was(subject):
    _, net, images = subject
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [(module.training, getattr(module, "inplace", None)) for module in net.modules()]
    ForwardPass(net, images, gradients=True)
    assert modes == [(module.training, getattr(module, "inplace", None)) for module in net.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_the_last_spatial_row_passes_its_gradient_to_the_scores(subject):
    name, net, images = subject
    if entry(name).family in ("mlp", "autoencoder"):
        pytest.skip("no classifier with a spatial map")
    seen = ForwardPass(net, images, gradients=True)
    (slope,) = torch.autograd.grad(seen.logits.sum(), seen.output(seen.last_spatial_row()))
    assert slope.abs().sum() > 0


def test_a_map_written_in_place_later_is_kept_as_it_was():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.relu(self.conv(x))
            x += 1
            return x.mean(dim=(2, 3))

    net, images = InPlace(), torch.randn(1, 1, 8, 8)
    seen = ForwardPass(net, images)
    with torch.no_grad():
        convolved = net.conv(images)
    assert torch.equal(seen.output("conv"), convolved)
    assert torch.equal(seen.output("relu"), convolved.clamp(min=0))


def test_what_is_asked_wrongly_is_an_error_of_ours():
    net = ca.create_model("lenet5@modern")
    seen = ForwardPass(net, torch.zeros(1, 1, 32, 32))
    with pytest.raises(UnknownNameError, match="C1"):
        seen.output("conv1")
    with pytest.raises(ShapeError, match="no spatial axes"):
        seen.maps(seen.rows[-1])
    with pytest.raises(ShapeError, match="N, C, H, W"):
        ForwardPass(net, torch.zeros(1, 32, 32))
    with pytest.raises(UsageError, match="no layer with a spatial map"):
        ForwardPass(ca.create_model("mlp"), torch.zeros(1, 1, 28, 28)).last_spatial_row()
