"""Files of weights -> names and tensors. Nothing in a file is executed; sizes are checked before memory is taken."""

from __future__ import annotations

import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convatlas.errors import CheckpointError, MissingDependencyError

Tensors = dict[str, Tensor]
LARGEST = 8 << 30  # bytes; the largest network of the atlas has 1.3 GB
SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".npz", ".h5", ".caffemodel")


def read_tensors(path: str | Path) -> Tensors:
    """Every tensor of a weights file under its own name.

    Raises:
        CheckpointError: no such file, an unknown suffix, a damaged file, a pickle that holds more than tensors.
        MissingDependencyError: ``.h5`` without h5py.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no weights file {path}.")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".th"):
        return read_pth(path)
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix == ".h5":
        return read_h5(path)
    if path.suffix == ".caffemodel":
        from convatlas.models.weights.caffe import read_caffemodel

        return read_caffemodel(path.read_bytes(), str(path))
    raise CheckpointError(f"{path} is not a weights file; known endings are {', '.join(SUFFIXES)}.")


def read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut short: {error}. Fetch it again.") from error


def read_pth(path: Path) -> Tensors:
    """A PyTorch checkpoint; ``state_dict`` and ``model`` inside it are looked into."""
    try:
        with warnings.catch_warnings(action="ignore"):  # advice to the author of torch.load's call, not to the user
            document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds a pickle with more than tensors in it, which could run code; it is refused. "
            "Ask its author for a state_dict, or convert it to safetensors where you trust it."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or cut short: {error}. Fetch it again.") from error
    return only_tensors(document, path)


def only_tensors(document: Any, path: Path) -> Tensors:
    for key in ("state_dict", "model", "net"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):
            document = document[key]
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} holds a {type(document).__name__}, not a state_dict of names and tensors.")
    tensors = {str(key): value for key, value in document.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors.")
    return tensors


def read_npz(path: Path) -> Tensors:
    import zipfile

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path} is damaged, cut short, or holds more than arrays: {error}.") from error


def read_h5(path: Path) -> Tensors:
    """Keras weights without Keras: every data set under its path in the file, ``conv1_conv/conv1_conv/kernel:0``."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", "keras", f"reading {path.name}") from error
    tensors: Tensors = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            check_size(name, item.shape, path)
            if item.external or item.is_virtual:
                raise CheckpointError(f"{path}: {name} would be read from another file of this machine; refused.")
            tensors[name] = torch.from_numpy(item[()]).float()

    try:
        with h5py.File(path, "r") as file:
            file.get("model_weights", file).visititems(collect)  # a whole saved model, or weights alone
    except (OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or cut short: {error}. Fetch it again.") from error
    if not tensors:
        raise CheckpointError(f"{path} holds no weights.")
    return tensors


def check_size(name: str, shape: tuple[int, ...], path: Path | str) -> None:
    """Refuse an absurd tensor before memory is taken for it."""
    size = 4 * math.prod(shape)
    if size > LARGEST or any(side < 0 for side in shape):
        raise CheckpointError(
            f"{path}: {name} claims the shape {tuple(shape)}, {size:,} bytes, more than any network here; refused."
        )
