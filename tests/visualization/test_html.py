"""Pages are well-formed, load nothing, and show text as text."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.visualization import html
from pages import check_page


def test_text_is_shown_and_not_obeyed():
    assert html.paragraph("<b>", html.strong("a & b")) == "<p>&lt;b&gt;<strong>a &amp; b</strong></p>"
    assert '"' not in html.text('a "quoted" name')


def test_a_percent_sign_stays_with_its_number():
    assert html.text("98.6 %") == "98.6\u00a0%"


def test_a_table_names_its_rows_and_columns():
    table = html.table(
        [html.Column("network", number=False), html.Column("params", "derived")],
        [("mlp", 1), ("<lenet5>", 2)],
        "Two networks",
        marked=1,
    )
    assert '<th scope="col" class="number">params<span class="kind derived">derived</span></th>' in table
    row = '<th scope="row">&lt;lenet5&gt;</th><td class="number" data-label="params">2</td>'
    assert f'<tr class="marked">{row}</tr>' in table
    check_page(html.page("t", table))


def test_the_browser_is_told_to_load_nothing():
    assert "default-src &#x27;none&#x27;" in html.page("t")


def test_thumbnails_of_grey_and_colour():
    images = [np.zeros((8, 8, 1), np.uint8), np.zeros((300, 400, 3), np.uint8), np.zeros((5, 5), np.uint8)]
    page = html.page("t", html.thumbnails(images, ["a", "b", "c"], ["first", "second", "third"]))
    assert check_page(page).tags.count("img") == 3


def test_a_kind_is_one_of_three():
    with pytest.raises(AssertionError):
        html.kind("guessed")
