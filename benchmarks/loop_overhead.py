"""What convatlas's loop costs beside a loop written by hand: lenet5, batch 128, on the embedded digits.

    python benchmarks/loop_overhead.py [--updates 600] [--out FILE]

Both sides train the same network on the same resident batches, made before the clock starts, in the same precision and
memory format, with the same optimizer. They take turns update by update, so that a busy machine hurts both alike:
`training.fit` asks for its next batch, the hand-written update is made and timed, the batch is handed over, and the
time until `fit` asks again is its own. That is all of `fit`: the schedule, the key of the update's random numbers, hits
and losses, the stop request, the stop-watch, and every 20 updates the look at the loss. Compared are blocks of 20
updates, which hold one look each; the median over the blocks is given. What happens once an epoch is not in it. A
second hand-written loop takes its turn too: how much the two of them differ is what this measurement cannot resolve.

With ``--threads 1`` the clock is the thread's processor time, which a busy machine disturbs less than wall time.

The fused optimizer is set beside the foreach one in the same way.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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

BLOCK = RECORD_EVERY  # updates
WARM_UP = 2 * BLOCK


class TakingTurns:
    """Batches for `fit`, and in between the same update by hand, twice; keeps the seconds of each."""

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
                begun = self.clock()
                update(batch.images, batch.targets)
                self.seconds[name].append(self.clock() - begun)
            begun = self.clock()
            yield batch
            self.seconds["convatlas"].append(self.clock() - begun)


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


def block_means(seconds: list[float]) -> list[float]:
    """Microseconds of an update, the mean over each block, without the warm-up and the last, shorter block."""
    return [
        1e6 * statistics.fmean(seconds[start : start + BLOCK])
        for start in range(WARM_UP, len(seconds) - BLOCK + 1, BLOCK)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    recipe = recipe_for("lenet5@modern").change(batch_size=128)
    setup = prepare("lenet5@modern", TrainingData("digits"), recipe, 0, options=RunOptions(threads=options.threads))
    twins = {name: setup.learner(copy.deepcopy(setup.net)) for name in ("by hand", "by hand again")}
    by_hand = {name: hand_written(twin.net, twin.optimizer, setup.hardware) for name, twin in twins.items()}
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    full = [batch for batch in setup.batches.epoch(0) if len(batch.images) == 128]
    turns = TakingTurns(full, options.updates, by_hand, clock)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(
            Learner(setup.net, setup.learner().optimizer),
            turns,
            losses.cross_entropy(),
            Plan(epochs=1, lr=recipe.lr, seed=0, schedule=schedule.one_cycle()),
            hardware=setup.hardware,
            folder=Path(folder),
        )
    blocks = {name: block_means(seconds[: options.updates - 1]) for name, seconds in turns.seconds.items()}
    hand = statistics.median(blocks["by hand"])
    beyond = {
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
        "beyond_by_hand_us": {name: [round(value, 1) for value in quartiles] for name, quartiles in beyond.items()},
        "overhead_percent": round(100 * beyond["convatlas"][1] / hand, 2),
        "optimizers_us": optimizers(),
        "hardware": setup.hardware.to_dict(),
        "environment": training.environment(),
    }
    for name, value in result["update_us"].items():
        print(f"{name:>14}  {value:9,.1f} us an update")
    for name, (low, middle, high) in beyond.items():
        share = 100 * middle / hand
        print(
            f"{name:>14}  {middle:+9.1f} us = {share:+.2f} % beyond by hand  (quartiles {low:+.1f} to {high:+.1f} us)"
        )
    for name, each in result["optimizers_us"].items():
        print(f"{name:>24}  " + "  ".join(f"{kind} {value:,.1f} us" for kind, value in each.items()))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def optimizers(rounds: int = 21) -> dict[str, dict[str, float]]:
    """Microseconds of a step of torch's fused and foreach optimizers, channels last, gradients given; medians."""
    found = {}
    for model in ("lenet5@modern", "resnet20_cifar"):
        net = models.create_model(model).to(memory_format=torch.channels_last)
        for rule in (torch.optim.SGD, torch.optim.AdamW):
            sides = {kind: steps_of(copy.deepcopy(net), rule, kind) for kind in ("fused", "foreach")}
            times: dict[str, list[float]] = {kind: [] for kind in sides}
            for _ in range(rounds):
                for kind, run in sides.items():
                    times[kind].append(run())
            medians = {kind: statistics.median(seconds) for kind, seconds in times.items()}
            found[f"{model} {rule.__name__}"] = {kind: round(1e6 * value, 1) for kind, value in medians.items()}
    return found


def steps_of(net: nn.Module, rule: type, kind: str, steps: int = 10) -> Callable[[], float]:
    settings = {"momentum": 0.9, "nesterov": True} if rule is torch.optim.SGD else {}
    optimizer = rule(net.parameters(), lr=1e-4, weight_decay=1e-4, **settings, **{kind: True})
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)

    def run() -> float:
        clock = time.perf_counter()
        for _ in range(steps):
            optimizer.step()
        return (time.perf_counter() - clock) / steps

    return run


if __name__ == "__main__":
    main()
