"""The style of all plots: colours, markers, axes, and SVG that takes the colours of the page.

A network has the same colour, marker and dash in all plots of a report. Marker and dash distinguish the networks where
colour does not: in greyscale, in print, for a colour-blind reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The colours of a plot in a file of its own. Inside a page each is replaced by the CSS variable of that name, which
# differs between light mode, dark mode and print.
INK, MUTED, RULE, PAPER = "#1c1d20", "#62666d", "#dcdee1", "#fffffe"
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"}

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow: safe with every common colour blindness
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_VARIABLES |= {colour: f"--series-{number}" for number, colour in enumerate(PALETTE, start=1)}
MARKERS = ("o", "s", "^", "D", "v", "P")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚")  # the same shapes as text
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2)))


@dataclass(frozen=True)
class SeriesStyle:
    """Colour, marker and dash of one network; ``number`` counts from 0."""

    number: int

    @property
    def colour(self) -> str:
        return PALETTE[self.number % len(PALETTE)]

    @property
    def marker(self) -> str:
        return MARKERS[self._shape]

    @property
    def glyph(self) -> str:
        return GLYPHS[self._shape]

    @property
    def dash(self) -> str | tuple[int, tuple[float, ...]]:
        return DASHES[self._shape]

    @property
    def _shape(self) -> int:
        # the seventh network has the first colour with the second marker
        return (self.number + self.number // len(PALETTE)) % len(MARKERS)


def styles(names: Sequence[str]) -> dict[str, SeriesStyle]:
    """Name -> style, in order.

    Args:
        names: the networks, each of which gets a colour and a marker.
    """
    return {name: SeriesStyle(number) for number, name in enumerate(names)}


RC: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,  # Hangul fonts often lack the true minus
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "text.parse_math": False,  # a class may be called a$b
    "svg.fonttype": "none",  # keep text as text: searchable, for screen readers, in the page's font
    "svg.hashsalt": "convatlas",  # equal plots have equal bytes
}


@contextlib.contextmanager
def plot_style() -> Iterator[None]:
    """Set matplotlib's parameters for convatlas's plots inside the block; the caller's are restored afterwards."""
    with mpl.rc_context(RC), warnings.catch_warnings():
        # the browser draws the text with its own fonts, so matplotlib's fonts need not have the glyphs
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_axes(width: float = 5.4, height: float = 3.4) -> Axes:
    """Axes on a new figure of this size in inches. Opens no window. Use inside ``plot_style()``.

    Args:
        width: of the figure, inches.
        height: of the figure, inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Axes = figure.add_subplot()
    return axes


def svg(ax: Axes, label: str) -> str:
    """The figure of ``ax`` as an ``<svg>`` element in the page's colours, without unused ids.

    Args:
        label: text alternative of the plot, for screen readers.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    text = StringIO()
    with warnings.catch_warnings():
        # the browser draws the text with its own fonts, so matplotlib's fonts need not have the glyphs
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    markup = text.getvalue()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>\s*", "", markup, flags=re.DOTALL)
    markup = re.sub(r"\sxmlns(:xlink)?=\"[^\"]*\"", "", markup)
    markup = re.sub(r"<!--.*?-->\s*", "", markup, flags=re.DOTALL)
    markup = re.sub(r"<g id=\"[^\"]*\"", "<g", markup)
    markup = markup.replace("xlink:href", "href")
    # ids must be unique in a page, so they begin with a hash of the plot
    prefix = hashlib.sha256(markup.encode()).hexdigest()[:8]
    markup = re.sub(r"(\bid=\"|href=\"#|url\(#)", rf"\g<1>f{prefix}-", markup)
    markup = re.sub(r"font-family:[^;\"]*(&quot;[^;\"]*)*", "font-family: inherit", markup)
    markup = re.sub(r"(font: [^;\"]*?px )[^;\"]*", r"\1var(--sans, sans-serif)", markup)
    for colour, variable in _VARIABLES.items():
        markup = markup.replace(colour, f"var({variable}, {colour})")
    opening = re.match(r"<svg[^>]*>", markup)
    assert opening is not None
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', opening.group())
    assert box is not None
    # all plots have the same scale, 1.3 pixels per point, so that their text has the same size
    width = float(box.group(1)) * 1.3 / 16
    head = f'<svg class="plot" {box.group()} style="width: {width:.1f}rem" role="img" aria-label="{_attribute(label)}">'
    return head + markup[opening.end() :].strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
