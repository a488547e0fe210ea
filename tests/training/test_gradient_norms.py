"""Gradient norms in the journal: by hand, without a change to the weights, and the same after a resume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.training import Learner, checkpoint
from convatlas.training.gradient_norms import GradientNorms


def test_the_mean_over_the_updates_of_an_epoch_by_hand():
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    recorder = GradientNorms(net)
    assert list(recorder.weights) == ["0"]  # the scale of batch norm is no layer of its own
    recorder.before_epoch(0)
    for gradient in ([3.0, 4.0], [0.0, 1.0]):
        net[0].weight.grad = torch.tensor([gradient])
        recorder.after_update(1)
    assert recorder.epoch_record() == {"gradient_norms": {"0": pytest.approx(3.0)}}
    recorder.before_epoch(1)
    assert recorder.epoch_record() == {}


def test_a_checkpoint_keeps_the_sums_of_the_epoch():
    net = nn.Linear(2, 1)
    before, after = GradientNorms(net), GradientNorms(net)
    net.weight.grad = torch.ones(1, 2)
    before.after_update(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    checkpoint.unpack(*checkpoint.pack(Learner(net, optimizer, [before])), Learner(net, optimizer, [after]))
    assert after.epoch_record() == before.epoch_record()


def test_a_run_records_them_and_its_weights_keep_their_bits(tmp_path):
    settings = {"epochs": 2, "min_updates": 0, "threads": 1, "trial": False}
    plain = ca.train("lenet5@modern", out=tmp_path / "plain", **settings)
    recorded = ca.train("lenet5@modern", out=tmp_path / "recorded", gradient_norms=True, **settings)
    for first, second in zip(plain.network().parameters(), recorded.network().parameters(), strict=True):
        assert torch.equal(first, second)
    assert all("gradient_norms" not in line for line in plain.epochs())
    lines = [line["gradient_norms"] for line in recorded.epochs()]
    assert len(lines) == 2
    assert list(lines[0]) == ["C1", "C3", "C5", "F6", "OUTPUT"]
    assert all(norm > 0 for line in lines for norm in line.values())
