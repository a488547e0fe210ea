"""Pictures and pages: data in, matplotlib Axes or HTML out. Nothing is computed here that is not drawn."""

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
from convatlas.visualization.run_report import run_report
from convatlas.visualization.style import SeriesStyle, look, new_axes, styles, svg

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
    "run_report",
    "sheet",
    "styles",
    "svg",
]
