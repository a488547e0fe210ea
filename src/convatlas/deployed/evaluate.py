"""`evaluate`: the accuracy of an exported file on a data set, with the metrics of ``convatlas evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from convatlas.data.dataset import Dataset, printable
from convatlas.data.reading import ReadingOptions
from convatlas.data.sources import open_data
from convatlas.errors import DataError
from convatlas.evaluation.result import Evaluation, check_result
from convatlas.exports.exported import ExportedModel
from convatlas.message import Message
from convatlas.models.loaded import Labels

BATCH = 32  # images; of a file that resizes by itself one, since photos are large


def evaluate(
    model: ExportedModel,
    data: str | Path | Dataset,
    *,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure the accuracy of an exported file: on the test set of a data set, or on all images if it has none.

    Args:
        data: a data set, or what `open_data` opens. Its classes may have any name that the file accepts for them.
        on_bad, max_bad, reading: how ``data`` is read, as in `open_data`.
        progress: called with (done, total).

    Raises:
        DataError: the data cannot be read, hold no image, or have classes that the file does not have.
        TrainingError: logits that are not finite.
    """
    dataset = (
        data if isinstance(data, Dataset) else open_data(data, on_bad=on_bad, max_bad=max_bad, **reading.to_dict())
    )
    description = model.description
    outputs = Labels(description.classes, description.other_names).match(
        dataset.classes, str(dataset.source), str(model.file)
    )
    indices, part = dataset.evaluated()
    if not len(indices):
        raise DataError("no images to evaluate.")
    at_least = description.preprocessing.at_least
    size = 1 if description.accepts_any_size else BATCH
    logits = []
    for start in range(0, len(indices), size):
        batch = indices[start : start + size].tolist()
        logits.append(model.outputs([model.prepare(dataset.read(index, at_least)) for index in batch]).logits)
        if progress is not None:
            progress(start + len(batch), len(indices))
    result = Evaluation(
        classes=description.classes,
        labels=np.array(outputs)[dataset.labels[indices]],
        logits=np.concatenate(logits),
        protocol="centre",
        names=tuple(printable(dataset.names[int(index)]) for index in indices),
        run=str(model.file),
        data=str(dataset.source if isinstance(data, Dataset) else data),
        part=part,
        notes=tuple(_notes(model, dataset)),
    )
    check_result(result)
    return result


def _notes(model: ExportedModel, dataset: Dataset) -> list[Message]:
    trained_on = (model.description.data or {}).get("fingerprint")
    if trained_on is None or trained_on != dataset.fingerprint:
        return []
    return [
        Message(
            "these are the data that the network was trained on, training images included. The accuracy on new images "
            "may be lower."
        )
    ]
