"""How a comparison shows itself on stderr: a line per finished training, a bar for the one under way."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console

from convatlas import units
from convatlas.cli._progress import ProgressListener
from convatlas.cli._proposal import show_proposal
from convatlas.comparison import ComparisonListener, Failure, Proposal
from convatlas.i18n import _, translated


class ComparisonProgress(ComparisonListener):
    """Use as a context: whatever happens, the bar is taken away."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._watcher: Finishing | None = None

    def __enter__(self) -> ComparisonProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *of: BaseException | TracebackType | None) -> None:
        self._finish(well=kind is None)

    def training(self, model: str, seed: int, place: int, total: int) -> ProgressListener:
        self._finish()
        self._watcher = Finishing(self._console, model, seed, f"{place}/{total}  ")
        return self._watcher

    def stage(self, text: str) -> None:
        self._finish()
        self._console.print(f"[dim]{translated(text)}[/dim]")

    def proposed(self, proposal: Proposal) -> None:
        self._finish()
        show_proposal(proposal, self._console)

    def failed(self, failure: Failure) -> None:
        self._finish(well=False)
        said = _("{model} drops out", model=failure.model)
        self._console.print(f"[yellow]{said}[/yellow]: {translated(failure.why)}", soft_wrap=True)

    def skipped(self, failure: Failure) -> None:
        self._finish()
        self._console.print(f"[yellow]{_('not trained')}[/yellow]  {translated(failure.why)}", soft_wrap=True)

    def _finish(self, well: bool = True) -> None:
        if self._watcher is not None:
            self._watcher.finish(well)
            self._watcher = None


class Finishing(ProgressListener):
    """The bar of one training, and the line it leaves behind."""

    def __init__(self, console: Console, model: str, seed: int, place: str) -> None:
        super().__init__(header=False, label=f"{place}{model}  ")
        self._lines, self._model, self._seed, self._place = console, model, seed, place
        self._begin = time.monotonic()
        self._best: float | None = None  # no epoch was trained yet

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        self._best = max(self._best or 0.0, epoch["val_top1"] or 0.0)

    def finish(self, well: bool) -> None:
        self._stop()
        if well and self._best is not None:
            self._lines.print(
                f"[dim]{self._place}[/dim]"
                + _(
                    "{model}, seed {seed}: validation top-1 at best {best}, {time}",
                    model=self._model,
                    seed=self._seed,
                    best=units.percent(self._best),
                    time=units.duration(time.monotonic() - self._begin),
                ),
                soft_wrap=True,
            )
