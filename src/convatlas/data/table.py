"""A table of labels: for each row the image, its class, and its split if the table has a column for it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from convatlas.data.dataset import nfc, printable
from convatlas.data.decode import is_image_name
from convatlas.data.folders import SPLIT_OF_WORD, split_of
from convatlas.data.reading import ReadingOptions
from convatlas.data.tree import Tree
from convatlas.errors import DataError
from convatlas.message import Message, joined, system_reason

# usual headings, in order of preference
IMAGE_COLUMNS = (
    "file", "file_name", "filename", "path", "image", "image_id", "id", "img",
    "filepath", "file_path", "filepaths", "image_path", "img_path", "image_file", "image_filename", "image_name",
    "img_name", "imagename", "imageid", "img_id", "id_code", "fname", "photo", "picture",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "class", "class_name", "category", "target", "breed",
    "labels", "label_name", "classname", "category_name", "diagnosis", "species", "dx", "disease", "variety",
    "cultivar", "family", "genus", "emotion", "label_id", "class_id", "category_id",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "part", "set", "subset")
TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Listed:
    """An image of a layout: its path in the tree, its class as written, its split or ""."""

    name: str
    label: str
    part: str


@dataclass(frozen=True)
class Columns:
    """The places of the columns of image, label and split in a heading; None for a split that is not stated."""

    image: int
    label: int
    split: int | None


class Table:
    """A CSV or TSV file of labels, in UTF-8 with or without a byte-order mark, or in cp949 as Korean Excel writes it.

    Raises:
        DataError: unreadable, without rows, or without a column for the image or for the class.
    """

    def __init__(self, tree: Tree, name: str, options: ReadingOptions = ReadingOptions()) -> None:  # noqa: B008
        self.tree, self.name = tree, name
        self.place = tree.display(name)
        self.header, self.rows, self.encoding = self.rows_of(tree, name)
        self.repeated = 0
        for option, column in (
            ("--image-column", options.image_column),
            ("--label-column", options.label_column),
            ("--split-column", options.split_column),
        ):
            if column is not None and column.strip().lower() not in self.header:
                raise DataError(
                    "{place} has no column {column!r}, which {option} names; its columns are {columns}",
                    place=self.place,
                    column=column,
                    option=option,
                    columns=listed(self.header),
                )
        columns = columns_of(self.header, options)
        if columns is None:
            raise DataError(
                "{place} has the columns {columns}; which one names {what} is not known. Name it with {option}.",
                place=self.place,
                columns=listed(self.header),
                **_unknown(self.header, options),
            )
        self.columns = columns
        if not self.rows:
            raise DataError("{place} has a heading and no rows", place=self.place)

    @staticmethod
    def rows_of(tree: Tree, name: str, first_only: bool = False) -> tuple[list[str], list[tuple[int, list[str]]], str]:
        """The heading in lower case, the rows with their line numbers, and the encoding."""
        place = tree.display(name)
        try:
            content = tree.read(name)
        except OSError as error:
            raise DataError("{place} cannot be read: {reason}", place=place, reason=system_reason(error)) from error
        for encoding in ("utf-8-sig", "cp949"):
            try:
                text = content.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
        else:
            raise DataError("{place} is neither UTF-8 nor cp949 text; save it as UTF-8", place=place)
        first_line = text.split("\n", 1)[0]
        delimiter = max(",\t;", key=first_line.count)
        reader = csv.reader(io.StringIO(first_line if first_only else text, newline=""), delimiter=delimiter)
        try:
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise DataError(
                "{place}, line {line_num}: {error}", place=place, line_num=reader.line_num, error=error
            ) from error
        header = [cell.strip().lower() for cell in lines[0][1]] if lines else []
        return header, lines[1:], "utf-8" if encoding == "utf-8-sig" else encoding

    def listing(self) -> tuple[list[tuple[int, str]], list[Listed]]:
        """Rows whose image does not exist, as (line, cell), and the images of the others in the order of the rows."""
        image_column, label_column, split_column = self.columns.image, self.columns.label, self.columns.split
        finder = Finder(self.tree, self.name)
        missing: list[tuple[int, str]] = []
        images: dict[str, Listed] = {}
        for line, row in self.rows:
            filled = len(row) - next((n for n, cell in enumerate(reversed(row)) if cell.strip()), len(row))
            if len(row) <= max(image_column, label_column, split_column or 0) or filled > len(self.header):
                raise DataError(
                    "{place}, line {line}: {row} cells, expected {header}. A cell that contains the separator must "
                    "be in quotes.",
                    place=self.place,
                    line=line,
                    row=len(row),
                    header=len(self.header),
                )
            cell, label = row[image_column].strip(), row[label_column].strip()
            if not label:
                raise DataError("{place}, line {line}: no label for {cell!r}", place=self.place, line=line, cell=cell)
            name = finder.find(cell, Message("{place}, line {line}", place=self.place, line=line))
            if name is None:
                missing.append((line, cell))
                continue
            entry = Listed(name, label, self._split(row[split_column], line) if split_column is not None else "")
            if name in images and images[name] != entry:
                raise DataError(
                    "{place}, line {line}: {cell!r} was listed before with another label or part",
                    place=self.place,
                    line=line,
                    cell=cell,
                )
            self.repeated += name in images
            images[name] = entry
        splits = Counter(entry.part for entry in images.values())
        if splits[""] and len(splits) > 1:
            raise DataError(
                "{place}: {count} rows have no part, the others do; fill in all of them or none",
                place=self.place,
                count=splits[""],
            )
        return missing, list(images.values())

    def _split(self, cell: str, line: int) -> str:
        word = cell.strip().casefold()
        if word and word not in SPLIT_OF_WORD:
            raise DataError(
                "{place}, line {line}: {cell!r} is no part; expected train, val or test",
                place=self.place,
                line=line,
                cell=cell,
            )
        return SPLIT_OF_WORD.get(word, "")


def columns_of(header: Sequence[str], options: ReadingOptions) -> Columns | None:
    """The columns that the options or usual headings name; None without one for the image or the class."""
    image, label, split = (
        next((header.index(name) for name in ([named.strip().lower()] if named else usual) if name in header), None)
        for named, usual in (
            (options.image_column, IMAGE_COLUMNS),
            (options.label_column, LABEL_COLUMNS),
            (options.split_column, SPLIT_COLUMNS),
        )
    )
    return None if image is None or label is None or image == label else Columns(image, label, split)


def listed(header: Sequence[str]) -> str:
    """The first columns of a heading as a text."""
    shown = [name or "(empty)" for name in header[:12]]
    return ", ".join(shown) + (" ..." if len(header) > 12 else "") if shown else "(none)"


def _unknown(header: Sequence[str], options: ReadingOptions) -> dict[str, object]:
    """What no column of the heading is known to name, and the options that would name it."""
    no_image = options.image_column is None and not set(header) & set(IMAGE_COLUMNS)
    no_label = options.label_column is None and not set(header) & set(LABEL_COLUMNS)
    image, label = Message("the image"), Message("the class")
    if no_image == no_label:
        both = Message(" and ")
        return {
            "what": joined((image, label), both),
            "option": joined(("--image-column", "--label-column"), both),
        }
    return {"what": image if no_image else label, "option": "--image-column" if no_image else "--label-column"}


class Finder:
    """Finds the image that a cell of a table names: by path or by file name, with or without its extension.

    An exact name wins over one without extension. Of several images, those in a folder of the split that the name of
    the table states are preferred: ``train.csv`` means ``train_images/``.
    """

    def __init__(self, tree: Tree, table: str) -> None:
        self.tree, self.folder = tree, str(PurePosixPath(table).parent)
        stated = split_of(PurePosixPath(table).stem)
        self.split = stated[0] if stated else ""
        self.by_path: dict[str, list[str]] = {}
        self.by_name: dict[str, list[str]] = {}
        self.by_stem_path: dict[str, list[str]] = {}
        self.by_stem: dict[str, list[str]] = {}
        for name in filter(is_image_name, tree.files):
            path = PurePosixPath(nfc(name))
            self.by_path.setdefault(str(path), []).append(name)
            self.by_name.setdefault(path.name, []).append(name)
            self.by_stem_path.setdefault(str(path.with_suffix("")), []).append(name)
            self.by_stem.setdefault(path.stem, []).append(name)

    def find(self, cell: str, where: str) -> str | None:
        """The path of the image in the tree, or None.

        Raises:
            DataError: the cell leads outside of the tree, or fits several images.
        """
        wanted = nfc(cell.replace("\\", "/"))
        root = nfc(self.tree.root.resolve().as_posix()) + "/"
        wanted = wanted.removeprefix(root)
        path = PurePosixPath(wanted)
        if path.is_absolute() or ".." in path.parts or wanted[1:2] == ":":
            raise DataError(
                "{where}: {cell!r} lies outside of {root}; only images below it are read",
                where=where,
                cell=cell,
                root=self.tree.root,
            )
        beside = str(PurePosixPath(self.folder) / path)
        for by_path, by_name in ((self.by_path, self.by_name), (self.by_stem_path, self.by_stem)):
            keys = [(by_path, beside), (by_path, str(path))]
            if len(path.parts) == 1:
                keys.append((by_name, path.name))
            for index, key in keys:
                names = self._of_the_split(index.get(key, []))
                if len(names) > 1:
                    raise DataError(
                        "{where}: {cell!r} fits several images ({names})",
                        where=where,
                        cell=cell,
                        names=", ".join(map(printable, names[:3])),
                    )
                if names:
                    return names[0]
        return None

    def _of_the_split(self, names: list[str]) -> list[str]:
        """The names below a folder of the table's split, if there are several names and some are."""
        if len(names) < 2 or not self.split:
            return names
        here = [
            name
            for name in names
            if any((split_of(folder) or ("",))[0] == self.split for folder in PurePosixPath(name).parts[:-1])
        ]
        return here or names
