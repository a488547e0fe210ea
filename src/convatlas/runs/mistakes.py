"""The mistakes of an evaluation as files: a table, or copies of the images by true and predicted class."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convatlas.atomic import written_atomically
from convatlas.data import Dataset
from convatlas.data.dataset import printable
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.message import system_reason

TABLE = "mistakes.csv"


@dataclass(frozen=True)
class Mistake:
    """An image whose predicted class is not the true one.

    Attributes:
        index: of the image in its data set.
        path: of its file; of an image in an archive or an array, the name that the data set gives it.
        probability: of the predicted class.
    """

    index: int
    path: str
    true: str
    predicted: str
    probability: float


def mistakes(evaluation: Evaluation, dataset: Dataset, indices: np.ndarray) -> Iterator[Mistake]:
    """Yield the mistakes of an evaluation of images ``indices`` of a data set, the highest probability first."""
    for place, true, predicted, probability in evaluation.surest_mistakes(evaluation.n):
        index = int(indices[place])
        file = file_of(dataset, index)
        yield Mistake(
            index,
            printable(dataset.names[index] if file is None else str(file)),
            evaluation.classes[true],
            evaluation.classes[predicted],
            probability,
        )


def write_mistakes(evaluation: Evaluation, dataset: Dataset, indices: np.ndarray, target: Path) -> None:
    """Write the mistakes to ``target``.

    A name that ends in .csv gets a table with the columns file, true, predicted and probability. Any other is a
    directory, in which TRUE/PREDICTED/ has the images, as copies of their files or as PNG, beside the table
    mistakes.csv.

    Raises:
        UsageError: the directory holds files already.
        ConvAtlasError: the files cannot be written.
    """
    found = list(mistakes(evaluation, dataset, indices))
    if target.suffix.lower() == ".csv":
        write_table(found, target)
        return
    refuse_directory_with_files(target)
    try:
        for each in found:
            folder = target / safe(each.true) / safe(each.predicted)
            folder.mkdir(parents=True, exist_ok=True)
            file = file_of(dataset, each.index)
            name = f"{each.probability:.3f}-{safe(dataset.names[each.index])}"
            if file is None:
                Image.fromarray(np.squeeze(dataset.read(each.index))).save(folder / f"{name}.png")
            else:
                shutil.copyfile(file, folder / name)
    except OSError as error:
        raise ConvAtlasError("{path} cannot be written: {reason}.", path=target, reason=system_reason(error)) from error
    write_table(found, target / TABLE)


def refuse_directory_with_files(target: Path) -> None:
    """Raise UsageError for a directory that is not empty, or a file that is no table."""
    if target.suffix.lower() != ".csv" and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            "{target} exists already and is not an empty directory. Choose another directory for the mistakes, or a "
            "file that ends in .csv.",
            target=target,
        )


def write_table(found: list[Mistake], path: Path) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "true", "predicted", "probability"))
    rows.writerows((each.path, each.true, each.predicted, f"{each.probability:.6f}") for each in found)
    with written_atomically(path) as file:
        file.write(text.getvalue().encode())


def file_of(dataset: Dataset, index: int) -> Path | None:
    """Return the file of an image, or None for an image in an archive or an array."""
    path = Path(dataset.source) / dataset.names[index]
    if Path(dataset.source).is_file():  # a table: its images are beside it
        path = Path(dataset.source).parent / dataset.names[index]
    return path if path.is_file() else None


def safe(name: str) -> str:
    """A name for a file or a directory on every system."""
    return re.sub(r"[^\w.@+ -]+", "_", printable(name)).strip(". ") or "_"
