"""Plot of a learning-rate range test."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from convatlas.visualization.style import INK, MUTED, PALETTE, PAPER, new_axes, plot_style


def lr_range(
    ax: Axes,
    lrs: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    diverged: float | None = None,
    title: str = "",
) -> Axes:
    """Plot the loss of each update against its learning rate, with the suggestion and the point of divergence.

    The y axis ends slightly above the first losses: the losses at the end of a sweep are so large that all others would
    look flat.
    """
    ax.plot(lrs, losses, color=MUTED, linewidth=0.7, alpha=0.7, label="each update")
    ax.plot(lrs, smoothed, color=PALETTE[0], label="smoothed")
    lowest = min(smoothed)
    ceiling = max(smoothed[0], lowest + 2 * (smoothed[0] - lowest)) * 1.15
    floor = min(*losses, lowest)
    ax.set(xscale="log", xlabel="learning rate", ylabel="training loss", title=title)
    ax.set_xlim(lrs[0], diverged or lrs[-1])
    ax.set_ylim(floor - 0.05 * (ceiling - floor), ceiling)
    ax.xaxis.set_major_locator(LogLocator(numticks=20))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x", visible=False)
    place = list(smoothed).index(lowest)
    ax.plot(lrs[place], lowest, "o", color=PALETTE[0])
    ax.annotate("lowest", (lrs[place], lowest), (0, 7), textcoords="offset points", ha="center", color=MUTED)
    if suggestion is not None:
        ax.axvline(suggestion, color=PALETTE[1], linestyle=(0, (5, 1.5)), linewidth=1.4)
        ax.annotate(
            f" {suggestion:.2g}", (suggestion, 1), (2, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", color=INK,
        )  # fmt: skip
    if diverged is not None:
        ax.annotate(
            "diverged", (1, 1), (-2, -2), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
            color=MUTED,
        )  # fmt: skip
    ax.legend(loc="lower left")
    return ax


def lr_range_png(
    lrs: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    diverged: float | None,
    title: str,
) -> bytes:
    """`lr_range` as a PNG file."""
    data = BytesIO()
    with plot_style():
        ax = new_axes()
        figure = lr_range(ax, lrs, losses, smoothed, suggestion, diverged, title).get_figure(root=True)
        assert figure is not None
        figure.savefig(data, format="png", dpi=150, facecolor=PAPER, metadata={"Software": None})
    return data.getvalue()
