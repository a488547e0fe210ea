"""Ants and bees: a network pre-trained on CIFAR-10 beside the same network from scratch.

    python benchmarks/transfer.py pretrain CIFAR RUNS [--epochs 5]           a short pre-training; prints its run
    python benchmarks/transfer.py compare WEIGHTS PHOTOS RECORDS.jsonl       WEIGHTS: that run, or its weights' file
    python benchmarks/transfer.py table RECORDS.jsonl                        means, deviations, the paired interval

Both sides have the same network, images, augmentation, loss, schedule, batch size and number of updates, and for each
seed the same order of images. They differ in the first weights, and each has the learning rates of its own recipe at
that batch size: `finetune` beside `modern`. All training images are trained on and the last weights are kept, so that
nothing is chosen by a dozen validation images; the test images are those the data give, looked at once a run.

One JSON line per training is appended as it is done; those in the file are not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from scipy import stats

import convatlas as ca
from convatlas.recipes import Material, Recipe, recipe_for

NETWORK = "resnet20_cifar"
ARMS = ("from scratch", "pre-trained")
SAID = ("optimizer", "lr", "stage_lr_decay", "schedule", "batch_size", "weight_decay", "label_smoothing", "flip", "pad")


def recipe_of(arm: str, weights: str, args: argparse.Namespace) -> Recipe:
    """What both sides have, and what is each one's own."""
    finetune, modern = recipe_for(NETWORK, "finetune"), recipe_for(NETWORK, "modern")
    shared = finetune.change(
        epochs=args.epochs,
        image_size=args.image_size,
        threads=args.threads,
        validation_images=0,
        keep="last",
    )
    if arm == "pre-trained":
        return shared.change(start_from=weights)
    lr = modern.lr * finetune.batch_size / modern.batch_size  # as large a step for an image
    return shared.change(stage_lr_decay=1.0, lr=lr)


def measured(arm: str, seed: int, weights: str, material: Material, args: argparse.Namespace) -> dict[str, Any]:
    recipe = recipe_of(arm, weights, args)
    with tempfile.TemporaryDirectory() as out:
        run = ca.train(NETWORK, material, recipe, seed=seed, out=out)
        result, epochs, config = run.result, run.epochs(), run.config
    assert result is not None
    return {
        "arm": arm,
        "seed": seed,
        "network": NETWORK,
        "test_top1": result["test_top1"],
        "test_n": result["test_n"],
        "protocol": result["protocol"],
        "train_images": len(material.split.train),
        "train_top1": epochs[-1]["train_top1"],
        "updates": epochs[-1]["step"],
        "epochs": result["epochs"],
        "train_s": result["train_s"],
        "image_size": config["run"]["image_size"],
        "starts_from": config.get("start", {}).get("said"),
        "recipe": {name: config["recipe"].get(name) for name in SAID},
        "precision": config["recipe"]["precision"],
        "threads": config["recipe"]["threads"],
        "torch": torch.__version__,
    }


def compare(args: argparse.Namespace) -> None:
    material = Material(str(args.photos), seed=0, validation_images=0)
    done = {(line["arm"], line["seed"]) for line in records(args.records)}
    for seed in range(args.seeds):
        for arm in ARMS:  # seed by seed: what is interrupted has whole pairs
            if (arm, seed) not in done:
                line = measured(arm, seed, str(args.weights), material, args)
                with args.records.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"seed {seed}  {arm:<12}  {line['test_top1']:.3f}  {line['train_s']:.0f} s", flush=True)
    print(table(args.records))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def table(path: Path) -> str:
    """Mean and deviation over the seeds; the pairs' mean difference with its 95 % interval (Student's t)."""
    lines = records(path)
    of_arm = {arm: {line["seed"]: 100 * line["test_top1"] for line in lines if line["arm"] == arm} for arm in ARMS}
    seeds = sorted(set(of_arm[ARMS[0]]) & set(of_arm[ARMS[1]]))
    rows = ["| | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | deviation |"]
    rows.append("|---|" + "---:|" * (len(seeds) + 2))
    values = {arm: [of_arm[arm][seed] for seed in seeds] for arm in ARMS}
    values["difference"] = [b - a for a, b in zip(*(values[arm] for arm in ARMS), strict=True)]
    for name, of_seeds in values.items():
        mean, deviation = moments(of_seeds)
        cells = " | ".join(f"{value:.1f}" for value in of_seeds)
        rows.append(f"| {name} | {cells} | {mean:.1f} | {deviation:.1f} |")
    mean, deviation = moments(values["difference"])
    reach = float(stats.t.ppf(0.975, len(seeds) - 1)) * deviation / math.sqrt(len(seeds))
    rows.append("")
    rows.append(
        f"Pre-trained less from scratch: {mean:+.1f} percentage points, 95 % interval {mean - reach:+.1f} to "
        f"{mean + reach:+.1f} over {len(seeds)} pairs of one seed each (Student's t), {lines[0]['test_n']} test images."
    )
    return "\n".join(rows)


def moments(values: list[float]) -> tuple[float, float]:
    """Mean and sample deviation."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))


def pretrain(args: argparse.Namespace) -> None:
    run = ca.train(NETWORK, str(args.cifar), "modern", out=args.out, epochs=args.epochs, batch_size=64, lr=0.1,
                   threads=args.threads)  # fmt: skip
    assert run.result is not None
    print(f"{run.path}  test top-1 {run.result['test_top1']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    source = commands.add_parser("pretrain")
    source.add_argument("cifar", type=Path)
    source.add_argument("out", type=Path)
    source.add_argument("--epochs", type=int, default=5)
    source.set_defaults(run=pretrain)
    both = commands.add_parser("compare")
    both.add_argument("weights", type=Path)
    both.add_argument("photos", type=Path)
    both.add_argument("records", type=Path)
    both.add_argument("--seeds", type=int, default=5)
    both.add_argument("--epochs", type=int, default=40)
    both.add_argument("--image-size", type=int, default=32)
    both.set_defaults(run=compare)
    for each in (source, both):
        each.add_argument("--threads", type=int, default=1)
    shown = commands.add_parser("table")
    shown.add_argument("records", type=Path)
    shown.set_defaults(run=lambda args: print(table(args.records)))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
