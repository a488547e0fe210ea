"""`open_data`: detects the layout of a folder, archive or table and lists its images; moves and renames nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from convatlas.data import arrays, known_layouts, pickles
from convatlas.data.dataset import Dataset, FileImages, Problem, nfc, printable
from convatlas.data.decode import Header, UnreadableImage, is_image_name, not_opened, read_header
from convatlas.data.folders import NEUTRAL_WORDS, SPLIT_OF_WORD, FolderView, class_of_file, split_of, words
from convatlas.data.hub import HubTree
from convatlas.data.reading import ReadingOptions
from convatlas.data.shards import CLASS_NAMES, TarTree, are_labelled, class_names, samples, shards_of
from convatlas.data.split import without_rare_classes
from convatlas.data.table import TABLES, Listed, Table, listed, look_at
from convatlas.data.tree import FolderTree, Tree, ZipTree
from convatlas.data.workers import Result, decode_files
from convatlas.errors import BadImageError, DataError, UsageError
from convatlas.message import Message, joined, system_reason

OnBad = Literal["fail", "skip"]
Progress = Callable[[int, int], None]  # (done, total)

LAYOUTS_IN_WORDS = Message(
    "one folder per class; train/, val/, test/ of such folders; a CSV of file,label[,split]; IDX files as of MNIST; "
    "CIFAR's binary or python batches; CUB-200; Tiny ImageNet; a zip of any of these; tar shards of WebDataset; or "
    "hf:ID of Hugging Face"
)
BITS_OF_PEAK = 4096  # 16-bit files whose largest value is below this use 12 bits or fewer
DESCRIPTIONS = (".yaml", ".yml", ".json")
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".parquet")


def open_data(
    source: str | Path,
    *,
    on_bad: OnBad = "fail",
    max_bad: float = 0.05,
    verify: bool = False,
    download: bool = False,
    progress: Progress | None = None,
    collect_faults: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    class_from: str = "auto",
    follow_links: bool = False,
    rare: str = "refuse",
) -> Dataset:
    """Open a data set: ``"digits"``, a path whose layout is detected, ``"a-{000000..000003}.tar"``, or ``"hf:ID"``.

    Args:
        on_bad: what happens to an image that cannot be read: ``fail`` raises an error that names it. ``skip`` decodes
            every image once, leaves out those that cannot be read and lists them in ``problems``.
        max_bad: the largest share of images that ``skip`` may leave out.
        verify: decode every image once under ``fail`` too, so that damage is noticed now and not during training.
        download: whether ``hf:`` may use the network.
        progress: called with (done, total) while the images are read.
        collect_faults: list every fault of the data in ``Dataset.faults`` instead of raising the first.
        image_column, label_column, split_column: columns of a table of labels; by default those with usual headings.
            ``label_column`` may be several names with commas between them, of columns of 0 and 1.
        class_from: what states the class of an image: "folder", the folder it lies in; "top-folder", the topmost
            folder; "file-name", the text before the first number of its name; "auto", what the layout suggests.
        follow_links: read what symbolic links outside of the folder lead to.
        rare: "leave-out" leaves out classes with too few images for every split; "keep-in-training" lets `make_split`
            put all images of such classes into the training set; "refuse" lets it raise an error.
        source: "digits", a path, a pattern of shards, or "hf:ID".
    Raises:
        DataError: nothing there, no layout recognised, an empty class, one class only, a damaged file.
        UsageError: an option that is not known.
    """
    if on_bad not in ("fail", "skip"):
        raise UsageError("on_bad is {on_bad!r}; expected 'fail' or 'skip'", on_bad=on_bad)
    if not 0 <= max_bad <= 1:
        raise UsageError("max_bad is {max_bad}; expected a share from 0 to 1", max_bad=max_bad)
    options = ReadingOptions(
        image_column=image_column,
        label_column=label_column,
        split_column=split_column,
        class_from=class_from,
        follow_links=follow_links,
        rare=rare,
    )
    reader = _Reader(
        whole_name(str(source)), on_bad, max_bad, verify or on_bad == "skip", progress, options, collect_faults
    )
    # always the embedded digits; a folder of that name is ./digits
    data = arrays.digits() if str(source) == "digits" else reader.open(download)
    data = dataclasses.replace(data, reading=options, faults=reader.faults)
    return without_rare_classes(data) if options.rare == "leave-out" else data


def whole_name(source: str) -> str:
    """The name of a source of several files as an absolute one, so that a run can be resumed in another directory."""
    if source.startswith("hf:") and Path(source[3:]).expanduser().exists():
        return f"hf:{Path(source[3:]).expanduser().resolve()}"
    return str(Path(source).expanduser().absolute()) if "{" in source and not Path(source).exists() else source


class _Reader:
    """Reads one source: detects its layout, lists its images, applies the policy for images that cannot be read."""

    def __init__(
        self,
        source: str,
        on_bad: OnBad,
        max_bad: float,
        verify: bool,
        progress: Progress | None,
        options: ReadingOptions,
        collect_faults: bool,
    ) -> None:
        self.source, self.on_bad, self.max_bad = source, on_bad, max_bad
        self.verify, self.progress = verify, progress
        self.options, self.collect_faults = options, collect_faults
        self.notes: list[str] = []
        self.faults: list[DataError] = []

    def fault(self, error: DataError) -> None:
        """Raise the error, or collect it where the whole of the data is to be reported."""
        if not self.collect_faults:
            raise error
        self.faults.append(error)

    def open(self, download: bool) -> Dataset:
        """The data set of the source."""
        source = self.source
        if source.startswith("hf:"):
            return self.hub(HubTree(source.removeprefix("hf:"), download=download))
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
            folder = FolderTree(path, self.options.follow_links)
            alone = shards is not None and not any(map(is_image_name, folder.files))
            return self.shards(shards) if shards is not None and alone else self.detect(folder)
        if shards is not None:
            return self.shards(shards)
        if path.suffix.lower() == ".zip":
            return self.detect(ZipTree(path), "zip of ")
        if path.suffix.lower() in TABLES:
            return self.table(FolderTree(path.parent, self.options.follow_links), [path.name])
        if arrays.IDX_NAME.match(path.name) or path.suffix == ".bin" or pickles.CIFAR10_BATCH.match(path.name):
            raise DataError(
                "{path} is one file of a data set; pass its folder, {parent}", path=path, parent=path.parent
            )
        if path.suffix.lower() in DESCRIPTIONS:
            raise DataError(
                "{path} describes a data set for another program; pass the folder of the images, {parent}.",
                path=path,
                parent=path.parent,
            )
        if is_image_name(path.name):
            raise DataError("{path} is one image; pass the folder of the data set. convatlas predict labels single "
                            "images.", path=path)  # fmt: skip
        if path.suffix.lower() in SPREADSHEETS:
            raise DataError("{path} is a spreadsheet or a parquet file; save its table as CSV and pass that", path=path)
        raise DataError(
            "{path} is not a data set that is read here: {layouts_in_words}",
            path=path,
            layouts_in_words=LAYOUTS_IN_WORDS,
        )

    # --- detection of the layout ----------------------------------------------------------------------------------

    def detect(self, tree: Tree, prefix: str = "") -> Dataset:
        """The data set in ``tree``; ``prefix`` goes before the name of the layout, for archives."""
        base = ""
        while True:
            view = FolderView(tree, base)
            data = self._detect_here(view, prefix)
            if data is not None:
                return data
            # archives often hold everything in one folder
            wrapper = view.only_folder()
            if wrapper is None:
                raise self._nothing_recognised(tree, view)
            base = f"{base}{wrapper}/"

    def _detect_here(self, view: FolderView, prefix: str) -> Dataset | None:
        tree = view.tree
        for pattern, open_arrays in (
            (arrays.IDX_NAME, arrays.open_idx),
            (arrays.CIFAR10_NAME, arrays.open_cifar10),
            (arrays.CIFAR100_NAME, arrays.open_cifar100),
        ):
            names = [view.base + name for name in view.direct if pattern.match(name)]
            if names:
                data = open_arrays(self.source, tree, names)
                return dataclasses.replace(data, layout=prefix + data.layout)
        batches = [name for name in view.direct if pickles.CIFAR10_BATCH.match(name)]
        if not batches and pickles.is_cifar100_python(tree, view.base, view.direct):
            batches = sorted(pickles.CIFAR100_FILES, reverse=True)
        if batches:
            data = pickles.open_cifar_python(self.source, tree, view.base, [view.base + name for name in batches])
            return dataclasses.replace(data, layout=prefix + data.layout)
        if known_layouts.is_cub(view):
            return self._from_listing(view, prefix + "cub-200", known_layouts.cub_listing(view), [])
        if self.options.class_from == "file-name":
            return self._file_names(view, prefix)
        columns_named = self.options.image_column or self.options.label_column
        if not columns_named:
            known_layouts.refuse_other_tasks(self.source, view)
            if view.split_folders():
                return self._split_folders(view, prefix)
        tables, others = self._tables(view)
        # beside a table, one folder is where the images lie and not their only class
        if not columns_named and self._has_class_folders(view, at_least=2 if tables or others else 1):
            self._note_unused_tables(tables, others)
            return self._class_folders(view, prefix)
        if len(tables) > 1:
            raise DataError(
                "{source} has several tables of labels ({tables}); pass the one you mean",
                source=self.source,
                tables=", ".join(tables),
            )
        if columns_named and not tables and others:
            raise self._without_columns(others)
        if tables:
            return self.table(tree, [view.base + name for name in next(iter(tables.values()))], prefix)
        return None

    def _has_class_folders(self, view: FolderView, at_least: int) -> bool:
        """Folders with images that are classes by their names, or that the user says are classes."""
        if self.options.class_from == "auto" and view.not_classes():
            return False
        return len(view.with_images) >= at_least and view.only_folder() is None

    def _note_unused_tables(self, tables: dict[str, list[str]], others: dict[str, list[str]]) -> None:
        for table in tables:
            self.notes.append(
                Message(
                    "{table} was not used: the folders name the classes. Pass the file itself to use it.", table=table
                )
            )
        for table, header in list(others.items())[:1]:
            self.notes.append(
                Message(
                    "{table} (columns {columns}) was not used: the folders name the classes. To use it, name its "
                    "columns with --image-column and --label-column.",
                    table=table,
                    columns=listed(header),
                )
            )

    def _without_columns(self, others: dict[str, list[str]]) -> DataError:
        table, header = next(iter(others.items()))
        return DataError(
            "{source}: {table} has the columns {columns}, and not those named with --image-column and --label-column",
            source=self.source,
            table=table,
            columns=listed(header),
        )

    def _nothing_recognised(self, tree: Tree, view: FolderView) -> DataError:
        images = sum(map(is_image_name, tree.files))
        links = tree.outside_links if isinstance(tree, FolderTree) else []
        if links and not images:
            return DataError(
                "{source} holds {n} links that lead outside of it or to folders, such as {first}, and no images of its "
                "own. Pass --follow-links to read what they lead to.",
                source=self.source,
                n=len(links),
                first=printable(links[0]),
            )
        if not tree.files:
            return DataError(
                "{source} is empty. Layouts that are read: {layouts_in_words}.",
                source=self.source,
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        archives = known_layouts.nothing_here(self.source, tree, LAYOUTS_IN_WORDS)
        if archives is not None:
            return archives
        if not images:
            return DataError(
                "{source} holds {files} files and none of them is an image by its extension "
                "({endings}). {kinds}Layouts that are read: {layouts_in_words}.",
                source=self.source,
                files=len(tree.files),
                endings=_extensions(tree.files),
                kinds=_kinds_not_opened(tree.files),
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        ways_out = self._ways_out(view)
        unlabelled = [folder for folder in view.top_folders if split_of(folder) is not None]
        if unlabelled:
            return DataError(
                "{source}: {first}/ holds images without class folders, and there is no table of labels that is "
                "understood. {ways_out}Layouts that are read: {layouts_in_words}.",
                source=self.source,
                first=printable(unlabelled[0]),
                ways_out=ways_out,
                layouts_in_words=LAYOUTS_IN_WORDS,
            )
        return DataError(
            "{source} holds {images} images{where} and nothing that says their classes. "
            "{ways_out}Layouts that are read: {layouts_in_words}.",
            source=self.source,
            images=images,
            where=_in_folders(view),
            ways_out=ways_out,
            layouts_in_words=LAYOUTS_IN_WORDS,
        )

    def _ways_out(self, view: FolderView) -> Message:
        """What a user can do where classes are not stated in a known way: sentences, each with a space behind."""
        sentences: list[object] = []
        _, others = self._tables(view)
        for table, header in list(others.items())[:2]:
            sentences.append(
                Message(
                    "{table} has the columns {columns}: name those of image and class with --image-column and "
                    "--label-column. ",
                    table=table,
                    columns=listed(header),
                )
            )
        if self._is_one_class(view):
            sentences.append(
                Message(
                    "If these are the images of one class, pass {parent}, which holds one folder per class. ",
                    parent=Path(self.source).expanduser().parent,
                )
            )
        sheets = [name for name in view.direct if name.lower().endswith(SPREADSHEETS)]
        if sheets:
            sentences.append(Message("Save {sheet} as CSV to use it as the table of labels. ", sheet=sheets[0]))
        classes = view.classes_of_file_names()
        named = {name: count for name, count in classes.items() if name}
        if len(named) >= 2 and sum(named.values()) >= 2 * len(named) and classes[""] <= len(view.images) // 2:
            largest = ", ".join(f"{printable(name)} {count}" for name, count in Counter(named).most_common(3))
            sentences.append(
                Message(
                    "If the file names begin with the class ({n} beginnings: {largest}{more}), pass "
                    "--class-from file-name. ",
                    n=len(named),
                    largest=largest,
                    more=" ..." if len(named) > 3 else "",
                )
            )
        if len(view.with_images) >= 2:
            sentences.append(Message("If the folders are the classes, pass --class-from top-folder. "))
        return joined(sentences, "") if sentences else Message("")

    @staticmethod
    def _is_one_class(view: FolderView) -> bool:
        """Whether the images lie in the folder itself, and a folder beside it holds images too."""
        if not isinstance(view.tree, FolderTree) or view.base or view.folders:
            return False
        root = view.tree.root.resolve()
        try:
            beside = [each for each in root.parent.iterdir() if each.is_dir() and each != root]
            return any(any(is_image_name(file.name) for file in each.iterdir()) for each in beside[:100])
        except OSError:
            return False

    # --- folders --------------------------------------------------------------------------------------------------

    def _class_folders(self, view: FolderView, prefix: str) -> Dataset:
        innermost = self.options.class_from == "folder"
        listing = [
            Listed(name, view.innermost(name) if innermost else view.top(name), "")
            for name in view.images
            if "/" in view.relative(name)
        ]
        stray = sum("/" not in view.relative(name) for name in view.images)
        if stray:
            self.notes.append(
                Message("{n} images lie beside the class folders and belong to no class: left out", n=stray)
            )
        self._note_nested(view)
        return self._from_listing(
            view, prefix + "class folders", listing, _leaves(view.folders) if innermost else view.top_folders
        )

    def _note_nested(self, view: FolderView) -> None:
        nested = view.nested_classes() if self.options.class_from == "auto" else None
        if nested is not None:
            self.notes.append(
                Message(
                    "the images lie in folders inside of folders, such as {example}: the {top} outer folders are taken "
                    "as the classes. --class-from folder takes the {inner} inner ones.",
                    example=printable(nested[2]),
                    top=nested[0],
                    inner=nested[1],
                )
            )

    def _split_folders(self, view: FolderView, prefix: str) -> Dataset:
        splits = view.split_folders()
        layout = "split folders"
        listing: list[Listed] = []
        folders: set[str] = set()
        unlabelled = Counter[str]()
        trained: set[str] = set()
        nested_example, inner = "", set[str]()
        for folder, split in sorted(splits.items(), key=lambda pair: (pair[1] != "train", pair[0])):
            root = view.unwrapped(folder) if self.options.class_from != "top-folder" else folder
            annotated = known_layouts.annotated_classes(view, folder)
            if annotated:
                layout = "tiny-imagenet"
            start = f"{view.base}{root}/"
            for name in view.images:
                if not name.startswith(f"{view.base}{folder}/"):
                    continue
                *middle, file = name[len(start) :].split("/") if name.startswith(start) else [""]
                label = annotated.get(file, "") if annotated else middle[0] if middle else ""
                if self.options.class_from == "folder" and not annotated and middle:
                    label = middle[-1]
                if len(middle) > 1:
                    nested_example = nested_example or str(PurePosixPath(view.relative(name)).parent)
                    inner.add(middle[-1])
                # test/images/ beside train/CLASS/ holds images without a class
                neutral = set(words(label)) <= NEUTRAL_WORDS and split != "train" and label not in trained
                if not label or (neutral and len(trained) > 1 and not annotated):
                    unlabelled[folder] += 1
                    continue
                listing.append(Listed(name, label, split))
                if split == "train":
                    trained.add(label)
            if not annotated and self.options.class_from != "folder":
                below = [each[len(root) + 1 :] for each in view.folders if each.startswith(root + "/")]
                folders |= {
                    each
                    for each in below
                    if "/" not in each and (each in trained or not set(words(each)) <= NEUTRAL_WORDS or not trained)
                }
        listing.sort(key=lambda each: each.name)
        for folder, count in unlabelled.items():
            self.notes.append(
                Message("{folder}/ holds {n} images outside of any class folder: left out", folder=folder, n=count)
            )
        others = [folder for folder in view.top_folders if folder not in splits]
        if others:
            self.notes.append(
                Message(
                    "folders that are no part of the split were left out: {folders}",
                    folders=", ".join(map(printable, others)),
                )
            )
        if self.options.class_from == "auto" and len(inner) > len(trained) and nested_example:
            self.notes.append(
                Message(
                    "the images lie in folders inside of folders, such as {example}: the {top} outer folders are taken "
                    "as the classes. --class-from folder takes the {inner} inner ones.",
                    example=printable(nested_example),
                    top=len(trained),
                    inner=len(inner),
                )
            )
        return self._from_listing(view, prefix + layout, listing, sorted(folders))

    def _file_names(self, view: FolderView, prefix: str) -> Dataset:
        """The class is the beginning of the file name; top folders that are named after splits state the splits."""
        splits = {folder: (split_of(folder) or ("",))[0] for folder in view.with_images}
        stated = "train" in splits.values() and all(splits.values())
        listing, unlabelled = [], 0
        for name in view.images:
            label = class_of_file(name)
            if label is None:
                unlabelled += 1
            else:
                listing.append(Listed(name, label, splits.get(view.top(name), "") if stated else ""))
        if not listing:
            raise DataError(
                "{source}: no file name begins with a class, as cat.1.jpg and cat_001.jpg do. Leave "
                "--class-from out, or name what states the class: folder or top-folder.",
                source=self.source,
            )
        if unlabelled:
            self.notes.append(Message("{n} images whose names do not begin with a class were left out", n=unlabelled))
        return self._from_listing(view, prefix + "file names", listing, [])

    # --- tables -----------------------------------------------------------------------------------------------------

    def _tables(self, view: FolderView) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Usable tables, as what to call them -> their files; and tables without known columns -> their headings.

        Tables that are named after splits (train.csv, val.csv) are one; samples of a submission are left out.
        """
        usable, others = list[str](), dict[str, list[str]]()
        for name in view.direct:
            if not name.lower().endswith(TABLES):
                continue
            header, understood = look_at(view.tree, view.base + name, self.options)
            if understood:
                usable.append(name)
            elif not name.lower().endswith(".txt"):  # such texts are mostly something else
                others[name] = header
        submissions = [name for name in usable if "submission" in words(name)]
        if len(usable) > 1:
            usable = [name for name in usable if name not in submissions]
        stated = {name: split_of(PurePosixPath(name).stem) for name in usable}
        splits = [each[0] for each in stated.values() if each is not None]
        if len(usable) > 1 and len(splits) == len(usable) == len(set(splits)) and "train" in splits:
            return {", ".join(usable): usable}, others
        return {name: [name] for name in usable}, others

    def table(self, tree: Tree, names: list[str], prefix: str = "") -> Dataset:
        """The data set of a table of labels, or of one per split; the images are looked for below its folder."""
        images: dict[str, Listed] = {}
        gone: list[Problem] = []
        for name in names:
            table = Table(tree, name, self.options)
            if table.encoding != "utf-8":
                self.notes.append(Message("{name} is encoded in {encoding}", name=name, encoding=table.encoding))
            named = [table.header[place] for place in (table.columns.image, *table.columns.labels)]
            if len(named) == 2 and named != ["file", "label"]:
                self.notes.append(
                    Message("{table}: images from the column {image}, classes from {label}",
                            table=name, image=named[0], label=named[1])
                )  # fmt: skip
            faults, rows = table.listing()
            self.notes += table.notes
            if faults and self.on_bad == "fail":
                self.fault(faults[0].error)
            gone += [Problem(None, each.cell, each.reason) for each in faults]
            if table.repeated:
                self.notes.append(Message("{n} rows repeat an earlier one: counted once", n=table.repeated))
            for each in rows:
                if len(names) > 1 and not each.part:
                    each = dataclasses.replace(each, part=(split_of(PurePosixPath(name).stem) or ("",))[0])
                if each.name in images and images[each.name] != each:
                    raise DataError(
                        "{names} list the image {image} with different labels or splits",
                        names=", ".join(names),
                        image=printable(each.name),
                    )
                images[each.name] = each
        unlisted = sum(is_image_name(name) and name not in images for name in tree.files)
        if unlisted:
            self.notes.append(
                Message("{n} images are in no row of {table}: left out", n=unlisted, table=", ".join(names))
            )
        return self._from_listing(FolderView(tree, ""), prefix + "csv", list(images.values()), [], gone)

    # --- shards and hubs --------------------------------------------------------------------------------------------

    def shards(self, tree: TarTree) -> Dataset:
        """The data set of tar shards; a single tar may be any of the layouts that a zip may be."""
        if len(tree.shards) == 1 and not are_labelled(tree):
            return self.detect(tree, "tar of ")
        names = class_names(tree)
        labelled = samples(tree, SPLIT_OF_WORD)
        for sample in labelled if names else ():
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
            for sample in labelled
        ]
        return self._from_listing(FolderView(tree, ""), "tar shards", listing, [], order=names)

    def hub(self, tree: HubTree) -> Dataset:
        """The data set of a Hugging Face source: its parts are the layout's, its classes in their own order."""
        self.notes += tree.notes
        others = [part for part in tree.parts if part not in SPLIT_OF_WORD]
        if 0 < len(others) < len(tree.parts):
            self.notes.append(
                Message("parts that are no part of a split were left out: {names}", names=", ".join(others))
            )
            tree = tree.without(others)
        listing = [Listed(name, label, SPLIT_OF_WORD.get(part, "")) for name, label, part in tree.rows()]
        return self._from_listing(FolderView(tree, ""), "hugging face", listing, [], order=tree.classes)

    # --- from a listing to a data set -----------------------------------------------------------------------------

    def _from_listing(
        self,
        view: FolderView,
        layout: str,
        listing: list[Listed],
        folders: Iterable[str],
        gone: Iterable[Problem] = (),
        order: Sequence[str] = (),
    ) -> Dataset:
        """``gone`` are rows without an image; ``order`` is that of the classes, if the source has one."""
        tree = view.tree
        problems = [*gone, *self._refused(tree)]
        sizes, grey, kept, peaks = [], True, [], []
        for index, (each, header) in enumerate(zip(listing, self._headers(tree, listing), strict=True)):
            if isinstance(header, str):
                if self.on_bad == "fail":
                    self.fault(BadImageError(tree.display(each.name), header, index))
                problems.append(Problem(index, each.name, header))
                continue
            kept.append(each)
            sizes.append((header.height, header.width))
            grey = grey and header.grey
            if header.peak:
                peaks.append(header.peak)
        if self.on_bad == "skip":
            self._stop_above_limit(problems, len(listing) + len(problems) - sum(p.index is not None for p in problems))
        classes = self._classes(view, listing, kept, folders, order)
        place = {name: k for k, name in enumerate(classes)}
        self._note_other_files(view, layout)
        self._note_depth(peaks)
        if isinstance(tree, FolderTree) and tree.follow_links and tree.outside_links:
            self.notes.append(
                Message("{n} links that lead outside of the folder were followed", n=len(tree.outside_links))
            )
        return Dataset(
            source=self.source,
            layout=layout,
            # names that are not UTF-8 could not be written to a run's files
            classes=tuple(map(printable, classes)),
            labels=np.array([place[nfc(each.label)] for each in kept], dtype=np.int64),
            names=tuple(each.name for each in kept),
            parts=np.array([each.part for each in kept], dtype="<U5"),
            images=FileImages(tree, [each.name for each in kept], np.array(sizes, dtype=np.int32), 1 if grey else 3),
            problems=problems,
            notes=self.notes,
        )

    def _note_other_files(self, view: FolderView, layout: str) -> None:
        left_out = [name for name in view.files if not is_image_name(name)]
        if layout in ("csv", "tar shards", "hugging face", "cub-200", "tiny-imagenet") or not left_out:
            return
        self.notes.append(
            Message(
                "{n} files are no images by their extension ({endings}): left out",
                n=len(left_out),
                endings=_extensions(left_out),
            )
        )
        for what, package, count in not_opened(left_out):
            self.notes.append(
                Message(
                    "{n} of them are {what}, which are not opened: convert them to PNG or JPEG, for example with the "
                    "package {package}",
                    n=count,
                    what=what,
                    package=package,
                )
            )

    def _note_depth(self, peaks: list[int]) -> None:
        """A note if images of 16 bits use a part of the range only and so become nearly black."""
        if peaks and max(peaks) < BITS_OF_PEAK:
            self.notes.append(
                Message(
                    "{n} images have 16 bits and no value above {peak}, as cameras of {bits} bits write: only {levels} "
                    "of 256 grey levels are left of them. Multiply their values by {factor} and save them again.",
                    n=len(peaks),
                    peak=max(peaks),
                    bits=max(peaks).bit_length(),
                    levels=max(peaks) // 257 + 1,
                    factor=1 << (16 - max(peaks).bit_length()),
                )
            )

    def _headers(self, tree: Tree, listing: list[Listed]) -> Iterable[Header | str]:
        """The header of each image, or the reason why it cannot be read; ``verify`` decodes the whole image."""
        headers: list[Header | str] = [""] * len(listing)
        if self.verify:
            results = decode_files(tree, [listed.name for listed in listing], None)
        else:
            results = ((index, _header(tree, listed.name)) for index, listed in enumerate(listing))
        for done, (index, result) in enumerate(results, start=1):
            assert isinstance(result, Header | str)
            headers[index] = result
            if self.progress is not None:
                self.progress(done, len(listing))
        return headers

    def _refused(self, tree: Tree) -> list[Problem]:
        refused = [Problem(None, name, reason) for name, reason in tree.refused.items()]
        if refused and self.on_bad == "fail":
            first = refused[0]
            links = tree.outside_links if isinstance(tree, FolderTree) else []
            reason = Message("{reason}; {n} such entries", reason=first.reason, n=len(refused))
            if first.name in links:
                reason = Message(
                    "{reason}; there are {n} such links, and --follow-links reads them all",
                    reason=first.reason,
                    n=len(links),
                )
            self.fault(
                BadImageError(tree.display(first.name), first.reason if len(refused) == 1 and not links else reason)
            )
        return refused

    def _stop_above_limit(self, problems: list[Problem], total: int) -> None:
        if len(problems) > self.max_bad * total:
            first = problems[0]
            self.fault(
                DataError(
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
            )

    def _classes(
        self, view: FolderView, listing: list[Listed], kept: list[Listed], folders: Iterable[str], order: Sequence[str]
    ) -> tuple[str, ...]:
        names = {nfc(each.label) for each in kept}
        empty = sorted({nfc(folder) for folder in folders} - names)
        if empty:
            place = view.tree.display(view.base.rstrip("/"))
            unread = sum(nfc(each.label) == empty[0] for each in listing)
            there = [name for name in view.files if f"/{empty[0]}/" in f"/{nfc(view.relative(name))}"]
            self.fault(
                DataError(
                    "class {name!r} of {place} is empty: {why}. {kinds}Put images there, or remove the folder.",
                    name=printable(empty[0]),
                    place=place,
                    why=Message("none of its {n} images can be read", n=unread)
                    if unread
                    else Message("no image in it by its extension"),
                    kinds=_kinds_not_opened(there),
                )
            )
        if len(names) < 2:
            only = printable(next(iter(names))) if names else "none"
            error = DataError(
                "{source} has one class only ({only}); a classifier needs two or more. "
                "Pass the folder that holds one folder per class.",
                source=self.source,
                only=only,
            )
            if not names:  # nothing to report on either
                raise self.faults[0] if self.faults else error
            self.fault(error)
        for part in sorted({each.part for each in kept} - {"train", ""}):
            absent = sorted(names - {nfc(each.label) for each in kept if each.part == part})
            if absent:
                named = ", ".join(map(printable, absent))
                self.notes.append(Message("{part} has no image of {classes}", part=part, classes=named))
        if order:
            unused = len(order) - len(names)
            if unused:
                unseen = Message(
                    "{n} of the {all} classes named have no image here: left out", n=unused, all=len(order)
                )
                self.notes.append(unseen)
            return tuple(name for name in map(nfc, order) if name in names)
        return tuple(sorted(names, key=_class_order(names)))


def _in_folders(view: FolderView) -> str:
    """The folders of the images as a text that goes behind "... images"."""
    if not view.with_images:
        return ""
    shown = ", ".join(f"{printable(name)}/" for name in view.with_images[:4])
    return Message(" in {folders}", folders=shown + (" ..." if len(view.with_images) > 4 else ""))


def _kinds_not_opened(names: Iterable[str]) -> Message:
    """A sentence with a space behind for each kind of image that is not opened; empty without any."""
    return joined(
        (
            Message(
                "{n} are {what}, which are not opened: convert them to PNG or JPEG, for example with the package "
                "{package}. ",
                n=count,
                what=what,
                package=package,
            )
            for what, package, count in not_opened(names)
        ),
        "",
    )


def _leaves(folders: Iterable[str]) -> list[str]:
    """The names of the folders without folders in them."""
    folders = list(folders)
    parents = {str(PurePosixPath(folder).parent) for folder in folders}
    return [PurePosixPath(folder).name for folder in folders if folder not in parents]


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
