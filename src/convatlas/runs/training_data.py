"""`TrainingData`: a data set that is opened and split once, and whose images are decoded once per preprocessing."""

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

MEMORY_SHARE = 0.25  # largest share of the machine's memory for decoded images
VALIDATION_SHARE = 0.15  # largest share of the images outside the test set, if the data have no validation set


class TrainingData:
    """The data of one or several trainings: the same images, split in the same way."""

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
        self, entry: Entry | None, recipe: Recipe, reference: Preprocessing | None = None
    ) -> tuple[Preprocessing, ImageStore]:
        """Return the preprocessing of the images for a network and a recipe, and the decoded images.

        Without a network, or with one of the user's own, the side of the input is that of the recipe, or the side
        that all images have, or 224.

        Args:
            reference: the preprocessing of the initial weights. Its side, mean, standard deviation and interpolation
                are used, unless the recipe says otherwise.
        """
        size = self.side(entry, recipe, reference)
        channels = self.dataset.channels
        preprocessing = room.preprocessing_for(self.dataset, size, channels, keep=stored_side(recipe), fit=recipe.fit)
        if reference is not None:
            preprocessing = replace(preprocessing, interpolation=reference.interpolation)
        if preprocessing not in self._stores:
            share = MEMORY_SHARE / processes_here()  # each process has its own copy of the images
            self._stores[preprocessing] = room.load_images(
                self.dataset, preprocessing, progress=self._progress, memory_share=share
            )
        store = self._stores[preprocessing]
        if recipe.normalization == "lenet-1998":  # ink 1.175 on -0.1: p / 255 * 1.275 - 0.1
            return preprocessing.with_stats((0.1 / 1.275,) * channels, (1 / 1.275,) * channels), store
        if recipe.normalization == "auto" and reference is not None:
            why = Message(
                "{preprocessing}; mean and standard deviation of the images of the initial weights",
                preprocessing=preprocessing.why,
            )
            return replace(preprocessing, mean=reference.mean, std=reference.std, why=why), store
        return preprocessing.with_stats(*room.channel_stats(store, self.split.train)), store

    def side(self, entry: Entry | None, recipe: Recipe, reference: Preprocessing | None = None) -> int:
        """The side of a network's input, pixels: the recipe's, that of earlier weights, the network's, the images'."""
        if recipe.image_size or reference is not None:
            return recipe.image_size or reference.size[0]  # type: ignore[union-attr]
        known = entry is not None and entry.usual_input
        return entry.input[1] if known else (self.dataset.uniform_size or (224,))[0]  # type: ignore[union-attr]

    def training_batches(
        self, preprocessing: Preprocessing, store: ImageStore, recipe: Recipe, seed: int, device: str
    ) -> Batches:
        return Batches(
            store,
            self.labels,
            self.split.train,
            batch_size=recipe.batch_size,
            seed=seed,
            preprocessing=preprocessing,
            augment=recipe.augment,
            sampling=recipe.sampling,
            repeats=recipe.repeats,
            device=device,
        )

    def batches(
        self, part: str, preprocessing: Preprocessing, store: ImageStore, device: str = "cpu", batch_size: int = 256
    ) -> Batches:
        """Return batches of one set ("train", "val" or "test"): its images in order, one central view each."""
        return Batches(
            store,
            self.labels,
            getattr(self.split, part),
            batch_size=batch_size,
            seed=0,
            preprocessing=preprocessing,
            augment=None,
            shuffle=False,
            device=device,
        )


def validation_share(data: Dataset, at_most: int) -> float:
    """Return the share of the images outside the test set to hold out for validation, at most ``at_most`` images."""
    pool = int((data.parts != "test").sum())
    return min(VALIDATION_SHARE, at_most / max(1, pool))


def stored_side(recipe: Recipe) -> int | None:
    """Return the shorter side of the stored images, in pixels; None leaves it to the data.

    With scale jitter it is the middle of the range, at which VGG is tested (arXiv:1409.1556, section 3.2), because an
    evaluation uses the centre of the stored image.
    """
    if recipe.resize is None and recipe.augment.crop == "scale-jitter":
        return round(sum(recipe.augment.crop_scale) / 2)
    return recipe.resize
