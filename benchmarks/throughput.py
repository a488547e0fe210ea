"""Measure the training throughput of convatlas and of two loops in plain PyTorch.

    python benchmarks/throughput.py --data CIFAR                                       ResNet-20 on CIFAR-10
    python benchmarks/throughput.py --data PHOTOS --model resnet18 --batch-size 32     ResNet-18 at 224 pixels

``--out`` writes results/throughput/resnet20_cifar.json and resnet18.json.

defaults   A loop as in a tutorial: a Dataset that opens each image with Pillow, the usual random crop, flip and
           normalisation, a DataLoader with default arguments, fp32, contiguous memory, SGD.
by hand    Only the update, in bf16 autocast and channels-last memory, on batches that convatlas prepares.
convatlas  The loop of ``convatlas train`` with its default settings on this machine.

Each side runs in a process of its own, because memory settings belong to a process. The sides take turns, so that a
busy machine slows all of them alike, and each round begins with a warm-up. The output has the medians over the rounds,
their ratios, and the speed of the update beside the fastest matrix product (an update has 3 times the multiply-adds of
the forward pass, with 2 operations each).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from convatlas import models, training
from convatlas.batch import Batch
from convatlas.recipes.registry import recipe_for
from convatlas.runs.options import RunOptions
from convatlas.runs.prepare import Setup, prepare
from convatlas.runs.training_data import TrainingData
from timing import fastest_seconds, interleaved, medians, timed

SIDES = ("defaults", "by hand", "convatlas")


class PillowImages(TorchDataset):
    """A map-style data set with the usual Pillow transforms: a padded crop for small images, else a resized crop."""

    def __init__(self, training_data: TrainingData, side: int, mean: np.ndarray, std: np.ndarray) -> None:
        data = training_data.dataset
        self.side, self.mean, self.std = side, mean, std
        self.labels = data.labels[training_data.split.train]
        small = side <= 32
        names = [data.names[int(i)] for i in training_data.split.train]
        # small images come from one file, so they are kept in memory; photos are files, opened in every epoch
        self.images: list[Image.Image] | list[Path]
        if small:
            self.images = [Image.fromarray(data.read(int(i))) for i in training_data.split.train]
        else:
            self.images = [Path(data.source) / name for name in names]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        image = random_resized_crop(image, self.side) if isinstance(image, Path) else padded_crop(image)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        array = (np.asarray(image, np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))), int(self.labels[index])


def padded_crop(image: Image.Image) -> Image.Image:
    padded = Image.new("RGB", (image.width + 8, image.height + 8))
    padded.paste(image, (4, 4))
    left, top = random.randint(0, 8), random.randint(0, 8)
    return padded.crop((left, top, left + image.width, top + image.height))


def random_resized_crop(path: Path, side: int) -> Image.Image:
    """As torchvision's RandomResizedCrop: 8 to 100 % of the area, width over height 3/4 to 4/3."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    area = image.width * image.height * random.uniform(0.08, 1.0)
    ratio = random.uniform(3 / 4, 4 / 3)
    width = min(image.width, round((area * ratio) ** 0.5))
    height = min(image.height, round((area / ratio) ** 0.5))
    left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def endless(batches: Any) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches


def prepared(data: str, model: str, batch_size: int, allocator: bool) -> Setup:
    recipe = recipe_for(model).change(batch_size=batch_size)
    if models.entry(model).input[1] > 32:
        recipe = recipe.change(crop="random-resized")  # the same work as the tutorial's
    return prepare(model, TrainingData(data), recipe, 0, options=RunOptions(allocator=allocator))


def defaults(setup: Setup) -> Iterator[int]:
    preprocessing, data = setup.preprocessing, setup.training_data.dataset
    images = PillowImages(
        setup.training_data, preprocessing.size[0], np.float32(preprocessing.mean), np.float32(preprocessing.std)
    )
    net = models.create_model(setup.entry.full_name, num_classes=len(data.classes), in_channels=data.channels).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    for inputs, labels in endless(DataLoader(images, batch_size=setup.recipe.batch_size, shuffle=True)):
        loss = criterion(net(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield len(labels)


def by_hand(setup: Setup) -> Iterator[int]:
    data = setup.training_data.dataset
    net = models.create_model(setup.entry.full_name, num_classes=len(data.classes), in_channels=data.channels)
    net = net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    for inputs, labels, _ in endless_epochs(setup):
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(inputs)
        loss = criterion(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield len(labels)


def convatlas(setup: Setup) -> Iterator[int]:
    optimizer, loss_fn = setup.learner().optimizer, setup.loss()
    setup.net.train()
    for batch in endless_epochs(setup):
        training.train_step(setup.net, batch, loss_fn, optimizer, autocast=setup.hardware.autocast())
        yield len(batch.images)


def endless_epochs(setup: Setup) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from setup.batches.epoch(epoch)
        epoch += 1


def one_round(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one round of one side; the process prints the result."""
    setup = prepared(options.data, options.model, options.batch_size, allocator=options.side == "convatlas")
    updates = {"defaults": defaults, "by hand": by_hand, "convatlas": convatlas}[options.side](setup)
    for _ in range(options.warm_up):
        next(updates)
    images, elapsed_s = timed(lambda: sum(next(updates) for _ in range(options.updates)))
    return {"images_per_s": images / elapsed_s, "hardware": setup.hardware.to_dict()}


def matrix_peak(dtype: torch.dtype, n: int = 2048, repeats: int = 7) -> float:
    """Operations per second of the fastest of a few products of square matrices."""
    a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
    return 2 * n**3 / fastest_seconds(lambda: a @ b, repeats)


def round_in_a_process(side: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="resnet20_cifar")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one_round(options)))
        return

    results = interleaved({side: lambda _, side=side: round_in_a_process(side) for side in SIDES}, options.rounds)
    rates = {side: [each["images_per_s"] for each in of_rounds] for side, of_rounds in results.items()}
    hardware = results["convatlas"][-1]["hardware"]
    median_rates = medians(rates)
    peak = {str(dtype).removeprefix("torch."): matrix_peak(dtype) for dtype in (torch.bfloat16, torch.float32)}
    operations = 6 * models.entry(options.model).macs * median_rates["convatlas"]
    result = {
        "model": options.model,
        "batch_size": options.batch_size,
        "images_per_s": {side: round(value, 1) for side, value in median_rates.items()},
        "rounds": {side: [round(value, 1) for value in values] for side, values in rates.items()},
        "ratio_to_defaults": round(median_rates["convatlas"] / median_rates["defaults"], 3),
        "ratio_to_by_hand": round(median_rates["convatlas"] / median_rates["by hand"], 3),
        "gflops": round(operations / 1e9, 1),
        "matrix_peak_gflops": {name: round(value / 1e9, 1) for name, value in peak.items()},
        "hardware": hardware,
        "environment": training.environment(),
    }
    for side, value in median_rates.items():
        low, high = min(rates[side]), max(rates[side])
        print(f"{side:>10}  {value:8,.1f} images/s  ({options.rounds} rounds: {low:,.1f} to {high:,.1f})")
    print(f"ratio to defaults {result['ratio_to_defaults']:.2f}, to by hand {result['ratio_to_by_hand']:.2f}")
    print(f"{result['gflops']:.0f} GFLOP/s derived; matrix products: bf16 {peak['bfloat16'] / 1e9:.0f}, "
          f"fp32 {peak['float32'] / 1e9:.0f}")  # fmt: skip
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
