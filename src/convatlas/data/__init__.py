"""Sources -> splits -> uint8 images in memory -> batches.

    data = open_data("photos/")                          # finds layout, classes and files; numpy and Pillow only
    split = make_split(data, seed=0)                     # or read_split("split.csv", data)
    preprocessing = preprocessing_for(data, (224, 224), 3)   # how images are resized and cropped, and why
    store = load_images(data, preprocessing)                 # decoded once, in memory or memory-mapped
    preprocessing = preprocessing.with_stats(*channel_stats(store, split.train))
    batches = Batches(store, data.labels, split.train, batch_size=128, seed=0, preprocessing=preprocessing)
    for images, labels, _ in batches.epoch(0): ...       # a `Batch` each; its third field is for several processes

Only the names in the last two lines import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.batch import Batch
    from convatlas.data.augmentation import Augmentation
    from convatlas.data.batches import Batches, prepare
    from convatlas.data.dataset import Dataset, Problem, overlap
    from convatlas.data.decode import read_image
    from convatlas.data.preprocessing import Preprocessing, load_file, preprocessing_for
    from convatlas.data.reading import ReadingOptions
    from convatlas.data.sources import open_data
    from convatlas.data.split import Split, check_training_classes, make_split, read_split, write_split
    from convatlas.data.store import ImageStore, channel_stats, load_images
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "open_data",
    "Dataset",
    "Problem",
    "overlap",
    "ReadingOptions",
    "read_image",
    "Split",
    "make_split",
    "check_training_classes",
    "read_split",
    "write_split",
    "Preprocessing",
    "preprocessing_for",
    "load_file",
    "ImageStore",
    "load_images",
    "channel_stats",
    "Augmentation",
    "Batch",
    "Batches",
    "prepare",
]
