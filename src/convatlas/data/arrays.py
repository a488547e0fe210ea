"""Data sets that are arrays: scikit-learn's digits, IDX files (MNIST and similar sets), CIFAR's binary batches.

The size of a file is compared with the size that its header declares before memory is allocated, so a damaged header
cannot exhaust the memory.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.dataset import ArrayImages, Dataset, numbered
from convatlas.data.tree import Tree
from convatlas.errors import DataError, MissingDependencyError
from convatlas.message import Message, joined, system_reason

IDX_NAME = re.compile(
    r"(?P<stem>.*?)(?P<part>train|t10k|test|val)-(?P<what>images|labels)[-.]idx[13]-ubyte(?P<gz>\.gz)?$"
)
_PART_OF_IDX = {"train": "train", "t10k": "test", "test": "test", "val": "val"}
IDX_IMAGES, IDX_LABELS = 2051, 2049  # 0x08 unsigned byte, and 3 or 1 dimensions
DEFLATE_MAX_RATIO = 1032  # one byte of deflate gives at most this many bytes (zlib's technical note)

CIFAR_SIDE, CIFAR_PIXELS = 32, 3 * 32 * 32
CIFAR10_NAME = re.compile(r"(data_batch_\d+|test_batch).*\.bin$")
CIFAR100_NAME = re.compile(r"(train|test)\.bin$")
CIFAR10_CLASSES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905
CIFAR100_CLASSES = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm""".split()  # noqa: SIM905
)


IndexOf = Callable[[np.ndarray], np.ndarray]  # labels as in the file -> indices into the classes


@dataclass(frozen=True)
class Part:
    part: str
    pixels: tuple[np.ndarray, ...]  # uint8 (n, H, W, C), one array per file: views, copied once at the end
    labels: np.ndarray  # (n,) uint8, as in the files

    @property
    def image_size(self) -> tuple[int, int]:
        return self.pixels[0].shape[1], self.pixels[0].shape[2]


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8 x 8: the test set of Alpaydin and Kaynak's UCI data (1998).

    The 17 grey levels 0..16 are stretched to 0..255. The file of scikit-learn is read directly, because importing
    scikit-learn takes a second.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None:  # a dependency of convatlas, but not of convatlas-runtime
        raise MissingDependencyError("scikit-learn", "export", Message("the embedded data set digits"))
    assert spec.origin is not None
    table = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if table.exists():
        with gzip.open(table, "rt", encoding="ascii") as file:
            values = np.loadtxt(file, delimiter=",", dtype=np.int64)
        levels, labels = values[:, :64], values[:, 64]
    else:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        levels, labels = bunch.data.astype(np.int64), bunch.target.astype(np.int64)
    pixels = ((levels * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Dataset(
        source="digits",
        layout="digits",
        classes=tuple("0123456789"),
        labels=labels,
        names=tuple(f"digits:{index}" for index in range(len(labels))),
        parts=np.full(len(labels), "", dtype="<U5"),
        images=ArrayImages(pixels),
        notes=[Message("scikit-learn's handwritten digits; the set names no test part, so one is drawn")],
    )


# --- IDX ----------------------------------------------------------------------------------------------------------


def open_idx(source: str, tree: Tree, names: list[str]) -> Dataset:
    """The IDX files ``names`` of a tree as one data set; images and labels belong together by name.

    Raises:
        DataError: a file is cut short, of another kind, or without its partner.
    """
    files: dict[tuple[str, str], str] = {}
    stems = set()
    for name in names:
        match = IDX_NAME.match(Path(name).name)
        assert match is not None  # the caller chose the names by this pattern
        stems.add(match["stem"])
        files.setdefault((_PART_OF_IDX[match["part"]], match["what"]), name)  # the plain file comes before its .gz
    if len(stems) > 1:
        raise DataError(
            "{source} holds several IDX data sets ({stems}); keep each in its own folder",
            source=source,
            stems=", ".join(sorted(stems)),
        )
    parts = []
    for part in ("train", "val", "test"):
        images, labels = files.get((part, "images")), files.get((part, "labels"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            raise DataError(
                "{place} has no {kind} file beside it; "
                "an IDX data set needs both {part}-images-idx3-ubyte and {part}-labels-idx1-ubyte",
                place=tree.display(images or labels or ""),
                kind="labels" if images else "images",
                part=part,
            )
        parts.append(_idx_part(tree, part, images, labels))
    _need_training_part(source, parts)
    if len({part.image_size for part in parts}) > 1:
        found = ", ".join(f"{part.part} {part.image_size[0]} x {part.image_size[1]}" for part in parts)
        raise DataError("the parts of {source} have images of different sizes: {found}", source=source, found=found)
    # EMNIST numbers its letters from 1: the classes are the labels of the training set
    used = np.unique(parts[0].labels)
    for other in parts[1:]:
        _check_labels(tree.display(files[(other.part, "labels")]), other.labels, used)
    classes = tuple(str(label) for label in used)
    return dataset_of(source, "idx", classes, parts, lambda labels: np.searchsorted(used, labels))


def _idx_part(tree: Tree, part: str, images_name: str, labels_name: str) -> Part:
    images = read_idx(tree, images_name, IDX_IMAGES)
    labels = read_idx(tree, labels_name, IDX_LABELS)
    if len(images) != len(labels):
        raise DataError(
            "{place} holds {images} images and {labels_place} {labels} labels; they must be as many",
            place=tree.display(images_name),
            images=len(images),
            labels_place=tree.display(labels_name),
            labels=len(labels),
        )
    return Part(part, (images[:, :, :, None],), labels)


def read_idx(tree: Tree, name: str, magic: int) -> np.ndarray:
    """One IDX file of unsigned bytes, plain or gzipped: uint8, (n, H, W) for magic 2051, (n,) for 2049.

    Raises:
        DataError: the magic is another, or the file has not exactly the bytes its header declares.
    Source: the format section of yann.lecun.com/exdb/mnist.
    """
    place = tree.display(name)
    stored = _read(tree, name)
    zipped = stored[:2] == b"\x1f\x8b"
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=io.BytesIO(stored)) if zipped else io.BytesIO(stored)
    dimensions = 3 if magic == IDX_IMAGES else 1
    header_bytes = 4 + 4 * dimensions
    header = _read_up_to(stream, header_bytes, place)
    if len(header) < 4 or struct.unpack(">I", header[:4])[0] != magic:
        found = Message("{n} bytes", n=len(header))
        if len(header) >= 4:
            found = Message("magic {number}", number=struct.unpack(">I", header[:4])[0])
        kind = "images" if magic == IDX_IMAGES else "labels"
        raise DataError(
            "{place} is no IDX file of {kind}: expected magic {magic}, found {found}",
            place=place,
            kind=kind,
            magic=magic,
            found=found,
        )
    if len(header) < header_bytes:
        raise DataError(
            "{place} is cut short: its header has {header} bytes, expected {header_bytes}",
            place=place,
            header=len(header),
            header_bytes=header_bytes,
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if min(shape) < 1:
        raise DataError(
            "{place} declares {shape} values: there is nothing in it", place=place, shape=" x ".join(map(str, shape))
        )
    expected = int(np.prod([int(side) for side in shape], dtype=object))
    most = len(stored) * (DEFLATE_MAX_RATIO if zipped else 1)
    if expected > most:
        raise DataError(
            "{place} is cut short or damaged: its header declares {shape} values, "
            "{expected:,} bytes; the file's {stored:,} bytes cannot hold that. Fetch it again.",
            place=place,
            shape=" x ".join(map(str, shape)),
            expected=expected,
            stored=len(stored),
        )
    body = _read_up_to(stream, expected + 1, place)
    if len(body) != expected:
        found = Message("{n:,}", n=len(body)) if len(body) < expected else Message("more")
        raise DataError(
            "{place} is damaged: expected {expected:,} bytes after the header, found {found}. Fetch it again.",
            place=place,
            expected=expected,
            found=found,
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _read_up_to(stream: io.BufferedIOBase, size: int, place: str) -> bytearray:
    """At most ``size`` bytes. The buffer grows as bytes arrive, so a declared size alone allocates nothing."""
    pieces = bytearray()
    try:
        while len(pieces) < size:
            piece = stream.read(min(1 << 20, size - len(pieces)))
            if not piece:
                break
            pieces += piece
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            "{place} is damaged after {pieces:,} bytes: {error}. Fetch it again.",
            place=place,
            pieces=len(pieces),
            error=error,
        ) from error
    return pieces


# --- CIFAR --------------------------------------------------------------------------------------------------------


def open_cifar10(source: str, tree: Tree, names: list[str]) -> Dataset:
    """CIFAR-10's binary version: ``data_batch_*.bin`` and ``test_batch.bin``, records of 1 + 3072 bytes."""
    classes = _class_names(tree, names[0], "batches.meta.txt", CIFAR10_CLASSES)
    parts = []
    for part, start in (("train", "data_batch"), ("test", "test_batch")):
        mine = [name for name in names if Path(name).name.startswith(start)]
        if mine:
            read = [_cifar_records(tree, name, (len(classes),)) for name in mine]
            parts.append(
                Part(part, tuple(pixels for pixels, _ in read), np.concatenate([labels for _, labels in read]))
            )
    _need_training_part(source, parts)
    return dataset_of(source, "cifar-10 binary", classes, parts, lambda labels: labels)


def open_cifar100(source: str, tree: Tree, names: list[str]) -> Dataset:
    """CIFAR-100's binary version: ``train.bin`` and ``test.bin``, records of 2 + 3072 bytes; the fine labels."""
    classes = _class_names(tree, names[0], "fine_label_names.txt", CIFAR100_CLASSES)
    parts = []
    for name in sorted(names, key=lambda name: Path(name).name != "train.bin"):
        pixels, labels = _cifar_records(tree, name, (20, len(classes)))
        parts.append(Part(Path(name).stem, (pixels,), labels))
    _need_training_part(source, parts)
    return dataset_of(source, "cifar-100 binary", classes, parts, lambda labels: labels)


def _cifar_records(tree: Tree, name: str, label_counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 32, 32, 3) and the last label byte (n,) of a file of records: labels, then 1024 R, 1024 G, 1024 B."""
    place = tree.display(name)
    content = np.frombuffer(_read(tree, name), dtype=np.uint8)
    record = len(label_counts) + CIFAR_PIXELS
    if len(content) == 0 or len(content) % record:
        raise DataError(
            "{place} is cut short or no CIFAR batch: expected a multiple of {record:,} bytes (one record), "
            "found {content:,}, which is {records:,} records and {rest:,} bytes. "
            "Fetch it again.",
            place=place,
            record=record,
            content=len(content),
            records=len(content) // record,
            rest=len(content) % record,
        )
    records = content.reshape(-1, record)
    for column, count in enumerate(label_counts):
        _check_labels(place, records[:, column], np.arange(count))
    shape = (len(records), 3, CIFAR_SIDE, CIFAR_SIDE)
    planes = np.lib.stride_tricks.as_strided(
        records[:, len(label_counts) :], shape, (record, CIFAR_SIDE * CIFAR_SIDE, CIFAR_SIDE, 1), writeable=False
    )
    return planes.transpose(0, 2, 3, 1), records[:, len(label_counts) - 1]


def _class_names(tree: Tree, beside: str, name: str, published: tuple[str, ...]) -> tuple[str, ...]:
    path = str(Path(beside).parent / name)
    if path not in tree.files:
        return published
    lines = tuple(line.strip() for line in _read(tree, path).decode("utf-8", "replace").splitlines() if line.strip())
    if len(lines) != len(published):
        raise DataError(
            "{place} names {lines} classes, expected {published}",
            place=tree.display(path),
            lines=len(lines),
            published=len(published),
        )
    return lines


# --- what they share ------------------------------------------------------------------------------------------------


def _read(tree: Tree, name: str) -> bytes:
    try:
        return tree.read(name)
    except OSError as error:
        raise DataError(
            "{place} cannot be read: {reason}", place=tree.display(name), reason=system_reason(error)
        ) from error


def _check_labels(place: str, labels: np.ndarray, allowed: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isin(labels, allowed))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            "{place}: label {label} of record {first} is out of range; expected one of the "
            "{allowed} labels {lowest} to {highest} ({wrong} such records). The file is damaged.",
            place=place,
            label=labels[first],
            first=first,
            allowed=len(allowed),
            lowest=allowed[0],
            highest=allowed[-1],
            wrong=len(wrong),
        )


def _need_training_part(source: str, parts: list[Part]) -> None:
    if not parts or parts[0].part != "train":
        raise DataError(
            "{source} has no training images, only {parts}",
            source=source,
            parts=joined((part.part for part in parts), Message(" and ")),
        )


def dataset_of(source: str, layout: str, classes: tuple[str, ...], parts: list[Part], index_of: IndexOf) -> Dataset:
    if len(classes) < 2:
        raise DataError(
            "{source} has one class only ({only}); a classifier needs two or more", source=source, only=classes[0]
        )
    files = [pixels for part in parts for pixels in part.pixels]
    pixels = np.empty((sum(map(len, files)), *files[0].shape[1:]), dtype=np.uint8)
    np.concatenate(files, out=pixels)  # C order; without ``out`` it would keep CIFAR's planes
    return Dataset(
        source=source,
        layout=layout,
        classes=classes,
        labels=np.concatenate([index_of(part.labels) for part in parts]).astype(np.int64),
        names=tuple(name for part in parts for name in numbered(part.part, len(part.labels))),
        parts=np.concatenate([np.full(len(part.labels), part.part, dtype="<U5") for part in parts]),
        images=ArrayImages(pixels),
    )
