"""Measure the overhead of the training loop over a hand-written loop: lenet5@modern, batch size 128, digits.

    python benchmarks/training_loop_overhead.py --updates 2500 --out results/training/loop_overhead.json

Both sides train the same network on the same batches, which are made before the measurement, in the same precision and
memory format, with the same optimizer. They take turns at every update, so that a busy machine slows both alike. When
`training.fit` asks for its next batch, the hand-written update runs first and is timed; then `fit` gets the batch, and
the time until it asks again is its update. This includes everything that `fit` does per update: the schedule, the key
of the random numbers, hits and losses, the stop request, and reading the loss every 20 updates. It excludes what
happens once per epoch. The medians are over blocks of 20 updates, each of which reads the loss once.

A second hand-written loop takes turns as well. The difference between the two hand-written loops is the resolution of
this measurement.

With ``--threads 1`` the clock is the thread's processor time, which a busy machine disturbs less than wall time.

The fused optimizers are compared with the foreach optimizers in the same way.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas import models, training
from convatlas.batch import Batch
from convatlas.recipes.registry import recipe_for
from convatlas.runs.options import RunOptions
from convatlas.runs.prepare import prepare
from convatlas.runs.training_data import TrainingData
from convatlas.training import Hardware, Learner, Plan, losses, schedule
from convatlas.training.loop import RECORD_EVERY
from timing import interleaved_seconds, seconds

BLOCK = RECORD_EVERY  # updates: the loop reads the loss once in each block
WARM_UP = 2 * BLOCK
OPTIMIZER_STEPS = 10  # per measured call


class InterleavedBatches:
    """Batches for `fit`. Before it hands one over, the hand-written loops make the same update; all are timed."""

    def __init__(
        self,
        batches: list[Batch],
        updates: int,
        by_hand: dict[str, Callable[..., None]],
        clock: Callable[[], float],
    ) -> None:
        self.batches, self.updates, self.by_hand, self.clock = batches, updates, by_hand, clock
        self.seconds: dict[str, list[float]] = {name: [] for name in (*by_hand, "convatlas")}

    def __len__(self) -> int:
        return self.updates

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for step in range(self.updates):
            batch = self.batches[step % len(self.batches)]
            for name, update in self.by_hand.items():
                self.seconds[name].append(seconds(partial(update, batch.images, batch.targets), clock=self.clock))
            started = self.clock()
            yield batch
            self.seconds["convatlas"].append(self.clock() - started)


def hand_written(net: nn.Module, optimizer: torch.optim.Optimizer, hardware: Hardware) -> Callable[..., None]:
    def update(images: Tensor, labels: Tensor) -> None:
        with hardware.autocast():
            logits = net(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    net.train()
    return update


def block_means(times_s: list[float]) -> list[float]:
    """Microseconds per update: the mean of each block, without the warm-up and the last, shorter block."""
    return [
        1e6 * statistics.fmean(times_s[start : start + BLOCK])
        for start in range(WARM_UP, len(times_s) - BLOCK + 1, BLOCK)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    recipe = recipe_for("lenet5@modern").change(batch_size=128)
    setup = prepare("lenet5@modern", TrainingData("digits"), recipe, 0, options=RunOptions(threads=options.threads))
    copies = {name: setup.learner(copy.deepcopy(setup.net)) for name in ("by hand", "by hand again")}
    by_hand = {name: hand_written(copy_.net, copy_.optimizer, setup.hardware) for name, copy_ in copies.items()}
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    full_batches = [batch for batch in setup.batches.epoch(0) if len(batch.images) == 128]
    interleaved_batches = InterleavedBatches(full_batches, options.updates, by_hand, clock)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(
            Learner(setup.net, setup.learner().optimizer),
            interleaved_batches,
            losses.cross_entropy(),
            Plan(epochs=1, lr=recipe.lr, seed=0, schedule=schedule.one_cycle()),
            hardware=setup.hardware,
            folder=Path(folder),
        )
    blocks = {
        name: block_means(times_s[: options.updates - 1]) for name, times_s in interleaved_batches.seconds.items()
    }
    hand = statistics.median(blocks["by hand"])
    overhead = {
        name: statistics.quantiles([other - one for one, other in zip(blocks["by hand"], each, strict=True)], n=4)
        for name, each in blocks.items()
        if name != "by hand"
    }
    result = {
        "model": "lenet5@modern",
        "batch_size": 128,
        "updates": options.updates,
        "update_us": {name: round(statistics.median(each), 1) for name, each in blocks.items()},
        "clock": "processor time" if options.threads == 1 else "wall time",
        "beyond_by_hand_us": {name: [round(value, 1) for value in quartiles] for name, quartiles in overhead.items()},
        "overhead_percent": round(100 * overhead["convatlas"][1] / hand, 2),
        "optimizers_us": optimizers(),
        "hardware": setup.hardware.to_dict(),
        "environment": training.environment(),
    }
    for name, value in result["update_us"].items():
        print(f"{name:>14}  {value:9,.1f} us per update")
    for name, (low, middle, high) in overhead.items():
        share = 100 * middle / hand
        print(f"{name:>14}  {middle:+9.1f} us = {share:+.2f} % overhead  (quartiles {low:+.1f} to {high:+.1f} us)")
    for name, each in result["optimizers_us"].items():
        print(f"{name:>24}  " + "  ".join(f"{kind} {value:,.1f} us" for kind, value in each.items()))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def optimizers(rounds: int = 21) -> dict[str, dict[str, float]]:
    """Median microseconds per step of torch's fused and foreach optimizers, channels last, with given gradients."""
    times_us = {}
    for model in ("lenet5@modern", "resnet20_cifar"):
        net = models.create_model(model).to(memory_format=torch.channels_last)
        for rule in (torch.optim.SGD, torch.optim.AdamW):
            calls = {kind: optimizer_steps(copy.deepcopy(net), rule, kind) for kind in ("fused", "foreach")}
            medians_s = interleaved_seconds(calls, rounds, warm_up_rounds=0)
            times_us[f"{model} {rule.__name__}"] = {
                kind: round(1e6 * value / OPTIMIZER_STEPS, 1) for kind, value in medians_s.items()
            }
    return times_us


def optimizer_steps(net: nn.Module, rule: type, kind: str) -> Callable[[], None]:
    """A function that makes `OPTIMIZER_STEPS` steps."""
    settings = {"momentum": 0.9, "nesterov": True} if rule is torch.optim.SGD else {}
    optimizer = rule(net.parameters(), lr=1e-4, weight_decay=1e-4, **settings, **{kind: True})
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)

    def run() -> None:
        for _ in range(OPTIMIZER_STEPS):
            optimizer.step()

    return run


if __name__ == "__main__":
    main()
