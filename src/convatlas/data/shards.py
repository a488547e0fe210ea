"""Tar shards in the layout of WebDataset: files whose names agree up to the first dot of the last part are one sample.

    train-000000.tar
        0001.jpg   0001.cls        the image, and the index or the name of its class

An uncompressed tar is its own table of contents: one pass over the headers finds where each member lies, and from then
on an image is one read, in any order, so that shuffling and resuming are as exact as with files. Nothing is extracted.
Pickles are refused by their extension; no command is ever run.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from convatlas import units
from convatlas.data.decode import is_image_name
from convatlas.data.tree import FileEntry
from convatlas.errors import DataError
from convatlas.message import Message, joined, system_reason

MAX_MEMBERS = 20_000_000  # of one data set
MAX_MEMBER_BYTES = 256 << 20  # an uncompressed image of the most pixels that are decoded
PICKLES = frozenset({".pyd", ".pickle", ".pkl", ".pth", ".pt", ".joblib"})
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LABELS = (".cls", ".json")
LABEL_KEYS = ("cls", "label", "class")
CLASS_NAMES = "classes.txt"
_BLOCK = 512
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class _Place:
    """Offset and size in bytes of a member in its shard."""

    start: int
    size: int


class _Window(io.RawIOBase):
    """One member as a file object, so that reading an image header reads only the first bytes."""

    def __init__(self, file: io.FileIO, place: _Place) -> None:
        self._file, self._place, self._at = file, place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._place.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._place.start + self._at)
        count = self._file.readinto(view[: max(0, self._place.size - self._at)]) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class TarTree:
    """The regular members of some tar files, as ``SHARD/MEMBER``; a shard's headers are read once, when needed.

    Raises:
        DataError: a shard is missing, damaged or cut short, or has an unsafe member.
    """

    def __init__(self, root: Path, shards: Sequence[str]) -> None:
        self.root, self.shards = root, tuple(shards)
        self._places: dict[str, dict[str, _Place]] = {}
        self._refused: dict[str, dict[str, str]] = {}

    @cached_property
    def files(self) -> dict[str, FileEntry]:
        entries: dict[str, FileEntry] = {}
        for shard in self.shards:
            changed = (self.root / shard).stat().st_mtime_ns
            for member, place in self._index(shard).items():
                entries[f"{shard}/{member}"] = FileEntry(place.size, changed ^ place.start)
            if len(entries) > MAX_MEMBERS:
                raise DataError(
                    "{root}: more than {max_members} members; they are not read",
                    root=self.root,
                    max_members=units.exact(MAX_MEMBERS),
                )
        return dict(sorted(entries.items()))

    @cached_property
    def folders(self) -> tuple[str, ...]:
        parents = {str(parent) for name in self.files for parent in PurePosixPath(name).parents}
        return tuple(sorted(parents - {"."}))

    @property
    def refused(self) -> dict[str, str]:
        for shard in self.shards:
            self._index(shard)
        return {f"{shard}/{member}": why for shard in self.shards for member, why in self._refused[shard].items()}

    def _index(self, shard: str) -> dict[str, _Place]:
        if shard not in self._places:
            self._places[shard], self._refused[shard] = _members(self.root / shard)
        return self._places[shard]

    def open(self, name: str) -> BinaryIO:
        shard, place = self._find(name)
        return cast(BinaryIO, io.BufferedReader(_Window((self.root / shard).open("rb", buffering=0), place)))

    def read(self, name: str) -> bytes:
        """All bytes of one member.

        Raises:
            OSError: the shard is gone, or shorter than it was.
        """
        shard, place = self._find(name)
        with (self.root / shard).open("rb") as file:
            file.seek(place.start)
            content = file.read(place.size)
        if len(content) < place.size:
            raise OSError(
                Message(
                    "the shard was cut short: {n} of the member's {size} bytes are there",
                    n=len(content),
                    size=place.size,
                )
            )
        return content

    def _find(self, name: str) -> tuple[str, _Place]:
        shard = next(shard for shard in self.shards if name.startswith(shard + "/"))
        return shard, self._index(shard)[name[len(shard) + 1 :]]

    def display(self, name: str) -> str:
        return str(self.root / name).replace(".tar/", ".tar!", 1)

    def to_dict(self) -> dict[str, str]:
        return {"tar": str(self.root), "shards": json.dumps(self.shards)}


def _members(path: Path) -> tuple[dict[str, _Place], dict[str, str]]:
    """The places of a shard's regular files, and why other members are refused; reads every header."""
    places: dict[str, _Place] = {}
    refused: dict[str, str] = {}
    last = Message("its beginning")
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            size = os.fstat(file.fileno()).st_size
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header in memory
                name = info.name.removeprefix("./")
                if info.isdir():
                    continue
                why = _why_refused(info, name)
                if why:
                    refused[name.replace("\0", "?")] = why
                elif info.offset_data + info.size > size:
                    raise tarfile.ReadError(Message("member {name!r} would end behind the end of the file", name=name))
                elif not any(part.startswith(".") for part in name.split("/")):
                    if name in places:
                        raise DataError(
                            "{path}: two members are called {name!r}; the shard is not read", path=path, name=name
                        )
                    places[name] = _Place(info.offset_data, info.size)
                last = Message("member {name!r}", name=name)
            # tarfile treats a damaged header as the end; the real end is a block of zeros
            file.seek(tar.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError(Message("there is neither a member nor the mark of the end"))
    except (tarfile.TarError, EOFError, ValueError, OverflowError, UnicodeError) as error:
        raise DataError(
            "{path} is damaged or cut short after {last}: {error}. Fetch it again.", path=path, last=last, error=error
        ) from error
    except OSError as error:
        raise DataError("{path} cannot be read: {reason}", path=path, reason=system_reason(error)) from error
    return places, refused


def _why_refused(info: tarfile.TarInfo, name: str) -> str:
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name or name[1:2] == ":":
        return Message("its name leads outside of the archive")
    if not info.isreg() or info.issparse():
        return Message("it is a link, a device or a file with holes")
    if PurePosixPath(name.lower()).suffix in PICKLES:
        return Message("it is a pickle, which can run code; put the label in a .cls")
    if info.size > MAX_MEMBER_BYTES:
        most = units.bytes_(MAX_MEMBER_BYTES)
        return Message("it has {size}, more than {most}", size=units.bytes_(info.size), most=most)
    return ""


def shards_of(source: str) -> TarTree | None:
    """The shards of a source: ``a-{000000..000003}.tar``, one ``.tar`` or a folder with some; None without any.

    Raises:
        DataError: a shard of the range is missing, a compressed tar, a command or an address.
    """
    scheme = re.match(r"(pipe|https?|s3|gs|ftp|hdfs|ais):", source)
    if scheme:
        of_address = Message("an address, and none is fetched")
        what = Message("a command, and none is run") if scheme[1] == "pipe" else of_address
        raise DataError(
            "{source} is {what}. Fetch the shards and pass their folder, or a-{{000000..000003}}.tar.",
            source=source,
            what=what,
        )
    if source.lower().endswith(COMPRESSED):
        raise DataError(
            "{source} is compressed: its members cannot be read one by one. Unpack it, or make it a .tar.",
            source=source,
        )
    if _RANGE.search(source):
        paths = [Path(name).expanduser() for name in _expanded(source)]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise DataError(
                "{missing} of {paths} shards are missing, the first is {first}",
                missing=len(missing),
                paths=len(paths),
                first=missing[0],
            )
        root = Path(os.path.commonpath([path.parent for path in paths]))
        return TarTree(root, [path.relative_to(root).as_posix() for path in paths])
    path = Path(source).expanduser()
    if path.suffix.lower() == ".tar" and path.is_file():
        return TarTree(path.parent, [path.name])
    if path.is_dir():
        shards = sorted(each.relative_to(path).as_posix() for each in (*path.glob("*.tar"), *path.glob("*/*.tar")))
        return TarTree(path, shards) if shards else None
    return None


def _expanded(source: str) -> Iterator[str]:
    numbers = _RANGE.search(source)
    if numbers is None:
        yield source
        return
    first, last = int(numbers[1]), int(numbers[2])
    if not 0 <= last - first < 1_000_000:
        raise DataError("{source}: the range {range} is empty or too long", source=source, range=numbers[0])
    for number in range(first, last + 1):
        yield from _expanded(f"{source[: numbers.start()]}{number:0{len(numbers[1])}d}{source[numbers.end() :]}")


@dataclass(frozen=True)
class Sample:
    """One labelled image: its member, its class as written, and the split that the name of its shard states, or ""."""

    name: str
    label: str
    part: str


def are_labelled(tree: TarTree) -> bool:
    """Whether any member is a label; without labels the shards may hold one folder per class."""
    return any(name.lower().endswith(LABELS) for name in tree.files)


def samples(tree: TarTree, part_of: Mapping[str, str]) -> list[Sample]:
    """The images that have a label beside them, in the order of their names.

    Args:
        part_of: from a word in a shard's name to the part it stands for.
    Raises:
        DataError: an image without a label, a label without an image, or an invalid label.
    """
    beside: dict[str, dict[str, str]] = {}
    for name in tree.files:
        folder, _, last = name.rpartition("/")
        stem, _, extension = last.partition(".")
        beside.setdefault(f"{folder}/{stem}", {})["." + extension.lower()] = name
    labelled = []
    for members in beside.values():
        images = [name for name in members.values() if is_image_name(name)]
        label = next((members[extension] for extension in LABELS if extension in members), None)
        if label is None and not images:
            continue  # a file of another kind
        if label is None or len(images) != 1:
            name = next(iter(members.values()))
            several = Message("{n} images to its label", n=len(images))
            lacks = Message("no label (.cls, or .json) beside it") if label is None else several
            raise DataError(
                "{place} has {lacks}; a sample is one image and its class", place=tree.display(name), lacks=lacks
            )
        words = re.split(r"[^a-z]+", images[0].split(".tar/", 1)[0].lower())
        parts = {part_of[word] for word in words if word in part_of}
        if len(parts) > 1:
            raise DataError(
                "{place}: its shard names two parts, {parts}",
                place=tree.display(images[0]),
                parts=joined(sorted(parts), Message(" and ")),
            )
        labelled.append(Sample(images[0], _label(tree, label), next(iter(parts), "")))
    if len({bool(sample.part) for sample in labelled}) > 1:
        raise DataError(
            "{root}: some shards say by their names which part they are, others do not",
            root=tree.root,
        )
    return labelled


def _label(tree: TarTree, name: str) -> str:
    try:
        content = tree.read(name)
        if name.lower().endswith(".cls"):
            label = content.decode("utf-8").strip()
        else:
            values = json.loads(content)
            label = str(next(values[key] for key in LABEL_KEYS if key in values)).strip()
    except (OSError, UnicodeDecodeError, ValueError, TypeError, StopIteration) as error:
        plain = name.lower().endswith(".cls")
        expected = Message("the index or name of a class") if plain else Message("an object with cls or label")
        raise DataError(
            "{place} is no label: expected {expected} ({error})",
            place=tree.display(name),
            expected=expected,
            error=error,
        ) from error
    if not label or len(label) > 200:
        raise DataError("{place} is no label: it has {label} characters", place=tree.display(name), label=len(label))
    return label


def class_names(tree: TarTree) -> tuple[str, ...]:
    """The lines of ``classes.txt`` beside the shards, the names of classes 0, 1, ...; empty where there is none."""
    path = tree.root / CLASS_NAMES
    try:
        return tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("{path} cannot be read: {error}", path=path, error=error) from error
