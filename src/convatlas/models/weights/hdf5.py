"""Keras's files without Keras: .h5 as Keras 1 and 2 wrote them, .weights.h5 and .keras as Keras 3 does.

What comes out is ``LAYER/PARAMETER`` whichever it was: ``conv1_conv/conv1_conv/kernel:0`` of the old files stays as
it is, and ``layers/conv2d/vars/0`` of the new ones, which number a layer's variables, becomes ``conv1_conv/kernel``.
A .keras file is a zip of model.weights.h5 and config.json; its configuration is read for names, never executed.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from convatlas.errors import CheckpointError, MissingDependencyError
from convatlas.message import Message
from convatlas.models.weights.claims import LARGEST, Claims, Tensors

if TYPE_CHECKING:
    import h5py

WEIGHTS, CONFIG = "model.weights.h5", "config.json"  # the members of a .keras archive that are read
LARGEST_CONFIG = 64 << 20  # bytes; ResNet-152's configuration has half a million
# a layer's variables in the order of their numbers, by Keras's class
VARIABLES = {
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
}
NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")  # without its first where scale=False
VARIABLE = re.compile(r"(?P<group>(?:.*/)?layers/(?P<kind>[a-z0-9_]+?)(?:_\d+)?)/vars/(?P<number>\d+)")
DAMAGED = (OSError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError)


def read_h5(path: Path) -> Tensors:
    """The weights in an .h5 or .weights.h5 file.

    Raises:
        CheckpointError: damaged, without weights, absurd sizes, or data kept in another file.
        MissingDependencyError: h5py is not installed.
    """
    with path.open("rb") as file:
        return weights_in(file, path, {})


def read_keras(path: Path) -> Tensors:
    """The weights in a .keras archive; nothing is unpacked but its two members, and these within their limits.

    Raises:
        As `read_h5` does.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as weights:
            names = names_in(json.loads(member(archive, CONFIG, LARGEST_CONFIG, path).read()))
            shutil.copyfileobj(member(archive, WEIGHTS, LARGEST, path), weights, 1 << 20)
            weights.seek(0)
            return weights_in(weights, path, names)
    except (*DAMAGED, RecursionError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> CheckpointError:
    return CheckpointError("{path} is damaged or cut short: {error}. Fetch it again.", path=path, error=error)


def member(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> IO[bytes]:
    """One member of the archive, opened after its sizes were checked."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise CheckpointError("{path} is no .keras file: it holds no {name}.", path=path, name=name) from error
    Claims(path, limit).bytes(name, info.file_size, info.compress_size)
    return archive.open(info)


def weights_in(file: IO[bytes], path: Path, names: dict[str, str]) -> Tensors:
    """Every floating-point data set of an open HDF5 file.

    Args:
        names: layer names by group, for files of Keras 3 whose groups do not hold them.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", "keras", Message("reading {file}", file=path.name)) from error
    tensors, claims = Tensors(), Claims(path)
    try:
        with h5py.File(file, "r") as content:
            for place, item in data_sets(content, h5py):
                claims.tensor(place, item.shape, item.dtype.itemsize, item.id.get_storage_size())
                if item.external or item.is_virtual:
                    raise CheckpointError(
                        "{path}: {place} would be read from another file of this machine; refused.",
                        path=path,
                        place=place,
                    )
                tensors[parameter(place, item, names, path)] = torch.from_numpy(item[()]).float()
    except DAMAGED as error:
        raise damaged(path, error) from error
    if not tensors:
        raise CheckpointError("{path} holds no weights.", path=path)
    return tensors


def data_sets(content: h5py.File, h5py: Any) -> Iterator[tuple[str, h5py.Dataset]]:
    """(path, data set) of the weights: below ``model_weights`` in a whole saved model of Keras 2, and no optimiser's.

    Links to other files are not followed.
    """
    root = content
    if isinstance(content.get("model_weights", getlink=True), h5py.HardLink):
        root = content["model_weights"]
    weights: list[tuple[str, h5py.Dataset]] = []

    def collect(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not place.startswith("optimizer/"):
            weights.append((place, item))

    root.visititems(collect)
    yield from weights


def parameter(place: str, item: h5py.Dataset, names: dict[str, str], path: Path) -> str:
    """``LAYER/PARAMETER`` of a data set."""
    match = VARIABLE.fullmatch(place)
    if match is None:
        return place
    layer = item.parent.attrs.get("name", names.get(match["group"]))
    if not isinstance(layer, str):
        raise CheckpointError(
            "{path} does not name its layers ({group}), as early files of Keras 3 do not: "
            "save the whole model as .keras, or its weights by a newer Keras.",
            path=path,
            group=match["group"],
        )
    number, count = int(match["number"]), len(item.parent)
    known = VARIABLES.get(match["kind"], ())
    if match["kind"] == "batch_normalization" and count <= len(NORMALIZATION):
        known = NORMALIZATION[-count:]
    return f"{layer}/{known[number] if number < len(known) else number}"


def names_in(config: Any) -> dict[str, str]:
    """Groups of the weights file -> layer names, by Keras 3's rule: a group is called by its layer's class and counted.

    A model inside the model has its own ``layers`` below its group.
    """
    names: dict[str, str] = {}

    def walk(model: Any, prefix: str) -> None:
        counts: Counter[str] = Counter()
        for layer in model["config"].get("layers", ()):
            kind = snake_case(str(layer["class_name"]))
            group = f"{prefix}layers/{kind}" + (f"_{counts[kind]}" if counts[kind] else "")
            counts[kind] += 1
            names[group] = str(layer["config"]["name"])
            if "layers" in layer["config"]:
                walk(layer, f"{group}/")

    try:
        walk(config, "")
    except (TypeError, AttributeError) as error:
        raise ValueError(f"its configuration is not a model's: {error}") from error
    return names


def snake_case(name: str) -> str:
    """``SeparableConv2D`` -> ``separable_conv2d``."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
