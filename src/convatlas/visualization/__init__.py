"""Drawings and pages: arrays and rows in, matplotlib Axes, SVG or HTML out. Nothing is computed here but what is drawn.

Names that need matplotlib are resolved on first use; `diagram` (a network as SVG) and `html` need none.
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
        loss_curves,
        per_class,
        reliability,
        sheet,
    )
    from convatlas.visualization.style import SeriesStyle, look, new_axes, styles, svg
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "Curve",
    "Point",
    "SeriesStyle",
    "accuracy_latency",
    "confusion",
    "error_curves",
    "look",
    "loss_curves",
    "new_axes",
    "per_class",
    "reliability",
    "sheet",
    "styles",
    "svg",
]
