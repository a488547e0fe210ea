"""The one writer of tables: nothing is cut, and what is left out is named."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys

import pytest

from convatlas import tables, units
from convatlas.i18n import set_language
from convatlas.models.layer_tables import table
from convatlas.tables import Column

COLUMNS = (
    Column("network"),
    Column("params", number=True),
    Column("training, images/s", number=True, drop=2),
    Column("why it was chosen", drop=1, wraps=True),
)
ROWS = (
    ("inception_resnet_v2", "55,843,464", "1,204 (1,150 to 1,231)", "the most accurate within the budget of 20 ms"),
    ("합성곱 신경망", "431,080", "9", "-"),
)


@pytest.fixture(autouse=True)
def _language():
    yield
    set_language(None)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d,]*", text))


@pytest.mark.parametrize("width", range(8, 140))
def test_at_every_width_names_are_whole_numbers_are_whole_and_lines_fit(width):
    lines = tables.text(COLUMNS, ROWS, width=width).splitlines()
    whole = numbers(" ".join(cell for row in ROWS for cell in row) + f" {width}")
    assert numbers("\n".join(lines)) <= whole
    for name, params, *_ in ROWS:
        assert any(line.startswith(name) for line in lines)
        assert any(params in line for line in lines)
    if width >= tables.PROSE + 19:  # as wide as the widest label beside a value
        assert max(map(units.width, lines)) <= width


def test_headings_and_prose_wrap_first_then_columns_go_then_rows_become_blocks():
    wide, wrapped, without, blocks = (tables.text(COLUMNS, ROWS, width=width) for width in (120, 90, 60, 30))
    assert len(wide.splitlines()) == len(ROWS) + 2
    assert len(wrapped.splitlines()) > len(ROWS) + 2
    assert "not shown" not in wrapped
    assert without.splitlines()[-1] == "not shown at 60 columns: training, images/s"
    assert blocks.startswith("inception_resnet_v2\n  params")
    assert "9" in blocks  # every column is there again


def test_numbers_end_in_one_column_and_syllables_count_twice():
    lines = tables.text(COLUMNS[:2], [row[:2] for row in ROWS], width=80).splitlines()
    assert lines[2].endswith("55,843,464")
    assert len({units.width(line) for line in lines}) == 1


def test_a_long_value_continues_below_its_beginning():
    assert tables.labelled([("a", "one two three four five six"), ("long", "1")], width=30).splitlines() == [
        "a     one two three four five",
        "      six",
        "long  1",
    ]


def test_a_number_and_its_unit_stay_together():
    assert list(tables.wrapped("holds 69.9 % of it in 20 ms.", 10)) == ["holds", "69.9 % of", "it in", "20 ms."]


def test_the_width_is_that_of_columns_else_wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "66")
    assert tables.available_width() == 66
    monkeypatch.setenv("COLUMNS", "0")
    assert tables.available_width() == tables.WIDE  # pytest's stdout is no terminal
    monkeypatch.delenv("COLUMNS")
    assert tables.available_width() == tables.WIDE


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("width", [60, 80, 120, 180])
def test_the_widest_layer_table_fits(monkeypatch, language, width):
    set_language(language)
    monkeypatch.setenv("COLUMNS", str(width))
    summary = table("inception_resnet_v2")
    lines = str(summary).splitlines()
    assert max(map(units.width, lines)) <= width
    assert {row.name for row in summary.rows} <= {line.split(" ")[0] for line in lines}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_in_a_terminal_the_table_is_as_wide_as_the_terminal():
    import fcntl
    import pty
    import termios

    reading, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    code = "from convatlas import tables; print(tables.available_width())"
    subprocess.run([sys.executable, "-c", code], stdout=terminal, env=environment, check=True)
    assert int(os.read(reading, 100)) == 50
    os.close(reading)
    os.close(terminal)
