"""Sources -> splits -> resident uint8 images -> batches.

    data = open_data("photos/")                          # looks, names what it found; numpy and Pillow only
    split = make_split(data, seed=0)                     # or read_split("split.csv", data)
    rule = preprocessing_for(data, (224, 224), 3)        # which resize, and why
    store = load_images(data, rule)                      # decoded once, resident or memory-mapped
    rule = rule.with_stats(*channel_stats(store, split.train))
    for images, labels in Batches(store, data.labels, split.train, batch_size=128, seed=0, rule=rule).epoch(0): ...

Torch is imported by the names of the last two lines only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.data.augmentation import Augmentation
    from convatlas.data.batches import Batches, prepare
    from convatlas.data.dataset import Dataset, Problem
    from convatlas.data.decode import read_image
    from convatlas.data.preprocessing import Preprocessing, load_file, preprocessing_for
    from convatlas.data.sources import open_data
    from convatlas.data.split import Split, make_split, read_split, write_split
    from convatlas.data.store import ImageStore, channel_stats, load_images
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "open_data",
    "Dataset",
    "Problem",
    "read_image",
    "Split",
    "make_split",
    "read_split",
    "write_split",
    "Preprocessing",
    "preprocessing_for",
    "load_file",
    "ImageStore",
    "load_images",
    "channel_stats",
    "Augmentation",
    "Batches",
    "prepare",
]
