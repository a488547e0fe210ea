"""The images of a data set as a protocol wants them: the network's own input, a larger square, or whole."""

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

AT_ONCE = 96 * 96 * 256  # pixels of a batch's images, in one channel: small images go by 256, those of 224 by 47


def batch_size(height: int, width: int) -> int:
    return max(1, min(256, AT_ONCE // (height * width)))


class Views:
    """Images ``indices`` of a data set, in that order, for any image region; what was decoded last is kept."""

    def __init__(self, dataset: Dataset, indices: np.ndarray, decoded: ImageStore | None = None) -> None:
        self.dataset, self.indices = dataset, indices
        self._kept = decoded

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(printable(self.dataset.names[int(index)]) for index in self.indices)

    def batches(self, region: ImageRegion, rule: Preprocessing, labels: np.ndarray) -> Iterator[Batch]:
        """Batches of images and labels, prepared by a network's rule but for their size.

        Args:
            labels: of all images of the data set, by the network's classes.
        """
        side = region.side(rule.size)
        if region.whole:
            yield from self._whole(side, rule, labels)
            return
        kept = rule if region.shorter_side is None else rule.kept_at(side)
        seen = rule if region.shorter_side is None else replace(kept, size=kept.store_size, margin=1.0)
        yield from room.Batches(
            self._store(kept),
            labels,
            self.indices,
            batch_size=batch_size(*seen.size),
            rule=seen,
            augment=None,
            shuffle=False,
        ).epoch(0)

    def _whole(self, side: int, rule: Preprocessing, labels: np.ndarray) -> Iterator[Batch]:
        """Neighbours of one shape share a batch."""
        waiting: list[np.ndarray] = []
        places: list[int] = []

        def batch() -> Batch:
            images = room.prepare(waiting, replace(rule, size=waiting[0].shape[:2], margin=1.0))
            made = Batch(images, torch.from_numpy(labels[places]))
            waiting.clear()
            places.clear()
            return made

        for index in self.indices.tolist():
            pixels = rule.whole(self.dataset.read(index), side)
            if waiting and (pixels.shape != waiting[0].shape or len(waiting) == batch_size(*pixels.shape[:2])):
                yield batch()
            waiting.append(pixels)
            places.append(index)
        if waiting:
            yield batch()

    def _store(self, rule: Preprocessing) -> ImageStore:
        """Decoded by the rule; networks that differ in their channel statistics alone share it."""
        if self._kept is None or pixels_of(self._kept.rule) != pixels_of(rule):
            self._kept = room.load_images(self.dataset, rule)
        return self._kept


def pixels_of(rule: Preprocessing) -> Preprocessing:
    """What of a rule decides the stored pixels."""
    return replace(rule, mean=(), std=(), why="")
