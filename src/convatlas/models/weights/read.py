"""Files of weights -> names and tensors. Nothing in a file is executed; sizes are checked before memory is taken."""

from __future__ import annotations

import json
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import torch
from torch import Tensor

from convatlas.errors import CheckpointError
from convatlas.message import Message
from convatlas.models.weights.caffemodel import read_caffemodel
from convatlas.models.weights.claims import LARGEST, Claims, Tensors
from convatlas.models.weights.contents import LARGEST_INDEX, SAVE_STATE_DICT, in_folder, kind_of
from convatlas.models.weights.hdf5 import read_h5, read_keras

# the dictionaries inside a checkpoint that hold the network's weights, the first that is there wins: where an average
# of the weights was kept it is what the author evaluated, as timm's own loader takes it
AVERAGES = (
    "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "model_ema_state_dict", "ema", "averaged_model",
)  # fmt: skip
STATES = (
    "model_state_dict", "state_dict", "model_state", "model_weights", "model", "net", "network", "net_state_dict",
    "weights", "params", "module", "shadow", "teacher", "student", "generator",
)  # fmt: skip
NOT_WEIGHTS = ("optim", "sched", "scaler", "loss", "criterion")  # begin or stand in the names of other states
DATA = (
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "builtins.bytearray",
)  # which torch takes as they are
DEEPEST = 8  # dictionaries in one another


@dataclass(frozen=True)
class WeightsFile:
    """What was read of a file.

    Attributes:
        kind: "safetensors", "torch", "npz", "keras", "hdf5", "caffe" or "index".
        tensors: by the names in the file, in its order.
        undone: the wrappings that were taken off, in words.
        others: the entries of the file beside the weights: "epoch", "optimizer".
    """

    kind: str
    tensors: Tensors
    undone: tuple[Message, ...] = ()
    others: tuple[str, ...] = field(default=())


def read_tensors(path: str | Path) -> Tensors:
    """Every tensor of a weights file under its own name; see `read_file`."""
    return read_file(path).tensors


def read_file(path: str | Path) -> WeightsFile:
    """The tensors of a weights file, of all files that an index names, or of a folder that holds one of these.

    Raises:
        CheckpointError: no such file, a file of another kind, a damaged one, a pickle that holds more than tensors.
        MissingDependencyError: a file of Keras without h5py.
    """
    path = Path(path)
    if path.is_dir():
        path = in_folder(path)
    if not path.is_file():
        raise CheckpointError("there is no weights file {path}.", path=path)
    kind = kind_of(path)
    if kind == "torch":
        return read_torch(path)
    if kind == "index":
        return read_shards(path)
    return WeightsFile(kind, READERS[kind](path))


def damaged(path: Path, error: BaseException) -> CheckpointError:
    return CheckpointError("{path} is damaged or cut short: {error}. Fetch it again.", path=path, error=error)


def read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error


# --- PyTorch ----------------------------------------------------------------------------------------------------------


class Stranger:
    """Stands for an object of a class that is not loaded: it takes whatever the file gives it and does nothing.

    Checkpoints often hold an argparse.Namespace or a numpy number beside the weights; neither is needed.
    """

    name = ""

    def __new__(cls, *arguments: object, **named: object) -> Stranger:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def read_torch(path: Path) -> WeightsFile:
    """A file of ``torch.save``, zipped or older; the dictionaries inside it are looked into."""
    check_claims(path)
    names = sorted(name for name in globals_in(path) if foreign(name))
    strangers: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (type("Stranger", (Stranger,), {"name": name}), name) for name in names
    ]
    try:
        with (
            path.open("rb") as file,  # of a path torch would look at the ending
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(strangers),
        ):
            document = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "{path} holds a pickle with more than tensors in it{names}, which could run code; it is refused. {way_out}",
            path=path,
            names=f" ({', '.join(names[:3])})" if names else "",
            way_out=SAVE_STATE_DICT,
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, error) from error
    return of_document(document, path)


def check_claims(path: Path) -> None:
    """Refuse an archive whose members would need more memory than any network here, or than deflate can give.

    Raises:
        CheckpointError: as `Claims` does.
    """
    claims = Claims(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.file_size:
                    claims.bytes(info.filename, info.file_size, info.compress_size)


def globals_in(path: Path) -> set[str]:
    """The names of classes and functions that the pickles of a file ask for; nothing is loaded."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.rpartition("/")[2] == "data.pkl":
                        with archive.open(name) as stream:
                            names |= asked_for(stream)
        else:
            with path.open("rb") as stream:
                for _ in range(5):  # the magic number, the protocol, the machine, the object, the keys of its storages
                    names |= asked_for(stream)
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, UnicodeDecodeError, NotImplementedError, KeyError):
        pass  # not a whole pickle: torch.load says so
    return names


def asked_for(stream: IO[bytes]) -> set[str]:
    """The globals of the one pickle that begins here."""
    names, texts = set(), ["", ""]
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL":
            names.add(str(argument).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return names


def foreign(name: str) -> bool:
    """Whether the name is replaced; torch knows which of its own are only data. Its modules are not."""
    if name.startswith(("torch.nn.modules.", "torch.nn.parallel.", "torch.optim.", "torch.jit.")):
        return True
    return not name.startswith(("torch.", "_codecs.")) and name not in DATA


def of_document(document: Any, path: Path) -> WeightsFile:
    """The state_dict in what ``torch.load`` gave; every dictionary that was opened is in ``undone``."""
    undone: list[Message] = []
    others: list[str] = []
    for _ in range(DEEPEST):
        key = inner(document)
        if key is None:
            break
        others += [str(other) for other in document if other != key]
        if key in AVERAGES:
            undone.append(Message("the averaged weights {key!r} taken", key=key))
            rest = [other for other in STATES if isinstance(document.get(other), dict)]
            if rest:
                undone[-1] = Message("the averaged weights {key!r} taken, {rest!r} left", key=key, rest=rest[0])
        else:
            undone.append(Message("{key!r} opened", key=key))
        document = document[key]
    if isinstance(document, Stranger) or (isinstance(document, dict) and is_module(document, path)):
        stranger = document if isinstance(document, Stranger) else next(iter(strangers_in(document)))
        raise CheckpointError(
            "{path} holds a pickled {name}, not a state_dict: loading it could run code; it is refused. {way_out}",
            path=path,
            name=stranger.name,
            way_out=SAVE_STATE_DICT,
        )
    if not isinstance(document, dict):
        raise CheckpointError(
            "{path} holds a {kind}, not a state_dict of names and tensors.", path=path, kind=type(document).__name__
        )
    tensors = {str(key): value for key, value in document.items() if isinstance(value, Tensor)}
    others += [str(key) for key in document if str(key) not in tensors]
    if not tensors:
        raise CheckpointError(
            "{path} holds no tensors; it has {keys}.", path=path, keys=", ".join(map(repr, list(document)[:8])) or "{}"
        )
    claims = Claims(path)
    for name, value in tensors.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(
                "{path}: {name} is a quantized, sparse or empty tensor; give the weights in floating point.",
                path=path,
                name=name,
            )
        size = value.numel() * value.element_size()
        claims.tensor(name, tuple(value.shape), value.element_size(), size)  # an expanded tensor needs more than it has
    return WeightsFile("torch", {name: value.detach() for name, value in tensors.items()}, tuple(undone), tuple(others))


def inner(document: Any) -> str | None:
    """The key of the dictionary inside that holds the weights; None where this is the state_dict, or nothing is."""
    if not isinstance(document, dict):
        return None
    for key in (*AVERAGES, *STATES):
        value = document.get(key)
        if isinstance(value, dict) and (holds_tensors(value) or inner(value) is not None):
            return key
        if isinstance(value, Stranger) and not any(isinstance(each, Tensor) for each in document.values()):
            return key
    if any(isinstance(value, Tensor) and value.dim() for value in document.values()):
        return None
    states = [
        key
        for key, value in document.items()
        if isinstance(key, str)
        and isinstance(value, dict)
        and holds_tensors(value)
        and not any(word in key.lower() for word in NOT_WEIGHTS)
    ]
    return states[0] if len(states) == 1 else None


def holds_tensors(document: dict[Any, Any]) -> bool:
    return any(isinstance(key, str) and isinstance(value, Tensor) for key, value in document.items())


def is_module(document: dict[Any, Any], path: Path) -> bool:
    """Whether there is a pickled object and no tensor."""
    return not any(isinstance(value, Tensor) for value in document.values()) and any(strangers_in(document))


def strangers_in(document: dict[Any, Any]) -> Iterator[Stranger]:
    return (value for value in document.values() if isinstance(value, Stranger))


# --- several files ----------------------------------------------------------------------------------------------------


def read_shards(path: Path) -> WeightsFile:
    """The tensors of all files that an index names; they lie beside it or below.

    Raises:
        CheckpointError: an index that points elsewhere, a file that is missing, a tensor that is not in its file.
    """
    if path.stat().st_size > LARGEST_INDEX:
        raise CheckpointError("{path} is no index of weights: it is too large.", path=path)
    places = json.loads(path.read_bytes())["weight_map"]
    files: dict[str, list[str]] = {}
    for name, file in places.items():
        if not isinstance(file, str) or leads_outside(file):
            raise CheckpointError(
                "{path}: {name} would be read from {file!r}, outside the folder of the index; refused.",
                path=path,
                name=name,
                file=file,
            )
        files.setdefault(file, []).append(name)
    missing = [file for file in files if not (path.parent / file).is_file()]
    if missing:
        raise CheckpointError(
            "{path} names {n} files that are not there: {names}. Fetch them into the same folder.",
            path=path,
            n=len(missing),
            names=", ".join(missing[:3]),
        )
    size = sum((path.parent / file).stat().st_size for file in files)
    if size > LARGEST:
        raise CheckpointError(
            "{path}: its files have {size:,} bytes, more than {limit:,}, more than any network here; refused.",
            path=path,
            size=size,
            limit=LARGEST,
        )
    found: Tensors = {}
    for file, names in files.items():
        shard = path.parent / file
        kind = kind_of(shard)
        if kind == "index":
            raise CheckpointError("{path}: {file} is an index itself; refused.", path=path, file=file)
        tensors = read_torch(shard).tensors if kind == "torch" else READERS[kind](shard)
        lacking = [name for name in names if name not in tensors]
        if lacking:
            raise CheckpointError(
                "{path}: {name} is not in {file}. The files belong to different weights; fetch them again.",
                path=path,
                name=lacking[0],
                file=file,
            )
        found |= {name: tensors[name] for name in names}
    ordered = {name: found[name] for name in places}
    if not ordered:
        raise CheckpointError("{path} holds no weights.", path=path)
    return WeightsFile("index", ordered, (Message("{n} files joined", n=len(files)),))


def leads_outside(file: str) -> bool:
    """Whether a file named by an index is anywhere but beside it or below, on any system."""
    posix, windows = PurePosixPath(file), PureWindowsPath(file)
    return (
        not file or posix.is_absolute() or bool(windows.anchor) or ".." in posix.parts or ".." in windows.parts
    )  # links are followed: a Hugging Face cache keeps its files elsewhere and links to them


# --- numpy ------------------------------------------------------------------------------------------------------------


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
    "safetensors": read_safetensors,
    "npz": read_npz,
    "hdf5": read_h5,
    "keras": read_keras,
    "caffe": lambda path: read_caffemodel(path.read_bytes(), str(path)),
}
