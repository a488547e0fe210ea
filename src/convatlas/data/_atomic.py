"""Write a file whole or not at all: a temporary neighbour, flushed to the disk, then renamed over the name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from convatlas.errors import ConvAtlasError


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file; when the block ends well its content becomes ``path``, otherwise ``path`` is as before.

    Raises:
        ConvAtlasError: the folder cannot be written to, or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConvAtlasError(
            f"{path} cannot be written: {reason}. What was there before is untouched; "
            "choose another folder, or make room."
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
