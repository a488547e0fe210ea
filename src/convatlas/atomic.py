"""Write a file whole or not at all: a temporary neighbour, flushed to the disk, then renamed over the name."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from convatlas.errors import ConvAtlasError
from convatlas.message import of_system

_number = itertools.count()


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file; when the block ends well its content becomes ``path``, otherwise ``path`` is as before.

    Raises:
        ConvAtlasError: the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_number)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ConvAtlasError(
            "{path} cannot be written: {reason}. What was there before is untouched; "
            "choose another folder, or make room.",
            path=path,
            reason=of_system(error),
        ) from error
    finally:
        with suppress(OSError):  # gone already when all went well
            temporary.unlink()
