"""Progress of a training in a notebook: one line that is replaced as the training goes on."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from convatlas import units
from convatlas.i18n import _, translated
from convatlas.message import Message
from convatlas.runs.listener import RunListener
from convatlas.training import State

EVERY_S = 0.5  # at most so often a line is written anew


def in_notebook() -> bool:
    """Whether this program runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def updating_line() -> Callable[[str], None]:
    """Return a function that shows a text in the place of the one before; as text where IPython cannot."""
    try:
        display = importlib.import_module("IPython.display").display

        handle = display({"text/plain": ""}, raw=True, display_id=True)
    except (ImportError, RuntimeError):
        handle = None
    if handle is None:
        return lambda text: print(f"\r{text}", end="", file=sys.stderr, flush=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


class NotebookListener(RunListener):
    """Shows epoch, loss, speed and the last validation accuracy of a training on one line.

    Args:
        show: receives each text, which replaces the one before.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._write, self._last, self._validation = show, 0.0, ""

    def _show(self, text: str) -> None:
        if self._write is None:
            self._write = updating_line()
        self._write(text)

    def on_start(self, header: Mapping[str, str], epochs: int, updates_per_epoch: int) -> None:
        self._epochs, self._steps = epochs, updates_per_epoch
        self._show(translated(header.get(Message("network"), "")))

    def on_note(self, text: str) -> None:
        print(translated(text), file=sys.stderr)

    def on_step(self, state: State, loss: float, images_per_s: float) -> None:
        now = time.monotonic()
        if now - self._last < EVERY_S and state.step < self._epochs * self._steps:
            return
        self._last = now
        number = min(state.step // self._steps + 1, self._epochs)
        epoch = _("epoch {epoch}/{epochs}", epoch=number, epochs=self._epochs)
        speed = _("loss {loss:.3f}  {rate:,.0f} images/s", loss=loss, rate=images_per_s)
        self._show(f"{epoch}  {speed}  {self._validation}".rstrip())

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        if epoch["val_top1"] is not None:
            self._validation = _("validation top-1 {top1}  ", top1=units.percent(epoch["val_top1"]))
