"""`Dataset`: labelled images of any source, with their names, labels and splits; images are read one by one."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from convatlas.data.decode import UnreadableImage, decode
from convatlas.data.reading import ReadingOptions
from convatlas.data.tree import Tree
from convatlas.errors import BadImageError, DataError
from convatlas.message import Message, system_reason

PARTS = ("train", "val", "test")
# up to this size the fingerprint hashes every byte; for larger data sets it uses file sizes and times of change
HASHED_BYTES = 512 << 20
ELONGATED = 2.0  # an image is elongated if it is more than this many times as long as wide


@dataclass(frozen=True)
class Problem:
    """A file that is not part of the data set: its index in the listing (None if it has none), its name, the reason.

    Attributes:
        index: its place in the listing, or None.
        name: the file.
        reason: why it is left out.
    """

    index: int | None
    name: str
    reason: str


class Images(Protocol):
    """The images of a data set. ``sizes`` is (n, 2) int32: height and width of each image after EXIF rotation."""

    channels: int
    sizes: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int, at_least: int | None = None) -> np.ndarray: ...

    def stored_bytes(self) -> int: ...

    def content(self, index: int) -> bytes: ...

    def stamp(self, index: int) -> tuple[int, int]: ...


class ArrayImages:
    """Images in one array in memory: uint8 (n, H, W, C)."""

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
        return 0  # in memory: hashing every byte is cheap

    def content(self, index: int) -> bytes:
        return self.pixels[index].tobytes()

    def stamp(self, index: int) -> tuple[int, int]:
        raise AssertionError("arrays are always hashed by content")


class FileImages:
    """Images in files of a tree, decoded when they are read."""

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
        source: the name that it was opened by: "digits" or a path.
        layout: the detected layout: "idx", "class folders", "zip of split folders" ...
        classes: the class names, NFC; ``labels`` index into them.
        labels: (n,) int64.
        names: the path of each image below the root, or "train:123" in an array.
        parts: (n,) split of each image as the source gives it: "train", "val", "test", or "" if it gives none.
        images: gives the pixels of image i.
        problems: files left out because they cannot be read (``on_bad="skip"``).
        notes: sentences about how the source was read.
        faults: what keeps the source from being used, where it was opened to be reported on; else an error is raised.
        reading: how the source was read, so that it can be opened again alike.
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
    faults: list[DataError] = field(default_factory=list)
    reading: ReadingOptions = field(default_factory=ReadingOptions)

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
        """SHA-256 over classes, names, labels, splits and images; equal fingerprints mean equal data.

        Up to 512 MiB of files the bytes of the images are hashed; above that, their sizes and times of change.
        """
        digest = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        by_content = self.images.stored_bytes() <= HASHED_BYTES
        for index, name in enumerate(self.names):
            digest.update(f"\n{name}\0{self.labels[index]}\0{self.parts[index]}\0".encode("utf-8", "surrogatepass"))
            digest.update(self.images.content(index) if by_content else repr(self.images.stamp(index)).encode())
        return digest.hexdigest()

    def counts(self, parts: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Images per class, (K,) int64, for each split that is not empty; ``parts`` replaces the source's splits."""
        parts = self.parts if parts is None else parts
        return {
            part: np.bincount(self.labels[parts == part], minlength=len(self.classes))
            for part in (*PARTS, "")
            if (parts == part).any()
        }

    def evaluated(self) -> tuple[np.ndarray, str]:
        """What an evaluation on this data set uses: the indices of the test set, or of all images if it has none; and
        "test" or "all"."""
        test = np.flatnonzero(self.parts == "test")
        return (test, "test") if len(test) else (np.arange(len(self)), "all")

    def duplicates(self) -> list[list[int]]:
        """Groups of images with identical bytes, each in ascending order. Only files of equal size are read."""
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
        """The content of ``convatlas data --json``: layout, counts, sizes, problems, duplicates across splits."""
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
            "notes": [*self.notes, *self._notes_on_shapes()],
            "fingerprint": self.fingerprint,
        }

    def _notes_on_shapes(self) -> list[str]:
        """A note if some images are elongated, so that the centre crop shows little of them."""
        sides = self.sizes.astype(np.float64)
        ratios = sides.max(axis=1) / sides.min(axis=1)
        elongated = int((ratios > ELONGATED).sum())
        if not elongated:
            return []
        return [
            Message(
                "{n} images are more than {least:g} times as long as wide; the centre square shows {share:.0%} of the "
                "most elongated. train and compare see the whole image with --fit squash or --fit pad.",
                n=elongated,
                least=ELONGATED,
                share=1 / ratios.max(),
            )
        ]

    def only(self, chosen: np.ndarray, notes: Sequence[str] = ()) -> Dataset:
        """The images ``chosen``, (m,) indices in ascending order, and the classes that they have."""
        used = np.unique(self.labels[chosen])
        names = [self.names[index] for index in chosen.tolist()]
        if isinstance(self.images, FileImages):
            images: Images = FileImages(self.images.tree, names, self.sizes[chosen], self.channels)
        else:
            assert isinstance(self.images, ArrayImages)
            images = ArrayImages(np.ascontiguousarray(self.images.pixels[chosen]))
        return replace(
            self,
            classes=tuple(self.classes[k] for k in used.tolist()),
            labels=np.searchsorted(used, self.labels[chosen]).astype(np.int64),
            names=names,
            parts=self.parts[chosen],
            images=images,
            notes=[*self.notes, *notes],
        )


def overlap(first: Dataset, second: Dataset) -> list[tuple[int, int]]:
    """Pairs (i, j) of images with the same content: image i of ``first`` and image j of ``second``.

    Files are compared by their bytes, and only files of equal size are read. If one side is an array, the decoded
    pixels are compared. Names and folders play no role; images that were resized or encoded again are not recognised.
    """
    by_bytes = isinstance(first.images, FileImages) and isinstance(second.images, FileImages)

    def key(data: Dataset, index: int) -> object:
        """What equal images share and costs little to know: the size of the file, or the shape."""
        return data.images.stamp(index)[0] if by_bytes else tuple(data.sizes[index].tolist())

    def digest(data: Dataset, index: int) -> bytes:
        if by_bytes:
            return hashlib.sha256(data.images.content(index)).digest()
        return hashlib.sha256(np.ascontiguousarray(with_channels(data.read(index), 3)).tobytes()).digest()

    candidates: dict[object, list[int]] = defaultdict(list)
    for index in range(len(second)):
        candidates[key(second, index)].append(index)
    of_first: dict[bytes, int] = {}
    keys_of_first = set()
    for index in range(len(first)):
        if key(first, index) in candidates:
            keys_of_first.add(key(first, index))
            of_first.setdefault(digest(first, index), index)
    pairs = []
    for each in keys_of_first:
        for index in candidates[each]:
            same = of_first.get(digest(second, index))
            if same is not None:
                pairs.append((same, index))
    return sorted(pairs, key=lambda pair: pair[1])


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) uint8 as (H, W, channels): grey is repeated; RGB becomes luma by ITU-R 601 (Pillow's "L")."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    red, green, blue = (pixels[:, :, c].astype(np.uint32) for c in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def nfc(name: str) -> str:
    """The name in Unicode form NFC. macOS writes Hangul decomposed (NFD); without this one class would become two."""
    return unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """A file name that can always be printed: bytes that are not UTF-8 appear as ``\\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def part_names(n: int, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n,) array of split names from three index arrays."""
    parts = np.full(n, "", dtype="<U5")
    for part, indices in zip(PARTS, (train, val, test), strict=True):
        parts[indices] = part
    return parts


def numbered(part: str, n: int) -> Iterator[str]:
    """Names for the images of an array: ``train:0``, ``train:1`` ..."""
    return (f"{part}:{index}" for index in range(n))
