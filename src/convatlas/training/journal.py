"""The journal of a run, ``metrics.jsonl``: one JSON object per line, one line per epoch.

A checkpoint contains the length of the journal, and a resumed run truncates the journal to that length. So a run that
was killed and resumed leaves the same lines as an uninterrupted run.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convatlas.errors import TrainingError
from convatlas.message import system_reason


class Journal:
    """A file of JSON lines at ``path``, to which lines are appended.

    Args:
        length: bytes of the file to keep; the rest is removed.

    Raises:
        TrainingError: a line could not be written. A resumed run removes an incomplete line.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open as long as the run
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}, allow_nan=False, ensure_ascii=False)
        remaining = memoryview(line.encode() + b"\n")
        with self._training_errors():
            while remaining:
                remaining = remaining[self._file.write(remaining) :]

    @property
    def length(self) -> int:
        """Bytes of the file so far."""
        return self._file.tell()

    def sync(self) -> None:
        """Flush the lines to the disk; called before a checkpoint that contains their length."""
        with self._training_errors():
            os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _training_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                "{path} could not be written: {reason}. Earlier checkpoints are intact; free some space, then continue "
                "with --resume.",
                path=self.path,
                reason=system_reason(error),
            ) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class NoJournal(Journal):
    """The journal of the ranks that write no files."""

    def __init__(self) -> None:
        self.path = Path(os.devnull)
        self._file = open(os.devnull, "ab", buffering=0)  # noqa: SIM115 - open as long as the run

    def sync(self) -> None:
        """Nothing to flush."""


def read(path: Path) -> list[dict[str, Any]]:
    """Return all complete lines. A last line that a crash cut off is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]
