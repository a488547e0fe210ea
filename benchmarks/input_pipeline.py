"""Input pipeline: images/s of convatlas' batches beside a DataLoader with Pillow transforms, both in one run.

    python benchmarks/input_pipeline.py --data CIFAR             # arrays: padded crop and flip
    python benchmarks/input_pipeline.py --data PHOTOS            # files: random-resized crop to 224 and flip
    python benchmarks/input_pipeline.py --data CIFAR --device cuda

No network is trained: what is timed is how fast normalised float batches come. Both sides do the same to an image: the
same padding, or a random-resized crop of 8 to 100 % of the area, aspect 3:4 to 4:3, antialiased; mirror; normalise. The
two sides take turns, warmed up, and medians over the rounds are printed. For files the first pass (decoding) is timed
too, then epochs from the decode-once cache: mapped from its file, and resident. The peer decodes every file every time,
as DataLoaders do. A small folder is gone through as often as gives 2,048 images an epoch. Freed memory is kept in the
process, as in training. For figures per core run it on one:  taskset -c 0 python benchmarks/input_pipeline.py ...
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
import time
import unittest.mock
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from convatlas.data import (
    Augmentation,
    Batches,
    Dataset,
    ImageStore,
    channel_stats,
    decode,
    load_images,
    open_data,
    preprocessing_for,
)
from convatlas.data.dataset import ArrayImages
from convatlas.data.workers import cores
from convatlas.training import apply, choose, environment

BATCH_SIZE = 128
EPOCH = 2048  # images; smaller folders are repeated


class PillowImages(TorchDataset):
    """One image at a time, by Pillow: what a tutorial writes with torchvision, which does the same inside."""

    def __init__(self, data: Dataset, side: int, indices: np.ndarray) -> None:
        self.data, self.side, self.indices = data, side, indices
        arrays = isinstance(data.images, ArrayImages)
        self.images = [Image.fromarray(data.read(i).squeeze()) for i in indices] if arrays else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        index = int(self.indices[k])
        image = self._padded_crop(self.images[k]) if self.images else self._resized_crop(self._opened(index))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).view(self.side, self.side, -1).permute(2, 0, 1)
        return (pixels.float() / 255 - 0.5) / 0.25, int(self.data.labels[index])

    def _opened(self, index: int) -> Image.Image:
        with Image.open(self.data.images.tree.root / self.data.names[index]) as image:
            return image.convert("RGB")

    def _padded_crop(self, image: Image.Image, pad: int = 4) -> Image.Image:
        canvas = Image.new(image.mode, (image.width + 2 * pad, image.height + 2 * pad))
        canvas.paste(image, (pad, pad))
        left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
        return canvas.crop((left, top, left + image.width, top + image.height))

    def _resized_crop(self, image: Image.Image) -> Image.Image:
        area = image.width * image.height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width = min(image.width, round(math.sqrt(area * aspect)))
        height = min(image.height, round(math.sqrt(area / aspect)))
        left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
        box = (left, top, left + width, top + height)
        return image.resize((self.side, self.side), Image.Resampling.BILINEAR, box)


def images_per_s(batches: Iterable[tuple[torch.Tensor, ...]], at_most: int, device: str = "cpu") -> float:
    """The first batch warms up and starts the workers; the next ``at_most`` images are timed."""
    iterator = iter(batches)
    next(iterator)
    if device == "cuda":
        torch.cuda.synchronize()
    started, seen = time.perf_counter(), 0
    for images, *_ in iterator:
        seen += len(images)
        if seen >= at_most:
            break
    if device == "cuda":
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - started)


def loader(images: PillowImages, workers: int) -> DataLoader:
    return DataLoader(images, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)


def arrays(data: Dataset, rounds: int, device: str) -> dict[str, float]:
    rule = preprocessing_for(data, data.uniform_size or 32)
    store, train = load_images(data, rule), np.flatnonzero(data.parts != "test")
    rule = rule.with_stats(*channel_stats(store, train))
    batches = Batches(
        store,
        data.labels,
        train,
        batch_size=BATCH_SIZE,
        rule=rule,
        augment=Augmentation(pad=4, flip="on"),
        device=device,
    )
    pillow = PillowImages(data, rule.size[0], train[:10_000])
    taken: dict[str, list[float]] = {}
    for round_ in range(rounds):
        taken.setdefault("convatlas", []).append(images_per_s(batches.epoch(round_), 40_000, device))
        taken.setdefault("dataloader_0", []).append(images_per_s(loader(pillow, 0), 5_000))
        taken.setdefault(f"dataloader_{cores()}", []).append(images_per_s(loader(pillow, cores()), 8_000))
    return {name: statistics.median(values) for name, values in taken.items()}


def files(data: Dataset, rounds: int, device: str, processes: bool = True) -> dict[str, float]:
    rule = preprocessing_for(data, 224)
    everything = np.tile(np.arange(len(data)), -(-EPOCH // len(data)))
    taken: dict[str, list[float]] = {}

    def first_pass(workers: int | None) -> float:
        started = time.perf_counter()
        load_images(data, rule, workers=workers)
        return len(data) / (time.perf_counter() - started)

    def epoch_of(store: ImageStore, epoch: int) -> float:
        batches = Batches(
            store, data.labels, everything, batch_size=BATCH_SIZE, device=device,
            augment=Augmentation(crop="random-resized", crop_area=(0.08, 1.0), flip="on"),
        )  # fmt: skip
        return images_per_s(batches.epoch(epoch), len(everything), device)

    pillow = PillowImages(data, 224, everything)
    with tempfile.TemporaryDirectory() as cache:
        load_images(data, rule, cache_dir=cache)
        mapped = load_images(data, rule, cache_dir=cache, memory_share=0)
        resident = load_images(data, rule, cache_dir=cache)
        for store in (mapped, resident):  # the first batches take new memory from the system
            epoch_of(store, 0)
        for round_ in range(rounds):
            taken.setdefault("cached_resident", []).append(epoch_of(resident, round_))
            taken.setdefault("cached_mapped", []).append(epoch_of(mapped, round_))
            taken.setdefault("dataloader_0", []).append(images_per_s(loader(pillow, 0), 256))
            taken.setdefault(f"dataloader_{cores()}", []).append(images_per_s(loader(pillow, cores()), 512))
            taken.setdefault("first_pass_in_process", []).append(first_pass(1))
            with unittest.mock.patch.object(decode, "_simplejpeg", return_value=None):
                taken.setdefault("first_pass_in_process_pillow_alone", []).append(first_pass(1))
            if processes:
                taken.setdefault(f"first_pass_{cores()}_processes", []).append(first_pass(cores()))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-processes", action="store_true", help="leave the first pass by several processes out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    hardware = apply(choose(arguments.device))
    data = open_data(arguments.data)
    if isinstance(data.images, ArrayImages):
        measured = arrays(data, arguments.rounds, arguments.device)
    else:
        measured = files(data, arguments.rounds, arguments.device, not arguments.no_processes)
    if arguments.json:
        machine = {**environment(), **hardware.to_dict()}
        print(json.dumps({"data": data.source, "cores": cores(), "images_per_s": measured, "machine": machine}))
        return
    ours = measured.get("convatlas", measured.get("cached_resident", 0.0))
    print(f"{data.source}: {len(data):,} images, {data.layout}; {cores()} cores, batch {BATCH_SIZE}")
    for name, rate in measured.items():
        print(f"{name:>34}  {rate:>10,.0f} images/s  {ours / rate:>6.1f} times as long as ours")


if __name__ == "__main__":
    main()
