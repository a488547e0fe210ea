"""`Material`: a data set opened once, split once, and its images decoded once for each way of preparing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from convatlas import data as room
from convatlas.data import Augment, Batches, Dataset, ImageStore, Preprocessing, Split
from convatlas.models import Entry
from convatlas.recipes._recipe import Recipe

VALIDATION_SHARE = 0.15  # of what is not the test part, where the data give no validation part


class Material:
    """What one or several networks are trained on: the same images, the same parts."""

    def __init__(
        self,
        source: str | Path | Dataset = "digits",
        *,
        seed: int = 0,
        split: Path | None = None,
        on_bad: Literal["fail", "skip"] = "fail",
        max_bad: float = 0.05,
        validation_images: int = 5000,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if not isinstance(source, Dataset):
            source = room.open_data(str(source), on_bad=on_bad, max_bad=max_bad, progress=progress)
        self.dataset, self.on_bad, self.max_bad = source, on_bad, max_bad
        self.split: Split = (
            room.read_split(split, self.dataset)
            if split
            else room.make_split(self.dataset, seed=seed, val=validation_share(self.dataset, validation_images))
        )
        self._progress = progress
        self._stores: dict[Preprocessing, ImageStore] = {}

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.labels

    def prepared(self, entry: Entry, recipe: Recipe) -> tuple[Preprocessing, ImageStore]:
        """How the images of this data become the input of that network, and the images, decoded and resident."""
        size = recipe.image_size or entry.input[1]
        channels = self.dataset.channels
        rule = room.preprocessing_for(self.dataset, size, channels)
        if rule not in self._stores:
            self._stores[rule] = room.load_images(self.dataset, rule, progress=self._progress)
        store = self._stores[rule]
        if recipe.pixels == "lenet-1998":  # ink 1.175 on -0.1: p / 255 * 1.275 - 0.1
            return rule.with_stats((0.1 / 1.275,) * channels, (1 / 1.275,) * channels), store
        return rule.with_stats(*room.channel_stats(store, self.split.train)), store

    def training_batches(
        self, rule: Preprocessing, store: ImageStore, recipe: Recipe, seed: int, device: str
    ) -> Batches:
        return Batches(
            store,
            self.labels,
            self.split.train,
            batch_size=recipe.batch_size,
            seed=seed,
            rule=rule,
            augment=augmentation(recipe, rule),
            device=device,
        )

    def batches(
        self, part: str, rule: Preprocessing, store: ImageStore, device: str = "cpu", batch_size: int = 256
    ) -> Batches:
        """The images of a part in order, one central view each."""
        return Batches(
            store,
            self.labels,
            getattr(self.split, part),
            batch_size=batch_size,
            seed=0,
            rule=rule,
            augment=None,
            shuffle=False,
            device=device,
        )


def validation_share(data: Dataset, at_most: int) -> float:
    """The share of the training images that validation takes where the data give none, ``at_most`` so many images."""
    pool = int((data.parts != "test").sum())
    return min(VALIDATION_SHARE, at_most / max(1, pool))


def augmentation(recipe: Recipe, rule: Preprocessing) -> Augment:
    """The recipe's wishes made definite for these images.

    ``auto`` shifts by a sixteenth of the side (2 of 32 pixels: short trainings want less than the 4 of long ones) and
    mirrors colour images only, for a mirrored digit is no digit, every image in every second epoch (Jordan,
    arXiv:2404.00498, sections 3.5 and 3.6).
    """
    pad = min(rule.size) // 16 if recipe.pad == "auto" else int(recipe.pad)
    flip = ("alternating" if rule.channels == 3 else "off") if recipe.flip == "auto" else recipe.flip
    return Augment(pad=pad, flip=flip == "on", alternating_flip=flip == "alternating")
