"""The images of an estimator: arrays, rows of numbers, lists of paths, tables of paths and folders, as a `Dataset`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data import Dataset, ReadingOptions, open_data
from convatlas.data.dataset import ArrayImages, with_channels
from convatlas.data.decode import UnreadableImage, decode, read_header
from convatlas.data.split import Split, make_split
from convatlas.errors import BadImageError, DataError, UsageError
from convatlas.message import system_reason


@dataclass(frozen=True)
class PixelRange:
    """The numbers that become black and white: ``low`` is stored as 0, ``high`` as 255, others linearly between.

    Attributes:
        low: the darkest value.
        high: the brightest value; not below ``low``.
    """

    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> PixelRange:
        """The range of some images: 0 to 255 of uint8, 0 to 1 of bool, else from the smallest value to the largest.

        Args:
            values: array of any shape, finite.
        """
        if values.dtype == np.uint8:
            return cls(0.0, 255.0)
        if values.dtype == np.bool_:
            return cls(0.0, 1.0)
        return cls(float(values.min()), float(values.max()))

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """The values as uint8, rounded to the nearest of 256 levels; values outside of the range are clipped.

        Args:
            values: array of any shape, finite.
        """
        if values.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return values
        scale = 255.0 / (self.high - self.low) if self.high > self.low else 0.0
        return np.rint(np.clip((values.astype(np.float64) - self.low) * scale, 0, 255)).astype(np.uint8)


class PathImages:
    """Images in files anywhere, decoded when they are read. ``sizes`` is (n, 2) int32, as of ``Dataset.images``.

    Args:
        paths: of image files, absolute or from the working directory.
        channels: 1 or 3; None: 1 if all images are grey, else 3.

    Raises:
        BadImageError: a file is missing or is no image; the message names it and its index.
    """

    def __init__(self, paths: Sequence[str | PathLike[str]], channels: int | None = None) -> None:
        self.paths = [Path(path) for path in paths]
        sizes, grey = np.empty((len(self.paths), 2), dtype=np.int32), True
        for index, path in enumerate(self.paths):
            try:
                with path.open("rb") as file:
                    header = read_header(file)
            except OSError as error:
                raise BadImageError(str(path), system_reason(error), index) from error
            except UnreadableImage as error:
                raise BadImageError(str(path), error.message, index) from error
            sizes[index] = header.height, header.width
            grey &= header.grey
        self.sizes = sizes
        self.channels = channels or (1 if grey else 3)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, at_least: int | None = None) -> np.ndarray:
        """Image ``index`` as uint8 (H, W, channels).

        Raises:
            BadImageError: the file is gone or damaged.
        """
        try:
            return with_channels(decode(self.content(index), at_least), self.channels)
        except UnreadableImage as error:
            raise BadImageError(str(self.paths[index]), error.message, index) from error

    def stored_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def content(self, index: int) -> bytes:
        try:
            return self.paths[index].read_bytes()
        except OSError as error:
            raise BadImageError(str(self.paths[index]), system_reason(error), index) from error

    def stamp(self, index: int) -> tuple[int, int]:
        stat = self.paths[index].stat()
        return stat.st_size, stat.st_mtime_ns


def is_folder(X: Any) -> bool:
    """Whether X names a data set that `open_data` opens, instead of holding images."""
    return isinstance(X, str | PathLike)


def paths_of(X: Any) -> list[str] | None:
    """The paths that X lists: a sequence, an array or a column of strings, or a table with one column of strings.

    Returns:
        None where X holds numbers.

    Raises:
        UsageError: a table with several columns of strings.
    """
    if hasattr(X, "columns") and hasattr(X, "iloc"):  # a DataFrame of pandas or of a library that resembles it
        texts = [name for name in X.columns if len(X) and isinstance(X[name].iloc[0], str | PathLike)]
        if not texts:
            return None
        if len(texts) > 1:
            raise UsageError(
                "the table has several columns of text ({columns}); select the one with the paths: X[[{first!r}]].",
                columns=", ".join(map(str, texts)),
                first=texts[0],
            )
        return [str(path) for path in X[texts[0]]]
    if isinstance(X, np.ndarray) and X.dtype.kind not in "UO":
        return None
    if not hasattr(X, "__len__") or not hasattr(X, "__getitem__") or getattr(X, "ndim", 1) != 1 or not len(X):
        return None
    items = list(X)
    return [str(item) for item in items] if all(isinstance(item, str | PathLike) for item in items) else None


def image_shape_for(features: int, given: tuple[int, ...] | None) -> tuple[int, int, int]:
    """The shape (H, W, C) that a row of ``features`` numbers becomes.

    Args:
        given: (H, W) or (H, W, C), which must hold exactly the features. None: the smallest square that holds them.

    Raises:
        UsageError: a shape of another form, or for another number of features.
    """
    if given is None:
        side = math.isqrt(features - 1) + 1
        return side, side, 1
    shape = tuple(given)
    if len(shape) not in (2, 3) or not all(isinstance(side, int | np.integer) and side > 0 for side in shape):
        raise UsageError("image_shape is (height, width) or (height, width, channels); got {shape!r}.", shape=given)
    height, width, channels = (int(side) for side in (*shape, 1)[:3])
    if channels not in (1, 3):
        raise UsageError("images have 1 or 3 channels; image_shape is {shape!r}.", shape=given)
    if height * width * channels != features:
        raise UsageError(
            "image_shape={shape!r} holds {holds} numbers, and a row of X has {features}.",
            shape=given,
            holds=height * width * channels,
            features=features,
        )
    return height, width, channels


def as_images(X: np.ndarray, image_shape: tuple[int, int, int] | None) -> np.ndarray:
    """X as (N, H, W, C).

    Args:
        X: (N, F), (N, H, W) or (N, H, W, C).
        image_shape: (H, W, C) of a row of X, if it has two dimensions. Places that are left over become 0.

    Raises:
        UsageError: other dimensions, no pixels, or channels other than 1 and 3.
    """
    if X.ndim == 2:
        assert image_shape is not None
        missing = math.prod(image_shape) - X.shape[1]
        if missing:
            X = np.concatenate([X, np.zeros((len(X), missing), dtype=X.dtype)], axis=1)
        return X.reshape(len(X), *image_shape)
    if X.ndim == 3:
        X = X[..., None]
    if X.ndim != 4 or 0 in X.shape:
        raise UsageError(
            "images are an array (N, height, width) or (N, height, width, channels), or rows (N, features); got the "
            "shape {shape}.",
            shape=X.shape,
        )
    if X.shape[3] not in (1, 3):
        hint = X.shape[1] in (1, 3)
        raise UsageError(
            "the last axis of {shape} has {channels} entries, and images have 1 or 3 channels. The channels come "
            "last: X.transpose(0, 2, 3, 1)."
            if hint
            else "the last axis of {shape} has {channels} entries, and images have 1 or 3 channels.",
            shape=X.shape,
            channels=X.shape[3],
        )
    return X


def dataset_of_arrays(pixels: np.ndarray, labels: np.ndarray, classes: Iterable[Any]) -> Dataset:
    """A data set of images in memory: uint8 (N, H, W, C) and their labels, indices of ``classes``."""
    return _dataset("array", ArrayImages(np.ascontiguousarray(pixels)), labels, classes)


def dataset_of_paths(paths: Sequence[str], labels: np.ndarray, classes: Iterable[Any]) -> Dataset:
    """A data set of image files anywhere, and their labels, indices of ``classes``."""
    return _dataset("paths", PathImages(paths), labels, classes)


def _dataset(layout: str, images: ArrayImages | PathImages, labels: np.ndarray, classes: Iterable[Any]) -> Dataset:
    n = len(images)
    return Dataset(
        source=layout,
        layout=layout,
        classes=tuple(str(name) for name in classes),
        labels=np.asarray(labels, dtype=np.int64),
        names=tuple(f"train:{index}" for index in range(n)),
        parts=np.full(n, "", dtype="<U5"),
        images=images,
        reading=ReadingOptions(rare="keep-in-training"),
    )


def opened(source: str | PathLike[str]) -> Dataset:
    """The data set of a folder or file, as `open_data` opens it.

    Raises:
        DataError: the data cannot be used.
    """
    return open_data(str(source), rare="keep-in-training")


def training_split(data: Dataset, validation_fraction: float, seed: int) -> Split:
    """Training and validation images. A test set that the data have is left out; it is for `score`.

    Args:
        validation_fraction: share of the training images that chooses the weights, if the data have no validation set.

    Raises:
        UsageError: the fraction is outside of [0, 1).
    """
    if (data.parts == "val").any() and not (data.parts == "test").any():
        chosen = np.flatnonzero(data.parts == "val")  # a given validation set stays one: nothing is tested here
        pool = np.flatnonzero((data.parts == "train") | (data.parts == ""))
        return Split(pool, chosen, np.array([], dtype=np.int64), None, "")
    return make_split(data, seed=seed, val=validation_fraction, test=0.0)


def scored_images(data: Dataset) -> np.ndarray:
    """Indices of the images that `predict` and `score` use: of the test set, or of all images if there is none."""
    test = np.flatnonzero(data.parts == "test")
    return test if len(test) else np.arange(len(data))


def same_classes(data: Dataset, classes: np.ndarray) -> np.ndarray:
    """The labels of a data set as indices of ``classes``.

    Raises:
        DataError: the data have a class that was not trained.
    """
    index = {str(name): place for place, name in enumerate(classes)}
    unknown = [name for name in data.classes if name not in index]
    if unknown:
        raise DataError("{source} has the class {name!r}, which was not trained.", source=data.source, name=unknown[0])
    return np.array([index[name] for name in data.classes])[data.labels]
