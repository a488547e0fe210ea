"""Pictures: what is drawn where, one style per network, and SVG that takes the page's colours."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest

from convatlas.visualization import Curve, Point, SeriesStyle, new_axes, plot_style, plots, styles, svg
from convatlas.visualization.style import DASHES, MARKERS, PALETTE


@pytest.fixture
def ax():
    with plot_style():
        yield new_axes()


def test_every_network_has_a_style_of_its_own():
    found = list(styles([f"net{i}" for i in range(36)]).values())
    assert len({(style.colour, style.marker) for style in found}) == 36
    # the first six differ in colour, in shape and in dash: any one of the three is enough
    assert len({style.colour for style in found[:6]}) == len({style.marker for style in found[:6]}) == 6
    assert len({style.dash for style in found[:6]}) == len(DASHES) == len(MARKERS) == len(PALETTE)


def test_the_palette_is_legible_in_grey():
    """Neighbours in the palette differ in lightness, or in shape at least: no two of the first three are one grey."""
    greys = [sum(w * int(c[i : i + 2], 16) for w, i in ((0.299, 1), (0.587, 3), (0.114, 5))) for c in PALETTE[:3]]
    assert min(abs(a - b) for k, a in enumerate(greys) for b in greys[:k]) > 5


def test_error_curves_are_in_percent_and_mark_what_was_kept(ax):
    curve = Curve("a", [1, 2, 3], [0.5, 0.02, 0.0], SeriesStyle(0), chosen=1)
    assert plots.error_curves(ax, [curve], "t") is ax
    line, mark = ax.lines
    assert line.get_ydata().tolist() == [50, 2, 0]
    assert (mark.get_xdata(), mark.get_ydata()) == ([2], [2])
    ax.figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert low == 0  # no error at all has a place on the axis
    assert high >= 50


@pytest.mark.parametrize("epochs", [[1], [1, 2], [1, 2, 3]])
def test_ticks_are_at_whole_epochs(ax, epochs):
    curve = Curve("a", epochs, [0.5] * len(epochs), SeriesStyle(0), chosen=0)
    plots.error_curves(ax, [curve])
    ax.figure.draw_without_rendering()
    low, high = ax.get_xlim()
    assert [tick for tick in ax.get_xticks() if low <= tick <= high] == epochs


def test_the_front_is_filled_and_the_limit_is_drawn(ax):
    points = [
        Point("a", 1.0, 1.5, 0.9, (0.85, 0.93), SeriesStyle(0), True),
        Point("b", 5.0, 9.0, 0.8, (0.75, 0.85), SeriesStyle(1), False),
    ]
    plots.accuracy_latency(ax, points, limit_ms=4.0)
    marks = [line for line in ax.lines if line.get_marker() in ("o", "s")]
    assert [(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in marks] == [(1.0, 90.0), (5.0, 80.0)]
    filled = [mark.get_markerfacecolor() == mark.get_color() for mark in marks]
    assert filled == [True, False]
    assert {text.get_text() for text in ax.texts} == {"a", "b", "limit 4 ms"}


def test_names_of_close_points_do_not_lie_on_each_other(ax):
    points = [Point(f"network-{i}", 1.0 + 0.02 * i, 1.2, 0.9, (0.8, 0.95), SeriesStyle(i), True) for i in range(3)]
    plots.accuracy_latency(ax, points)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_a_confusion_matrix_shows_its_counts(ax):
    plots.confusion(ax, [[3, 1], [0, 6]], ["cat", "dog"])
    assert sorted(text.get_text() for text in ax.texts) == ["1", "3", "6"]  # nothing is not drawn
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]
    assert len(ax.collections[0].get_paths()) == 3


@pytest.mark.parametrize("k", [1, 13, 40, 100])
def test_confusion_of_any_number_of_classes_can_be_drawn(ax, k):
    generator = np.random.default_rng(0)
    plots.confusion(ax, generator.integers(0, 9, (k, k)), [f"class {i}" for i in range(k)])
    assert svg(ax, "matrix").endswith("</svg>")


def test_per_class_puts_the_worst_at_the_top_and_leaves_out_the_unknown(ax):
    plots.per_class(ax, ["good", "none", "bad"], [0.9, None, 0.4], [(0.8, 0.95), (0, 1), (0.3, 0.5)])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bad", "good"]


def test_a_grid_takes_images_of_any_size(ax):
    images = [np.zeros((8, 8), np.uint8), np.zeros((20, 40, 3), np.uint8), np.zeros((5, 5, 1), np.uint8)]
    plots.image_grid(ax, images, ["a", "b", "c"], columns=2)
    assert len(ax.images) == 3
    plots.image_grid(ax, [], [])


def test_reliability_of_empty_bins(ax):
    plots.reliability(ax, [(0.0, 0.5, 0, float("nan"), float("nan")), (0.5, 1.0, 4, 0.8, 0.75)])
    assert len(ax.patches) == 1


# --- SVG --------------------------------------------------------------------------------------------------------------


def test_svg_takes_the_pages_colours_and_says_what_it_shows(ax):
    plots.confusion(ax, [[3, 1], [0, 6]], ["<b>", "a$b$"])
    picture = svg(ax, 'matrix of "a" & <b>')
    assert 'aria-label="matrix of &quot;a&quot; &amp; &lt;b&gt;"' in picture
    assert "var(--series-1, #0072b2)" in picture
    assert "var(--ink, #1c1d20)" in picture
    assert "&lt;b&gt;" in picture
    assert "a$b$" in picture
    assert not re.search(r"xmlns|https?:|<metadata|DOCTYPE", picture)


def test_the_same_picture_has_the_same_bytes():
    def draw() -> str:
        with plot_style():
            return svg(plots.confusion(new_axes(), [[3, 1], [0, 6]], ["a", "b"]), "matrix")

    assert draw() == draw()


def test_hangul_needs_no_font_of_matplotlibs(ax):
    assert "고양이" in svg(plots.confusion(ax, [[3, 1], [0, 6]], ["고양이", "개"]), "행렬")


def test_the_callers_settings_are_left_alone():
    before = dict(mpl.rcParams)
    with plot_style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert dict(mpl.rcParams) == before
