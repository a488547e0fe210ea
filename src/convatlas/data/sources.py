"""What does this folder hold? ``open_data`` looks, says what it found, and never moves or renames anything."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from convatlas.data import arrays
from convatlas.data.dataset import Dataset, FileImages, Problem, nfc, printable
from convatlas.data.decode import Header, UnreadableImage, is_image_name, read_header
from convatlas.data.hub import HubTree
from convatlas.data.shards import CLASS_NAMES, TarTree, are_labelled, class_names, samples, shards_of
from convatlas.data.table import PART_OF_FOLDER, Listed, Table
from convatlas.data.tree import FolderTree, Tree, ZipTree
from convatlas.data.workers import Result, decode_files
from convatlas.errors import BadImageError, DataError, UsageError
from convatlas.message import Message, system_reason

OnBad = Literal["fail", "skip"]
Progress = Callable[[int, int], None]  # (done, total)

LAYOUTS_IN_WORDS = Message(
    "one folder per class; train/, val/, test/ of such folders; a CSV of file,label[,split]; IDX files as of MNIST; "
    "CIFAR's binary batches; a zip of any of these; tar shards of WebDataset; or hf:ID of Hugging Face"
)


def open_data(
    source: str | Path,
    *,
    on_bad: OnBad = "fail",
    max_bad: float = 0.05,
    verify: bool = False,
    download: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Open a data set: ``"digits"``, a path whose layout is detected, ``"a-{000000..000003}.tar"``, or ``"hf:ID"``.

    Args:
        on_bad: what a damaged image does. ``fail`` stops and names it. ``skip`` decodes every image once now, leaves
            the damaged ones out and lists them in ``problems``.
        max_bad: the largest share of images that ``skip`` may leave out.
        verify: decode every image once under ``fail`` too, so that a file cut short is found now and not later.
        download: whether the network may be used; only ``hf:`` would.
        progress: called with (done, total) while the images are looked at.
    Raises:
        DataError: nothing there, no layout recognised, an empty class, one class only, a damaged file.
    """
    if on_bad not in ("fail", "skip"):
        raise UsageError("on_bad is {on_bad!r}; expected 'fail' or 'skip'", on_bad=on_bad)
    if not 0 <= max_bad <= 1:
        raise UsageError("max_bad is {max_bad}; expected a share from 0 to 1", max_bad=max_bad)
    if str(source) == "digits":  # always the embedded ones; a folder of that name is ./digits
        return arrays.digits()
    source = whole_name(str(source))
    reader = _Reader(source, on_bad, max_bad, verify or on_bad == "skip", progress)
    if source.startswith("hf:"):
        return reader.hub(HubTree(source.removeprefix("hf:"), download=download))
    shards = shards_of(source)
    path = Path(source).expanduser()
    if shards is None and not path.exists():
        raise DataError(
            "there is no {path}. Pass a folder or file that exists ({layouts_in_words}), "
            "or 'digits', which is embedded.",
            path=path,
            layouts_in_words=LAYOUTS_IN_WORDS,
        )
    if path.is_dir():
        folder = FolderTree(path)
        alone = shards is not None and not any(map(is_image_name, folder.files))
        return reader.shards(shards) if shards is not None and alone else reader.detect(folder)
    if shards is not None:
        return reader.shards(shards)
    if path.suffix.lower() == ".zip":
        return reader.detect(ZipTree(path), "zip of ")
    if path.suffix.lower() in (".csv", ".tsv"):
        return reader.table(FolderTree(path.parent), path.name)
    if arrays.IDX_NAME.match(path.name) or path.suffix == ".bin":
        raise DataError("{path} is one file of a data set; pass its folder, {parent}", path=path, parent=path.parent)
    raise DataError(
        "{path} is not a data set that is read here: {layouts_in_words}", path=path, layouts_in_words=LAYOUTS_IN_WORDS
    )


def whole_name(source: str) -> str:
    """A source of several files under a name that means the same in any working directory: a run is resumed by it."""
    if source.startswith("hf:") and Path(source[3:]).expanduser().exists():
        return f"hf:{Path(source[3:]).expanduser().resolve()}"
    return str(Path(source).expanduser().absolute()) if "{" in source and not Path(source).exists() else source


class _Reader:
    """One reading of one source: finds the layout, lists the images, applies the policy for damaged ones."""

    def __init__(self, source: str, on_bad: OnBad, max_bad: float, verify: bool, progress: Progress | None) -> None:
        self.source, self.on_bad, self.max_bad = source, on_bad, max_bad
        self.verify, self.progress = verify, progress
        self.notes: list[str] = []

    # --- which layout is it? ------------------------------------------------------------------------------------

    def detect(self, tree: Tree, prefix: str = "") -> Dataset:
        """The data set in ``tree``; ``prefix`` goes before the layout's name, for archives."""
        base = ""
        while True:
            level = _Level(tree, base)
            data = self._detect_here(level, prefix)
            if data is not None:
                return data
            # a wrapper, as archives have: one folder that holds everything
            wrapper = level.only_folder()
            if wrapper is None:
                raise self._nothing_recognised(tree, level)
            base = f"{base}{wrapper}/"

    def _detect_here(self, level: _Level, prefix: str) -> Dataset | None:
        tree = level.tree
        for pattern, open_arrays in (
            (arrays.IDX_NAME, arrays.open_idx),
            (arrays.CIFAR10_NAME, arrays.open_cifar10),
            (arrays.CIFAR100_NAME, arrays.open_cifar100),
        ):
            names = [level.base + name for name in level.direct if pattern.match(name)]
            if names:
                data = open_arrays(self.source, tree, names)
                return dataclasses.replace(data, layout=prefix + data.layout)
        if any(arrays.CIFAR_PICKLE_NAME.match(name) for name in level.direct):
            raise DataError(
                "{source} holds CIFAR's python batches, which are pickles: a pickle can run code, "
                "so none is opened. "
                "Get the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz) and pass its folder.",
                source=self.source,
            )
        if level.has_split_folders():
            return self._split_folders(level, prefix)
        tables = self._tables(level)
        # with a table of labels, one folder is where the images lie and not their only class
        if level.has_class_folders(at_least=2 if tables else 1):
            if tables:
                self.notes.append(
                    Message(
                        "{table} was not used: the folders name the classes. Pass the file itself to use it.",
                        table=tables[0],
                    )
                )
            return self._class_folders(level, prefix)
        if len(tables) > 1:
            raise DataError(
                "{source} has several tables of labels ({tables}); pass the one you mean",
                source=self.source,
                tables=", ".join(tables),
            )
        return self.table(tree, level.base + tables[0], prefix) if tables else None

    def _nothing_recognised(self, tree: Tree, level: _Level) -> DataError:
        images = sum(is_image_name(name) for name in tree.files)
        if not tree.files:
            return DataError(
                "{source} is empty. Layouts that are read: {layouts_in_words}.",
                source=self.source,
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        if not images:
            return DataError(
                "{source} holds {files} files and none of them is an image by its extension "
                "({endings}). Layouts that are read: {layouts_in_words}.",
                source=self.source,
                files=len(tree.files),
                endings=_extensions(tree.files),
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        unlabelled = [folder for folder in level.top_folders if folder.casefold() in PART_OF_FOLDER]
        if unlabelled:
            return DataError(
                "{source}: {first}/ holds images without class folders, and there is no table of labels. "
                "Layouts that are read: {layouts_in_words}.",
                source=self.source,
                first=unlabelled[0],
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        return DataError(
            "{source} holds {images} images and nothing that says their classes. "
            "Layouts that are read: {layouts_in_words}.",
            source=self.source,
            images=images,
            layouts_in_words=LAYOUTS_IN_WORDS,
        )

    # --- folders --------------------------------------------------------------------------------------------------

    def _class_folders(self, level: _Level, prefix: str) -> Dataset:
        listing = [Listed(name, level.top(name), "") for name in level.images if "/" in level.relative(name)]
        stray = sum("/" not in level.relative(name) for name in level.images)
        if stray:
            self.notes.append(
                Message("{n} images lie beside the class folders and belong to no class: left out", n=stray)
            )
        return self._from_listing(level, prefix + "class folders", listing, level.top_folders)

    def _split_folders(self, level: _Level, prefix: str) -> Dataset:
        listing, folders, unlabelled = [], set(), Counter[str]()
        for name in level.images:
            top, *middle, _ = level.relative(name).split("/") if "/" in level.relative(name) else ("", "")
            part = PART_OF_FOLDER.get(top.casefold())
            if part and middle:
                listing.append(Listed(name, middle[0], part))
            elif part:
                unlabelled[top] += 1
        for folder in level.folders:
            top, *rest = folder.split("/")
            if top.casefold() in PART_OF_FOLDER and len(rest) == 1:
                folders.add(rest[0])
        for top, count in unlabelled.items():
            self.notes.append(
                Message("{folder}/ holds {n} images outside of any class folder: left out", folder=top, n=count)
            )
        others = [folder for folder in level.top_folders if folder.casefold() not in PART_OF_FOLDER]
        if others:
            self.notes.append(
                Message(
                    "folders that are no part of the split were left out: {folders}",
                    folders=", ".join(map(printable, others)),
                )
            )
        return self._from_listing(level, prefix + "split folders", listing, sorted(folders))

    # --- tables -----------------------------------------------------------------------------------------------------

    def _tables(self, level: _Level) -> list[str]:
        return [
            name
            for name in level.direct
            if Path(name).suffix.lower() in (".csv", ".tsv")
            and Table.has_labels(Table.rows_of(level.tree, level.base + name, first_only=True)[0])
        ]

    def table(self, tree: Tree, name: str, prefix: str = "") -> Dataset:
        """The data set of a table of file, label and perhaps split; files are looked for below the table's folder."""
        table = Table(tree, name)
        if table.encoding != "utf-8":
            self.notes.append(Message("{name} is encoded in {encoding}", name=name, encoding=table.encoding))
        missing, listing = table.listing()
        for row, cell in missing[:1] if self.on_bad == "fail" else ():
            raise DataError(
                "{place}, row {row}: there is no image {cell!r} below {root}. "
                "Correct the row, or pass --on-bad skip to leave such rows out.",
                place=tree.display(name),
                row=row,
                cell=cell,
                root=tree.root,
            )
        gone = [
            Problem(None, cell, Message("row {row} of {name} names it, and there is no such image", row=row, name=name))
            for row, cell in missing
        ]
        if table.repeated:
            self.notes.append(Message("{n} rows repeat an earlier one: counted once", n=table.repeated))
        return self._from_listing(_Level(tree, ""), prefix + "csv", listing, [], gone)

    # --- shards and hubs --------------------------------------------------------------------------------------------

    def shards(self, tree: TarTree) -> Dataset:
        """The data set of tar shards; a single tar may be any of the layouts that a zip may be."""
        if len(tree.shards) == 1 and not are_labelled(tree):
            return self.detect(tree, "tar of ")
        names = class_names(tree)
        found = samples(tree, PART_OF_FOLDER)
        for sample in found if names else ():
            if sample.label not in names and not (sample.label.isdecimal() and int(sample.label) < len(names)):
                raise DataError(
                    "{place}: its label {label!r} is none of the {names} classes of {class_names}",
                    place=tree.display(sample.name),
                    label=sample.label,
                    names=len(names),
                    class_names=CLASS_NAMES,
                )
        listing = [
            Listed(
                sample.name,
                names[int(sample.label)] if names and sample.label not in names else sample.label,
                sample.part,
            )
            for sample in found
        ]
        return self._from_listing(_Level(tree, ""), "tar shards", listing, [], order=names)

    def hub(self, tree: HubTree) -> Dataset:
        """The data set of a Hugging Face source: its parts are the layout's, its classes in their own order."""
        self.notes += tree.notes
        others = [part for part in tree.parts if part not in PART_OF_FOLDER]
        if 0 < len(others) < len(tree.parts):
            self.notes.append(
                Message("parts that are no part of a split were left out: {names}", names=", ".join(others))
            )
            tree = tree.without(others)
        listing = [Listed(name, label, PART_OF_FOLDER.get(part, "")) for name, label, part in tree.rows()]
        return self._from_listing(_Level(tree, ""), "hugging face", listing, [], order=tree.classes)

    # --- from a listing to a data set -----------------------------------------------------------------------------

    def _from_listing(
        self,
        level: _Level,
        layout: str,
        listing: list[Listed],
        folders: Iterable[str],
        gone: Iterable[Problem] = (),
        order: Sequence[str] = (),
    ) -> Dataset:
        """``gone`` are rows without an image; ``order`` is that of the classes, where the source has one."""
        tree = level.tree
        problems = [*gone, *self._refused(tree)]
        sizes, grey, kept = [], True, []
        for index, (listed, found) in enumerate(zip(listing, self._looked_at(tree, listing), strict=True)):
            if isinstance(found, str):
                if self.on_bad == "fail":
                    raise BadImageError(tree.display(listed.name), found, index)
                problems.append(Problem(index, listed.name, found))
                continue
            kept.append(listed)
            sizes.append((found.height, found.width))
            grey = grey and found.grey
        self._stop_above_limit(problems, len(listing) + len(problems) - sum(p.index is not None for p in problems))
        classes = self._classes(level, listing, kept, folders, order)
        place = {name: k for k, name in enumerate(classes)}
        left_out = [name for name in tree.files if name.startswith(level.base) and not is_image_name(name)]
        if layout not in ("csv", "tar shards", "hugging face") and left_out:
            self.notes.append(
                Message(
                    "{n} files are no images by their extension ({endings}): left out",
                    n=len(left_out),
                    endings=_extensions(left_out),
                )
            )
        return Dataset(
            source=self.source,
            layout=layout,
            classes=classes,
            labels=np.array([place[nfc(listed.label)] for listed in kept], dtype=np.int64),
            names=tuple(listed.name for listed in kept),
            parts=np.array([listed.part for listed in kept], dtype="<U5"),
            images=FileImages(
                tree, [listed.name for listed in kept], np.array(sizes, dtype=np.int32), 1 if grey else 3
            ),
            problems=problems,
            notes=self.notes,
        )

    def _looked_at(self, tree: Tree, listing: list[Listed]) -> Iterable[Header | str]:
        """Each image's header, or why it has none; to verify, the whole image is decoded to find out."""
        found: list[Header | str] = [""] * len(listing)
        if self.verify:
            results = decode_files(tree, [listed.name for listed in listing], None)
        else:
            results = ((index, _header(tree, listed.name)) for index, listed in enumerate(listing))
        for done, (index, result) in enumerate(results, start=1):
            assert isinstance(result, Header | str)
            found[index] = result
            if self.progress is not None:
                self.progress(done, len(listing))
        return found

    def _refused(self, tree: Tree) -> list[Problem]:
        refused = [Problem(None, name, reason) for name, reason in tree.refused.items()]
        if refused and self.on_bad == "fail":
            raise BadImageError(tree.display(refused[0].name), refused[0].reason)
        return refused

    def _stop_above_limit(self, problems: list[Problem], total: int) -> None:
        if len(problems) > self.max_bad * total:
            first = problems[0]
            raise DataError(
                "{source}: {problems} of {total} images cannot be read, more than the limit of "
                "{max_bad:.0%}. The first is {name}: {reason}. "
                "Repair the data, or raise the limit with --max-bad.",
                source=self.source,
                problems=len(problems),
                total=total,
                max_bad=self.max_bad,
                name=printable(first.name),
                reason=first.reason,
            )

    def _classes(
        self, level: _Level, listing: list[Listed], kept: list[Listed], folders: Iterable[str], order: Sequence[str]
    ) -> tuple[str, ...]:
        found = {nfc(listed.label) for listed in kept}
        empty = sorted({nfc(folder) for folder in folders} - found)
        if empty:
            place = level.tree.display(level.base.rstrip("/"))
            had = sum(nfc(listed.label) == empty[0] for listed in listing)
            unread = Message("none of its {n} images can be read", n=had)
            why = unread if had else Message("no image in it by its extension")
            raise DataError(
                "class {name!r} of {place} is empty: {why}. Put images there, or remove the folder.",
                name=printable(empty[0]),
                place=place,
                why=why,
            )
        untrained = found - {nfc(listed.label) for listed in kept if listed.part in ("train", "")}
        if untrained:
            raise DataError(
                "class {name!r} of {source} has no training image, only others. Give it some, or remove it.",
                name=printable(min(untrained)),
                source=self.source,
            )
        if len(found) < 2:
            only = printable(next(iter(found))) if found else "none"
            raise DataError(
                "{source} has one class only ({only}); a classifier needs two or more. "
                "Pass the folder that holds one folder per class.",
                source=self.source,
                only=only,
            )
        for part in sorted({listed.part for listed in kept} - {"train", ""}):
            absent = sorted(found - {nfc(listed.label) for listed in kept if listed.part == part})
            if absent:
                named = ", ".join(map(printable, absent))
                self.notes.append(Message("{part} has no image of {classes}", part=part, classes=named))
        if order:
            unused = len(order) - len(found)
            if unused:
                unseen = Message(
                    "{n} of the {all} classes named have no image here: left out", n=unused, all=len(order)
                )
                self.notes.append(unseen)
            return tuple(name for name in map(nfc, order) if name in found)
        return tuple(sorted(found, key=_class_order(found)))


class _Level:
    """A tree seen from one of its folders; ``base`` ends with a slash, or is empty at the root."""

    def __init__(self, tree: Tree, base: str) -> None:
        self.tree, self.base = tree, base
        below = [name for name in tree.files if name.startswith(base)]
        self.direct = [self.relative(name) for name in below if "/" not in self.relative(name)]
        self.images = [name for name in below if is_image_name(name)]
        self.folders = [self.relative(folder) for folder in tree.folders if folder.startswith(base)]
        self.top_folders = [folder for folder in self.folders if "/" not in folder]
        self._with_images = {self.top(name) for name in self.images if "/" in self.relative(name)}

    def relative(self, name: str) -> str:
        return name[len(self.base) :]

    def top(self, name: str) -> str:
        return self.relative(name).split("/", 1)[0]

    def _holds_images_itself(self, folder: str) -> bool:
        start = f"{self.base}{folder}/"
        return any(name.startswith(start) and "/" not in name[len(start) :] for name in self.images)

    def _has_folders(self, folder: str) -> bool:
        return any(other.startswith(folder + "/") for other in self.folders)

    def has_split_folders(self) -> bool:
        """A train folder made of class folders: a class that is called "train" holds images itself."""
        return any(
            PART_OF_FOLDER.get(folder.casefold()) == "train"
            and self._has_folders(folder)
            and not self._holds_images_itself(folder)
            for folder in self.top_folders
        )

    def has_class_folders(self, at_least: int) -> bool:
        """Folders with images, not all of them called as the parts of a split are, and no mere wrapper."""
        if all(folder.casefold() in PART_OF_FOLDER for folder in self._with_images):
            return False
        return len(self._with_images) >= at_least and self.only_folder() is None

    def only_folder(self) -> str | None:
        """The one folder that holds everything there is, if it has folders or no images of its own."""
        if len(self.top_folders) != 1 or any("/" not in self.relative(name) for name in self.images):
            return None
        folder = self.top_folders[0]
        return None if self._holds_images_itself(folder) and not self._has_folders(folder) else folder


def _header(tree: Tree, name: str) -> Result:
    try:
        with tree.open(name) as file:
            return read_header(file)
    except OSError as error:
        return system_reason(error)
    except UnreadableImage as error:
        return error.message


def _class_order(names: Iterable[str]) -> Callable[[str], tuple[int, str]]:
    """Whole numbers in their order, other names alphabetically."""
    if all(name.isascii() and name.isdigit() for name in names):
        return lambda name: (int(name), name)
    return lambda name: (0, name)


def _extensions(names: Iterable[str]) -> str:
    counts = Counter(Path(name).suffix.lower() or "none" for name in names)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
