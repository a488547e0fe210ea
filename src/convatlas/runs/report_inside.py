"""What the report of a run shows of the inside of its network. It never fails a finished training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convatlas.data import prepare
from convatlas.errors import UsageError
from convatlas.evaluation import Evaluation
from convatlas.inspection.activations import first_layer_filters
from convatlas.inspection.attribution import grad_cam
from convatlas.runs.prepare import Setup
from convatlas.runs.seen_images import pixels_of
from convatlas.visualization.inspection import overlay
from convatlas.visualization.run_report import Inside

MISTAKES = 6  # whose Grad-CAM is computed: one pass and its gradient


def inside_of(setup: Setup, evaluation: Evaluation, epochs: Sequence[Mapping[str, Any]]) -> Inside | None:
    """First-layer filters, Grad-CAM of the most confident mistakes, and the gradient norms that were recorded.

    Parts that the network does not have are left out. None where they cannot be computed for any other reason, as the
    weights and the result of a training are worth more than these pictures.
    """
    try:
        layer, filters = _filters(setup)
        cam_layer, cams, captions = _cams(setup, evaluation)
    except Exception:
        return None
    series = tuple((int(line["epoch"]) + 1, line["gradient_norms"]) for line in epochs if "gradient_norms" in line)
    return Inside(layer, filters, cam_layer, cams, captions, series)


def _filters(setup: Setup) -> tuple[str, np.ndarray | None]:
    """The layer, and its filters (K, h, w, 3) from 0 to 1; None where they are no pictures."""
    try:
        found = first_layer_filters(setup.net)
    except UsageError:
        return "", None
    pictures = found.pictures()
    if pictures.shape[3] not in (1, 3) or min(pictures.shape[1:3]) < 2:
        return "", None
    return found.layer, np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures


def _cams(setup: Setup, evaluation: Evaluation) -> tuple[str, tuple[np.ndarray, ...], tuple[str, ...]]:
    """The layer; the map over the image, uint8 (H, W, 3), of each mistake; its true and predicted class."""
    mistakes = evaluation.surest_mistakes(MISTAKES)
    if not mistakes:
        return "", (), ()
    preprocessing = setup.preprocessing
    device = next(setup.net.parameters()).device
    read = [preprocessing.apply(setup.test_image(index)) for index, *_ in mistakes]
    images = prepare(read, preprocessing)
    try:
        found = grad_cam(setup.net, images.to(device), [predicted for _, _, predicted, _ in mistakes])
    except UsageError:  # no layer has a map
        return "", (), ()
    maps = [
        (255 * overlay(pixels, heat)).round().astype(np.uint8)
        for pixels, heat in zip(pixels_of(images, preprocessing), found.heat(), strict=True)
    ]
    names = evaluation.classes
    return found.layer, tuple(maps), tuple(f"{names[true]} → {names[said]}" for _, true, said, _ in mistakes)
