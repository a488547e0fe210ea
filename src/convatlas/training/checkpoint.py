"""Checkpoints: one safetensors file each, with the state of the run as JSON in its header and a SHA-256 of all bytes.

No pickle is written or read. A checkpoint is written atomically (`convatlas.atomic.write_verified`), and older ones are
removed only afterwards, so that the previous checkpoint can be loaded whenever the process is killed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convatlas.atomic import TEMPORARY, write_verified
from convatlas.errors import CheckpointError, TrainingError
from convatlas.message import Message, joined, system_reason
from convatlas.training.learner import Learner

SCHEMA = 1
_NO_DIGEST = "0" * 64  # placeholder in the header while the digest of the file is computed
_HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors format
_NUMBERED = re.compile(r"checkpoint-(\d{9})\.safetensors")


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write ``tensors`` and ``state`` to ``path``, atomically and durably.

    Raises:
        TrainingError: the disk is full or the folder cannot be written. An older file of that name is unchanged.
    """
    data = _sealed(tensors, {"schema": SCHEMA, **state})
    try:
        write_verified(path, data)
    except OSError as error:
        raise TrainingError(
            "{path} ({data:,} bytes) could not be written: {reason}. "
            "Earlier checkpoints are intact; free some space or choose another --out, then continue with --resume.",
            path=path,
            data=len(data),
            reason=system_reason(error),
        ) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Check the digest of a file that `save` wrote, and return its tensors and state.

    Raises:
        CheckpointError: the file is missing, truncated, altered, or was not written by convatlas.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "checkpoint {path} cannot be read: {reason}.", path=path, reason=system_reason(error)
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
            "{path} has schema {other}; this version reads schema {schema}.",
            path=path,
            other=state.get("schema"),
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
    """Remove all but the newest ``keep`` numbered checkpoints, and the temporary files of killed processes."""
    for path in [*saved(folder)[: -keep or None], *folder.glob(TEMPORARY)]:
        path.unlink(missing_ok=True)


def remove_all(folder: Path) -> None:
    """Remove every checkpoint of a run that is finished: only a continuation would need them."""
    prune(folder, keep=0)
    best(folder).unlink(missing_ok=True)


def newest(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any], list[Message]]:
    """Return the newest undamaged checkpoint: its path, tensors and state, and the errors of newer, damaged ones.

    Raises:
        CheckpointError: there is no undamaged checkpoint.
    """
    problems: list[Message] = []
    for path in reversed(saved(folder)):
        try:
            tensors, state = load(path)
        except CheckpointError as error:
            problems.append(error.message)
            continue
        return path, tensors, state, problems
    detail = joined(problems, " ") if problems else Message("It holds no checkpoint-*.safetensors.")
    raise CheckpointError("nothing to resume in {folder}. {detail}", folder=folder, detail=detail)


def pack(learner: Learner) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return everything that changes during training, as a flat dictionary of tensors and as JSON values."""
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
    """Restore what `pack` returned, into a learner built in the same way.

    Raises:
        CheckpointError: names or shapes do not fit this network, or the callbacks are different ones.
    """
    optimizer, callbacks = learner.optimizer, learner.callbacks
    if "companions" in scalars:  # the name of callbacks in version 0.1.0
        scalars = scalars | {"callbacks": scalars["companions"]}
        tensors = {re.sub(r"^companion\.", "callback.", name): tensor for name, tensor in tensors.items()}
    names = [callback.name for callback in callbacks]
    if sorted(names) != sorted(scalars["callbacks"]):
        raise CheckpointError(
            "the checkpoint was written with the callbacks {saved}, and this run has {here}. Resume it with the "
            "settings it was started with.",
            saved=", ".join(scalars["callbacks"]) or Message("none"),
            here=", ".join(names) or Message("none"),
        )
    load_network(tensors, learner.net)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            states.setdefault(int(number), {})[key] = _in_layout_of(parameters[int(number)], tensor)
    for name, value in scalars["optimizer"].items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    for callback in callbacks:
        prefix = f"callback.{callback.name}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        callback.load(own, scalars["callbacks"][callback.name])


def _in_layout_of(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return ``tensor`` in the memory format of ``parameter``, as fused optimizers expect it."""
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor) if tensor.shape == parameter.shape else tensor


def load_network(tensors: dict[str, Tensor], net: torch.nn.Module, prefix: str = "net.") -> None:
    """Load the tensors named ``prefix`` + the names of ``net`` into it.

    Raises:
        CheckpointError: names or shapes do not fit; then the network is unchanged.
    """
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
