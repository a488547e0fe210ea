"""Plot of an effective receptive field inside the theoretical one. It has no text to translate."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from convatlas.visualization.style import INK, PALETTE, PAPER, new_axes, plot_style


def effective_field(ax: Axes, mass: np.ndarray, box: Sequence[tuple[int, int]], title: str = "") -> Axes:
    """Draw the gradient of one position with respect to the pixels, and the box of its theoretical receptive field.

    Args:
        mass: (H, W), not negative. Drawn as the square root of mass / maximum, which makes small values visible.
        box: (top, bottom) and (left, right) of the theoretical field, both ends included; may extend past the image.
    """
    height, width = mass.shape
    ink = LinearSegmentedColormap.from_list("mass", [PAPER, PALETTE[0], INK])
    ax.imshow((mass / (mass.max() or 1)) ** 0.5, cmap=ink, extent=(0, width, height, 0), interpolation="none")
    (top, bottom), (left, right) = box
    high, wide = bottom - top + 1, right - left + 1
    ax.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=PALETTE[1], linewidth=1.4))
    ax.annotate(
        f"{high} x {wide}", (left, top), (2, 3), textcoords="offset points", color=PALETTE[1], annotation_clip=False
    )
    margin = 0.03 * max(height, width)
    ax.set_xlim(min(0, left) - margin, max(width, right + 1) + margin)
    ax.set_ylim(max(height, bottom + 1) + margin, min(0, top) - 3 * margin)
    ax.set(title=title, aspect="equal")
    ax.grid(visible=False)
    ax.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=INK, linewidth=0.7))
    return ax


def effective_field_file(
    mass: np.ndarray, box: Sequence[tuple[int, int]], title: str, file_format: str = "png"
) -> bytes:
    """`effective_field` as a PNG, SVG or PDF file."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[file_format]
    data = BytesIO()
    with plot_style():
        figure = effective_field(new_axes(4.2, 4.2), mass, box, title).get_figure(root=True)
        assert figure is not None
        figure.savefig(data, format=file_format, dpi=150, facecolor=PAPER, metadata=metadata)
    return data.getvalue()
