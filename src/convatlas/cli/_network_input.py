"""The network that ``show`` and ``explain`` count, and the size of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.arithmetic import Summary


def parse_input(text: str) -> tuple[int, int, int]:
    """``3x224x224`` -> ``(3, 224, 224)``; ``1x28`` means a square."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts) or len(parts) not in (2, 3):
        raise UsageError("--input is CxHxW, such as 3x224x224; got {text!r}.", text=text)
    channels, height = int(parts[0]), int(parts[1])
    return channels, height, int(parts[-1])


def summary_of(name: str, shape: tuple[int, int, int] | None) -> Summary:
    """The summary of an atlas network; where its forward pass stops, the layers that ran go to stderr."""
    from convatlas.errors import ShapeError
    from convatlas.models import entry
    from convatlas.runs.summarize import summarize

    entry(name)  # a run's directory is not meant here
    try:
        return summarize(name, shape)
    except ShapeError as error:
        partial = getattr(error, "summary", None)  # of a ForwardError, whose module imports torch
        if partial is not None and partial.rows:
            click.echo(f"{error.table}\n", err=True)  # type: ignore[attr-defined]
        raise
