"""`EvaluationImages`: the images of a data set for each image region of an evaluation protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from convatlas import data as room
from convatlas.batch import Batch
from convatlas.data import Dataset, ImageStore, Preprocessing
from convatlas.data.dataset import printable
from convatlas.evaluation import ImageRegion

BATCH_PIXELS = 96 * 96 * 256  # pixels of a batch, per channel: 256 small images, or 47 images of 224 x 224


def batch_size(height: int, width: int) -> int:
    """Return the number of images of this size in a batch of an evaluation."""
    return max(1, min(256, BATCH_PIXELS // (height * width)))


class EvaluationImages:
    """The images ``indices`` of a data set, in that order, for any image region. The last decoded store is reused."""

    def __init__(self, dataset: Dataset, indices: np.ndarray, decoded: ImageStore | None = None) -> None:
        self.dataset, self.indices = dataset, indices
        self._last_store = decoded

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(printable(self.dataset.names[int(index)]) for index in self.indices)

    def batches(self, region: ImageRegion, preprocessing: Preprocessing, labels: np.ndarray) -> Iterator[Batch]:
        """Yield batches of images and labels, prepared as for the network except for their size.

        Args:
            labels: the labels of all images of the data set, as indices of the network's classes.
        """
        side = region.side(preprocessing.size)
        if region.whole:
            yield from self._whole(side, preprocessing, labels)
            return
        stored = cropped = preprocessing
        if region.shorter_side is not None:
            stored = preprocessing.kept_at(side)
            cropped = replace(stored, size=stored.store_size, margin=1.0)
        yield from room.Batches(
            self._store(stored),
            labels,
            self.indices,
            batch_size=batch_size(*cropped.size),
            preprocessing=cropped,
            augment=None,
            shuffle=False,
        ).epoch(0)

    def _whole(self, side: int, preprocessing: Preprocessing, labels: np.ndarray) -> Iterator[Batch]:
        """Yield batches of whole images; consecutive images of the same shape share a batch."""
        pending: list[np.ndarray] = []
        indices: list[int] = []

        def batch() -> Batch:
            images = room.prepare(pending, replace(preprocessing, size=pending[0].shape[:2], margin=1.0))
            complete = Batch(images, torch.from_numpy(labels[indices]))
            pending.clear()
            indices.clear()
            return complete

        for index in self.indices.tolist():
            pixels = preprocessing.whole(self.dataset.read(index), side)
            if pending and (pixels.shape != pending[0].shape or len(pending) == batch_size(*pixels.shape[:2])):
                yield batch()
            pending.append(pixels)
            indices.append(index)
        if pending:
            yield batch()

    def _store(self, preprocessing: Preprocessing) -> ImageStore:
        """Return the decoded images. Networks whose preprocessing differs only in channel statistics share them."""
        if self._last_store is None or for_stored_pixels(self._last_store.preprocessing) != for_stored_pixels(
            preprocessing
        ):
            self._last_store = room.load_images(self.dataset, preprocessing)
        return self._last_store


def for_stored_pixels(preprocessing: Preprocessing) -> Preprocessing:
    """Return the preprocessing without the values that do not affect the stored pixels."""
    return replace(preprocessing, mean=(), std=(), why="")
