"""A table of labels: for each row the image, its class, and its split if the table has a column for it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from convatlas.data.dataset import nfc, printable
from convatlas.data.decode import is_image_name
from convatlas.data.folders import SPLIT_OF_WORD, split_of
from convatlas.data.reading import ReadingOptions
from convatlas.data.tree import Tree
from convatlas.errors import DataError
from convatlas.message import Message, joined, system_reason

# usual headings, in order of preference; compared without underscores, hyphens and spaces
IMAGE_COLUMNS = (
    "file", "file_name", "path", "image", "image_id", "id", "img",
    "filepath", "filepaths", "filenames", "image_path", "img_path", "image_file", "image_filename", "image_name",
    "img_name", "img_id", "id_code", "fname", "photo", "picture",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "class", "class_name", "category", "target", "breed",
    "labels", "label_name", "category_name", "diagnosis", "species", "dx", "disease", "variety",
    "cultivar", "family", "genus", "emotion", "label_id", "class_id", "category_id",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "part", "set", "subset")
TABLES = (".csv", ".tsv", ".txt")
SEPARATORS = ",\t;|"
_FILLING = str.maketrans("", "", "_- ")
_ZERO, _ONE = frozenset({"0", "0.0", "false"}), frozenset({"1", "1.0", "true"})
_BETWEEN_LABELS = re.compile(r"[\s,;|]+")


@dataclass(frozen=True)
class Listed:
    """An image of a layout: its path in the tree, its class as written, its split or ""."""

    name: str
    label: str
    part: str


@dataclass(frozen=True)
class Fault:
    """A row that names no image, or not exactly one label."""

    line: int
    cell: str
    reason: Message
    error: DataError


@dataclass(frozen=True)
class Columns:
    """The places of the columns of image, label and split in a heading; None for a split that is not stated.

    ``labels`` holds one column, or a column of 0 and 1 for each class.
    """

    image: int
    labels: tuple[int, ...]
    split: int | None

    @property
    def last(self) -> int:
        return max(self.image, *self.labels, self.split or 0)


@dataclass(frozen=True)
class Cells:
    """A table as it was read: heading in lower case and as written, rows with their line numbers, encoding."""

    header: list[str]
    written: list[str]
    rows: list[tuple[int, list[str]]]
    encoding: str
    has_heading: bool = True


class Table:
    """A table of labels: CSV or TSV, or a text of lines ``path class``.

    It is in UTF-8 with or without a byte-order mark, or in cp949 as Korean Excel writes it. A table whose first row
    names an image has no heading: its columns are image, class and, if it has three, split.

    Attributes:
        notes: what a user should know of how it was read.
    Raises:
        DataError: unreadable, without rows, or without a column for the image or for the class.
    """

    def __init__(self, tree: Tree, name: str, options: ReadingOptions = ReadingOptions()) -> None:  # noqa: B008
        self.tree, self.name = tree, name
        self.place = tree.display(name)
        cells = cells_of(tree, name)
        self.header, self.rows, self.encoding = cells.header, cells.rows, cells.encoding
        self.written = cells.written
        self.repeated = 0
        self.notes: list[Message] = []
        for option, column in (
            ("--image-column", options.image_column),
            ("--label-column", options.label_column),
            ("--split-column", options.split_column),
        ):
            if column is not None and not _places(self.header, column):
                raise DataError(
                    "{place} has no column {column!r}, which {option} names; its columns are {columns}",
                    place=self.place,
                    column=column,
                    option=option,
                    columns=listed(self.header),
                )
        columns = columns_of(cells, options)
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
        if not cells.has_heading:
            self.notes.append(
                Message("{table} has no heading: its first column is taken as the image, its second as the class",
                        table=name)
            )  # fmt: skip
        if len(columns.labels) > 1:
            named = listed([self.written[place] for place in columns.labels])
            self.notes.append(
                Message("{table}: the columns {columns} hold 1 for the class of a row and 0 for the others",
                        table=name, columns=named)
            )  # fmt: skip

    def listing(self) -> tuple[list[Fault], list[Listed]]:
        """Rows without an image or a label, and the images of the others in the order of the rows."""
        image_column, split_column = self.columns.image, self.columns.split
        finder = Finder(self.tree, self.name)
        faults: list[Fault] = []
        images: dict[str, Listed] = {}
        for line, row in self.rows:
            filled = len(row) - next((n for n, cell in enumerate(reversed(row)) if cell.strip()), len(row))
            if len(row) <= self.columns.last or filled > len(self.header):
                raise DataError(
                    "{place}, line {line}: {row} cells, expected {header}. A cell that contains the separator must "
                    "be in quotes.",
                    place=self.place,
                    line=line,
                    row=len(row),
                    header=len(self.header),
                )
            cell = row[image_column].strip()
            label = self._label(line, cell, row)
            name = finder.find(cell, Message("{place}, line {line}", place=self.place, line=line))
            if name is None:
                faults.append(self._without_image(line, cell))
                continue
            if isinstance(label, Fault):
                faults.append(label)
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
        if finder.elsewhere:
            self.notes.append(
                Message("{n} rows of {table} name their image by a path of another place: found by the end of the path",
                        n=finder.elsewhere, table=self.name)
            )  # fmt: skip
        self._note_lists(Counter(entry.label for entry in images.values()))
        return faults, list(images.values())

    def _without_image(self, line: int, cell: str) -> Fault:
        error = DataError(
            "{place}, row {row}: there is no image {cell!r} below {root}. "
            "Correct the row, or pass --on-bad skip to leave such rows out.",
            place=self.place,
            row=line,
            cell=cell,
            root=self.tree.root,
        )
        reason = Message("row {row} of {name} names it, and there is no such image", row=line, name=self.name)
        return Fault(line, cell, reason, error)

    def _label(self, line: int, cell: str, row: Sequence[str]) -> str | Fault:
        """The class of a row; a fault if it has none, or several."""
        places = self.columns.labels
        if len(places) == 1:
            label = row[places[0]].strip()
            if label:
                return label
            error = DataError(
                "{place}, line {line}: no label for {cell!r}. Fill it in, or pass --on-bad skip to leave such rows "
                "out.",
                place=self.place,
                line=line,
                cell=cell,
            )
            return Fault(
                line, cell, Message("row {row} of {name} has no label for it", row=line, name=self.name), error
            )
        ones = []
        for place in places:
            value = row[place].strip().casefold()
            if value in _ONE:
                ones.append(self.written[place])
            elif value not in _ZERO:
                raise DataError(
                    "{place}, line {line}: {value!r} in the column {column}; expected 0 or 1",
                    place=self.place,
                    line=line,
                    value=row[place],
                    column=self.written[place],
                )
        if len(ones) == 1:
            return ones[0]
        error = DataError(
            "{place}, line {line}: {cell!r} has {n} labels ({labels}) in the columns {columns}; a classifier needs "
            "exactly one 1. Pass --on-bad skip to leave such rows out, or name the columns of the classes with "
            "--label-column, commas between them.",
            place=self.place,
            line=line,
            cell=cell,
            n=len(ones),
            labels=", ".join(ones) or Message("none"),
            columns=listed([self.written[place] for place in places]),
        )
        reason = Message("row {row} of {name} has {n} labels for it", row=line, name=self.name, n=len(ones))
        return Fault(line, cell, reason, error)

    def _note_lists(self, labels: Counter[str]) -> None:
        """A note if labels are lists of other labels, as ``16 0`` is where 16 and 0 are classes too."""
        lists = {
            label: count
            for label, count in labels.items()
            if len(parts := [part for part in _BETWEEN_LABELS.split(label) if part]) > 1
            and all(part in labels for part in parts)
        }
        if lists:
            first = next(iter(lists))
            self.notes.append(
                Message(
                    "{n} rows of {table} seem to have several labels, such as {first!r}: such a list is taken as a "
                    "class of its own, since an image has one class here",
                    n=sum(lists.values()),
                    table=self.name,
                    first=first,
                )
            )

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


def cells_of(tree: Tree, name: str, first_only: bool = False) -> Cells:
    """The cells of a table, or those of its first line.

    Raises:
        DataError: it cannot be read, or is no text.
    """
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
    delimiter = max(SEPARATORS, key=first_line.count)
    if name.lower().endswith(".txt") and delimiter not in first_line:
        split = [first_line] if first_only else text.splitlines()
        lines = [(number, line.rsplit(None, 1)) for number, line in enumerate(split, start=1) if line.strip()]
    else:
        reader = csv.reader(io.StringIO(first_line if first_only else text, newline=""), delimiter=delimiter)
        try:
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise DataError(
                "{place}, line {line_num}: {error}", place=place, line_num=reader.line_num, error=error
            ) from error
    written = [cell.strip() for cell in lines[0][1]] if lines else []
    named = "utf-8" if encoding == "utf-8-sig" else encoding
    if _is_row(written):
        heading = ["image", "label", "split"][: len(written)]
        return Cells(heading, heading, lines, named, has_heading=False)
    return Cells([cell.lower() for cell in written], written, lines[1:], named)


def look_at(tree: Tree, name: str, options: ReadingOptions) -> tuple[list[str], bool]:
    """The heading of a table, and whether the columns of image and class are known.

    The whole table is read only where its heading names the images alone: its other columns may hold 0 and 1.
    """
    cells = cells_of(tree, name, first_only=True)
    if columns_of(cells, options) is not None:
        return cells.header, True
    if options.label_column or not (options.image_column or _usual(cells.header, IMAGE_COLUMNS)):
        return cells.header, False
    return cells.header, columns_of(cells_of(tree, name), options) is not None


def _is_row(cells: Sequence[str]) -> bool:
    """Whether the first line of a table is a row and no heading: two or three cells, an image first."""
    if len(cells) not in (2, 3) or not is_image_name(cells[0]):
        return False
    return len(cells) == 2 or cells[2].casefold() in SPLIT_OF_WORD


def columns_of(cells: Cells, options: ReadingOptions) -> Columns | None:
    """The columns that the options or usual headings name; None without one for the image or the class.

    Without a column of classes, two or more columns of 0 and 1 are the classes.
    """
    header = cells.header
    image, label, split = (
        _places(header, named) if named else _usual(header, usual)
        for named, usual in (
            (options.image_column, IMAGE_COLUMNS),
            (options.label_column, LABEL_COLUMNS),
            (options.split_column, SPLIT_COLUMNS),
        )
    )
    if len(image) != 1:
        return None
    if not label and not options.label_column:
        label = _columns_of_zero_and_one(cells, {*image, *split})
    return None if not label or image[0] in label else Columns(image[0], label, split[0] if split else None)


def _usual(header: Sequence[str], usual: Sequence[str]) -> tuple[int, ...]:
    """The place of the first usual heading that the header has; () without one."""
    plain = [name.translate(_FILLING) for name in header]
    return next(((plain.index(name),) for name in (each.translate(_FILLING) for each in usual) if name in plain), ())


def _places(header: Sequence[str], named: str) -> tuple[int, ...]:
    """The place of a named column, or of several with commas between them; () if one is not there."""
    if named.strip().lower() in header:
        return (header.index(named.strip().lower()),)
    names = [each.strip().lower() for each in named.split(",")]
    return tuple(map(header.index, names)) if len(names) > 1 and all(name in header for name in names) else ()


def _columns_of_zero_and_one(cells: Cells, others: set[int]) -> tuple[int, ...]:
    """The places of two or more columns that hold nothing but 0 and 1 and have a heading; () for fewer."""
    known = _ZERO | _ONE
    places = tuple(
        place
        for place, name in enumerate(cells.header)
        if name
        and place not in others
        and cells.rows
        and all(place < len(row) and row[place].strip().casefold() in known for _, row in cells.rows)
    )
    return places if len(places) > 1 else ()


def listed(header: Sequence[str]) -> str:
    """The first columns of a heading as a text."""
    shown = [name or "(empty)" for name in header[:12]]
    return ", ".join(shown) + (" ..." if len(header) > 12 else "") if shown else "(none)"


def _unknown(header: Sequence[str], options: ReadingOptions) -> dict[str, object]:
    """What no column of the heading is known to name, and the options that would name it."""
    no_image = options.image_column is None and not _usual(header, IMAGE_COLUMNS)
    no_label = options.label_column is None and not _usual(header, LABEL_COLUMNS)
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
    the table states are preferred: ``train.csv`` means ``train_images/``. A path that begins elsewhere, as on the
    machine where the table was written, is found by its end.

    Attributes:
        elsewhere: how many cells were paths of another place.
    """

    def __init__(self, tree: Tree, table: str) -> None:
        self.tree, self.folder = tree, str(PurePosixPath(table).parent)
        stated = split_of(PurePosixPath(table).stem)
        self.split = stated[0] if stated else ""
        self.root = nfc(tree.root.resolve().as_posix()) + "/"
        self.elsewhere = 0
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
        wanted = wanted.removeprefix(self.root)
        path = PurePosixPath(wanted)
        if path.is_absolute() or ".." in path.parts or wanted[1:2] == ":":
            name = self._by_end(path, cell, where)
            if name is not None:
                self.elsewhere += 1
                return name
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
                if names:
                    return self._only(names, cell, where)
        return self._by_end(path, cell, where) if len(path.parts) > 1 else None

    def _by_end(self, path: PurePosixPath, cell: str, where: str) -> str | None:
        """The image whose path ends as the given path does, by as many folders as possible."""
        parts = [part for part in path.parts if part not in ("..", "/") and not part.endswith(":")]
        for index in self._ends:
            for count in range(len(parts), 0, -1):
                names = index.get("/".join(parts[-count:]), [])
                if names and (count > 1 or not self._of_another_split(names, parts)):
                    return self._only(self._of_the_split(names), cell, where)
        return None

    @cached_property
    def _ends(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The images by every end of their paths, such as a/0.png and 0.png; with and without the extension."""
        indices: tuple[dict[str, list[str]], dict[str, list[str]]] = {}, {}
        for by_path, index in zip((self.by_path, self.by_stem_path), indices, strict=True):
            for path, names in by_path.items():
                parts = path.split("/")
                for count in range(1, len(parts) + 1):
                    index.setdefault("/".join(parts[-count:]), []).extend(names)
        return indices

    @staticmethod
    def _of_another_split(names: list[str], parts: list[str]) -> bool:
        """Whether the folders of the path state a split, and those of the images another one."""
        stated = {split_of(folder) for folder in parts[:-1]} - {None}
        here = {split_of(folder) for name in names for folder in PurePosixPath(name).parts[:-1]} - {None}
        return bool(stated and here) and {each[0] for each in stated if each} != {each[0] for each in here if each}

    def _only(self, names: list[str], cell: str, where: str) -> str:
        if len(names) > 1:
            raise DataError(
                "{where}: {cell!r} fits several images ({names})",
                where=where,
                cell=cell,
                names=", ".join(map(printable, names[:3])),
            )
        return names[0]

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
