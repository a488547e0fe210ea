"""How long every network of the atlas takes to build where no memory is: on the meta device.

    python benchmarks/meta_build.py [results/atlas/meta_build.csv]

Prints the five slowest and the largest figure; the target is half a second for each. Median of three builds, seconds.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from pathlib import Path

import torch

import convatlas as ca
from convatlas.models import entry

ROUNDS, TARGET_S = 3, 0.5


def build_s(name: str) -> float:
    start = time.perf_counter()
    with torch.device("meta"):
        ca.create_model(name)
    return time.perf_counter() - start


def main(record: str | None = None) -> None:
    for family in {entry(name).family: name for name in ca.list_models()}.values():
        build_s(family)  # imports, and what torch prepares at its first use
    times = {name: statistics.median(build_s(name) for _ in range(ROUNDS)) for name in ca.list_models()}
    slowest = sorted(times, key=times.__getitem__, reverse=True)
    for name in slowest[:5]:
        print(f"{name:<28} {times[name]:.3f} s")
    late = [name for name in slowest if times[name] >= TARGET_S]
    print(f"{len(times)} networks, together {sum(times.values()):.1f} s; {len(late)} over {TARGET_S} s")
    if record:
        with Path(record).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [("network", "build_s")] + [(n, f"{times[n]:.4f}") for n in times]
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
