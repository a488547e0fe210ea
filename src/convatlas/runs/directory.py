"""The files of a run directory, written so that none is ever half there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convatlas.errors import ConvAtlasError, TrainingError, UsageError
from convatlas.message import of_system


def make(out: Path, model: str, data: str) -> Path:
    """A new folder ``OUT/MODEL-DATA-NNN``, the first number that is free.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    stem = re.sub(r"[^\w.@+-]+", "_", f"{model}-{Path(data).name or 'data'}").strip("_")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100_000):
            folder = out / f"{stem}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise UsageError(
            "the output folder {out} cannot be written: {reason}. Choose another with --out.",
            out=out,
            reason=of_system(error),
        ) from error
    raise UsageError("{out} holds 99,999 runs of {stem}; choose another --out.", out=out, stem=stem)


def write_text(path: Path, text: str) -> None:
    """Write beside, flush to the disk, rename.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise TrainingError("{path} could not be written: {reason}.", path=path, reason=of_system(error)) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_toml(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Flat tables of strings, numbers, booleans and lists of them; None is left out, as TOML has none."""
    lines: list[str] = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{name} = {toml_value(value)}" for name, value in values.items() if value is not None]
        lines.append("")
    write_text(path, "\n".join(lines))


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml_value(item)}" for name, item in value.items()) + "}"
    raise TypeError(f"no TOML form for {value!r}")


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run directory; the lock goes with the process, however it ends."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConvAtlasError(
                "another process is training in {folder}; wait for it, or stop it.", folder=folder
            ) from error
        yield
