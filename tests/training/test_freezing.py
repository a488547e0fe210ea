"""Frozen parts keep their weights and statistics and have no gradients; they are unfrozen by the epoch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from convatlas.training.freezing import Freezing


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    block = lambda inputs: nn.Sequential(nn.Conv2d(inputs, 4, 3), nn.BatchNorm2d(4), nn.ReLU())  # noqa: E731
    return nn.Sequential(block(1), block(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))


def parts(net: nn.Sequential) -> list[list[nn.Module]]:
    return [[net[0]], [net[1]], [net[3]]]


def backward(net: nn.Module) -> None:
    net.zero_grad(set_to_none=True)
    net(torch.randn(5, 1, 8, 8)).square().sum().backward()


def test_nothing_is_computed_backwards_in_a_frozen_part(net):
    Freezing(parts(net), 2)
    reached = []
    net[1].register_forward_hook(lambda module, inputs, output: reached.append(output.requires_grad))
    backward(net)
    assert reached == [False]  # the graph begins above it
    assert all(parameter.grad is None for part in net[:2] for parameter in part.parameters())
    assert all(parameter.grad is not None for parameter in net[3].parameters())


def test_statistics_are_held_and_used_whatever_net_train_sets(net):
    freezing = Freezing(parts(net), 1)
    before = copy.deepcopy(net.state_dict())
    net.train()
    images = torch.randn(5, 1, 8, 8) + 3
    there = net[0](images)
    assert torch.equal(there, copy.deepcopy(net[0]).eval()(images))  # normalised by what is held, not by the batch
    backward(net)
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("0."))
    assert not torch.equal(before["1.1.running_mean"], after["1.1.running_mean"])
    freezing.freeze(0)
    backward(net)
    assert not torch.equal(before["0.1.running_mean"], net.state_dict()["0.1.running_mean"])
    assert net[0][0].weight.grad is not None


@pytest.mark.parametrize(
    ("unfreeze_every", "frozen"),
    [(0, [2, 2, 2, 2, 2, 2]), (1, [2, 1, 0, 0, 0, 0]), (2, [2, 2, 1, 1, 0, 0])],
)
def test_one_part_is_unfrozen_after_every_so_many_epochs_the_last_first(net, unfreeze_every, frozen):
    freezing = Freezing(parts(net), 2, unfreeze_every)
    for epoch, count in enumerate(frozen):
        net.train()
        freezing.before_epoch(epoch)
        assert [part[0].weight.requires_grad for part in (net[0], net[1])] == [count < 1, count < 2]
        assert freezing.state() == ({}, {"frozen": count})


def test_a_copy_is_frozen_as_its_original_and_by_itself(net):
    Freezing(parts(net), 1)
    twin = copy.deepcopy(net)
    backward(twin)
    assert twin[0][0].weight.grad is None
    assert torch.equal(twin[0][1].running_mean, torch.zeros(4))
