"""The measured time of every row. Nothing is said of how long they take, as the machine may be busy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.inspection import layer_times


@pytest.mark.parametrize("name", ["lenet5", "resnet20_cifar", "densenet_bc100_k12_cifar", "squeezenet1_1"])
def test_every_row_of_the_table_has_a_time(name):
    net = ca.create_model(name)
    summary = ca.summarize(name)
    net.train()
    times = layer_times(net, torch.randn(1, *summary.inputs[0]), passes=3)
    assert list(times.rows) == [row.name for row in summary.rows]
    assert all(times.rows[row.name] > 0 for row in summary.rows if row.macs)
    assert times.whole_s > 0
    assert (times.batch, times.passes, times.threads) == (1, 3, torch.get_num_threads())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_more_work_takes_longer():
    """Sixteen times the multiply-adds, so far apart that a busy machine does not turn them round."""
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 256, 3, padding=1), nn.Conv2d(256, 256, 3))
    times = layer_times(net, torch.randn(1, 3, 64, 64), passes=5)
    first, _, last = times.rows.values()
    assert last > first


def test_the_layer_that_does_not_fit_is_named():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(ConvAtlasError, match="2"):
        layer_times(net, torch.randn(1, 3, 8, 8))


def test_a_network_that_changes_from_pass_to_pass_has_no_times():
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.passes = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            for _ in range(self.passes):
                images = images * 2
            return images

    with pytest.raises(UsageError, match="other operators each time"):
        layer_times(Growing(), torch.randn(1, 3, 8, 8), passes=2)
