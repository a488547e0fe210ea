"""``metrics.jsonl``: what happened in a run, one JSON object a line, each update and epoch once.

A checkpoint remembers how long the journal was; a resumed run cuts the journal back to that length before it goes on,
so that a killed and resumed run leaves the same lines as one that was never stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convatlas.errors import TrainingError
from convatlas.message import of_system


class Journal:
    """Append-only lines of JSON at ``path``.

    Raises:
        TrainingError: a line could not be written; the checkpoints know how long the journal was, and resuming cuts off
            what is half there.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the run
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}, allow_nan=False, ensure_ascii=False)
        left = memoryview(line.encode() + b"\n")
        with self._told():
            while left:
                left = left[self._file.write(left) :]

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def sync(self) -> None:
        """Have the lines on the disk; called before a checkpoint that counts on them."""
        with self._told():
            os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                "{path} could not be written: {reason}. Earlier checkpoints are intact; free some space, then continue "
                "with --resume.",
                path=self.path,
                reason=of_system(error),
            ) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class NoJournal(Journal):
    """For the ranks that write nothing."""

    def __init__(self) -> None:
        self.path = Path(os.devnull)
        self._file = open(os.devnull, "ab", buffering=0)  # noqa: SIM115 - lives as long as the run

    def sync(self) -> None:
        """There is nothing."""


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a last line cut off by a crash is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]
