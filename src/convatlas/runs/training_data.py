"""`TrainingData`: a data set opened once, split once, and its images decoded once for each way of preparing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from convatlas import data as room
from convatlas.data import Batches, Dataset, ImageStore, Preprocessing, ReadingOptions, Split
from convatlas.message import Message
from convatlas.models import Entry
from convatlas.recipes.recipe import Recipe
from convatlas.training.distributed import processes_here

MEMORY_SHARE = 0.25  # of the machine's, that resident images may take
VALIDATION_SHARE = 0.15  # of what is not the test part, where the data give no validation part


class TrainingData:
    """What one or several networks are trained on: the same images, the same parts."""

    def __init__(
        self,
        source: str | Path | Dataset = "digits",
        *,
        seed: int = 0,
        split: Path | Split | None = None,
        on_bad: Literal["fail", "skip"] = "fail",
        max_bad: float = 0.05,
        validation_images: int = 5000,
        progress: Callable[[int, int], None] | None = None,
        reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    ) -> None:
        if not isinstance(source, Dataset):
            source = room.open_data(str(source), on_bad=on_bad, max_bad=max_bad, progress=progress, **reading.to_dict())
        self.dataset, self.on_bad, self.max_bad = source, on_bad, max_bad
        if isinstance(split, Path):
            split = room.read_split(split, self.dataset)
        if split is None:
            split = room.make_split(self.dataset, seed=seed, val=validation_share(self.dataset, validation_images))
        if len(split.train):
            room.check_training_classes(self.dataset, split.train)
        self.split: Split = split
        self._progress = progress
        self._stores: dict[Preprocessing, ImageStore] = {}

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.labels

    def prepared(
        self, entry: Entry | None, recipe: Recipe, like: Preprocessing | None = None
    ) -> tuple[Preprocessing, ImageStore]:
        """How the images of this data become the input of that network, and the images, decoded and resident.

        Without a network, or with one of the user's own, the side is that of the recipe, else of the images where
        they have one, else 224.

        Args:
            like: how the images of other data were prepared, for which the network has weights already: side, mean,
                deviation and interpolation stay so, unless the recipe says otherwise.
        """
        size = self.side(entry, recipe, like)
        channels = self.dataset.channels
        rule = room.preprocessing_for(self.dataset, size, channels, keep=kept_side(recipe), fit=recipe.fit)
        if like is not None:
            rule = replace(rule, interpolation=like.interpolation)
        if rule not in self._stores:
            share = MEMORY_SHARE / processes_here()  # each process holds the images for itself
            self._stores[rule] = room.load_images(self.dataset, rule, progress=self._progress, memory_share=share)
        store = self._stores[rule]
        if recipe.normalization == "lenet-1998":  # ink 1.175 on -0.1: p / 255 * 1.275 - 0.1
            return rule.with_stats((0.1 / 1.275,) * channels, (1 / 1.275,) * channels), store
        if recipe.normalization == "auto" and like is not None:
            why = Message("{rule}; mean and deviation as the first weights were trained with", rule=rule.why)
            return replace(rule, mean=like.mean, std=like.std, why=why), store
        return rule.with_stats(*room.channel_stats(store, self.split.train)), store

    def side(self, entry: Entry | None, recipe: Recipe, like: Preprocessing | None = None) -> int:
        """The side of a network's input, pixels: the recipe's, that of earlier weights, the network's, the images'."""
        if recipe.image_size or like is not None:
            return recipe.image_size or like.size[0]  # type: ignore[union-attr]
        known = entry is not None and not entry.own
        return entry.input[1] if known else (self.dataset.uniform_size or (224,))[0]  # type: ignore[union-attr]

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
            augment=recipe.augment,
            sampling=recipe.sampling,
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


def kept_side(recipe: Recipe) -> int | None:
    """The shorter side the images are kept at, pixels; None leaves it to the data.

    With scale jitter it is the middle of the range, at which VGG tests (arXiv:1409.1556, section 3.2): evaluation sees
    the kept image's centre.
    """
    if recipe.resize is None and recipe.augment.crop == "scale-jitter":
        return round(sum(recipe.augment.crop_scale) / 2)
    return recipe.resize
