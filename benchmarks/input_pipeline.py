"""Measure the input pipeline: images/s of convatlas and of a PyTorch DataLoader with Pillow transforms.

    python benchmarks/input_pipeline.py --data CIFAR             # arrays: padded crop and flip
    python benchmarks/input_pipeline.py --data PHOTOS            # files: random-resized crop to 224 and flip
    python benchmarks/input_pipeline.py --data CIFAR --device cuda

Writes the JSON files of results/input_pipeline (``--json``, redirected).

No network is trained: the script measures how fast normalised float32 batches are made. Both sides do the same work per
image: padded crop, or an antialiased random-resized crop of 8 to 100 % of the area with an aspect ratio of 3:4 to 4:3;
horizontal flip; normalisation. The sides take turns after a warm-up, and the medians over the rounds are printed.

For image files, the first pass (decoding) is measured too, then epochs from the decoded-image cache: memory-mapped, and
resident in memory. The DataLoader decodes every file in every epoch, as usual. A small folder is repeated until an
epoch has 2,048 images. Freed memory stays in the process, as in training. To measure one core, use ``taskset -c 0
python benchmarks/input_pipeline.py ...``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import unittest.mock
from collections.abc import Callable, Iterable

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
from timing import interleaved, medians, seconds, timed

BATCH_SIZE = 128
EPOCH = 2048  # images per epoch; smaller folders are repeated


class PillowImages(TorchDataset):
    """A map-style data set that transforms one image at a time with Pillow, as torchvision's transforms do."""

    def __init__(self, data: Dataset, side: int, indices: np.ndarray) -> None:
        self.data, self.side, self.indices = data, side, indices
        arrays = isinstance(data.images, ArrayImages)
        self.images = [Image.fromarray(data.read(i).squeeze()) for i in indices] if arrays else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        index = int(self.indices[k])
        image = self._padded_crop(self.images[k]) if self.images else self._resized_crop(self._read_file(index))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).view(self.side, self.side, -1).permute(2, 0, 1)
        return (pixels.float() / 255 - 0.5) / 0.25, int(self.data.labels[index])

    def _read_file(self, index: int) -> Image.Image:
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
    """Rate of the batches, over about ``at_most`` images; the first batch starts the workers and is not measured."""
    iterator = iter(batches)
    next(iterator)

    def read() -> int:
        count = 0
        for images, *_ in iterator:
            count += len(images)
            if count >= at_most:
                break
        return count

    count, elapsed_s = timed(read, device)
    return count / elapsed_s


def loader(images: PillowImages, workers: int) -> DataLoader:
    return DataLoader(images, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)


def arrays(data: Dataset, rounds: int, device: str) -> dict[str, float]:
    preprocessing = preprocessing_for(data, data.uniform_size or 32)
    store, train = load_images(data, preprocessing), np.flatnonzero(data.parts != "test")
    preprocessing = preprocessing.with_stats(*channel_stats(store, train))
    batches = Batches(
        store,
        data.labels,
        train,
        batch_size=BATCH_SIZE,
        preprocessing=preprocessing,
        augment=Augmentation(pad=4, flip="on"),
        device=device,
    )
    pillow = PillowImages(data, preprocessing.size[0], train[:10_000])
    sides: dict[str, Callable[[int], float]] = {
        "convatlas": lambda epoch: images_per_s(batches.epoch(epoch), 40_000, device),
        "dataloader_0": lambda _: images_per_s(loader(pillow, 0), 5_000),
        f"dataloader_{cores()}": lambda _: images_per_s(loader(pillow, cores()), 8_000),
    }
    return medians(interleaved(sides, rounds))


def files(data: Dataset, rounds: int, device: str, processes: bool = True) -> dict[str, float]:
    preprocessing = preprocessing_for(data, 224)
    repeated = np.tile(np.arange(len(data)), -(-EPOCH // len(data)))

    def first_pass(workers: int | None) -> float:
        return len(data) / seconds(lambda: load_images(data, preprocessing, workers=workers))

    def first_pass_with_pillow() -> float:
        with unittest.mock.patch.object(decode, "_simplejpeg", return_value=None):
            return first_pass(1)

    def epoch_of(store: ImageStore, epoch: int) -> float:
        batches = Batches(
            store, data.labels, repeated, batch_size=BATCH_SIZE, device=device,
            augment=Augmentation(crop="random-resized", crop_area=(0.08, 1.0), flip="on"),
        )  # fmt: skip
        return images_per_s(batches.epoch(epoch), len(repeated), device)

    pillow = PillowImages(data, 224, repeated)
    with tempfile.TemporaryDirectory() as cache:
        load_images(data, preprocessing, cache_dir=cache)
        mapped = load_images(data, preprocessing, cache_dir=cache, memory_share=0)
        resident = load_images(data, preprocessing, cache_dir=cache)
        for store in (mapped, resident):  # warm-up: the first batches take new memory from the system
            epoch_of(store, 0)
        sides: dict[str, Callable[[int], float]] = {
            "cached_resident": lambda epoch: epoch_of(resident, epoch),
            "cached_mapped": lambda epoch: epoch_of(mapped, epoch),
            "dataloader_0": lambda _: images_per_s(loader(pillow, 0), 256),
            f"dataloader_{cores()}": lambda _: images_per_s(loader(pillow, cores()), 512),
            "first_pass_in_process": lambda _: first_pass(1),
            "first_pass_in_process_pillow_alone": lambda _: first_pass_with_pillow(),
        }
        if processes:
            sides[f"first_pass_{cores()}_processes"] = lambda _: first_pass(cores())
        return medians(interleaved(sides, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--no-processes", action="store_true", help="do not measure the first pass in several processes"
    )
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
        print(f"{name:>34}  {rate:>10,.0f} images/s  {rate / ours:>6.2f} times the rate of convatlas")


if __name__ == "__main__":
    main()
