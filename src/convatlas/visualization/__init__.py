"""Plots, diagrams and HTML pages. Functions take arrays or rows and return matplotlib Axes, SVG or HTML.

Names that need matplotlib are imported on first use. `diagram` (a network as SVG) and `html` do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.visualization.plots import (
        Curve,
        Point,
        accuracy_latency,
        confusion,
        error_curves,
        image_grid,
        loss_curves,
        per_class,
        reliability,
    )
    from convatlas.visualization.style import SeriesStyle, new_axes, plot_style, styles, svg
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "Curve",
    "Point",
    "SeriesStyle",
    "accuracy_latency",
    "confusion",
    "error_curves",
    "image_grid",
    "loss_curves",
    "new_axes",
    "per_class",
    "plot_style",
    "reliability",
    "styles",
    "svg",
]
