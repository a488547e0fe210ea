"""The layer table of a summary: as text, as CSV, for Markdown and for LaTeX. No torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from convatlas import tables, units
from convatlas.arithmetic.records import LayerRow, Totals, plain_row, times
from convatlas.i18n import _
from convatlas.tables import Column

CSV_COLUMNS: tuple[str, ...] = (
    "name",
    "kind",
    "output",
    "kernel",
    "stride",
    "padding",
    "groups",
    "params",
    "macs",
    "connections",
    "activation_bytes",
    "receptive_field",
    "jump",
    "start",
)


def columns() -> tuple[Column, ...]:
    """The columns of the table. In a narrow terminal name, output, parameters and MACs stay."""
    return (
        Column(_("layer")),
        Column(_("kind"), drop=1),
        Column(_("output")),
        Column(_("kernel"), drop=3),
        Column(_("stride"), drop=5),
        Column(_("params"), number=True),
        Column(_("macs"), number=True),
        Column(_("connections"), number=True, drop=4),
        Column(_("memory"), number=True, drop=6),
        Column(_("field"), number=True, drop=2),
        Column(_("jump"), number=True, drop=7),
    )


def cells(row: LayerRow) -> tuple[str, ...]:
    """One row of the table, a text per column. An unknown count is a question mark."""
    return (
        row.name,
        row.kind + ("*" if row.stated else ""),
        times(row.output),
        _short(row.kernel),
        _short(row.stride),
        units.exact(row.params),
        "?" if row.macs is None else units.exact(row.macs),
        "?" if row.connections is None else units.exact(row.connections),
        units.bytes_(row.activation_bytes),
        _short(row.receptive_field),
        _short(row.jump),
    )


def text(rows: Sequence[LayerRow]) -> str:
    """The table as lines of text, as wide as the terminal."""
    return tables.text(columns(), map(cells, rows))


def markdown_table(rows: Sequence[LayerRow], totals: Totals) -> str:
    """The table for Markdown, with the totals below."""
    return tables.markdown(columns(), [*map(cells, rows), _total_cells(totals)])


def latex_table(rows: Sequence[LayerRow], totals: Totals, caption: str) -> str:
    """The table for LaTeX: with booktabs rules, a caption and the totals."""
    return tables.latex(columns(), map(cells, rows), _total_cells(totals), caption)


def html_table(rows: Sequence[LayerRow], totals: Totals, title: str = "") -> str:
    """The table for a notebook, totals below."""
    return tables.html(columns(), map(cells, rows), _total_cells(totals), title)


def csv_table(rows: Sequence[LayerRow]) -> str:
    """The rows as CSV, with a line of headings; tuples are written as 3x3."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        record = plain_row(row)
        writer.writerow({name: "x".join(map(str, v)) if isinstance(v, list) else v for name, v in record.items()})
    return lines.getvalue()


def _total_cells(totals: Totals) -> tuple[str, ...]:
    counts = (units.exact(totals.params), units.exact(totals.macs), units.exact(totals.connections))
    return (_("total"), "", "", "", "", *counts, units.bytes_(totals.activation_bytes), "", "")


def _short(values: Sequence[object] | None) -> str:
    """``(3, 3)`` -> ``3``, ``(1, 7)`` -> ``1x7``, None -> the empty text."""
    if not values:
        return ""
    return str(values[0]) if len(set(values)) == 1 else "x".join(str(value) for value in values)
