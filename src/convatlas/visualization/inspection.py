"""Pictures of what a network sees: heat maps, feature maps, filters, patterns and statistics of channels.

Each function takes arrays and ``ax``, draws on ``ax``, and returns it. `panels` makes the axes of a picture, and
`picture` writes it as a file.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from convatlas.i18n import _
from convatlas.visualization.plots import tick_label
from convatlas.visualization.style import INK, MUTED, PALETTE, PAPER, SeriesStyle, plot_style

FORMATS = ("png", "svg", "pdf")
HEAT = "inferno"  # dark to light, also in greyscale
HANGUL = ("NanumGothic", "NanumSquareRound", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo")
LEGEND_UP_TO = 20  # classes
LAYER_NAMES_UP_TO = 40  # layers; the names of more do not fit below the axis
RULE_LIGHT = "#c3c7cc"
CLIPPED = 99.5  # percentile of a map that is drawn as its maximum: single pixels of a gradient are far above the rest


@contextlib.contextmanager
def picture_style() -> Iterator[None]:
    """`plot_style`, with a font for Korean text where one is installed: a PNG cannot leave fonts to the browser."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    with plot_style(), mpl.rc_context({"font.family": ["DejaVu Sans", *(name for name in HANGUL if name in known)]}):
        yield


def panels(
    rows: int, columns: int, width: float = 3.2, height: float = 3.4, ratios: Sequence[float] | None = None
) -> list[list[Axes]]:
    """Axes in rows and columns on a new figure. Use inside `picture_style`.

    Args:
        width, height: of the axes in inches, on average.
        ratios: the widths of the columns in proportion; equal where None.
    """
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios)
    return [list(row) for row in grid]


def picture(ax: Axes, file_format: str = "png") -> bytes:
    """The figure of ``ax`` as a PNG, SVG or PDF file; equal pictures have equal bytes. Use inside `picture_style`."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[file_format]
    figure, data = ax.get_figure(root=True), BytesIO()
    assert figure is not None
    figure.savefig(data, format=file_format, dpi=150, facecolor=PAPER, metadata=metadata)
    return data.getvalue()


# --- an image, and heat over it ---------------------------------------------------------------------------------------


def image(ax: Axes, pixels: np.ndarray, title: str = "") -> Axes:
    """Draw an image as the network sees it.

    Args:
        pixels: (H, W, C) from 0 to 1, with C = 1 or 3.
    """
    ax.imshow(_rgb(pixels), interpolation="nearest" if max(pixels.shape) < 64 else "antialiased")
    return _bare(ax, title)


def heat_map(ax: Axes, pixels: np.ndarray, heat: np.ndarray, title: str = "") -> Axes:
    """Draw a map over its image: the image in faint grey, and the map in colours from dark to light.

    Args:
        pixels: (H, W, C) from 0 to 1.
        heat: (H, W), not negative. It is scaled to its own maximum, or to its 99.5th percentile if that is smaller by
            more than half, as for gradients.
    """
    ax.imshow(overlay(pixels, heat))
    return _bare(ax, title)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The pixels (H, W, 3), from 0 to 1, of `heat_map`."""
    limit, high = float(heat.max()), float(np.percentile(heat, CLIPPED))
    limit = high if 0 < high < limit / 2 else limit
    scaled = np.clip(heat / limit, 0, 1) if limit > 0 else np.zeros_like(heat)
    grey = np.repeat(_rgb(pixels).mean(axis=2, keepdims=True), 3, axis=2)
    colours = mpl.colormaps[HEAT](scaled)[..., :3]
    opacity = 0.25 + 0.65 * scaled[..., None]
    return np.asarray((1 - opacity) * (0.25 + 0.75 * grey) + opacity * colours)


# --- grids of small pictures ------------------------------------------------------------------------------------------


def tiles(
    ax: Axes,
    pictures: np.ndarray,
    captions: Sequence[str] = (),
    columns: int | None = None,
    title: str = "",
    crossed: Sequence[int] = (),
) -> Axes:
    """Draw equally large pictures on a grid, each with a caption below.

    Args:
        pictures: (K, h, w) or (K, h, w, 3), from 0 to 1.
        columns: pictures in a row; by default about as many as there are rows.
        crossed: indices of pictures that are crossed out.
    """
    count, height, width = pictures.shape[:3]
    columns = columns or tile_columns(count)
    rows = -(-count // columns)
    # fractions of a picture's side, so that a caption fits below a picture of any resolution
    across, down = 1.08, height / width + (0.26 if captions else 0.08)
    for place, pixels in enumerate(pictures):
        row, column = divmod(place, columns)
        left, top = column * across, row * down
        box = (left, left + 1, top + height / width, top)
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=box, interpolation="nearest")
        if place in crossed:
            ax.plot(box[:2], [top, top + height / width], color=PALETTE[1], linewidth=1)
            ax.plot(box[:2], [top + height / width, top], color=PALETTE[1], linewidth=1)
        if captions:
            ax.text(left + 0.5, top + height / width + 0.02, captions[place], ha="center", va="top", fontsize=6)
    ax.set(xlim=(-0.04, columns * across), ylim=(rows * down, -0.04), aspect="equal")
    return _bare(ax, title)


def tile_columns(count: int) -> int:
    """Columns of a grid that is about as wide as high, or up to twice as wide where that leaves no gap in it."""
    least = max(1, math.ceil(count**0.5))
    return next((columns for columns in range(least, 2 * least) if count % columns == 0), least)


def tiles_size(count: int, ratio: float, captions: bool, columns: int | None = None) -> tuple[float, float]:
    """Width and height in inches of a figure for `tiles` of pictures whose height is ``ratio`` times their width."""
    columns = columns or tile_columns(count)
    rows = -(-count // columns)
    side = min(1.6, 9.0 / columns)
    return max(3.0, columns * side * 1.08), max(1.2, rows * side * (ratio + (0.26 if captions else 0.08)) + 0.5)


def scaled_maps(maps: np.ndarray) -> np.ndarray:
    """Feature maps (K, h, w), each scaled from its minimum, black, to its maximum, white."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    return np.asarray((maps - low) / np.where(span > 0, span, 1))


def scaled_patterns(patterns: np.ndarray) -> np.ndarray:
    """Signed patterns (K, h, w, C), each scaled by its largest absolute value; 0 is mid-grey."""
    largest = np.abs(patterns).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * patterns / np.where(largest > 0, largest, 1)
    return np.repeat(scaled, 3, axis=3) if patterns.shape[3] == 1 else scaled


# --- statistics -------------------------------------------------------------------------------------------------------


def channel_zeros(ax: Axes, zeros: np.ndarray, title: str = "") -> Axes:
    """Plot the share of zeros of each channel (C,), from the largest to the smallest; dead channels are at 100 %."""
    ordered = 100 * np.sort(zeros)[::-1]
    dead = int((zeros == 1).sum())
    ax.fill_between(np.arange(len(ordered)), ordered, step="mid", color=PALETTE[0], alpha=0.35, linewidth=0)
    if dead:
        ax.fill_between(np.arange(dead), ordered[:dead], step="mid", color=PALETTE[1], linewidth=0)
    ax.set(xlabel=_("channels, ordered"), ylabel=_("zeros, %"), ylim=(0, 100.5), title=title)
    ax.set_xlim(-0.5, len(ordered) - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def channel_means(ax: Axes, mean: np.ndarray, deviation: np.ndarray, title: str = "") -> Axes:
    """Plot mean and standard deviation of each channel (C,), from the largest mean to the smallest."""
    order = np.argsort(-mean, kind="stable")
    places = np.arange(len(mean))
    ax.vlines(places, mean[order] - deviation[order], mean[order] + deviation[order], color=RULE_LIGHT, linewidth=1)
    ax.plot(places, mean[order], ".", color=PALETTE[0], markersize=3)
    ax.axhline(0, color=MUTED, linewidth=0.7)
    ax.set(xlabel=_("channels, ordered"), ylabel=_("mean and standard deviation"), title=title)
    ax.set_xlim(-0.5, len(mean) - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def gradient_norms(
    ax: Axes, layers: Sequence[str], series: Sequence[tuple[str, Sequence[float | None]]], title: str = ""
) -> Axes:
    """Plot the norm of the gradient of each layer, from the first layer to the last, on a logarithmic axis.

    Args:
        series: (label, the norm of each layer), such as one for each epoch; drawn from light to dark.
    """
    places = np.arange(len(layers))
    shades = mpl.colormaps["Blues"](np.linspace(0.35, 0.95, len(series))) if len(series) > 1 else [PALETTE[0]]
    labelled = {0, len(series) - 1, *np.linspace(0, len(series) - 1, 4).astype(int).tolist()}
    for number, ((label, norms), colour) in enumerate(zip(series, shades, strict=True)):
        values = [np.nan if norm is None or norm <= 0 else norm for norm in norms]  # 0 has no logarithm
        ax.plot(places, values, "o-", color=colour, markersize=3, linewidth=1.2,
                label=label if number in labelled else None)  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="x", visible=False)
    ax.set(xlabel=_("layer, from the image to the classes"), ylabel=_("L2 norm of the gradient"), title=title)
    if len(layers) <= LAYER_NAMES_UP_TO:
        ax.set_xticks(places, layers, rotation=90, fontsize=6)
    if len(series) > 1:
        ax.legend(fontsize=7)
    return ax


def plane(
    ax: Axes,
    points: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    title: str = "",
    legend: bool = True,
) -> Axes:
    """Plot points (N, 2), each class with a colour and a marker; of more than 12 classes the shapes repeat."""
    for index, name in enumerate(classes):
        chosen = points[labels == index]
        if len(chosen):
            style = SeriesStyle(index)
            ax.plot(chosen[:, 0], chosen[:, 1], style.marker, color=style.colour, markersize=3.2, alpha=0.75,
                    markeredgewidth=0, label=tick_label(name))  # fmt: skip
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)
    if legend and len(classes) <= LEGEND_UP_TO:
        ax.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)
    return ax


def enlarged(pixels: np.ndarray, side: int = 48) -> np.ndarray:
    """Pixels (h, w, C) from 0 to 1 as a square (side, side, 3); the nearest pixel is repeated."""
    rows, columns = (np.arange(side) * length // side for length in pixels.shape[:2])
    return _rgb(pixels[rows][:, columns])


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) -> (H, W, 3), from 0 to 1."""
    return np.clip(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, 0, 1)


def _bare(ax: Axes, title: str) -> Axes:
    ax.set_title(title, color=INK, fontsize=8, fontweight="normal")
    ax.set_axis_off()
    return ax
