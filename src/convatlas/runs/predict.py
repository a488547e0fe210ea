"""`predict`: labels for images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas import data as room
from convatlas.data import Preprocessing
from convatlas.data.dataset import printable
from convatlas.data.decode import is_image_name
from convatlas.data.in_memory import is_in_memory, pixels_in_memory
from convatlas.data.tree import IGNORED_FOLDERS
from convatlas.errors import BadImageError, TrainingError, UsageError
from convatlas.message import Message
from convatlas.modes import eval_mode
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run

if TYPE_CHECKING:
    from convatlas.data.in_memory import ImageInMemory

    ImageSource = str | Path | ImageInMemory


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image with their probabilities, or why it could not be read.

    ``file`` is its path, or its number among the images that were given where it has none.
    """

    file: str
    top: tuple[tuple[str, float], ...] = ()
    error: BadImageError | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": printable(self.file), "error": self.error.reason}
        return {"file": printable(self.file), "top": [list(pair) for pair in self.top]}


def predict(
    what: Run | str | Path | nn.Module | LoadedNetwork,
    images: ImageSource | Iterable[ImageSource],
    top: int = 5,
    batch_size: int | None = None,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Iterator[Prediction]:
    """Labels for images, in the order given.

    A file that is missing or cannot be read gives a `Prediction` with its error, and the others are still answered.

    Args:
        what: a run or its directory, or a network with other people's weights: see `evaluate`.
        images: one image or several. An image is the path of a file; a folder, which stands for all image files below
            it; a Pillow image; a numpy array (H, W) or (H, W, C); or a tensor (C, H, W), or (N, C, H, W) for N images.
            Pixels are 0 to 255, or 0 to 1 in floating point: the run's own preparation is applied here.
        top: how many classes, the likeliest first.
        batch_size: images at once; by default what suits their size.
        classes: names of the network's outputs, where its weights do not say them.
        preprocessing: how the network's images are prepared, where its weights do not say it.

    Raises:
        UsageError: ``top`` or ``batch_size`` below 1, something that is no image, or as `evaluate` does.
        CheckpointError: weights that are damaged or not there.
        TrainingError: logits that are not finite, when the images are answered.
    """
    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    if batch_size is not None and batch_size < 1:
        raise UsageError("a batch has at least one image; got {batch}.", batch=batch_size)
    network = load_network(what, classes, preprocessing)
    sources = list(image_sources(images))
    size = batch_size or min(32, network.batch_size)
    return (
        prediction
        for start in range(0, len(sources), size)
        for prediction in _predict_batch(network, sources[start : start + size], top)
    )


@dataclass(frozen=True)
class Source:
    """Where one image comes from: its name, and its pixels where the program holds them, or the error it has."""

    name: str
    pixels: np.ndarray | None = None
    error: BadImageError | None = None


def _predict_batch(network: LoadedNetwork, sources: Sequence[Source], top: int) -> Iterator[Prediction]:
    """One `Prediction` for each; what cannot be read leaves the batch and keeps its place in the answers."""
    read = [_read(source, network.rule) for source in sources]
    images = [image for image in read if isinstance(image, np.ndarray)]
    answers = iter(_labelled(network, images, top) if images else ())
    for source, image in zip(sources, read, strict=True):
        if isinstance(image, BadImageError):
            yield Prediction(image.path, error=image)
        else:
            yield Prediction(source.name, next(answers))


def _read(source: Source, rule: room.Preprocessing) -> np.ndarray | BadImageError:
    if source.error is not None:
        return source.error
    if source.pixels is not None:
        return rule.apply(source.pixels)
    try:
        return room.load_file(source.name, rule)
    except BadImageError as error:
        return error


def _labelled(network: LoadedNetwork, images: Sequence[np.ndarray], top: int) -> list[tuple[tuple[str, float], ...]]:
    names = network.labels.names
    with eval_mode(network.net), torch.inference_mode():
        device = next(network.net.parameters()).device
        logits = network.net(room.prepare(images, network.rule).to(device)).float()
    if not bool(torch.isfinite(logits).all()):
        raise TrainingError(
            "{name} gives logits that are not finite (nan or inf): its weights are not usable. Give the run or the "
            "weights from before the training diverged.",
            name=network.name,
        )
    probabilities = logits.softmax(dim=1)
    values, places = probabilities.topk(min(top, len(names)), dim=1)
    return [
        tuple((names[place], value) for place, value in zip(row_places, row, strict=True))
        for row_places, row in zip(places.tolist(), values.tolist(), strict=True)
    ]


def images_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if is_image_name(file.name))


def hidden_below(folder: Path, file: Path) -> bool:
    """Whether a data set would leave the file out, as it does with ``._cat.jpg`` and ``__MACOSX/`` of macOS."""
    return any(part.startswith(".") or part in IGNORED_FOLDERS for part in file.relative_to(folder).parts)


def hidden_images(paths: Iterable[str | Path]) -> list[Path]:
    """The image files below the folders named that `predict` leaves out because they are hidden."""
    folders = [Path(path) for path in paths if Path(path).is_dir()]
    return [file for folder in folders for file in images_below(folder) if hidden_below(folder, file)]


def image_sources(images: ImageSource | Iterable[ImageSource]) -> Iterator[Source]:
    """Each image that was given, and each image file below the folders, sorted; an error for a folder without images.

    Hidden files are left out, as in a data set.
    A file that is not there is noticed when it is read, so that the others are answered all the same.

    Raises:
        UsageError: something that is no image.
    """
    if isinstance(images, str | PathLike) or is_in_memory(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise _no_image(images)
    for place, image in enumerate(images):
        if isinstance(image, str | PathLike):
            yield from _files(Path(image))
        elif isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
            for number, each in enumerate(image):
                yield Source(f"{place}:{number}", pixels_in_memory(each))
        elif is_in_memory(image):
            yield Source(getattr(image, "filename", "") or str(place), pixels_in_memory(image))
        else:
            raise _no_image(image)


def _no_image(value: object) -> UsageError:
    return UsageError(
        "an image is a path, a Pillow image, a numpy array or a tensor; got {kind}.", kind=type(value).__name__
    )


def _files(path: Path) -> Iterator[Source]:
    if not path.is_dir():
        yield Source(str(path))
        return
    found = [file for file in images_below(path) if not hidden_below(path, file)]
    yield from (Source(str(file)) for file in found)
    if not found:
        error = BadImageError(str(path), Message("the folder holds no image files"))
        yield Source(str(path), error=error)
