"""Plots. Each function takes data and ``ax``, draws on ``ax``, and returns it.

Accuracies and other shares are passed as 0 to 1 and drawn in percent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator
from numpy.typing import ArrayLike

from convatlas.i18n import _
from convatlas.visualization.style import INK, MUTED, PALETTE, PAPER, SeriesStyle

Interval = tuple[float, float]

# --- learning curves --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One line of a plot. ``chosen`` is the index in ``x`` of the epoch whose weights were chosen.

    Attributes:
        label: in the legend.
        y: the values; None leaves a gap.
        style: colour and marker.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: SeriesStyle
    chosen: int | None = None
    thin: bool = False  # one seed of several


def error_curves(ax: Axes, curves: Sequence[Curve], title: str = "") -> Axes:
    """Plot error rates against the epoch, in percent.

    The axis is linear up to 1 % and logarithmic above, which shows both the first epochs and differences of half a
    percent at the end.

    Args:
        ax: the matplotlib Axes that is drawn into.
        curves: the lines, in the order of the legend.
        title: heading of the Axes; none if empty.
    """
    _lines(ax, curves, scale=100)
    ax.set_yscale("symlog", linthresh=1, linscale=0.6)
    ax.set_ylim(bottom=0)
    locator = SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5))
    ax.yaxis.set_major_locator(locator)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g} %"))
    return _epochs(ax, title, _("validation error"))


def loss_curves(ax: Axes, curves: Sequence[Curve], title: str = "", ylabel: str | None = None) -> Axes:
    """Plot losses against the epoch. The axis is logarithmic where a large first loss would flatten all others.

    Args:
        ax: the matplotlib Axes that is drawn into.
        curves: the lines, in the order of the legend.
        title: heading of the Axes; none if empty.
        ylabel: label of the vertical axis, with the unit.
    """
    _lines(ax, curves, scale=1)
    finite = [value for curve in curves for value in curve.y if np.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 20 * np.median(finite):
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    elif finite and min(finite) >= 0:
        ax.set_ylim(bottom=0)
    return _epochs(ax, title, _("training loss, nats") if ylabel is None else ylabel)


def _lines(ax: Axes, curves: Sequence[Curve], scale: float) -> None:
    for curve in curves:
        y = np.asarray(curve.y, dtype=float) * scale
        ax.plot(
            curve.x,
            y,
            color=curve.style.colour,
            linestyle=curve.style.dash,
            linewidth=0.8 if curve.thin else 1.8,
            alpha=0.6 if curve.thin else 1,
            label=curve.label,
            marker="." if len(curve.x) == 1 else None,
        )
        if curve.chosen is not None:
            ax.plot(curve.x[curve.chosen], y[curve.chosen], curve.style.marker, color=curve.style.colour, clip_on=False)


def _epochs(ax: Axes, title: str, ylabel: str) -> Axes:
    ax.set(xlabel=_("epoch"), ylabel=ylabel, title=title)
    epochs = {float(x) for line in ax.get_lines() for x in np.asarray(line.get_xdata())}
    if len(epochs) == 1:
        ax.set_xticks(sorted(epochs))  # the locator would place ticks between whole numbers
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.grid(axis="x", visible=False)
    handles: dict[str, Any] = {}  # by label: several seeds of one network share a label
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        handles.setdefault(label, handle)
    if len(handles) > 1:
        ax.legend(handles.values(), handles.keys(), handlelength=2.6)
    return ax


# --- accuracy against latency -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A network in the plot of accuracy (0 to 1) against latency (milliseconds).

    Attributes:
        label: in the picture.
        p50_ms: median latency, ms.
        p95_ms: 95th percentile of the latency, ms.
        accuracy: from 0 to 1.
        ci95: its 95 % interval.
        style: colour and marker.
        on_front: whether it is on the Pareto front.
    """

    label: str
    p50_ms: float
    p95_ms: float
    accuracy: float
    ci95: Interval
    style: SeriesStyle
    on_front: bool


def accuracy_latency(ax: Axes, points: Sequence[Point], limit_ms: float | None = None) -> Axes:
    """Plot test accuracy with its confidence interval against latency, with the Pareto front as a line.

    A horizontal line leads from the median latency to the 95th percentile.

    Args:
        limit_ms: a latency limit, drawn as a vertical line.
        ax: the matplotlib Axes that is drawn into.
        points: one for each network.
    """
    front = sorted((point for point in points if point.on_front), key=lambda point: point.p50_ms)
    # a step: the best accuracy at each latency
    ax.step(
        [point.p50_ms for point in front],
        [100 * point.accuracy for point in front],
        where="post",
        color=MUTED,
        linewidth=1,
        linestyle=(0, (1, 2)),
        zorder=1,
    )
    for point in points:
        x, y = point.p50_ms, 100 * point.accuracy
        low, high = 100 * point.ci95[0], 100 * point.ci95[1]
        ax.plot([x, x], [low, high], color=point.style.colour, linewidth=1.2, zorder=2)
        ax.plot([x, max(x, point.p95_ms)], [y, y], color=point.style.colour, linewidth=1.2, zorder=2)
        ax.plot(
            x,
            y,
            point.style.marker,
            color=point.style.colour,
            markerfacecolor=point.style.colour if point.on_front else PAPER,
            markeredgewidth=1.4,
            markersize=8,
            zorder=3,
        )
    if limit_ms is not None:
        ax.axvline(limit_ms, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        ax.annotate(
            _("limit {value} ms", value=f"{limit_ms:g}"),
            (limit_ms, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=8,
        )
    ax.set_xscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    ax.set(
        xlabel=_("time per image, ms: median, with a line to the 95th percentile"),
        ylabel=_("test accuracy, {level} confidence interval", level="95 %"),
    )
    ax.margins(x=0.12, y=0.12)
    _plain_log_ticks(ax)
    _label_points(ax, points)
    return ax


def _plain_log_ticks(ax: Axes) -> None:
    """Ticks 1, 2, 5, 10 instead of powers of ten; 1, 10, 100 over a wide range."""
    low, high = ax.get_xlim()
    steps = (1, 2, 5) if high / low < 200 else (1, 3) if high / low < 5000 else (1,)
    ax.xaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _label_points(ax: Axes, points: Sequence[Point]) -> None:
    """Put each name beside its point, on the side where it overlaps least with other points and names."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # positions are known only after the layout
    centres = [tuple(ax.transData.transform((point.p50_ms, 100 * point.accuracy))) for point in points]
    boxes: list[tuple[float, float, float, float]] = [(x - 7, y - 7, x + 7, y + 7) for x, y in centres]
    frame = ax.get_window_extent()
    sides = (("left", 8, 7, "bottom"), ("left", 8, -7, "top"), ("right", -8, 7, "bottom"), ("right", -8, -7, "top"))
    for point in points:
        candidates = []
        for ha, dx, dy, va in sides:
            label = ax.annotate(
                point.label,
                (point.p50_ms, 100 * point.accuracy),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=9,
                color=INK,
            )
            label.set_in_layout(False)
            box = label.get_window_extent()
            outside = max(0, box.x1 - frame.x1) + max(0, frame.x0 - box.x0) + max(0, box.y1 - frame.y1)
            overlap = sum(_overlap((box.x0, box.y0, box.x1, box.y1), other) for other in boxes)
            candidates.append((overlap + 20 * outside, label, (box.x0, box.y0, box.x1, box.y1)))
        best = min(candidates, key=lambda candidate: candidate[0])
        for candidate in candidates:
            if candidate is not best:
                candidate[1].remove()
        boxes.append(best[2])


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


# --- confusion --------------------------------------------------------------------------------------------------------

NUMBERS_UP_TO = 12  # classes; with more, the counts do not fit into the cells
NAMES_UP_TO = 30  # classes; with more, the names do not fit along the sides
CELLS_UP_TO = 60  # classes; with more, the matrix is drawn as one image
LABEL_LINE, LABEL_LINES = 20, 3  # characters per line and lines of a class name


def tick_label(name: str) -> str:
    """A class name for an axis: long names are wrapped at spaces and underscores, very long ones are shortened."""
    if len(name) <= LABEL_LINE:
        return name
    pieces = re.findall(r"[^\s_]*[\s_]*", name)
    lines = [""]
    for piece in (whole[i : i + LABEL_LINE] for whole in pieces for i in range(0, len(whole), LABEL_LINE)):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip("_ ")) > LABEL_LINE:
            lines.append("")
        lines[-1] += piece
    if len(lines) > LABEL_LINES:
        lines = [*lines[: LABEL_LINES - 1], lines[LABEL_LINES - 1][: LABEL_LINE - 1] + "…"]
    return "\n".join(line.strip() for line in lines)


def confusion(ax: Axes, matrix: ArrayLike, classes: Sequence[str], colour: str = PALETTE[0], title: str = "") -> Axes:
    """Draw a confusion matrix: rows are true classes, columns predictions. A darker cell is a larger share of its row.

    Args:
        matrix: (K, K) counts, which are written into the cells.
        ax: the matplotlib Axes that is drawn into.
        classes: class names, in the order of the outputs.
        colour: of the marks.
        title: heading of the Axes; none if empty.
    """
    counts = np.asarray(matrix)
    k = len(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if k > CELLS_UP_TO:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        pixels = np.empty((k, k, 4))
        pixels[..., :3], pixels[..., 3] = (red, green, blue), shares**0.5
        ax.imshow(pixels, extent=(-0.5, k - 0.5, k - 0.5, -0.5), interpolation="none")
    else:
        rows, columns = np.nonzero(counts)
        cells = [Rectangle((j - 0.46, i - 0.46), 0.92, 0.92) for i, j in zip(rows, columns, strict=True)]
        # the square root of the share, so that one mistake among fifty images is visible
        alphas = 0.08 + 0.92 * shares[rows, columns] ** 0.5
        ax.add_collection(PatchCollection(cells, facecolors=colour, edgecolors="none", alpha=alphas))
    if k <= NUMBERS_UP_TO:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                ink = PAPER if shares[i, j] ** 0.5 > 0.6 else INK
                ax.text(j, i, f"{count}", ha="center", va="center", fontsize=8, color=ink)
    ax.set(
        xlim=(-0.5, k - 0.5),
        ylim=(k - 0.5, -0.5),
        xlabel=_("predicted class"),
        ylabel=_("true class"),
        title=title,
        aspect="equal",
    )
    if k <= NAMES_UP_TO:
        long = max(len(name) for name in classes) > 3
        labels = [tick_label(name) for name in classes]
        ax.set_xticks(range(k), labels, rotation=90 if long else 0)
        ax.set_yticks(range(k), labels)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)
    return ax


# --- per class --------------------------------------------------------------------------------------------------------

BARS_UP_TO = 25  # classes; of more, only the worst are shown


def per_class(
    ax: Axes,
    classes: Sequence[str],
    shares: Sequence[float | None],
    intervals: Sequence[Interval],
    colour: str = PALETTE[0],
    xlabel: str | None = None,
) -> Axes:
    """Plot a share per class with its confidence interval, the worst at the top. Of many classes only the worst.

    Args:
        ax: the matplotlib Axes that is drawn into.
        classes: class names, in the order of the outputs.
        shares: (K,) share of each class, from 0 to 1.
        intervals: (K,) their 95 % intervals.
        colour: of the marks.
        xlabel: label of the horizontal axis.
    """
    xlabel = _("recall: share of the class's images classified correctly") if xlabel is None else xlabel
    defined = [k for k, share in enumerate(shares) if share is not None]
    order = sorted(defined, key=lambda k: (shares[k], classes[k]))[:BARS_UP_TO]
    places = range(len(order))
    values = np.array([100.0 * (shares[k] or 0) for k in order])
    ends = np.array([[100 * end for end in intervals[k]] for k in order]).reshape(-1, 2)
    ax.barh(places, values, height=0.62, color=colour, alpha=0.35, linewidth=0)
    ax.hlines(places, ends[:, 0], ends[:, 1], color=colour, linewidth=1.6)
    ax.plot(values, places, "o", color=colour, markersize=5)
    ax.set_yticks(places, [tick_label(classes[k]) for k in order])
    ax.set(xlim=(0, 100.8), ylim=(len(order) - 0.4, -0.6), xlabel=f"{xlabel}, 95 % {_('confidence interval')}")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    return ax


# --- calibration ------------------------------------------------------------------------------------------------------


def reliability(
    ax: Axes, bins: Sequence[tuple[float, float, int, float, float]], colour: str = PALETTE[0], title: str = ""
) -> Axes:
    """Draw a reliability diagram: accuracy against confidence. A perfectly calibrated network lies on the diagonal.

    Args:
        bins: (low, high, n, mean confidence, accuracy) of each bin, as ``evaluation.reliability`` returns them.
        ax: the matplotlib Axes that is drawn into.
        colour: of the marks.
        title: heading of the Axes; none if empty.
    """
    ax.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    total = sum(row[2] for row in bins) or 1
    for low, high, n, confidence, accuracy in bins:
        if n:
            ax.bar(
                50 * (low + high), 100 * accuracy, width=96 * (high - low), color=colour, alpha=0.15 + 0.6 * n / total,
                linewidth=0,
            )  # fmt: skip
            ax.plot(100 * confidence, 100 * accuracy, "o", color=colour, markersize=4.5)
    percent = FuncFormatter(lambda value, _: f"{value:g} %")
    ax.xaxis.set_major_formatter(percent)
    ax.yaxis.set_major_formatter(percent)
    ax.set(xlim=(0, 101), ylim=(0, 101), xlabel=_("confidence"), ylabel=_("accuracy"), title=title)
    return ax


# --- images -----------------------------------------------------------------------------------------------------------


def image_grid(ax: Axes, images: Sequence[np.ndarray], captions: Sequence[str], columns: int = 6) -> Axes:
    """Draw images on a grid, each with a caption below, such as the mistakes with the highest confidence.

    Args:
        images: uint8 (h, w) or (h, w, 1 or 3) each; sizes may differ.
        ax: the matplotlib Axes that is drawn into.
        captions: one for each image.
        columns: images in a row.
    """
    rows = -(-len(images) // columns)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(place, columns)
        pixels = np.asarray(image)
        height, width = pixels.shape[:2]
        side = 0.46 / max(height, width)
        box = (column - side * width, column + side * width, row * 1.25 + side * height, row * 1.25 - side * height)
        grey = pixels.ndim == 2 or pixels.shape[2] == 1
        ax.imshow(pixels.reshape(height, width) if grey else pixels, cmap="gray", vmin=0, vmax=255, extent=box)
        ax.text(column, row * 1.25 + 0.52, caption, ha="center", va="top", fontsize=7)
    ax.set(xlim=(-0.55, columns - 0.45), ylim=(max(rows, 1) * 1.25 - 0.55, -0.55), aspect="equal")
    ax.set_axis_off()
    return ax
