"""`predict`: labels for image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from convatlas import data as room
from convatlas.data.decode import is_image_name
from convatlas.errors import BadImageError, UsageError
from convatlas.modes import eval_mode
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image: the likeliest classes with their probabilities, or the error it met."""

    file: str
    top: tuple[tuple[str, float], ...] = ()
    error: BadImageError | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": self.file, "error": self.error.reason}
        return {"file": self.file, "top": [list(pair) for pair in self.top]}


def predict(
    what: Run | str | Path | nn.Module | LoadedNetwork,
    paths: Iterable[str | Path],
    top: int = 5,
    batch_size: int | None = None,
    *,
    classes: Sequence[str] | None = None,
) -> Iterator[Prediction]:
    """Labels for image files, in the order given; folders stand for the images below them.

    A file that is missing or cannot be read gives a `Prediction` with its error, and the others are still answered.

    Args:
        what: a run or its directory, or a network with other people's weights: see `evaluate`.
        classes: names of the network's outputs, where its weights do not say them.

    Raises:
        UsageError: ``top`` below 1, or as `evaluate` does.
        CheckpointError: weights that are damaged or not there.
    """
    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    judged = load_network(what, classes)
    files = list(image_files(paths))
    size = batch_size or min(32, judged.batch_size)
    return (
        prediction
        for start in range(0, len(files), size)
        for prediction in _predict_batch(judged, files[start : start + size], top)
    )


def _predict_batch(judged: LoadedNetwork, files: Sequence[Path | BadImageError], top: int) -> Iterator[Prediction]:
    """One `Prediction` for each; what cannot be read leaves the batch and keeps its place in the answers."""
    read = [_read(file, judged.rule) for file in files]
    images = [image for image in read if isinstance(image, np.ndarray)]
    answers = iter(_labelled(judged, images, top) if images else ())
    for file, image in zip(files, read, strict=True):
        if isinstance(image, BadImageError):
            yield Prediction(image.path, error=image)
        else:
            yield Prediction(str(file), next(answers))


def _read(file: Path | BadImageError, rule: room.Preprocessing) -> np.ndarray | BadImageError:
    if isinstance(file, BadImageError):
        return file
    try:
        return room.load_file(file, rule)
    except BadImageError as error:
        return error


def _labelled(judged: LoadedNetwork, images: Sequence[np.ndarray], top: int) -> list[tuple[tuple[str, float], ...]]:
    names = judged.labels.names
    with eval_mode(judged.net), torch.inference_mode():
        device = next(judged.net.parameters()).device
        probabilities = judged.net(room.prepare(images, judged.rule).to(device)).float().softmax(dim=1)
    values, places = probabilities.topk(min(top, len(names)), dim=1)
    return [
        tuple((names[place], value) for place, value in zip(row_places, row, strict=True))
        for row_places, row in zip(places.tolist(), values.tolist(), strict=True)
    ]


def image_files(paths: Iterable[str | Path]) -> Iterator[Path | BadImageError]:
    """The files named, and the image files below the folders named, sorted; an error for a folder without images.

    A file that is not there is found out when it is read, so that the others are answered all the same.
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if is_image_name(file.name))
        if found:
            yield from found
        else:
            yield BadImageError(str(path), "the folder holds no image files")
