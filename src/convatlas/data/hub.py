"""Hugging Face data sets: ``hf:ID`` from the local cache or, with ``download``, the hub; ``hf:FOLDER`` from the disk.

A folder is what ``save_to_disk`` wrote, or parquet files called after their parts (``train-00000-of-00001.parquet``).
The rows are memory-mapped Arrow tables. An image is read by its row number, so shuffling and resuming are exact.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from convatlas.data.tree import FileEntry
from convatlas.errors import DataError, MissingDependencyError
from convatlas.message import Message

if TYPE_CHECKING:
    import datasets

# column names for the label, in order of preference
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target", "category")


class HubTree:
    """The images of the parts of a data set, as ``PART/ROW``.

    Attributes:
        notes: which columns were chosen if there were several candidates.
    Raises:
        MissingDependencyError: the extra ``hf`` is not installed.
        DataError: not in the local cache, or without a column of images or of classes.
    """

    folders: tuple[str, ...] = ()
    refused: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, source: str, download: bool = False) -> None:
        self.source, self.root, self.notes = source, Path(source), list[str]()
        self._parts = _opened(source, download)
        features = next(iter(self._parts.values())).features
        self.image_column = self._chosen(
            "images",
            [name for name, feature in features.items() if type(feature).__name__ == "Image"],
            ("image", "img"),
        )
        labels = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
        plain = [name for name in LABEL_COLUMNS if getattr(features.get(name), "dtype", "") in ("string", "int64")]
        self.label_column = self._chosen("classes", labels or plain, LABEL_COLUMNS)
        self.classes: tuple[str, ...] = tuple(getattr(features[self.label_column], "names", None) or ())

    def _chosen(self, what: str, candidates: list[str], preferred: tuple[str, ...]) -> str:
        if not candidates:
            columns = ", ".join(next(iter(self._parts.values())).column_names)
            raise DataError(
                "hf:{source} has no column of {what}; its columns are {columns}",
                source=self.source,
                what=what,
                columns=columns,
            )
        chosen = min(candidates, key=lambda name: preferred.index(name) if name in preferred else len(preferred))
        if len(candidates) > 1:
            self.notes.append(
                Message(
                    "of the columns of {what}, {columns}, {chosen} is used",
                    what=what,
                    columns=", ".join(candidates),
                    chosen=chosen,
                )
            )
        return chosen

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._parts)

    def without(self, parts: list[str]) -> HubTree:
        """The same tree without these parts."""
        fewer = copy.copy(self)
        fewer._parts = {name: table for name, table in self._parts.items() if name not in parts}
        fewer.__dict__.pop("files", None)
        return fewer

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, class and part of every image, in the order of the tables.

        Raises:
            DataError: an image without a label, as test parts of competitions are.
        """
        for part, table in self._parts.items():
            for row, label in enumerate(table.data.column(self.label_column).to_pylist()):
                if label is None or (self.classes and not 0 <= label < len(self.classes)):
                    raise DataError(
                        "hf:{source}: image {row} of {part} has no class (its label is {label})",
                        source=self.source,
                        row=row,
                        part=part,
                        label=label,
                    )
                yield f"{part}/{row}", self.classes[label] if self.classes else str(label), part

    @cached_property
    def files(self) -> dict[str, FileEntry]:
        import pyarrow.compute as compute

        entries = {}
        for part, table in self._parts.items():
            sizes = compute.binary_length(compute.struct_field(table.data.column(self.image_column), "bytes"))
            stamp = int(table._fingerprint, 16)
            for row, size in enumerate(sizes.to_pylist()):
                entries[f"{part}/{row}"] = FileEntry(size or 0, stamp)
        return entries

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.read(name))

    def read(self, name: str) -> bytes:
        """The bytes of one image file.

        Raises:
            OSError: the table holds a path and no bytes: files that a data set only names are not opened.
        """
        part, row = name.split("/")
        content: bytes | None = self._parts[part].data.column(self.image_column)[int(row)].as_py()["bytes"]
        if content is None:
            raise OSError(
                Message("the data set names a file and does not hold it; write it with save_to_disk or to_parquet")
            )
        return content

    def display(self, name: str) -> str:
        return f"hf:{self.source}!{name}"

    def to_dict(self) -> dict[str, str]:
        return {"hf": self.source}


def _opened(source: str, download: bool) -> dict[str, datasets.Dataset]:
    """The parts by name; images stay encoded."""
    path = Path(source).expanduser()
    with _library(offline=not download) as library:
        try:
            if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
                loaded = library.load_from_disk(str(path))
            elif path.is_dir():
                loaded = library.load_dataset("parquet", data_files=_parquet_files(path))
            else:
                loaded = library.load_dataset(source)
        except DataError:
            raise
        except Exception as error:  # the library passes on the exceptions of the network, of files and of Arrow
            fetch = Message(" Fetch it once with  convatlas data hf:{source} --download", source=source)
            way_out = "" if download or path.exists() else fetch
            raise DataError(
                "hf:{source} cannot be opened: {reason}.{way_out}",
                source=source,
                reason=_first_line(error),
                way_out=way_out,
            ) from error
        parts = dict(loaded) if isinstance(loaded, library.DatasetDict) else {"all": loaded}
        # a selection is a list of row numbers over another table; flattening makes row i of the table row i of the data
        return {name: table.flatten_indices() if table._indices is not None else table for name, table in parts.items()}


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        files.setdefault(path.name.split("-")[0].removesuffix(".parquet"), []).append(str(path))
    if not files:
        raise DataError("{folder} holds neither what save_to_disk writes nor parquet files", folder=folder)
    return files


@contextmanager
def _library(offline: bool) -> Iterator[Any]:
    """The package ``datasets`` without progress bars, and without network access if ``offline``."""
    if offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when the package is imported
    try:
        import datasets
        import huggingface_hub
    except ImportError as error:
        raise MissingDependencyError("datasets", "hf", Message("reading hf: data sets")) from error
    datasets.disable_progress_bars()
    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = offline
    try:
        yield datasets
    finally:
        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
