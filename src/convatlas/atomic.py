"""Atomic writing of files: a file has either its old content or all of the new content.

The content is written to a temporary file in the same folder and flushed to the disk; then the file is renamed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from convatlas.errors import ConvAtlasError
from convatlas.message import Message, system_reason

TEMPORARY = ".*.tmp"  # glob pattern of the temporary files, which a killed process leaves behind

_number = itertools.count()


@contextmanager
def atomic_file(path: Path, *, sync_folder: bool = False) -> Iterator[BinaryIO]:
    """Yield a binary file whose content replaces ``path`` when the block ends without an error.

    Args:
        sync_folder: also flush the folder, so that the new name survives a power failure.

    Raises:
        OSError: the folder cannot be written to, or the disk is full. ``path`` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_number)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if sync_folder:
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # after the rename it no longer exists
            temporary.unlink()


def write_verified(path: Path, content: bytes) -> None:
    """Replace ``path`` with ``content``, which is read back and compared before the rename.

    Raises:
        OSError: the folder cannot be written to, the disk is full, or the disk returned other bytes. ``path`` is
            unchanged.
    """
    with atomic_file(path, sync_folder=True) as file:
        file.write(content)
        file.flush()
        if Path(file.name).read_bytes() != content:
            raise OSError(Message("the content read back differs from the content written"))


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """`atomic_file` for a file that the user named: it creates the folder and raises ConvAtlasError.

    Raises:
        ConvAtlasError: the folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            yield file
    except OSError as error:
        raise ConvAtlasError(
            "{path} cannot be written: {reason}. An existing file is unchanged. Choose another folder, or free some "
            "disk space.",
            path=path,
            reason=system_reason(error),
        ) from error


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
