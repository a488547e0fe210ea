"""The range test: the sweep by hand, the rule on curves with a known lowest point, and the ends it can come to."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convatlas.batch import Batch
from convatlas.errors import NonFiniteLossError, UsageError
from convatlas.training import Learner
from convatlas.training.lr_range import LrRange, lr_range, smooth


def sweep(net: nn.Module, scale: float = 1.0, loss_fn=F.cross_entropy, **settings) -> LrRange:
    """Two classes apart in one pixel, SGD."""
    torch.manual_seed(0)
    labels = torch.arange(16) % 2
    images = (labels * 2.0 - 1).view(-1, 1, 1, 1) * scale
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    return lr_range(Learner(net, optimizer), itertools.repeat(Batch(images, labels)), loss_fn, **settings)


def line() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(1, 2))


def test_every_power_of_ten_gets_as_many_updates():
    found = sweep(line(), low=1e-4, high=1.0, updates=41)
    assert found.diverged is None
    assert found.lrs[0] == pytest.approx(1e-4)
    assert found.lrs[-1] == pytest.approx(1.0)
    assert all(b / a == pytest.approx(10 ** (1 / 10)) for a, b in itertools.pairwise(found.lrs))
    assert found.losses[-1] < found.losses[0]
    assert found == sweep(line(), low=1e-4, high=1.0, updates=41)


def test_smoothing_is_the_mean_of_the_neighbours_and_does_not_lag():
    assert smooth([1, 2, 3, 4, 10], reach=1) == (1.5, 2, 3, 17 / 3, 7)
    assert smooth([3, 1, 2], reach=0) == (3, 1, 2)
    valley = [abs(i - 30) for i in range(61)]
    assert min(range(61), key=smooth(valley, reach=3).__getitem__) == 30


def test_the_suggestion_is_a_tenth_of_where_the_loss_is_lowest():
    lrs = (0.001, 0.01, 0.1, 1.0)
    assert LrRange(lrs, (), (2.0, 1.0, 0.5, 3.0), None).suggestion == pytest.approx(0.01)
    assert LrRange(lrs, (), (1.0, 2.0, 3.0, 4.0), 1.0).suggestion is None  # never learnt anything


def test_divergence_ends_the_sweep():
    def bowl(logits, labels):  # (w^2 + b^2) / 2 of each of two outputs: updates above lr 2 lead away from its bottom
        return logits.square().sum(dim=1).mean() / 2

    found = sweep(line(), loss_fn=bowl, low=1e-4, high=1e4)
    assert found.diverged is not None
    assert 2 < found.diverged < 50
    assert found.lrs[-1] < found.diverged
    assert all(math.isfinite(loss) for loss in found.losses)


def test_a_batch_in_parts_makes_the_same_sweep():
    whole, parts = (sweep(line(), low=1e-4, high=1.0, accumulate=parts) for parts in (1, 4))
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)


@pytest.mark.parametrize("settings", [{"low": 0.0}, {"low": 1.0, "high": 0.1}, {"updates": 19}])
def test_no_range_is_refused(settings):
    with pytest.raises(UsageError, match="at least 20"):
        sweep(line(), **settings)


def test_a_loss_that_is_never_finite_is_no_result():
    with pytest.raises(NonFiniteLossError, match="first update"):
        sweep(line(), scale=math.inf)
