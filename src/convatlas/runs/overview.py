"""`list_runs`: the runs in a directory, and what each of them is in a few figures."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.errors import ConvAtlasError
from convatlas.message import Message
from convatlas.runs import places
from convatlas.runs.resumption import changes_of
from convatlas.runs.run import METRICS, Run


def list_runs(out: str | Path = "runs") -> list[Run]:
    """The runs in ``out`` and in the comparisons in it, the one written to last first."""
    return [Run(folder) for folder in sorted(places.run_folders(out), key=places.last_written, reverse=True)]


@dataclass(frozen=True)
class Overview:
    """A run in a few figures.

    Attributes:
        name: of its directory, as `places.find` knows it.
        started: local time; of a run of an earlier version, when its settings were written.
        epochs: epochs trained so far, of ``epochs_asked``.
        val_top1, test_top1: of the weights that were kept; None where there are none (yet).
        size_bytes: of all its files.
        finished: whether it has its final weights.
        problem: why the run cannot be read, or None.
    """

    name: str
    path: Path
    model: str
    data: str
    started: datetime.datetime
    epochs: int
    epochs_asked: int
    val_top1: float | None
    test_top1: float | None
    size_bytes: int
    finished: bool
    problem: Message | None = None

    def to_dict(self) -> dict[str, Any]:
        """One of the ``runs`` of ``convatlas runs --json``."""
        return {
            "name": self.name,
            "path": str(self.path),
            "model": self.model,
            "data": self.data,
            "started": self.started.isoformat(timespec="seconds"),
            "epochs": self.epochs,
            "epochs_asked": self.epochs_asked,
            "val_top1": self.val_top1,
            "test_top1": self.test_top1,
            "size_bytes": self.size_bytes,
            "finished": self.finished,
            "problem": self.problem,
        }


def overview(run: Run, out: str | Path = "runs") -> Overview:
    """Return the figures of a run. A run that cannot be read has a ``problem`` instead of raising an error."""
    name = run.path.relative_to(out).as_posix() if run.path.is_relative_to(out) else str(run.path)
    written = datetime.datetime.fromtimestamp(places.last_written(run.path)).astimezone()
    size = places.size_bytes(run.path)
    try:
        config = run.config
        lines = run.metrics() if (run.path / METRICS).exists() else []
        epochs = [line for line in lines if line["event"] == "epoch"]
        result = next((line for line in reversed(lines) if line["event"] == "done"), None)
        return Overview(
            name=name,
            path=run.path,
            model=run.model,
            data=Path(config["data"]["source"]).name,
            started=run.started,
            epochs=len(epochs),
            epochs_asked=config["recipe"]["epochs"],
            val_top1=result["val_top1"] if result else max((line["val_top1"] or 0 for line in epochs), default=None),
            test_top1=result["test_top1"] if result else None,
            size_bytes=size,
            finished=run.finished,
        )
    except (ConvAtlasError, OSError, ValueError, KeyError, TypeError) as error:
        problem = error.message if isinstance(error, ConvAtlasError) else str(error)
        return Overview(name, run.path, "", "", written, 0, 0, None, None, size, False, Message("{text}", text=problem))


def description(run: Run) -> dict[str, Any]:
    """Return what ``convatlas runs show`` says of a run: its settings, its result, its files and what was changed."""
    metrics = (run.path / METRICS).exists()
    return {
        "settings": run.config,
        "result": run.result if metrics else None,
        "resumed": changes_of(run) if metrics else [],
        "files": {path.relative_to(run.path).as_posix(): path.lstat().st_size for path in places.files(run.path)},
    }
