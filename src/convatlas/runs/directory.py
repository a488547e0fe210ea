"""Make a run directory, lock it, and write its files atomically."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from convatlas.atomic import atomic_file
from convatlas.errors import ConvAtlasError, TrainingError, UsageError
from convatlas.message import system_reason

CONFIG = "config.toml"  # a directory that holds it is a run


def make(out: Path, model: str, data: str, name: str | None = None) -> Path:
    """Make the folder ``OUT/NAME``, or without a name ``OUT/MODEL-DATA-NNN`` with the lowest free number.

    Raises:
        UsageError: ``out`` cannot be written, or the name is taken.
    """
    stem = re.sub(r"[^\w.@+-]+", "_", f"{model}-{Path(data).name or 'data'}").strip("_")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if name is not None:
            (out / name).mkdir()
            return out / name
        for number in range(1, 100_000):
            folder = out / f"{stem}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        if name is not None and (out / name).exists():
            raise UsageError(
                "{path} exists already. Choose another --name, or continue that run:  convatlas train --resume {path}",
                path=out / name,
            ) from error
        raise UsageError(
            "the output folder {out} cannot be written: {reason}. Choose another with --out.",
            out=out,
            reason=system_reason(error),
        ) from error
    raise UsageError("{out} holds 99,999 runs of {stem}; choose another --out.", out=out, stem=stem)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` at the end of every line on every system.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    content = text.encode()
    try:
        with atomic_file(path) as file:
            file.write(content)
    except OSError as error:
        raise TrainingError("{path} could not be written: {reason}.", path=path, reason=system_reason(error)) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_toml(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write flat tables of strings, numbers, booleans and lists of them. TOML has no null, so None is left out."""
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
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process from training in a run directory. The lock ends with the process, however it ends.

    Raises:
        ConvAtlasError: another process holds the lock.
        TrainingError: the folder cannot be written.
    """
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ConvAtlasError(
            "another process is training in {folder}; wait for it, or stop it.", folder=folder
        ) from error
    except OSError as error:
        raise TrainingError(
            "{path} could not be written: {reason}.", path=folder, reason=system_reason(error)
        ) from error
    try:
        yield
    finally:
        lock.release()
