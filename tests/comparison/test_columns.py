"""Two accuracies under different protocols are never put in one column."""

from __future__ import annotations

import re
from types import SimpleNamespace

from convatlas import models
from convatlas.comparison.report import _printed

ERRORS = ("error", "top1_error", "top5_error")


def test_printed_accuracies_have_a_table_of_their_own_with_a_protocol_in_every_row(row, one_run):
    names = ("alexnet", "googlenet", "lenet5")
    rows = [row(name, one_run(100, range(10)), 1.0) for name in names]
    [section] = _printed(SimpleNamespace(rows=rows))
    lines = re.findall(r"<tr.*?</tr>", str(section), flags=re.DOTALL)[1:]
    figures = [figure for name in names for figure in models.card(name).figures if figure.quantity in ERRORS]
    assert len(lines) == len(figures)
    for line, figure in zip(lines, figures, strict=True):
        assert figure.protocol
        assert figure.protocol in line
    assert "do not compare them with the measured ones" in str(section)
