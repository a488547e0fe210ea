"""Measure the attribution methods on photographs, each beside its control with randomised weights.

    python benchmarks/inspection.py measure CAFFEMODEL PHOTOS RECORDS.jsonl [--only METHOD,...]
    python benchmarks/inspection.py table RECORDS.jsonl

Writes results/inspection. The network is SqueezeNet 1.1 with its authors' ImageNet weights. Each record has one method:
deletion and insertion scores of its maps for the predicted class of each photo, the same for the maps of a network with
randomised weights, and rank correlations of the maps:

    control        with the map of randomised weights
    between        of two maps of independent random weights
    other_photo    with the map of the next photo, from the same trained weights
    edges          with a map of the photo's edges

Beside the methods stand three maps that know nothing of the network: edges (the absolute differences of neighbouring
pixels), centre (a Gaussian in the middle) and noise.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import convatlas as ca
from convatlas import data
from convatlas.inspection.attribution import METHODS
from convatlas.inspection.faithfulness import faithfulness
from convatlas.inspection.forward import logits_of
from convatlas.inspection.sanity import randomised, rank_correlations
from convatlas.runs.loaded_network import load_network

STEPS = 16  # groups of pixels in a deletion or insertion
SETTINGS: dict[str, dict[str, Any]] = {  # where the defaults would take hours on a CPU
    "rise": {"masks": 128},
    "integrated_gradients": {"steps": 16},
    "smoothgrad": {"samples": 10},
    "occlusion": {"stride": 20},
}
FORWARD_ONLY = ("occlusion", "rise")  # thousands of forward passes, computed in bf16 like those of the scores
SEEDS = (1, 2)  # of the two randomised networks


def edges(images: Tensor) -> np.ndarray:
    """(N, H, W): the absolute differences to the right and lower neighbours, summed over channels."""
    right, below = images.diff(dim=3, append=images[..., -1:]), images.diff(dim=2, append=images[..., -1:, :])
    return (right.abs() + below.abs()).sum(dim=1).numpy()


def centre(images: Tensor) -> np.ndarray:
    """(N, H, W): a Gaussian in the middle, whose deviation is a quarter of the image."""
    height, width = images.shape[2:]
    rows, columns = np.linspace(-2, 2, height)[:, None], np.linspace(-2, 2, width)[None]
    return np.broadcast_to(np.exp(-(rows**2 + columns**2) / 2), (len(images), height, width)).copy()


def noise(images: Tensor) -> np.ndarray:
    return np.random.default_rng(0).random((len(images), *images.shape[2:]))


BASELINES: dict[str, Callable[[Tensor], np.ndarray]] = {"edges": edges, "centre": centre, "noise": noise}


def loaded_photos(caffemodel: Path, photos: Path) -> tuple[Any, Tensor, list[str], np.ndarray]:
    """The network, the photos prepared for it, their names and their true classes."""
    network = load_network(ca.create_model("squeezenet1_1", weights=str(caffemodel)))
    with (photos / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["file"] for row in rows]
    images = data.prepare(
        [data.load_file(photos / name, network.preprocessing) for name in names],
        network.preprocessing,
    )
    net = network.net.to(memory_format=torch.channels_last)  # which takes 0.6 of the time on a CPU
    return (
        net,
        images.contiguous(memory_format=torch.channels_last),
        names,
        np.array([int(row["imagenet_class_index"]) for row in rows]),
    )


def measure(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    net, images, names, true = loaded_photos(args.caffemodel, args.photos)
    logits = logits_of(net, images)
    classes = logits.argmax(dim=1).tolist()
    top5 = logits.topk(5, dim=1).indices.numpy()
    done = {record["method"] for record in records(args.records)}
    if "photos" not in done:
        append(args.records, {
            "method": "photos",
            "network": "squeezenet1_1",
            "weights": "the authors' Caffe weights, ImageNet",
            "n": len(names),
            "top1": float((top5[:, 0] == true).mean()),
            "top5": float((top5 == true[:, None]).any(axis=1).mean()),
            "files": names,
            "classes": classes,
            "probabilities": rounded(logits.softmax(dim=1).amax(dim=1).numpy()),
            "steps": STEPS,
            "torch": torch.__version__,
        })  # fmt: skip
    controls = [randomised(net, seed) for seed in SEEDS]
    found_edges = edges(images)
    for method in [*BASELINES, *METHODS]:
        if method in done or (args.only and method not in args.only.split(",")):
            continue
        began = time.perf_counter()
        if method in BASELINES:
            heat, others = BASELINES[method](images), []
        else:
            function = functools.partial(METHODS[method].function, **SETTINGS.get(method, {}))
            with half_precision(method in FORWARD_ONLY):
                used = (net, *controls[: 1 if method in FORWARD_ONLY else 2])
                heat, *others = (maps(function, each, images, classes) for each in used)
        seconds = time.perf_counter() - began
        scores = {"trained": heat, **({"control": others[0]} if others else {})}
        record: dict[str, Any] = {"method": method, "settings": SETTINGS.get(method, {}), "maps_s": round(seconds, 1)}
        for name, values in scores.items():
            with half_precision():
                curves = faithfulness(net, images, values, classes, steps=STEPS)
            record[f"deletion_{name}"] = rounded(curves.deletion_scores)
            record[f"insertion_{name}"] = rounded(curves.insertion_scores)
        record["correlation_other_photo"] = rounded(rank_correlations(heat, np.roll(heat, -1, axis=0)))
        record["correlation_edges"] = rounded(rank_correlations(heat, found_edges))
        if others:
            record["correlation_control"] = rounded(rank_correlations(heat, others[0]))
            if len(others) > 1:
                record["correlation_between"] = rounded(rank_correlations(*others))
        append(args.records, record)
        print(f"{method}: {time.perf_counter() - began:.0f} s", flush=True)


def half_precision(enabled: bool = True) -> torch.autocast:
    """bf16 autocast, which is 2.7 times as fast here."""
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


def maps(function: Callable[..., Any], net: torch.nn.Module, images: Tensor, classes: list[int]) -> np.ndarray:
    """The heat (N, H, W) of a method, photo by photo: its memory stays that of one."""
    return np.concatenate(
        [function(net, image[None], [index]).heat() for image, index in zip(images, classes, strict=True)]
    )


def rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def interval(values: np.ndarray, draws: int = 10_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over photos."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(args: argparse.Namespace) -> None:
    """Print the tables of the page, in Markdown."""
    print("\n".join([*score_table(args.records), "", *correlation_table(args.records)]))


def score_table(path: Path) -> list[str]:
    """Deletion and insertion scores of the maps, and those of the control."""
    lines = ["| map | deletion | control | insertion | control |", "|---|---|---|---|---|"]
    for record in records(path):
        if record["method"] != "photos":
            cells = [record["method"]]
            for score in ("deletion", "insertion"):
                control = record.get(f"{score}_control")
                cells += [mean_text(record[f"{score}_trained"]), "" if control is None else f"{np.mean(control):.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def correlation_table(path: Path) -> list[str]:
    """Rank correlations of the maps, and the paired difference that decides the randomisation check."""
    lines = [
        "| method | random weights | two random networks | another photo | edges | random weights - another photo |",
        "|---|---|---|---|---|---|",
    ]
    for record in records(path):
        if "correlation_control" not in record:
            continue
        names = ("control", "between", "other_photo", "edges")
        cells = [f"{np.mean(values):.2f}" if (values := record.get(f"correlation_{name}")) else "n/a" for name in names]
        difference = np.array(record["correlation_control"]) - np.array(record["correlation_other_photo"])
        lines.append(f"| {' | '.join([record['method'], *cells, mean_text(difference, 2)])} |")
    return lines


def mean_text(values: Any, digits: int = 3) -> str:
    """A mean over photos with its interval."""
    low, high = interval(np.array(values))
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("measure")
    command.add_argument("caffemodel", type=Path)
    command.add_argument("photos", type=Path)
    command.add_argument("records", type=Path)
    command.add_argument("--only", help="methods, separated by commas")
    command.add_argument("--threads", type=int, default=1)
    command.set_defaults(function=measure)
    command = commands.add_parser("table")
    command.add_argument("records", type=Path)
    command.set_defaults(function=table)
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
