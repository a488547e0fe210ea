"""Files of weights -> names and tensors. Nothing in a file is executed; sizes are checked before memory is taken."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convatlas.errors import CheckpointError
from convatlas.models.weights.caffemodel import read_caffemodel
from convatlas.models.weights.claims import Claims, Tensors
from convatlas.models.weights.hdf5 import read_h5, read_keras


def read_tensors(path: str | Path) -> Tensors:
    """Every tensor of a weights file under its own name.

    Raises:
        CheckpointError: no such file, an unknown suffix, a damaged file, a pickle that holds more than tensors.
        MissingDependencyError: ``.h5`` or ``.keras`` without h5py.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("there is no weights file {path}.", path=path)
    if path.suffix not in READERS:
        raise CheckpointError(
            "{path} is not a weights file; known endings are {endings}.", path=path, endings=", ".join(READERS)
        )
    return READERS[path.suffix](path)


def read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            "{path} is damaged or cut short: {error}. Fetch it again.", path=path, error=error
        ) from error


def read_pth(path: Path) -> Tensors:
    """A PyTorch checkpoint; ``state_dict`` and ``model`` inside it are looked into."""
    try:
        with warnings.catch_warnings(action="ignore"):  # advice to the author of torch.load's call, not to the user
            document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "{path} holds a pickle with more than tensors in it, which could run code; it is refused. "
            "Ask its author for a state_dict, or convert it to safetensors where you trust it.",
            path=path,
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            "{path} is damaged or cut short: {error}. Fetch it again.", path=path, error=error
        ) from error
    return only_tensors(document, path)


def only_tensors(document: Any, path: Path) -> Tensors:
    for key in ("state_dict", "model", "net"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):
            document = document[key]
    if not isinstance(document, dict):
        raise CheckpointError(
            "{path} holds a {kind}, not a state_dict of names and tensors.", path=path, kind=type(document).__name__
        )
    tensors = {str(key): value for key, value in document.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError("{path} holds no tensors.", path=path)
    return tensors


def read_npz(path: Path) -> Tensors:
    """Arrays saved by numpy; each one's header is read before its data."""
    import numpy as np

    claims = Claims(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    shape, dtype = npy_header(file)
                if dtype.hasobject:
                    raise ValueError("an array of Python objects")
                claims.tensor(info.filename, shape, dtype.itemsize, info.compress_size)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(
            "{path} is damaged, cut short, or holds more than arrays: {error}.", path=path, error=error
        ) from error


def npy_header(file: Any) -> tuple[tuple[int, ...], Any]:
    """(shape, dtype) of an array file."""
    from numpy.lib import format as npy

    reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if reader is None:
        raise ValueError("a version of .npy that is not known")
    shape, _, dtype = reader(file)
    return shape, dtype


READERS: dict[str, Callable[[Path], Tensors]] = {
    ".safetensors": read_safetensors,
    ".pth": read_pth,
    ".pt": read_pth,
    ".th": read_pth,
    ".npz": read_npz,
    ".h5": read_h5,
    ".keras": read_keras,
    ".caffemodel": lambda path: read_caffemodel(path.read_bytes(), str(path)),
}
