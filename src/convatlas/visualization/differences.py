"""Paired differences of an experiment against zero and against the smallest difference that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from convatlas.i18n import _
from convatlas.visualization.style import MUTED, PALETTE


@dataclass(frozen=True)
class PairedDifference:
    """One line of the plot.

    Attributes:
        differences: one value per seed.
        interval: of their mean.
        smallest: the smallest difference that counts.
        printed: the paper's difference in the same unit; None where there is none.
    """

    label: str
    differences: Sequence[float]
    mean: float
    interval: tuple[float, float]
    smallest: float
    printed: float | None = None


def paired_differences(ax: Axes, lines: Sequence[PairedDifference], unit: str) -> Axes:
    """Draw each contrast on a line of its own: seeds as dots, the mean with its interval, and the limits."""
    for place, line in enumerate(reversed(lines)):
        dots = ax.plot(line.differences, [place] * len(line.differences), "o", color=MUTED, markersize=4, alpha=0.7)
        dots[0].set_label(_("one seed"))
        low, high = line.interval
        ax.plot([low, high], [place + 0.18] * 2, color=PALETTE[0], linewidth=2.4, label=_("mean with interval"))
        ax.plot(line.mean, place + 0.18, "D", color=PALETTE[0])
        ax.plot(
            [line.smallest] * 2, [place - 0.35, place + 0.4], ":", color=PALETTE[1], label=_("smallest that counts")
        )
        if line.printed is not None:
            ax.plot(line.printed, place + 0.18, "x", color=PALETTE[2], markersize=8, label=_("printed"))
    ax.axvline(0, color=MUTED, linewidth=1)
    ax.set_yticks(range(len(lines)), [line.label for line in reversed(lines)])
    ax.set_ylim(-0.6, len(lines) - 0.3)
    ax.set_xlabel(unit)
    ax.grid(axis="y", visible=False)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=4)
    return ax
