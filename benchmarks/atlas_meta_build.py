"""Measure how long each network takes to build on the meta device, which needs no memory.

    python benchmarks/atlas_meta_build.py [results/atlas/meta_build.csv]

Writes the median seconds of three builds per network. Prints the five slowest networks, the total, and how many take
longer than half a second.
"""

from __future__ import annotations

import csv
import sys
from functools import partial
from pathlib import Path

import torch

import convatlas as ca
from convatlas.models import entry
from timing import interleaved_seconds

ROUNDS, TARGET_S = 3, 0.5


def build(name: str) -> None:
    with torch.device("meta"):
        ca.create_model(name)


def main(record: str | None = None) -> None:
    for family in {entry(name).family: name for name in ca.list_models()}.values():
        build(family)  # warm-up: imports, and what torch prepares at its first use
    times = interleaved_seconds({name: partial(build, name) for name in ca.list_models()}, ROUNDS, warm_up_rounds=0)
    slowest = sorted(times, key=times.__getitem__, reverse=True)
    for name in slowest[:5]:
        print(f"{name:<28} {times[name]:.3f} s")
    over_target = [name for name in slowest if times[name] >= TARGET_S]
    print(f"{len(times)} networks, {sum(times.values()):.1f} s in total; {len(over_target)} take {TARGET_S} s or more")
    if record:
        with Path(record).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [("network", "build_s")] + [(n, f"{times[n]:.4f}") for n in times]
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
