"""`Tiny`, a small network of the user's own, and pictures for it, which are of another size than its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import convatlas as ca
from convatlas.data import Dataset
from convatlas.runs.loaded_network import LoadedNetwork
from convatlas.runs.run import Run

CLASSES = ("blue", "green", "red", "striped")


class Tiny(nn.Module):
    """Two convolutions with batch normalisation, and dropout before the last layer: 64 x 64 RGB -> 4 classes."""

    def __init__(self, num_classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(16 * 4 * 4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(images)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(self.dropout(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 4), 1)))


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A picture of one class, uint8 (h, w, 3), wide, tall or square."""
    height, width = rng.integers(70, 220, 2)
    pixels = rng.integers(40, 190, (height, width, 3))
    if kind == "striped":
        pixels[:, :: int(rng.integers(4, 9))] = 255
    else:
        pixels[:, :, ("red", "green", "blue").index(kind)] += 60
    return pixels.clip(0, 255).astype(np.uint8)


def draw_pictures(folder: Path, number: int, rng: np.random.Generator) -> None:
    """Write ``number`` pictures of each class below a folder, by class."""
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for index in range(number):
            Image.fromarray(draw(kind, rng)).save(folder / kind / f"{index:02d}.png")


def train_tiny(pictures: Path, out: Path) -> Run:
    """A run of `Tiny` on the pictures of a folder: four epochs, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Tiny()
    made = ca.train(
        net,
        data=pictures,
        out=out,
        name="tiny",
        epochs=4,
        image_size=64,
        device="cpu",
        threads=1,
        precision="fp32",
    )
    return Run(made.path, net=net)


@dataclass(frozen=True)
class Trained:
    """A run of `Tiny`, opened, with its data set."""

    run: Run
    network: LoadedNetwork
    dataset: Dataset
    folder: Path  # of the images

    @property
    def validation(self) -> np.ndarray:
        return self.run.split(self.dataset).val
