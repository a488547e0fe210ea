"""Compare transfer learning from CIFAR-10 with training from scratch, on photos of ants and bees.

    python benchmarks/transfer.py pretrain CIFAR RUNS                              train the source; prints its run
    python benchmarks/transfer.py choose WEIGHTS PHOTOS FOLDS.jsonl                cross-validate the learning rates
    python benchmarks/transfer.py compare WEIGHTS PHOTOS FOLDS.jsonl RECORDS.jsonl train both sides with five seeds
    python benchmarks/transfer.py table RECORDS.jsonl                              print means and intervals

Writes results/transfer. WEIGHTS is the run of the source or its weights file. Both sides have the same network, images,
augmentation, loss, schedule, batch size, number of updates and, for each seed, order of images. They differ in the
initial weights and in the learning rate. `choose` selects the learning rate of each side from `RATES` by
cross-validation on the training images; both sides have the same number of candidates. `compare` trains on all training
images with the chosen rates, keeps the last weights, and evaluates the test images once per run.

One JSON line per training is appended; trainings that are in the file are skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.model_selection import StratifiedKFold

import convatlas as ca
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.training_data import TrainingData

NETWORK = "speednet_cifar"
FOLDS = 4
RATES = {"from scratch": (0.02, 0.06, 0.2), "pre-trained": (0.006, 0.02, 0.06)}
RECORDED_SETTINGS = (
    "optimizer",
    "lr",
    "stage_lr_decay",
    "schedule",
    "batch_size",
    "weight_decay",
    "label_smoothing",
    "flip",
    "pad",
)


def recipe_of(arm: str, lr: float, args: argparse.Namespace) -> Recipe:
    """The recipe of one side: shared settings, then those that differ."""
    shared = recipe_for(NETWORK, "finetune").change(
        epochs=args.epochs,
        min_updates=0,
        image_size=args.image_size,
        validation_images=0,
        keep="last",
        lr=lr,
    )
    if arm == "pre-trained":
        return shared.change(start_from=str(args.weights))
    return shared.change(stage_lr_decay=1.0, initial="whitened")  # the network's own initialisation


def train_once(arm: str, lr: float, seed: int, training_data: TrainingData, args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        run = ca.train(NETWORK, training_data, recipe_of(arm, lr, args), seed=seed, out=out, threads=args.threads)
        result, epochs, config = run.result, run.epochs(), run.config
    assert result is not None
    return {
        "arm": arm,
        "seed": seed,
        "network": NETWORK,
        "test_top1": result["test_top1"],
        "test_n": result["test_n"],
        "protocol": result["protocol"],
        "train_images": len(training_data.split.train),
        "train_top1": epochs[-1]["train_top1"],
        "updates": epochs[-1]["step"],
        "epochs": result["epochs"],
        "train_s": result["train_s"],
        "image_size": config["run"]["image_size"],
        "starts_from": config.get("start", {}).get("said"),
        "recipe": {name: config["recipe"].get(name) for name in RECORDED_SETTINGS},
        "precision": config["options"]["precision"],
        "threads": config["options"]["threads"],
        "torch": torch.__version__,
    }


def folds(photos: Path, folder: Path) -> Iterator[tuple[int, TrainingData]]:
    """`FOLDS` splits of the training images, each part being the test set once; copied into ``folder``."""
    data = TrainingData(str(photos), seed=0, validation_images=0)
    train = data.split.train
    cut = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for number, (_, held_out) in enumerate(cut.split(np.zeros(len(train)), data.dataset.labels[train])):
        for place, index in enumerate(train):
            image = photos / data.dataset.names[int(index)]
            part = folder / str(number) / ("test" if place in held_out else "train") / image.parent.name
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, part)
        yield number, TrainingData(str(folder / str(number)), seed=0, validation_images=0)


def choose(args: argparse.Namespace) -> None:
    done = {(line["arm"], line["recipe"]["lr"], line["fold"]) for line in records(args.folds)}
    with tempfile.TemporaryDirectory() as folder:
        for number, training_data in folds(args.photos, Path(folder)):
            for arm, rates in RATES.items():
                for lr in rates:
                    if (arm, lr, number) not in done:
                        append(args.folds, {"fold": number} | train_once(arm, lr, 0, training_data, args))
    for arm in RATES:
        for lr, top1 in top1_by_rate(args.folds, arm).items():
            print(f"{arm:<12}  lr {lr:<6g}  top-1 {100 * top1:.1f} % over {FOLDS} folds")
        print(f"{arm:<12}  chosen: lr {chosen(args.folds, arm):g}")


def top1_by_rate(path: Path, arm: str) -> dict[float, float]:
    """Learning rate -> top-1 accuracy over all folds."""
    folds_of_rate: dict[float, list[tuple[float, int]]] = {}
    for line in records(path):
        if line["arm"] == arm:
            folds_of_rate.setdefault(line["recipe"]["lr"], []).append((line["test_top1"], line["test_n"]))
    return {
        lr: sum(top1 * n for top1, n in results) / sum(n for _, n in results)
        for lr, results in sorted(folds_of_rate.items())
    }


def chosen(path: Path, arm: str) -> float:
    """The learning rate with the highest accuracy; the smaller of two equal ones."""
    return max(top1_by_rate(path, arm).items(), key=lambda item: item[1])[0]


def compare(args: argparse.Namespace) -> None:
    training_data = TrainingData(str(args.photos), seed=0, validation_images=0)
    done = {(line["arm"], line["seed"]) for line in records(args.records)}
    for seed in range(args.seeds):
        for arm in RATES:  # seed by seed, so that an interrupted comparison has complete pairs
            if (arm, seed) not in done:
                append(args.records, train_once(arm, chosen(args.folds, arm), seed, training_data, args))
    print(table(args.records))


def append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    what = f"fold {line['fold']}" if "fold" in line else f"seed {line['seed']}"
    lr = line["recipe"]["lr"]
    print(f"{what}  {line['arm']:<12}  lr {lr:<6g}  {line['test_top1']:.3f}  {line['train_s']:.0f} s", flush=True)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def table(path: Path) -> str:
    """Mean and deviation over the seeds; the pairs' mean difference with its 95 % interval (Student's t)."""
    lines = records(path)
    top1 = {arm: {line["seed"]: 100 * line["test_top1"] for line in lines if line["arm"] == arm} for arm in RATES}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in top1.values())))
    rows = ["| | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | deviation |"]
    rows.append("|---|" + "---:|" * (len(seeds) + 2))
    values = {arm: [top1[arm][seed] for seed in seeds] for arm in RATES}
    values["difference"] = [b - a for a, b in zip(values["from scratch"], values["pre-trained"], strict=True)]
    for name, by_seed in values.items():
        mean, deviation = mean_and_deviation(by_seed)
        cells = " | ".join(f"{value:.1f}" for value in by_seed)
        rows.append(f"| {name} | {cells} | {mean:.1f} | {deviation:.1f} |")
    mean, deviation = mean_and_deviation(values["difference"])
    half_width = float(stats.t.ppf(0.975, len(seeds) - 1)) * deviation / math.sqrt(len(seeds))
    rows.append("")
    rows.append(
        f"Pre-trained minus from scratch: {mean:+.1f} percentage points, 95 % interval {mean - half_width:+.1f} to "
        f"{mean + half_width:+.1f} over {len(seeds)} pairs of runs (Student's t), {lines[0]['test_n']} test images."
    )
    return "\n".join(rows)


def mean_and_deviation(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))


def pretrain(args: argparse.Namespace) -> None:
    run = ca.train(NETWORK, str(args.cifar), "fast", out=args.out, threads=args.threads)
    assert run.result is not None
    print(f"{run.path}  test top-1 {run.result['test_top1']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    source = commands.add_parser("pretrain")
    source.add_argument("cifar", type=Path)
    source.add_argument("out", type=Path)
    source.set_defaults(run=pretrain)
    for name, function in {"choose": choose, "compare": compare}.items():
        command = commands.add_parser(name)
        command.add_argument("weights", type=Path)
        command.add_argument("photos", type=Path)
        command.add_argument("folds", type=Path)
        if name == "compare":
            command.add_argument("records", type=Path)
            command.add_argument("--seeds", type=int, default=5)
        command.add_argument("--epochs", type=int, default=25)
        command.add_argument("--image-size", type=int, default=64)
        command.set_defaults(run=function)
    for each in commands.choices.values():
        each.add_argument("--threads", type=int, default=1)
    shown = commands.add_parser("table")
    shown.add_argument("records", type=Path)
    shown.set_defaults(run=lambda args: print(table(args.records)))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
