"""`predict`: the most probable classes of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from convatlas import data as room
from convatlas.data import Preprocessing
from convatlas.data.in_memory import is_in_memory, pixels_in_memory
from convatlas.errors import BadImageError, TrainingError, UsageError
from convatlas.modes import eval_mode
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.predictions import Prediction, files_of
from convatlas.runs.run import Run

if TYPE_CHECKING:
    from convatlas.data.in_memory import ImageInMemory

    ImageSource = str | Path | ImageInMemory


def predict(
    what: Run | str | Path | nn.Module | LoadedNetwork,
    images: ImageSource | Iterable[ImageSource],
    top: int = 5,
    batch_size: int | None = None,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Iterator[Prediction]:
    """Predict the most probable classes of images, in their order.

    A file that is missing or cannot be read gives a `Prediction` with the error; the other images are still predicted.

    Args:
        what: a run or its directory, or a network with loaded weights, as in `evaluate`.
        images: one image or several. An image is the path of a file; a folder, which stands for all image files below
            it; a Pillow image; a numpy array (H, W) or (H, W, C); or a tensor (C, H, W), or (N, C, H, W) for N images.
            Pixels are 0 to 255, or 0 to 1 in floating point. The preprocessing of the network is applied to them.
        top: number of classes, the most probable first.
        batch_size: images per batch; by default a number that suits their size.
        classes: the class names of the network, if its weights do not name them.
        preprocessing: of the network's images, if its weights do not state it.

    Raises:
        UsageError: ``top`` or ``batch_size`` is below 1, something is not an image, or as in `evaluate`.
        CheckpointError: the weights are damaged or missing.
        TrainingError: the logits are not finite; raised by the iterator.
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
    """One image to read: its name, and its pixels if they are in memory, or its error."""

    name: str
    pixels: np.ndarray | None = None
    error: BadImageError | None = None


def _predict_batch(network: LoadedNetwork, sources: Sequence[Source], top: int) -> Iterator[Prediction]:
    """Yield a `Prediction` for each source, in order; sources that cannot be read are not part of the batch."""
    results = [_read(source, network.preprocessing) for source in sources]
    images = [result for result in results if isinstance(result, np.ndarray)]
    top_classes = iter(_classify(network, images, top) if images else ())
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, BadImageError):
            yield Prediction(result.path, error=result)
        else:
            yield Prediction(source.name, next(top_classes))


def _read(source: Source, preprocessing: room.Preprocessing) -> np.ndarray | BadImageError:
    if source.error is not None:
        return source.error
    if source.pixels is not None:
        return preprocessing.apply(source.pixels)
    try:
        return room.load_file(source.name, preprocessing)
    except BadImageError as error:
        return error


def _classify(network: LoadedNetwork, images: Sequence[np.ndarray], top: int) -> list[tuple[tuple[str, float], ...]]:
    names = network.labels.names
    with eval_mode(network.net), torch.inference_mode():
        device = next(network.net.parameters()).device
        logits = network.net(room.prepare(images, network.preprocessing).to(device)).float()
    if not bool(torch.isfinite(logits).all()):
        raise TrainingError(
            "{name} gives logits that are not finite (nan or inf): its weights are not usable. Give the run or the "
            "weights from before the training diverged.",
            name=network.name,
        )
    probabilities = logits.softmax(dim=1)
    values, indices = probabilities.topk(min(top, len(names)), dim=1)
    return [
        tuple((names[index], value) for index, value in zip(row_indices, row, strict=True))
        for row_indices, row in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def image_sources(images: ImageSource | Iterable[ImageSource]) -> Iterator[Source]:
    """Yield a source for each image, and for each image file below a folder, sorted; hidden files are ignored.

    A folder without images gives a source with an error. A missing file gives its error when it is read.

    Raises:
        UsageError: something is not an image.
    """
    if isinstance(images, str | PathLike) or is_in_memory(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise _not_an_image(images)
    for place, image in enumerate(images):
        if isinstance(image, str | PathLike):
            yield from _files(Path(image))
        elif isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
            for number, single in enumerate(image):
                yield Source(f"{place}:{number}", pixels_in_memory(single))
        elif is_in_memory(image):
            yield Source(getattr(image, "filename", "") or str(place), pixels_in_memory(image))
        else:
            raise _not_an_image(image)


def _not_an_image(value: object) -> UsageError:
    return UsageError(
        "an image is a path, a Pillow image, a numpy array or a tensor; got {kind}.", kind=type(value).__name__
    )


def _files(path: Path) -> Iterator[Source]:
    found = files_of(path)
    if isinstance(found, BadImageError):
        yield Source(str(path), error=found)
    else:
        yield from (Source(str(file)) for file in found)
