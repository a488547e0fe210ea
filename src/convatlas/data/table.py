"""A table of labels beside the images: which image each row means, its class, and its part where there is a column."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from convatlas.data.dataset import nfc, printable
from convatlas.data.decode import is_image_name
from convatlas.data.tree import Tree
from convatlas.errors import DataError
from convatlas.message import Message, system_reason

PART_OF_FOLDER = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
FILE_COLUMNS = ("file", "file_name", "filename", "path", "image", "image_id", "id", "img")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "breed")
PART_COLUMNS = ("split", "part", "set", "subset")


@dataclass(frozen=True)
class Listed:
    """An image as the layout lists it: its path in the tree, the class as written, the part or ""."""

    name: str
    label: str
    part: str


class Table:
    """A CSV or TSV of labels; utf-8 with or without a byte-order mark, or cp949 as Korean Excel writes it."""

    def __init__(self, tree: Tree, name: str) -> None:
        self.tree, self.name = tree, name
        self.place = tree.display(name)
        self.header, self.rows, self.encoding = self.rows_of(tree, name)
        self.repeated = 0
        if not self.has_labels(self.header):
            raise DataError(
                "{place} has the columns {columns}; expected one of "
                "{of_image} for the image and one of {of_label} for its class",
                place=self.place,
                columns=", ".join(self.header) or "(none)",
                of_image=", ".join(FILE_COLUMNS),
                of_label=", ".join(LABEL_COLUMNS),
            )
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

    @staticmethod
    def has_labels(header: list[str]) -> bool:
        return any(name in header for name in FILE_COLUMNS) and any(name in header for name in LABEL_COLUMNS)

    def _column(self, known: tuple[str, ...]) -> int | None:
        return next((self.header.index(name) for name in known if name in self.header), None)

    def listing(self) -> tuple[list[tuple[int, str]], list[Listed]]:
        """Rows whose image is not there, as (line, cell); and the others as a listing in the order of the rows."""
        file_column, label_column, part_column = map(self._column, (FILE_COLUMNS, LABEL_COLUMNS, PART_COLUMNS))
        assert file_column is not None
        assert label_column is not None
        finder = Finder(self.tree, str(PurePosixPath(self.name).parent))
        missing: list[tuple[int, str]] = []
        listed: dict[str, Listed] = {}
        for line, row in self.rows:
            if len(row) <= max(file_column, label_column, part_column or 0):
                raise DataError(
                    "{place}, line {line}: {row} cells, expected {header}",
                    place=self.place,
                    line=line,
                    row=len(row),
                    header=len(self.header),
                )
            cell, label = row[file_column].strip(), row[label_column].strip()
            if not label:
                raise DataError("{place}, line {line}: no label for {cell!r}", place=self.place, line=line, cell=cell)
            name = finder.find(cell, Message("{place}, line {line}", place=self.place, line=line))
            if name is None:
                missing.append((line, cell))
                continue
            entry = Listed(name, label, self._part(row[part_column], line) if part_column is not None else "")
            if name in listed and listed[name] != entry:
                raise DataError(
                    "{place}, line {line}: {cell!r} was listed before with another label or part",
                    place=self.place,
                    line=line,
                    cell=cell,
                )
            self.repeated += name in listed
            listed[name] = entry
        parts = Counter(entry.part for entry in listed.values())
        if parts[""] and len(parts) > 1:
            raise DataError(
                "{place}: {count} rows have no part, the others do; fill in all of them or none",
                place=self.place,
                count=parts[""],
            )
        return missing, list(listed.values())

    def _part(self, cell: str, line: int) -> str:
        word = cell.strip().casefold()
        if word and word not in PART_OF_FOLDER:
            raise DataError(
                "{place}, line {line}: {cell!r} is no part; expected train, val or test",
                place=self.place,
                line=line,
                cell=cell,
            )
        return PART_OF_FOLDER.get(word, "")


class Finder:
    """From what a table calls an image to its path: as written, or without the extension, or without the folders."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self.tree, self.folder = tree, folder
        self.by_path: dict[str, list[str]] = {}
        self.by_name: dict[str, list[str]] = {}
        for name in filter(is_image_name, tree.files):
            path = PurePosixPath(nfc(name))
            for index, key in ((self.by_path, path), (self.by_name, PurePosixPath(path.name))):
                index.setdefault(str(key), []).append(name)
                index.setdefault(str(key.with_suffix("")), []).append(name)

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
        keys = (
            (self.by_path, str(PurePosixPath(self.folder) / path)),
            (self.by_path, str(path)),
            (self.by_name, path.name),
        )
        for index, key in keys if len(path.parts) == 1 else keys[:2]:
            found = index.get(key, [])
            if len(found) > 1:
                raise DataError(
                    "{where}: {cell!r} fits several images ({found})",
                    where=where,
                    cell=cell,
                    found=", ".join(map(printable, found[:3])),
                )
            if found:
                return found[0]
        return None
