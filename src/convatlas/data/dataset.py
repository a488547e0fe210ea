"""A data set as every source ends up: names, labels, given parts, and images that are read one by one."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from convatlas.data.decode import UnreadableImage, decode
from convatlas.data.tree import Tree
from convatlas.errors import BadImageError
from convatlas.message import system_reason

PARTS = ("train", "val", "test")
# up to here the fingerprint and the search for duplicates read every byte; above it, sizes and times of change
HASHED_BYTES = 512 << 20


@dataclass(frozen=True)
class Problem:
    """One file that was left out: its place in the listing (None if it has none), its name and why."""

    index: int | None
    name: str
    reason: str


class Images(Protocol):
    """Where the pixels come from. ``sizes`` is (n, 2) int32: height and width of each image, seen upright."""

    channels: int
    sizes: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int, at_least: int | None = None) -> np.ndarray: ...

    def stored_bytes(self) -> int: ...

    def content(self, index: int) -> bytes: ...

    def stamp(self, index: int) -> tuple[int, int]: ...


class ArrayImages:
    """Images that are one array in memory: uint8 (n, H, W, C)."""

    def __init__(self, pixels: np.ndarray) -> None:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 4
        assert pixels.flags.c_contiguous
        assert pixels.shape[3] in (1, 3)
        self.pixels = pixels
        self.channels: int = pixels.shape[3]
        self.sizes = np.broadcast_to(np.array(pixels.shape[1:3], dtype=np.int32), (len(pixels), 2))

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int, at_least: int | None = None) -> np.ndarray:
        return self.pixels[index]

    def stored_bytes(self) -> int:
        return 0  # in memory already: reading every byte costs next to nothing

    def content(self, index: int) -> bytes:
        return self.pixels[index].tobytes()

    def stamp(self, index: int) -> tuple[int, int]:
        raise AssertionError("arrays are always hashed by content")


class FileImages:
    """Images that are files of a tree, decoded when they are read."""

    def __init__(self, tree: Tree, names: Sequence[str], sizes: np.ndarray, channels: int) -> None:
        self.tree, self.names, self.sizes, self.channels = tree, tuple(names), sizes, channels

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, at_least: int | None = None) -> np.ndarray:
        """Decode file ``index`` to uint8 (H, W, channels).

        Raises:
            BadImageError: it is gone or damaged; the message names the file and the index.
        """
        name = self.names[index]
        try:
            return with_channels(decode(self.tree.read(name), at_least), self.channels)
        except OSError as error:
            raise BadImageError(self.tree.display(name), system_reason(error), index) from error
        except UnreadableImage as error:
            raise BadImageError(self.tree.display(name), error.message, index) from error

    def stored_bytes(self) -> int:
        return sum(self.tree.files[name].size for name in self.names)

    def content(self, index: int) -> bytes:
        name = self.names[index]
        try:
            return self.tree.read(name)
        except OSError as error:
            raise BadImageError(self.tree.display(name), system_reason(error), index) from error

    def stamp(self, index: int) -> tuple[int, int]:
        entry = self.tree.files[self.names[index]]
        return entry.size, entry.stamp


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, in a fixed order.

    Attributes:
        source: what the user called it: "digits" or a path.
        layout: what was found there, in words: "idx", "class folders", "zip of split folders" ...
        classes: the class names, NFC; ``labels`` index into them.
        labels: (n,) int64.
        names: what each image is called: its path below the root, or "train:123" in an array.
        parts: (n,) of "train", "val", "test", or "" where the layout does not say.
        images: where the pixels come from.
        problems: files left out because they could not be read (``on_bad="skip"``).
        notes: what a user should know about how it was read, one sentence each.
    """

    source: str
    layout: str
    classes: tuple[str, ...]
    labels: np.ndarray
    names: Sequence[str]
    parts: np.ndarray
    images: Images
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert len(self.labels) == len(self.names) == len(self.parts) == len(self.images)
        assert self.labels.dtype == np.int64

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 when every image is grey, else 3."""
        return self.images.channels

    @property
    def sizes(self) -> np.ndarray:
        """(n, 2) int32: height and width of each image."""
        return self.images.sizes

    @cached_property
    def uniform_size(self) -> tuple[int, int] | None:
        """(H, W) when all images have one size, else None."""
        first = self.sizes[0]
        return (int(first[0]), int(first[1])) if bool((self.sizes == first).all()) else None

    def read(self, index: int, at_least: int | None = None) -> np.ndarray:
        """Image ``index`` as uint8 (H, W, channels), upright; ``at_least`` as in ``decode.read_image``.

        Raises:
            BadImageError: the file is gone or damaged; the message names it and its index.
        """
        return self.images.read(index, at_least)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over classes, names, labels, parts and the images: the same again means the same data.

        The images enter by their bytes up to 512 MiB of files, beyond that by size and time of change.
        """
        digest = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        by_content = self.images.stored_bytes() <= HASHED_BYTES
        for index, name in enumerate(self.names):
            digest.update(f"\n{name}\0{self.labels[index]}\0{self.parts[index]}\0".encode("utf-8", "surrogatepass"))
            digest.update(self.images.content(index) if by_content else repr(self.images.stamp(index)).encode())
        return digest.hexdigest()

    def counts(self, parts: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Images per class, (K,) int64, for each part that has any; by the layout's parts unless others are given."""
        parts = self.parts if parts is None else parts
        return {
            part: np.bincount(self.labels[parts == part], minlength=len(self.classes))
            for part in (*PARTS, "")
            if (parts == part).any()
        }

    def duplicates(self) -> list[list[int]]:
        """Groups of images whose bytes are exactly the same, each in ascending order; files of equal size are read."""
        same_size: dict[object, list[int]] = defaultdict(list)
        if isinstance(self.images, ArrayImages):
            same_size[None] = list(range(len(self)))
        else:
            for index in range(len(self)):
                same_size[self.images.stamp(index)[0]].append(index)
        same: dict[bytes, list[int]] = defaultdict(list)
        for indices in same_size.values():
            if len(indices) > 1:
                for index in indices:
                    same[hashlib.sha256(self.images.content(index)).digest()].append(index)
        return sorted(group for group in same.values() if len(group) > 1)

    def report(self, parts: np.ndarray | None = None) -> dict[str, Any]:
        """What ``convatlas data --json`` prints: layout, counts, sizes, problems, duplicates across parts."""
        counts = self.counts(parts)
        used_parts = self.parts if parts is None else parts
        heights, widths = self.sizes[:, 0], self.sizes[:, 1]
        groups = self.duplicates()
        across = [group for group in groups if len({str(used_parts[index]) for index in group}) > 1]
        return {
            "source": self.source,
            "layout": self.layout,
            "n": len(self),
            "channels": self.channels,
            "sizes": {
                "uniform": self.uniform_size is not None,
                "height": [int(heights.min()), int(np.median(heights)), int(heights.max())],
                "width": [int(widths.min()), int(np.median(widths)), int(widths.max())],
            },
            "classes": [
                {"name": printable(name), "n": int(sum(per_class[k] for per_class in counts.values()))}
                | {part or "unassigned": int(per_class[k]) for part, per_class in counts.items()}
                for k, name in enumerate(self.classes)
            ],
            "parts": {part or "unassigned": int(per_class.sum()) for part, per_class in counts.items()},
            "problems": [
                {"index": problem.index, "name": printable(problem.name), "reason": problem.reason}
                for problem in self.problems
            ],
            "duplicates": {
                "groups": len(groups),
                "across_parts": [[printable(self.names[index]) for index in group] for group in across],
                "with_different_labels": [
                    [printable(self.names[index]) for index in group]
                    for group in groups
                    if len(set(self.labels[group].tolist())) > 1
                ],
            },
            "notes": list(self.notes),
            "fingerprint": self.fingerprint,
        }


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) uint8 as (H, W, channels): grey is repeated; RGB becomes luma by ITU-R 601 (Pillow's "L")."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    red, green, blue = (pixels[:, :, c].astype(np.uint32) for c in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def nfc(name: str) -> str:
    """Macs write Hangul file names decomposed (NFD): the same class from two machines must be one class."""
    return unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """A file name that can always be written out: bytes that are no UTF-8 appear as ``\\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def part_names(n: int, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n,) array of part names from three index arrays."""
    parts = np.full(n, "", dtype="<U5")
    for part, indices in zip(PARTS, (train, val, test), strict=True):
        parts[indices] = part
    return parts


def numbered(part: str, n: int) -> Iterator[str]:
    """Names for the images of an array: ``train:0``, ``train:1`` ..."""
    return (f"{part}:{index}" for index in range(n))
