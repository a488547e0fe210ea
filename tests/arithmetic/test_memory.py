"""Predicted memory against a real step, and what the prediction must obey."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.arithmetic import memory
from convatlas.errors import UnknownNameError, UsageError
from convatlas.models import entry


def test_what_a_small_network_keeps_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    found = memory.predict(net, (1, 8, 8), batch=5, optimizer="adam")
    weights = 18 + 72 * 3 + 3
    assert found.params == found.gradients == 4 * weights
    assert found.optimizer == 2 * 4 * weights + 3 * 4  # two moments, and a step count per tensor
    assert found.input == 5 * 64 * 4
    assert found.saved == 5 * 72 * 4  # the ReLU's result, which the linear layer reads too; the images are the input


SLOW = [
    pytest.param(name, batch, marks=pytest.mark.slow) for name, batch in (("resnet20_cifar", 16), ("squeezenet1_0", 4))
]


@pytest.mark.parametrize(("name", "batch"), [("lenet5@modern", 32), *SLOW])
def test_predicted_is_measured(name, batch):
    net = ca.create_model(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    shape = entry(name).input
    predicted, measured = memory.predict(net, shape, batch), memory.measure(net, shape, batch)
    assert predicted.saved == measured.saved
    assert (predicted.params, predicted.optimizer) == (measured.params, measured.optimizer)
    assert predicted.train_peak == pytest.approx(measured.train_peak, rel=0.15)
    assert predicted.infer_peak == pytest.approx(measured.infer_peak, rel=0.15)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_convolution_copies_input_weights_and_output_into_whole_blocks():
    block = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
    filled = -(-24 // block) * block
    images, weight = torch.empty(32, 24, 8, 8), torch.empty(12, 24, 3, 3)
    output = torch.empty(32, 12, 8, 8)
    args = (images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    read, written = memory.convolution_scratch(args, output)
    assert read == 4 * (32 * filled * 8 * 8 + 16 * filled * 3 * 3)  # 12 filters fill up to 16 in either block
    assert written == 4 * 32 * 16 * 8 * 8


def test_the_largest_batch_is_the_largest():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    limit = 2**20
    batch, peak = memory.largest_batch(net, (3, 16, 16), limit)
    assert memory.predict(net, (3, 16, 16), batch).train_peak == peak <= limit
    assert memory.predict(net, (3, 16, 16), batch + 1).train_peak > limit
    assert memory.largest_batch(net, (3, 16, 16), 2**10)[0] == 0


def test_bad_settings():
    net = nn.Conv2d(1, 1, 1)
    with pytest.raises(UsageError, match="at least one image; got 0"):
        memory.predict(net, (1, 4, 4), 0)
    with pytest.raises(UnknownNameError, match=r"unknown optimizer 'adma'\. Did you mean adam"):
        memory.predict(net, (1, 4, 4), 1, "adma")
