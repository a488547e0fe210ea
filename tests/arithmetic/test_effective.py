"""The effective receptive field lies in the theoretical one, and is smaller."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from convatlas.arithmetic.effective import effective_field
from convatlas.errors import ShapeError, UnknownNameError, UsageError


def stack(depth):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(1 if n == 0 else 4, 4, 3, padding=1) for n in range(depth)))


def test_one_uniform_layer_sees_its_window_evenly():
    net = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.ones_(net.weight)
    found = effective_field(nn.Sequential(net), torch.randn(3, 1, 9, 9), "0")
    assert found.position == (4, 4)
    assert found.mass.sum() == pytest.approx(1)
    assert np.allclose(found.mass[2:7, 2:7], 1 / 25)
    assert found.share_of_field(0.95) == pytest.approx(24 / 25)


def test_depth_concentrates_the_mass():
    images = torch.randn(4, 1, 41, 41)
    shares = [effective_field(stack(depth), images, str(depth - 1)).share_of_field() for depth in (1, 5, 15)]
    assert shares[0] > shares[1] > shares[2]
    deep = effective_field(stack(5), images, "4")
    (top, bottom), (left, right) = deep.box.theoretical
    assert (bottom - top + 1, right - left + 1) == (11, 11)
    outside = deep.mass.copy()
    outside[top : bottom + 1, left : right + 1] = 0
    assert outside.sum() == 0


def test_nothing_is_left_behind_and_bad_questions_are_refused():
    net = stack(2).train()
    images = torch.randn(1, 1, 8, 8)
    effective_field(net, images, "1")
    assert net.training
    assert not net[1]._forward_hooks
    assert all(p.requires_grad for p in net.parameters())
    with pytest.raises(UnknownNameError, match="unknown layer '7'"):
        effective_field(net, images, "7")
    with pytest.raises(ShapeError, match="images must have the shape"):
        effective_field(net, images[0], "1")
    with pytest.raises(UsageError, match=r"8 x 8 positions; \(8, 0\) is outside"):
        effective_field(net, images, "1", (8, 0))
