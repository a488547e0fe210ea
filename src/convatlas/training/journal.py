"""``metrics.jsonl``: what happened in a run, one JSON object a line, each update and epoch once.

A checkpoint remembers how long the journal was; a resumed run cuts the journal back to that length before it goes on,
so that a killed and resumed run leaves the same lines as one that was never stopped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Append-only lines of JSON at ``path``."""

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        self._file = open(path, "ab")  # noqa: SIM115 - lives as long as the run
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}, allow_nan=False, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def sync(self) -> None:
        """Have the lines on the disk; called before a checkpoint that counts on them."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class NoJournal(Journal):
    """For the ranks that write nothing."""

    def __init__(self) -> None:
        self._file = open(os.devnull, "ab")  # noqa: SIM115 - lives as long as the run

    def sync(self) -> None:
        """There is nothing."""


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a last line cut off by a crash is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]
