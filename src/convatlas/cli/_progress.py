"""How a training shows itself: a header and a bar on stderr, or JSON lines on stdout."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from convatlas import units
from convatlas.cli._common import print_json_line
from convatlas.i18n import _, translated
from convatlas.runs.train import RunListener
from convatlas.training import State


class ProgressListener(RunListener):
    """The header once, then a bar with loss, images/s and time left; a line for every epoch."""

    def __init__(self, header: bool = True, label: str = "") -> None:
        self._console = Console(stderr=True, highlight=False)
        self._header, self._label = header, label
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started: tuple[float, int] | None = None

    def __enter__(self) -> ProgressListener:
        return self

    def __exit__(self, *of: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop()

    def on_images(self, done: int, total: int) -> None:
        if self._bar is None:
            self._show(total)
        assert self._bar is not None
        self._bar.update(
            self._task,
            completed=done,
            total=total,
            description=self._label + _("images {done:,}/{total:,}", done=done, total=total),
        )
        if done == total:
            self._stop()

    def on_start(self, header: Mapping[str, str], epochs: int, updates_per_epoch: int) -> None:
        if self._header:
            for name, value in header.items():
                self._console.print(
                    f"[dim]{units.rjust(translated(name), 12)}[/dim]  {translated(value)}", soft_wrap=True
                )
        self._epochs, self._steps = epochs, updates_per_epoch
        self._stop()
        self._show(epochs * updates_per_epoch)

    def on_note(self, text: str) -> None:
        self._console.print(f"[yellow]{_('note')}[/yellow]  {translated(text)}", soft_wrap=True)

    def on_step(self, state: State, loss: float, images_per_s: float) -> None:
        if self._bar is None:
            return
        now = time.monotonic()
        if self._started is None:
            self._started = (now, state.step)
        since, first = self._started
        done, total = state.step - first, self._epochs * self._steps
        left = (now - since) / done * (total - state.step) if done else float("nan")
        self._bar.update(
            self._task,
            completed=state.step,
            description=self._label
            + _(
                "epoch {epoch}/{epochs}",
                epoch=min(state.step // self._steps + 1, self._epochs),
                epochs=self._epochs,
            ),
            detail=_(
                "loss {loss:.3f}  {rate:,.0f} images/s  {time} left",
                loss=loss,
                rate=images_per_s,
                time=units.duration(left),
            ),
        )

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        if self._header:
            training = validation = ""
            if epoch["train_top1"] is not None:  # a classifier's
                training = _(" nats  top-1 {top1}", top1=units.percent(epoch["train_top1"]))
            if epoch["val_top1"] is not None:
                validation = _("validation top-1 {top1}  ", top1=units.percent(epoch["val_top1"]))
            elif epoch["val_loss"] is not None:
                validation = _("validation loss {loss:.4f}  ", loss=epoch["val_loss"])
            number = _("epoch {n:>3}", n=epoch["epoch"] + 1)
            loss = _("train loss {loss:.4f}", loss=epoch["train_loss"])
            self._console.print(
                f"[dim]{number}[/dim]  {loss}{training}   {validation}lr {epoch['lr']:.3g}", soft_wrap=True
            )

    def _show(self, total: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self._label, total=total, detail="")
        self._bar.start()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class JsonListener(RunListener):
    """One line of JSON for the start and for every epoch."""

    def __enter__(self) -> JsonListener:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...

    def on_start(self, header: Mapping[str, str], epochs: int, updates_per_epoch: int) -> None:
        print_json_line({"event": "start", **header, "epochs": epochs, "updates_per_epoch": updates_per_epoch})

    def on_note(self, text: str) -> None:
        print_json_line({"event": "note", "text": text})

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        print_json_line({"event": "epoch", **epoch})
