"""The embedded digits as tensors, for the loops of this folder: opened, split, prepared and normalised by convatlas."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, TensorDataset

from convatlas.data import Batches, channel_stats, load_images, make_split, open_data, preprocessing_for

CLASSES, SIDE = 10, 32


def loaders(batch_size: int = 64, seed: int = 0) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Training, validation and test images: float32 (N, 1, 32, 32), and labels (N,)."""
    data = open_data("digits")
    split = make_split(data, seed=seed)
    preprocessing = preprocessing_for(data, SIDE)
    store = load_images(data, preprocessing)
    preprocessing = preprocessing.with_stats(*channel_stats(store, split.train))  # of the training images alone

    def loader(indices, shuffle: bool) -> DataLoader:
        batches = Batches(
            store, data.labels, indices, batch_size=len(indices), preprocessing=preprocessing, shuffle=False
        )
        images, labels, _ = next(iter(batches.epoch(0)))
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(TensorDataset(images.contiguous(), labels), batch_size, shuffle=shuffle, generator=generator)

    return loader(split.train, True), loader(split.val, False), loader(split.test, False)
