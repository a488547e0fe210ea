"""Callbacks: the average of the weights, by hand; and what must hold for everything that lives beside a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.errors import CheckpointError
from convatlas.training import Learner, WeightAverage, checkpoint, evaluation_weights


def test_the_average_remembers_little_at_first_and_decay_later():
    """w = 0, 1, 2 and d = min(0.25, (1 + n) / (10 + n)): 2/11 at the first update, 0.25 at the second."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    ema = WeightAverage(net, decay=0.25)
    for step in (1, 2):
        nn.init.constant_(net.weight, step)
        ema.after_update(step)
    first = 9 / 11
    assert float(ema.average["weight"]) == pytest.approx(0.25 * first + 0.75 * 2)


def test_running_statistics_are_averaged_and_counters_copied():
    net = nn.BatchNorm2d(2)
    ema = WeightAverage(net, decay=0.5)
    net.running_mean.fill_(1.0)
    net.num_batches_tracked.fill_(7)
    ema.after_update(100)
    assert ema.average["running_mean"].tolist() == [0.5, 0.5]
    assert int(ema.average["num_batches_tracked"]) == 7


def test_evaluation_weights_are_the_average_and_the_trained_ones_come_back():
    net = nn.Linear(3, 2)
    ema = WeightAverage(net, decay=0.9)
    trained = torch.full_like(net.weight, 5.0)
    with torch.no_grad():
        net.weight.copy_(trained)
    with evaluation_weights([ema]):
        assert torch.equal(net.weight, ema.average["weight"])
    assert torch.equal(net.weight, trained)


def test_a_checkpoint_restores_every_callback():
    nets = [nn.Linear(3, 2) for _ in range(2)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9) for net in nets]
    before, after = (WeightAverage(net, decay=0.9) for net in nets)
    before.after_update(1)
    tensors, scalars = checkpoint.pack(Learner(nets[0], optimizers[0], [before]))
    checkpoint.unpack(tensors, scalars, Learner(nets[1], optimizers[1], [after]))
    assert all(torch.equal(tensor, after.average[name]) for name, tensor in before.average.items())

    again = WeightAverage(nets[1], decay=0.9)  # a checkpoint of version 0.1.0, which had another word
    old = {name.replace("callback.", "companion."): tensor for name, tensor in tensors.items()}
    old_scalars = {"optimizer": scalars["optimizer"], "companions": scalars["callbacks"]}
    checkpoint.unpack(old, old_scalars, Learner(nets[1], optimizers[1], [again]))
    assert all(torch.equal(tensor, again.average[name]) for name, tensor in before.average.items())
    with pytest.raises(CheckpointError, match=r"written with the callbacks ema, and this run has none"):
        checkpoint.unpack(tensors, scalars, Learner(nets[1], optimizers[1]))


def test_momentum_comes_back_in_the_memory_format_of_its_weight():
    """Fused optimizers walk through weight and momentum side by side: the same strides, not only the same shape."""

    def convolution() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def update(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(torch.ones(2, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    net, optimizer = convolution()
    update(net, optimizer)
    tensors, scalars = checkpoint.pack(Learner(net, optimizer))
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}  # as a file holds them
    again, resumed = convolution()
    checkpoint.unpack(tensors, scalars, Learner(again, resumed))
    assert resumed.state[again.weight]["momentum_buffer"].stride() == again.weight.stride()
    update(net, optimizer)
    update(again, resumed)
    assert torch.equal(net.weight, again.weight)
