"""Tables as text, Markdown and LaTeX, for every command and for ``print(summary)``.

A text table is at most ``available_width`` wide, and a number is never broken over lines. Where the columns together
are too wide:

1. headings and columns of prose (``wraps``) continue on further lines;
2. columns are left out, the one with the largest ``drop`` first, and a line below the table names them. The first
   column, which names the row, always stays;
3. where the columns that must stay are still too wide, the table becomes one block per row, with every column.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from convatlas import units
from convatlas.i18n import _, translated

WIDE = 180  # characters of a line in a file, a pipe or a notebook, which have no width of their own
GAP = "  "
UNITS = frozenset("% s ms µs min h B KiB MiB GiB TiB kB MB GB K M G T images/s GB/s GFLOP/s".split())  # noqa: SIM905
_SIDES = {True: ' style="text-align: right"', False: ' style="text-align: left"'}
PROSE = 24  # least width of a column of wrapped prose, unless its longest cell is shorter


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: in the language in use.
        number: whether the cells are aligned to the right.
        drop: 0 for a column that must stay. Of the others the one with the largest value is left out first.
        wraps: whether the cells are prose, which may be broken at a space.
    """

    heading: str
    number: bool = False
    drop: int = 0
    wraps: bool = False


Rows = Sequence[Sequence[str]]


def available_width() -> int:
    """Characters of a line: the variable ``COLUMNS`` where it is set, else the terminal's width, else ``WIDE``."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or WIDE
    except (AttributeError, OSError, ValueError):  # not a terminal, or sys.stdout was replaced and has no fileno
        return WIDE


def text(columns: Sequence[Column], rows: Iterable[Iterable[object]], title: str = "", width: int | None = None) -> str:
    """The table as lines of text, with messages in the language in use.

    Args:
        rows: a cell for each column. Cells that are not texts are converted by ``str``.
        title: a line above the headings.
        width: characters of a line; ``available_width()`` where None.
    """
    width = available_width() if width is None else width
    cells = [tuple(map(translated, row)) for row in rows]
    shown = list(range(len(columns)))
    while (widths := _widths(columns, cells, shown, width)) is None:
        optional = [place for place in shown[1:] if columns[place].drop]
        if not optional:
            return "\n".join(([title, ""] if title else []) + list(_blocks(columns, cells, width)))
        shown.remove(max(optional, key=lambda place: (columns[place].drop, place)))
    lines = [title] if title else []
    lines += _lines(columns, [column.heading for column in columns], shown, widths, heading=True)
    lines.append(GAP.join("-" * columns_wide for columns_wide in widths))
    for row in cells:
        lines += _lines(columns, row, shown, widths)
    left_out = ", ".join(column.heading for place, column in enumerate(columns) if place not in shown)
    if left_out:
        lines += wrapped(_("not shown at {width} columns: {names}", width=width, names=left_out), width)
    return "\n".join(lines)


def _widths(columns: Sequence[Column], cells: Rows, shown: Sequence[int], width: int) -> list[int] | None:
    """The width of each shown column; None where they do not fit together."""
    natural, least = [], []
    for place in shown:
        column_cells = [row[place] for row in cells]
        widest = max(map(units.width, column_cells), default=0)
        natural.append(max(units.width(columns[place].heading), widest))
        least_body = min(widest, max(_longest_word(column_cells), PROSE)) if columns[place].wraps else widest
        least.append(max(_longest_word([columns[place].heading]), least_body))
    free = width - len(GAP) * (len(shown) - 1)
    if sum(natural) <= free:
        return natural
    if sum(least) > free:
        return None
    surplus = free - sum(least)
    widths = list(least)
    by_need = sorted(range(len(shown)), key=lambda place: natural[place] - least[place])
    for number, place in enumerate(by_need):  # columns that need little come first; the others share what is left
        extra = min(natural[place] - least[place], surplus // (len(by_need) - number))
        widths[place] += extra
        surplus -= extra
    return widths


def _longest_word(texts: Iterable[str]) -> int:
    return max((units.width(word) for text in texts for word in _words(text)), default=0)


def _lines(
    columns: Sequence[Column], row: Sequence[str], shown: Sequence[int], widths: Sequence[int], heading: bool = False
) -> Iterator[str]:
    """One row, on as many lines as its longest cell takes. Cells are aligned at the top, headings at the bottom."""
    stacks = []
    for place, columns_wide in zip(shown, widths, strict=True):
        fits = units.width(row[place]) <= columns_wide
        stacks.append([row[place]] if fits else list(wrapped(row[place], columns_wide)))
    height = max(map(len, stacks))
    for stack in stacks:
        empty = [""] * (height - len(stack))
        stack[:] = empty + stack if heading else stack + empty
    for line in zip(*stacks, strict=True):
        yield GAP.join(
            (units.rjust if columns[place].number else units.ljust)(cell, columns_wide)
            for place, cell, columns_wide in zip(shown, line, widths, strict=True)
        ).rstrip()


def _blocks(columns: Sequence[Column], cells: Rows, width: int) -> Iterator[str]:
    """One block per row: the first cell, and below it every other cell that is not empty, with its heading."""
    longest = max((units.width(column.heading) for column in columns[1:]), default=0)
    for number, row in enumerate(cells):
        if number:
            yield ""
        yield row[0]
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                yield from _labelled(column.heading, cell, longest, width, indent=2)


def labelled(lines: Iterable[tuple[object, object]], indent: int = 0, width: int | None = None) -> str:
    """Lines of a label and a value, with the values aligned. A long value is wrapped in its own column."""
    width = available_width() if width is None else width
    pairs = [(translated(label), translated(value)) for label, value in lines]
    longest = max((units.width(label) for label, _ in pairs), default=0)
    return "\n".join(line for label, value in pairs for line in _labelled(label, value, longest, width, indent))


def _labelled(label: str, value: str, longest: int, width: int, indent: int) -> Iterator[str]:
    margin = indent + longest + len(GAP)
    first, *rest = list(wrapped(value, max(width - margin, PROSE))) or [""]
    yield (" " * indent + units.ljust(label, longest) + GAP + first).rstrip()
    for line in rest:
        yield " " * margin + line


def wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most ``width`` columns, broken at spaces. A longer word is not broken, nor is ``69.9 %``."""
    line = ""
    for word in _words(text):
        longer = f"{line} {word}" if line else word
        if line.strip() and units.width(longer) > width:
            yield line.rstrip()
            line = word
        else:
            line = longer
    if line.strip():
        yield line.rstrip()


def _words(text: str) -> list[str]:
    """The words of a text; a number and its unit count as one word."""
    words: list[str] = []
    for word in text.split(" "):
        if words and words[-1][-1:].isdigit() and word.rstrip(".,;:)") in UNITS:
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words


# ------------------------------------------------------------------ for other programs


def markdown(columns: Sequence[Column], rows: Iterable[Iterable[object]]) -> str:
    """The table for Markdown, with a line break at the end."""
    rule = ["---:" if column.number else "---" for column in columns]
    lines = [[column.heading for column in columns], rule, *(list(map(translated, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def html(
    columns: Sequence[Column], rows: Iterable[Iterable[object]], last: Iterable[object] = (), title: str = ""
) -> str:
    """The table as HTML for a notebook, every text escaped; ``last`` is set off as the totals are."""

    def line(cells: Iterable[object], tag: str = "td") -> str:
        pairs = zip(columns, cells, strict=True)
        return (
            "<tr>"
            + "".join(f"<{tag}{_SIDES[c.number]}>{escape(translated(cell))}</{tag}>" for c, cell in pairs)
            + "</tr>"
        )

    body = "\n".join(map(line, rows))
    last = tuple(last)
    foot = f"<tfoot>{line(last, 'th')}</tfoot>" if last else ""
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    head = f"<thead>{line([column.heading for column in columns], 'th')}</thead>"
    return f"<table>{caption}{head}\n<tbody>{body}</tbody>{foot}</table>"


def latex(columns: Sequence[Column], rows: Iterable[Iterable[object]], last: Iterable[object], caption: str) -> str:
    """A LaTeX table with a caption and booktabs rules, and the row ``last`` below a separate rule."""
    kinds = "".join("r" if column.number else "l" for column in columns)
    lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(caption)}}}"]
    lines += [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule"]
    lines += [_latex_line(column.heading for column in columns), r"\midrule", *map(_latex_line, rows)]
    lines += [r"\midrule", _latex_line(last), r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_line(line: Iterable[object]) -> str:
    return " & ".join(_latex_text(translated(cell)) for cell in line) + r" \\"


def _latex_text(text: str) -> str:
    for character in "_%&#$":
        text = text.replace(character, f"\\{character}")
    return text.replace(" x ", r" $\times$ ")
