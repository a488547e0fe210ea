"""A benchmark's printed facts beside what a data set holds, for ``convatlas data``."""

from __future__ import annotations

from typing import Any

import click

from convatlas import units
from convatlas.i18n import _, translated


def print_benchmark(comparison: dict[str, Any]) -> None:
    """The document of `data.benchmarks.BenchmarkComparison` as lines."""
    click.echo(_("benchmark of this form: {name} ({source})", name=comparison["name"], source=comparison["source"]))
    rows = []
    for fact in comparison["facts"]:
        if fact["agrees"] is None:
            verdict = _("not here")
        else:
            verdict = _("agrees") if fact["agrees"] else _("DIFFERS")
        found = "" if fact["found"] is None else _("found {found}", found=fact["found"])
        printed = _("printed {printed}", printed=fact["printed"])
        rows.append((translated(fact["quantity"]), printed, found, verdict))
    widths = [max(units.width(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = (units.ljust(cell, width) for cell, width in zip(row, widths, strict=True))
        click.echo("  " + "  ".join(cells).rstrip())
    if comparison["note"]:
        click.echo(_("note: {text}", text=translated(comparison["note"])))
