"""`predict`: the most probable classes of image files, from an exported file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.errors import BadImageError, TrainingError, UsageError
from convatlas.exports.exported import ExportedModel
from convatlas.runs.predictions import Prediction, files_of

BATCH = 32  # images; of a file that resizes by itself one, since photos are large


def predict(model: ExportedModel, images: Iterable[str | Path], top: int = 5) -> Iterator[Prediction]:
    """The most probable classes of images, in their order, as the run that was exported predicts them.

    A file that is missing or cannot be read gives a `Prediction` with the error.

    Args:
        images: paths of image files, and of folders, which stand for all image files below them.
        top: number of classes, the most probable first.

    Raises:
        UsageError: ``top`` is below 1.
        TrainingError: the probabilities are not finite; raised by the iterator.
    """
    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    return _predictions(model, images, top)


def _predictions(model: ExportedModel, images: Iterable[str | Path], top: int) -> Iterator[Prediction]:
    pending: list[Path] = []
    for image in images:
        found = files_of(Path(image))
        if isinstance(found, BadImageError):
            yield from _labelled(model, pending, top)
            pending = []
            yield Prediction(str(image), error=found)
        else:
            pending += found
    yield from _labelled(model, pending, top)


def _labelled(model: ExportedModel, files: list[Path], top: int) -> Iterator[Prediction]:
    results = model.predict(files, batch_size=1 if model.description.accepts_any_size else BATCH)
    for file, result in zip(files, results, strict=True):
        if isinstance(result, BadImageError):
            yield Prediction(str(file), error=result)
        else:
            yield Prediction(str(file), _top(model, result, top))


def _top(model: ExportedModel, probabilities: NDArray[np.float32], top: int) -> tuple[tuple[str, float], ...]:
    if not np.isfinite(probabilities).all():
        raise TrainingError(
            "{name} gives logits that are not finite (nan or inf): its weights are not usable. Give the run or the "
            "weights from before the training diverged.",
            name=model.file,
        )
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((model.classes[index], float(probabilities[index])) for index in order.tolist())
