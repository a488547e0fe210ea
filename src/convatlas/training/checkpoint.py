"""Checkpoints: one safetensors file each, with its state as JSON in the header and a SHA-256 over every byte.

No pickle is written or read. A file appears under its name only when it is whole: it is written beside, flushed to the
disk, read back and compared, then renamed; only then are older ones removed. Whatever is killed at whatever moment,
the previous checkpoint can still be loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convatlas.errors import CheckpointError, TrainingError
from convatlas.message import Message, joined, of_system
from convatlas.training.learner import Learner

SCHEMA = 1
_NO_DIGEST = "0" * 64  # stands in the header while the digest of the file is taken
_HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit
_NUMBERED = re.compile(r"checkpoint-(\d{9})\.safetensors")


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write ``tensors`` and ``state`` to ``path``, atomically and durably.

    Raises:
        TrainingError: the disk is full or the folder cannot be written; an older file of that name is untouched.
    """
    data = _sealed(tensors, {"schema": SCHEMA, **state})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != data:
            raise OSError(Message("what was read back differs from what was written"))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise TrainingError(
            "{path} ({data:,} bytes) could not be written: {reason}. "
            "Earlier checkpoints are intact; free some space or choose another --out, then continue with --resume.",
            path=path,
            data=len(data),
            reason=of_system(error),
        ) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a file written by `save`, after its digest was checked.

    Raises:
        CheckpointError: the file is missing, cut short, altered, or not one of ours.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "checkpoint {path} cannot be read: {reason}.", path=path, reason=of_system(error)
        ) from error
    header = _header(path, data)
    try:
        digest = header["__metadata__"]["sha256"]
        state = json.loads(header["__metadata__"]["convatlas"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("{path} is a safetensors file, but not one that convatlas wrote.", path=path) from error
    if _digest(data, digest) != digest:
        raise CheckpointError(
            "{path} is damaged: its content does not match its SHA-256. Use another checkpoint.",
            path=path,
        )
    if state.get("schema") != SCHEMA:
        raise CheckpointError(
            "{path} has schema {found}; this version reads schema {schema}.",
            path=path,
            found=state.get("schema"),
            schema=SCHEMA,
        )
    try:
        return safetensors.torch.load(data), state
    except SafetensorError as error:
        raise CheckpointError("{path} is damaged: {error}.", path=path, error=error) from error


def numbered(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:09d}.safetensors"


def best(folder: Path) -> Path:
    return folder / "checkpoint-best.safetensors"


def saved(folder: Path) -> list[Path]:
    """The numbered checkpoints of a run, oldest first."""
    return sorted(path for path in folder.iterdir() if _NUMBERED.fullmatch(path.name))


def prune(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest ``keep`` numbered checkpoints, and parts that a killed process left."""
    for path in [*saved(folder)[:-keep], *folder.glob(".*.part")]:
        path.unlink(missing_ok=True)


def newest(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any], list[Message]]:
    """The newest checkpoint that is whole, and what was said of damaged ones passed over on the way.

    Raises:
        CheckpointError: there is none.
    """
    complaints: list[Message] = []
    for path in reversed(saved(folder)):
        try:
            tensors, state = load(path)
        except CheckpointError as error:
            complaints.append(error.message)
            continue
        return path, tensors, state, complaints
    detail = joined(complaints, " ") if complaints else Message("It holds no checkpoint-*.safetensors.")
    raise CheckpointError("nothing to resume in {folder}. {detail}", folder=folder, detail=detail)


def pack(learner: Learner) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that changes during training, as flat tensors and JSON."""
    tensors = {f"net.{name}": tensor for name, tensor in learner.net.state_dict().items()}
    scalars: dict[str, Any] = {"optimizer": {}, "callbacks": {}}
    for number, values in learner.optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{number}.{key}"] = value
            else:
                scalars["optimizer"][f"{number}.{key}"] = value
    for callback in learner.callbacks:
        own, scalars["callbacks"][callback.name] = callback.state()
        tensors |= {f"callback.{callback.name}.{key}": tensor for key, tensor in own.items()}
    return tensors, scalars


def unpack(tensors: dict[str, Tensor], scalars: dict[str, Any], learner: Learner) -> None:
    """Put back what `pack` took, into a learner built the same way.

    Raises:
        CheckpointError: names or shapes that do not fit this network, or other callbacks.
    """
    optimizer, callbacks = learner.optimizer, learner.callbacks
    if "companions" in scalars:  # as earlier checkpoints call them
        scalars = scalars | {"callbacks": scalars["companions"]}
        tensors = {re.sub(r"^companion\.", "callback.", name): tensor for name, tensor in tensors.items()}
    names = [callback.name for callback in callbacks]
    if sorted(names) != sorted(scalars["callbacks"]):
        raise CheckpointError(
            "the checkpoint was written with {there} beside the network, the "
            "run has {here}: these are not the run's own settings.",
            there=", ".join(scalars["callbacks"]) or Message("nothing"),
            here=", ".join(names) or Message("nothing"),
        )
    load_network(tensors, learner.net)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            states.setdefault(int(number), {})[key] = _laid_out_like(parameters[int(number)], tensor)
    for name, value in scalars["optimizer"].items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    for callback in callbacks:
        prefix = f"callback.{callback.name}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        callback.load(own, scalars["callbacks"][callback.name])


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """In the parameter's memory format: fused optimizers walk through both side by side."""
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor) if tensor.shape == parameter.shape else tensor


def load_network(tensors: dict[str, Tensor], net: torch.nn.Module, prefix: str = "net.") -> None:
    """Give ``net`` the tensors named ``prefix`` + its own names; all of them, in its shapes, or nothing is changed."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    expected = net.state_dict()
    wrong = [
        name
        for name in sorted(own.keys() | expected.keys())
        if name not in own or name not in expected or own[name].shape != expected[name].shape
    ]
    if wrong:
        raise CheckpointError(
            "these weights are of another network: {wrong} of {expected} tensors are missing, unknown or "
            "of another shape, {some} among them.",
            wrong=len(wrong),
            expected=len(expected),
            some=", ".join(wrong[:4]),
        )
    net.load_state_dict(own)


def _sealed(tensors: dict[str, Tensor], state: dict[str, Any]) -> bytes:
    metadata = {"convatlas": json.dumps(state, allow_nan=False), "sha256": _NO_DIGEST}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(contiguous, metadata)
    digest = hashlib.sha256(data).hexdigest()
    return data.replace(_quoted(_NO_DIGEST), _quoted(digest), 1)


def _digest(data: bytes, written: str) -> str:
    return hashlib.sha256(data.replace(_quoted(written), _quoted(_NO_DIGEST), 1)).hexdigest()


def _quoted(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _header(path: Path, data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_HEADER_LIMIT, len(data) - 8):
        pickled = data[:2] in (b"PK", b"\x80\x02")
        kind = Message("a pickle or zip archive, which is not opened") if pickled else Message("cut short")
        raise CheckpointError(
            "{path} is not a whole safetensors file ({kind}; {data:,} bytes).", path=path, kind=kind, data=len(data)
        )
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise CheckpointError("{path} is damaged: its header is not JSON.", path=path) from error
    if not isinstance(header, dict):
        raise CheckpointError("{path} is damaged: its header is not a table.", path=path)
    return header


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
