"""Training throughput of convatlas beside a loop left at PyTorch's defaults, both in one run on this machine.

    python benchmarks/train_throughput.py --data CIFAR [--model resnet20_cifar] [--rounds 5] [--updates 40]

The peer is what a tutorial writes: a Dataset of PIL images with a padded random crop, a flip and a normalisation, a
DataLoader with no further arguments, the same network in fp32 and contiguous memory, SGD. Both sides are warmed up,
then take turns, so that a busy machine hurts both alike; medians over the rounds and their ratio are printed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from convatlas import models, training
from convatlas.recipes import Material, recipe_for
from convatlas.recipes._setup import build_loss, build_optimizer, prepare


class PilImages(TorchDataset):
    """CIFAR as PIL images with the usual transforms, one image at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
        self.images = [Image.fromarray(image) for image in images]
        self.labels, self.mean, self.std = labels, mean, std

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        padded = Image.new("RGB", (image.width + 8, image.height + 8))
        padded.paste(image, (4, 4))
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = padded.crop((left, top, left + image.width, top + image.height))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        array = (np.asarray(image, np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))), int(self.labels[index])


def forever(batches: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from batches  # type: ignore[misc]


def defaults(material: Material, rule: object, model: str, batch_size: int) -> Iterator[int]:
    """Updates of the tutorial's loop; yields the images of each."""
    data, train = material.dataset, material.split.train
    images = np.stack([data.read(int(i)) for i in train])
    loader = DataLoader(
        PilImages(images, data.labels[train], np.float32(rule.mean), np.float32(rule.std)),  # type: ignore[attr-defined]
        batch_size=batch_size,
        shuffle=True,
    )
    torch.manual_seed(0)
    net = models.create_model(model, num_classes=len(data.classes), in_channels=data.channels).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    for inputs, labels in forever(loader):
        loss = criterion(net(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield len(labels)


def ours(setup: object) -> Iterator[int]:
    """Updates of convatlas with the settings it chooses here."""
    s = setup
    optimizer, loss_fn = build_optimizer(s), build_loss(s)  # type: ignore[arg-type, attr-defined]
    s.net.train()  # type: ignore[attr-defined]
    epoch = 0
    while True:
        for images, labels in s.batches.epoch(epoch):  # type: ignore[attr-defined]
            training.train_step(s.net, images, labels, loss_fn, optimizer, s.hardware.autocast())  # type: ignore[attr-defined]
            yield len(labels)
        epoch += 1


def rate(updates: Iterator[int], count: int) -> float:
    clock = time.perf_counter()
    images = sum(next(updates) for _ in range(count))
    return images / (time.perf_counter() - clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="resnet20_cifar")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    material = Material(options.data)
    setup = prepare(options.model, material, recipe_for(options.model).change(batch_size=options.batch_size), 0, None)
    sides = {
        "PyTorch defaults": defaults(material, setup.rule, options.model, options.batch_size),
        "convatlas": ours(setup),
    }
    for updates in sides.values():
        rate(updates, 10)  # warm-up: primitives are built, memory is touched
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, updates in sides.items():
            rates[name].append(rate(updates, options.updates))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    result = {
        "model": options.model,
        "batch_size": options.batch_size,
        "images_per_s": {name: round(value, 1) for name, value in medians.items()},
        "spread": {name: [round(min(values), 1), round(max(values), 1)] for name, values in rates.items()},
        "ratio": round(medians["convatlas"] / medians["PyTorch defaults"], 3),
        "hardware": setup.hardware.to_dict(),
        "environment": training.environment(),
    }
    for name, value in medians.items():
        low, high = min(rates[name]), max(rates[name])
        print(f"{name:>18}  {value:8,.0f} images/s  (of {options.rounds}: {low:,.0f} to {high:,.0f})")
    print(f"{'ratio':>18}  {result['ratio']:8.2f}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
