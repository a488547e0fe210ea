"""`Prediction`, the table of predictions, and the image files of a folder. No torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.atomic import written_atomically
from convatlas.data.dataset import printable
from convatlas.data.decode import is_image_name
from convatlas.data.tree import IGNORED_FOLDERS
from convatlas.errors import BadImageError
from convatlas.message import Message


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image with their probabilities, or why it could not be read.

    ``file`` is its path, or its place in the argument if it has none.
    """

    file: str
    top: tuple[tuple[str, float], ...] = ()
    error: BadImageError | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": printable(self.file), "error": self.error.reason}
        return {"file": printable(self.file), "top": [list(pair) for pair in self.top]}


def images_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if is_image_name(file.name))


def files_of(path: Path) -> list[Path] | BadImageError:
    """The path itself or, of a folder, the image files below it, sorted and without hidden ones; the error if none."""
    if not path.is_dir():
        return [path]
    files = [file for file in images_below(path) if not hidden_below(path, file)]
    return files or BadImageError(str(path), Message("the folder contains no image files"))


def hidden_below(folder: Path, file: Path) -> bool:
    """Whether a data set ignores the file, like ``._cat.jpg`` and ``__MACOSX/`` of macOS."""
    return any(part.startswith(".") or part in IGNORED_FOLDERS for part in file.relative_to(folder).parts)


def hidden_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files below these folders that `predict` ignores because they are hidden."""
    folders = [Path(path) for path in paths if Path(path).is_dir()]
    return [file for folder in folders for file in images_below(folder) if hidden_below(folder, file)]


def other_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files below the folders named that `predict` leaves out because they are no images, hidden ones aside."""
    folders = [Path(path) for path in paths if Path(path).is_dir()]
    return [
        file
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not is_image_name(file.name) and not hidden_below(folder, file)
    ]


def write_table(predictions: Sequence[Prediction], path: Path) -> None:
    """Write a CSV file with a row for each image: file, error, and label_k, probability_k for the likeliest classes.

    Raises:
        ConvAtlasError: the file cannot be written.
    """
    most = max((len(each.top) for each in predictions), default=0)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "error", *(f"{what}_{k + 1}" for k in range(most) for what in ("label", "probability"))])
    for each in predictions:
        pairs = [cell for label, probability in each.top for cell in (label, f"{probability:.6f}")]
        rows.writerow([printable(each.file), "" if each.error is None else each.error.reason, *pairs])
    with written_atomically(path) as file:
        file.write(text.getvalue().encode())
