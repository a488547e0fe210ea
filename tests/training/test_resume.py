"""Killed and resumed is never stopped: weights, optimizer, callbacks and journal, to the bit.

{in the middle of an epoch, at its end, during the warm-up, after an early stop} x {the optimizers} x {what else there
is to be remembered}. Images are decoded before the first update, so the number of decoding workers cannot matter here;
tests/data shows that it does not matter there.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas import training
from convatlas.batch import Batch
from convatlas.data import Augmentation, Batches, load_images, open_data, preprocessing_for
from convatlas.training import Learner, Plan, State, Validation, WeightAverage, checkpoint, losses, optim, schedule

STEPS, BEST_EPOCH, PATIENCE = 4, 1, 2  # updates an epoch; training stops after epoch BEST_EPOCH + PATIENCE
UPDATES = (BEST_EPOCH + PATIENCE + 1) * STEPS
KILLED_AFTER = {"mid-epoch": 2 * STEPS + 2, "boundary": 2 * STEPS, "warm-up": 2, "early stop": UPDATES}
OPTIMIZERS = {"sgd": 0.05, "adamw": 1e-2, "rmsprop": 1e-2, "muon": 1e-2}
EXTRAS = ("ema", "mixup", "accumulation")
MATRIX = list(itertools.product(KILLED_AFTER, OPTIMIZERS, EXTRAS))
HARDWARE = training.choose("cpu", precision="fp32", allocator=False)


class Killed(Exception):
    """Stands for SIGKILL: nothing is done about it anywhere."""


class UntilKilled:
    """Batches that end the process, as it were, when those after update ``last`` are asked for."""

    def __init__(self, batches: Batches, last: int) -> None:
        self.batches, self.last = batches, last

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(self.batches.epoch(epoch, start_step), start=start_step):
            if epoch * len(self) + step >= self.last:
                raise Killed
            yield batch


@cache
def digits(mixup: float) -> Batches:
    data = open_data("digits")
    preprocessing = preprocessing_for(data, 8)
    store = load_images(data, preprocessing)
    augment = Augmentation(pad=1, mixup=mixup, flip="off")
    return Batches(
        store, data.labels, range(250), batch_size=64, seed=5, preprocessing=preprocessing, augment=augment
    )  # 64 64 64 58


def tiny() -> nn.Module:
    """A convolution, batch norm, dropout and a head: all that has, draws or keeps something."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten()]
    return HARDWARE.place(nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(4 * 6 * 6, 10)))


def run(folder: Path, optimizer: str, extra: str, killed_after: int | None = None) -> tuple[State, list[Tensor]]:
    """Train in ``folder`` from its newest checkpoint on, if it has one; give back everything that training moves."""
    net, lr = tiny(), OPTIMIZERS[optimizer]
    updates = optim.build(optimizer, optim.parameter_groups(net, weight_decay=1e-3), lr=lr)
    learner = Learner(net, updates, [WeightAverage(net, 0.9)] if extra == "ema" else [])
    accumulate = 3 if extra == "accumulation" else 1
    batches = digits(0.4 if extra == "mixup" else 0.0)

    def validate(net: nn.Module) -> Validation:
        epoch = int(net[1].num_batches_tracked) // (accumulate * STEPS) - 1
        return Validation(loss=1.0, top1=0.9 - 0.1 * abs(epoch - BEST_EPOCH))

    state = State()
    if checkpoint.saved(folder):
        state, _ = training.resume(folder, learner)
    state = training.fit(
        learner,
        batches if killed_after is None else UntilKilled(batches, killed_after),
        losses.cross_entropy(),
        Plan(
            epochs=10,
            lr=lr,
            seed=7,
            schedule=schedule.warmed_up(schedule.cosine(), epochs=1, factor=0.1),
            accumulate=accumulate,
            patience=PATIENCE,
            checkpoint_every_steps=1,
        ),
        hardware=HARDWARE,
        folder=folder,
        validate=validate,
        state=state,
    )
    tensors, _ = checkpoint.pack(learner)
    return state, [tensor.clone() for _, tensor in sorted(tensors.items())]


def lines(folder: Path) -> list[dict]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "train_s"} for line in found]


@cache
def never_stopped(optimizer: str, extra: str, parent: Path) -> tuple[State, list[Tensor], list[dict]]:
    folder = parent / f"{optimizer}-{extra}"
    folder.mkdir()
    return *run(folder, optimizer, extra), lines(folder)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("wholes")


def check_resume(moment: str, optimizer: str, extra: str, wholes: Path, folder: Path) -> None:
    whole, expected, journal = never_stopped(optimizer, extra, wholes)
    assert whole.step == UPDATES  # it stopped early: ten epochs were asked for
    if moment == "early stop":
        run(folder, optimizer, extra)
    else:
        with pytest.raises(Killed):
            run(folder, optimizer, extra, KILLED_AFTER[moment])
        assert checkpoint.saved(folder)[-1] == checkpoint.numbered(folder, KILLED_AFTER[moment])
    state, found = run(folder, optimizer, extra)
    assert (state.step, state.scores, state.best_epoch) == (whole.step, whole.scores, whole.best_epoch)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert lines(folder) == journal


# a diagonal: each moment, each optimizer and each extra at least once
@pytest.mark.parametrize(
    ("moment", "optimizer", "extra"),
    [
        ("mid-epoch", "sgd", "ema"),
        ("boundary", "adamw", "mixup"),
        ("warm-up", "rmsprop", "accumulation"),
        ("early stop", "muon", "ema"),
    ],
)
def test_resumed_to_the_bit(moment, optimizer, extra, wholes, tmp_path):
    check_resume(moment, optimizer, extra, wholes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "optimizer", "extra"), MATRIX)
def test_the_whole_matrix(moment, optimizer, extra, wholes, tmp_path):
    check_resume(moment, optimizer, extra, wholes, tmp_path)
