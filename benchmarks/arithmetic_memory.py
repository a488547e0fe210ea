"""Compare predicted with measured memory on ten networks; writes results/arithmetic/memory.csv.

    python benchmarks/arithmetic_memory.py

Every network makes two training steps. The measured peaks are those of torch's CPU allocator. Errors are relative to
the measured value.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import convatlas as ca
from convatlas.arithmetic import memory
from convatlas.models import entry
from timing import timed

NETWORKS = {
    "lenet5": 128,
    "alexnet": 8,
    "vgg11": 2,
    "googlenet": 4,
    "squeezenet1_0": 8,
    "resnet20_cifar": 128,
    "resnet18": 8,
    "resnet50": 4,
    "densenet121": 4,
    "densenet40_k12_cifar": 32,
}
FIGURES = ("saved", "train_peak", "infer_peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/arithmetic/memory.csv"))
    options = parser.parse_args()
    rows = []
    for name, batch in NETWORKS.items():
        net, shape = ca.create_model(name), entry(name).input
        step_memory, predict_s = timed(lambda net=net, shape=shape, batch=batch: memory.predict(net, shape, batch))
        predicted = step_memory.to_dict()
        row: dict[str, object] = {"network": name, "batch": batch, "predict_s": f"{predict_s:.2f}"}
        measured = memory.measure(net, shape, batch).to_dict()
        for figure in FIGURES:
            error = predicted[figure] / measured[figure] - 1
            row |= {f"{figure}_predicted": predicted[figure], f"{figure}_measured": measured[figure]}
            row[f"{figure}_error_percent"] = f"{100 * error:.2f}"
        rows.append(row)
        print(row, file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for figure in FIGURES:
        worst = max(rows, key=lambda row: abs(float(str(row[f"{figure}_error_percent"]))))
        print(f"{figure}: largest error {worst[f'{figure}_error_percent']} % ({worst['network']})")


if __name__ == "__main__":
    main()
