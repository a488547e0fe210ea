"""CIFAR's python batches, read by an unpickler that can rebuild numpy arrays and nothing else.

A pickle may name any function of any module and have it called. `_ArraysOnly` refuses every global but those with which
numpy rebuilds an array and Python 3 bytes, and puts checked functions in their place. So it does no more than a parser
of dictionaries, lists, numbers, texts, bytes and arrays.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from convatlas.data.arrays import CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR_PIXELS, CIFAR_SIDE, Part, dataset_of
from convatlas.data.dataset import Dataset
from convatlas.data.tree import Tree
from convatlas.errors import DataError
from convatlas.message import Message, system_reason

CIFAR10_BATCH = re.compile(r"(data_batch_\d+|test_batch)$")
CIFAR100_FILES = frozenset({"train", "test"})
META = ("batches.meta", "meta")
MAX_BYTES = 256 << 20  # CIFAR-100's train is 155 MB
_ARRAY_GLOBALS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),  # how Python 3 writes bytes by protocol 2
}


_ARRAY = object()  # stands for numpy.ndarray, so that a pickle cannot call it with a shape of its own


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that refuses every global but those of numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_GLOBALS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return {"dtype": np.dtype, "ndarray": _ARRAY, "_reconstruct": _reconstruct, "encode": _bytes_of}[name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent id")


def _bytes_of(text: str, encoding: str) -> bytes:
    """The bytes that a text stands for."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("_codecs.encode")
    return text.encode("latin1")


def _reconstruct(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An empty array, as numpy's function of that name makes it; numpy fills it with checked bytes afterwards."""
    if kind is not _ARRAY or shape != (0,):
        raise pickle.UnpicklingError("numpy array")
    return np.ndarray((0,), dtype=np.int8)


def unpickled(tree: Tree, name: str) -> dict[str, Any]:
    """The dictionary in a pickle, with text keys.

    Raises:
        DataError: it needs other objects than arrays, is damaged or too large, or holds something else.
    """
    place = tree.display(name)
    if tree.files[name].size > MAX_BYTES:
        raise DataError("{place} is larger than any of CIFAR's batches and is not read", place=place)
    try:
        content = tree.read(name)
    except OSError as error:
        raise DataError("{place} cannot be read: {reason}", place=place, reason=system_reason(error)) from error
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise DataError(
            "{place} is a pickle that is not one of CIFAR's: it is damaged, or names something else than arrays "
            "({reason}). A pickle can run code, so it is not opened. Fetch the data set again from its source.",
            place=place,
            reason=str(error),
        ) from error
    except Exception as error:  # damaged pickles raise almost any exception
        raise DataError(
            "{place} is damaged: {reason}. Fetch it again.", place=place, reason=type(error).__name__
        ) from error
    if not isinstance(loaded, dict):
        raise DataError("{place} is damaged: it holds no dictionary. Fetch it again.", place=place)
    return {key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key): loaded[key] for key in loaded}


def is_cifar100_python(tree: Tree, base: str, direct: list[str]) -> bool:
    """Whether files called train and test are pickles, with the file ``meta`` beside them."""
    if not set(direct) >= CIFAR100_FILES | {"meta"}:
        return False
    try:
        with tree.open(base + "train") as file:
            return file.read(1) == b"\x80"
    except OSError:
        return False


def open_cifar_python(source: str, tree: Tree, base: str, names: list[str]) -> Dataset:
    """CIFAR-10's ``data_batch_*`` and ``test_batch``, or CIFAR-100's ``train`` and ``test`` with its fine labels.

    Raises:
        DataError: a file is no batch of CIFAR.
    """
    hundred = bool(CIFAR100_FILES & {PurePosixPath(name).name for name in names})
    key, published = ("fine_labels", CIFAR100_CLASSES) if hundred else ("labels", CIFAR10_CLASSES)
    classes = _class_names(tree, base, published)
    parts = []
    for split in ("train", "test"):
        mine = [name for name in names if _split_of_batch(name) == split]
        if mine:
            read = [_batch(tree, name, key, len(classes)) for name in mine]
            labels = np.concatenate([labels for _, labels in read])
            parts.append(Part(split, tuple(pixels for pixels, _ in read), labels))
    if not parts or parts[0].part != "train":
        raise DataError("{source} has no training images, only {parts}", source=source, parts="test")
    layout = "cifar-100 python" if hundred else "cifar-10 python"
    return dataset_of(source, layout, classes, parts, lambda labels: labels)


def _split_of_batch(name: str) -> str:
    return "test" if PurePosixPath(name).name.startswith("test") else "train"


def _batch(tree: Tree, name: str, key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 32, 32, 3) uint8 and labels (n,) uint8 of one batch."""
    values, place = unpickled(tree, name), tree.display(name)
    pixels, labels = values.get("data"), values.get(key)
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
        raise DataError(
            "{place} is no batch of CIFAR: it holds {keys}, expected data and {key}",
            place=place,
            keys=", ".join(sorted(values)) or Message("nothing"),
            key=key,
        )
    good = pixels.dtype == np.uint8 and pixels.shape == (len(labels), CIFAR_PIXELS) and len(labels) > 0
    if not good or not all(type(label) is int and 0 <= label < classes for label in labels):
        raise DataError(
            "{place} is damaged: expected a row of {pixels:,} bytes and a label from 0 to {last} for each image. Fetch "
            "it again.",
            place=place,
            pixels=CIFAR_PIXELS,
            last=classes - 1,
        )
    planes = pixels.reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return planes.transpose(0, 2, 3, 1), np.array(labels, dtype=np.uint8)


def _class_names(tree: Tree, base: str, published: tuple[str, ...]) -> tuple[str, ...]:
    """The names in the file of names beside the batches, if it is there and has as many as there are classes."""
    for file in META:
        if base + file in tree.files:
            values = unpickled(tree, base + file)
            names = values.get("fine_label_names") or values.get("label_names")
            if isinstance(names, list) and len(names) == len(published):
                return tuple(
                    name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names
                )
    return published
