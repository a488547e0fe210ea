"""The training loop on a few digits: its random numbers, its best weights, and the order of what it writes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from convatlas import training
from convatlas.data import Batches, load_images, open_data, preprocessing_for
from convatlas.training import Learner, Plan, State, Validation, checkpoint, losses, schedule

HARDWARE = training.choose("cpu", precision="fp32", allocator=False)


@pytest.fixture(scope="module")
def batches() -> Batches:
    """Two batches of 64 digits an epoch."""
    data = open_data("digits")
    preprocessing = preprocessing_for(data, 8)
    store = load_images(data, preprocessing)
    return Batches(store, data.labels, range(128), batch_size=64, seed=5, preprocessing=preprocessing)


def fit(folder: Path, batches: Batches, net: nn.Module, epochs: int, validations: list[Validation]) -> State:
    """Train ``net`` and answer the validation of epoch n with ``validations[n]``."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    answers = iter(validations)
    return training.fit(
        Learner(HARDWARE.place(net), optimizer),
        batches,
        losses.cross_entropy(),
        Plan(epochs=epochs, lr=0.01, seed=7, schedule=schedule.constant(), checkpoint_every_steps=1),
        hardware=HARDWARE,
        folder=folder,
        validate=lambda net: next(answers),
        state=State(),
    )


def test_dropout_draws_another_mask_at_every_update(tmp_path, batches):
    masks: list[tuple[bool, ...]] = []
    dropout = nn.Dropout(0.5)
    dropout.register_forward_hook(lambda module, inputs, output: masks.append(tuple((output == 0).flatten().tolist())))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), dropout, nn.Linear(32, 10))
    fit(tmp_path, batches, net, epochs=2, validations=[Validation(loss=1.0, top1=0.5)] * 2)
    assert len(masks) == 4
    assert len(set(masks)) == 4


def test_a_validation_that_is_not_finite_is_never_the_best(tmp_path, batches):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    validations = [Validation(1.0, 0.5), Validation(math.nan, 0.9), Validation(math.inf, 0.9), Validation(1.0, 0.4)]
    state = fit(tmp_path, batches, net, epochs=4, validations=validations)
    assert state.best_epoch == 0
    assert checkpoint.load(checkpoint.best(tmp_path))[1]["epoch"] == 0


def test_the_journal_is_on_the_disk_before_a_checkpoint_that_names_its_length(tmp_path, batches, monkeypatch):
    if not Path("/proc/self/fd").exists():
        pytest.skip("the file of a descriptor is known through /proc only")
    durable = 0  # bytes of the journal that a power failure would leave
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        nonlocal durable
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name == "metrics.jsonl":
            durable = path.stat().st_size

    named: list[tuple[int, int]] = []

    def recording_replace(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target).name.startswith("checkpoint-0"):
            named.append((checkpoint.load(Path(target))[1]["state"]["journal_bytes"], durable))

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    fit(tmp_path, batches, net, epochs=2, validations=[Validation(1.0, 0.5)] * 2)
    assert named
    assert all(length <= durable for length, durable in named), named
    assert named[-1][0] > 0
