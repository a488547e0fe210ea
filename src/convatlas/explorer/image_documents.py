"""The documents about an image in a network: its preparation, the prediction, feature maps, filters. Needs torch."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convatlas.data import Preprocessing
from convatlas.data.dataset import with_channels
from convatlas.errors import ShapeError, UnknownNameError, UsageError
from convatlas.explorer.images import Picture
from convatlas.explorer.networks import SCHEMA
from convatlas.explorer.pixels import jpeg, picture, png
from convatlas.explorer.ready import Ready, Workbench
from convatlas.explorer.subjects import Subject
from convatlas.i18n import _, translated
from convatlas.inspection import ForwardPass
from convatlas.message import Message
from convatlas.modes import eval_mode

TOP = 10  # classes of a prediction
SHOWN_SIDE = 640  # longer side of a step's picture, pixels
SPRITE_PIXELS = 4 << 20  # of all maps of a layer together; larger maps are reduced
MOST_FILTERS = 64  # and input channels of each, that are shown
MOST_CHANNELS = 4096  # of a layer's maps
PHOTO_PIXELS = 128 * 128  # with more pixels a step's picture is a JPEG


def predict_document(bench: Workbench, subject: Subject, image: Picture) -> dict[str, Any]:
    """``api/predict``: the most probable classes, and the time of one forward pass.

    Raises:
        UsageError: the network returns images, or logits that are not finite.
    """
    found, images = bench.network(subject), bench.forward(subject, image).images
    with eval_mode(found.net), torch.inference_mode():
        found.net(images)  # a first one allocates memory
        begun = time.perf_counter()
        logits = found.net(images)
        seconds = time.perf_counter() - begun
    scores = class_scores(found, logits)
    probabilities = scores.softmax(dim=0)
    order = probabilities.topk(min(TOP, len(scores))).indices.tolist()
    return {
        "schema": SCHEMA,
        "top": [
            {
                "label": found.label(index),
                "index": index,
                "probability": float(probabilities[index]),
                "logit": float(scores[index]),
            }
            for index in order
        ],
        "weights": translated(subject.weights),
        "trained": found.trained,
        "milliseconds": 1000 * seconds,
    }


def class_scores(found: Ready, logits: Any) -> Tensor:
    """The logits (K,) of one image.

    Raises:
        UsageError: the network has no classes, or its logits are not finite.
    """
    if not isinstance(logits, Tensor) or logits.dim() != 2 or found.reconstructs:
        raise UsageError("this network has no classes: its output is not a vector of scores.")
    scores = logits[0].float()
    if not bool(torch.isfinite(scores).all()):
        raise UsageError("the network's scores for this image are not finite (nan or inf).")
    return scores


def prepared_document(bench: Workbench, subject: Subject, image: Picture) -> dict[str, Any]:
    """``api/prepared``: the steps from the image to the network's input."""
    found = bench.network(subject)
    return {
        "schema": SCHEMA,
        "description": described(found.preprocessing, found.prepared_from),
        "steps": steps(found, image),
    }


def described(preprocessing: Preprocessing, origin: str) -> str:
    height, width = preprocessing.size
    return _(
        "{size} pixels, {channels}; mean {mean}, standard deviation {std} ({origin})",
        size=f"{height} x {width}",
        channels="RGB" if preprocessing.channels == 3 else Message("grey"),
        mean=_numbers(preprocessing.mean),
        std=_numbers(preprocessing.std),
        origin=origin,
    )


def steps(found: Ready, image: Picture) -> list[dict[str, Any]]:
    """The same calls as in `Ready.input`, with a picture after each."""
    preprocessing = found.preprocessing
    pixels = image.read(preprocessing.at_least)
    kind = _("grey") if pixels.shape[2] == 1 else "RGB"
    made = [_step(_("the image"), _("{height} x {width} pixels, {kind}", height=image.height, width=image.width,
                                    kind=kind), pixels, (image.height, image.width))]  # fmt: skip
    if pixels.shape[2] != preprocessing.channels:
        pixels = with_channels(pixels, preprocessing.channels)
        detail = _("grey is repeated in three channels") if preprocessing.channels == 3 else _("colour becomes grey")
        made.append(_step(_("channels"), detail, pixels, (image.height, image.width)))
    stored = preprocessing.apply(pixels)
    made.append(_step(_("resized"), _resize(preprocessing), stored))
    height, width = preprocessing.size
    if stored.shape[:2] != (height, width):
        top, left = (stored.shape[0] - height) // 2, (stored.shape[1] - width) // 2
        cropped = stored[top : top + height, left : left + width]
        made.append(_step(_("centre cropped"), _("the centre {size} pixels", size=f"{height} x {width}"), cropped))
    values = found.input(image)[0].numpy()
    low, high = float(values.min()), float(values.max())
    shown = np.moveaxis((values - low) * (255 / (high - low) if high > low else 0), 0, -1).round().astype(np.uint8)
    detail = _(
        "(pixel / 255 - {mean}) / {std}; values from {low} to {high}",
        mean=_numbers(preprocessing.mean),
        std=_numbers(preprocessing.std),
        low=f"{low:.3g}",
        high=f"{high:.3g}",
    )
    made.append(_step(_("normalised"), detail, shown))
    return made


def _resize(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.store_size
    size = f"{height} x {width}"
    return {
        "squash": _("to {size} pixels, {interpolation}", size=size, interpolation=preprocessing.interpolation),
        "shorter-crop": _(
            "the shorter side to {side} pixels, {interpolation}; the centre {size}",
            side=min(height, width),
            size=size,
            interpolation=preprocessing.interpolation,
        ),
        "pad": _("centred on {size} pixels of background", size=size),
        "letterbox": _("the longer side fitted to {size} pixels, the rest is background", size=size),
    }[preprocessing.resize]


def _numbers(values: tuple[float, ...]) -> str:
    different = dict.fromkeys(f"{value:.4g}" for value in values)
    return ", ".join(different if len(different) == 1 else (f"{value:.4g}" for value in values))


def _step(title: str, detail: str, pixels: np.ndarray, size: tuple[int, int] | None = None) -> dict[str, Any]:
    height, width = size or pixels.shape[:2]
    return {"title": title, "detail": detail, "width": width, "height": height, "picture": _shown(pixels)}


def _shown(pixels: np.ndarray) -> str:
    """A picture to look at: large ones are reduced and compressed."""
    longer = max(pixels.shape[:2])
    if longer > SHOWN_SIDE:
        image = picture(pixels)
        image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        pixels = np.asarray(image)
    return jpeg(pixels, 90) if pixels.shape[0] * pixels.shape[1] > PHOTO_PIXELS else png(pixels)


def maps_document(
    bench: Workbench, subject: Subject, image: Picture, layer: str, most_pixels: int = SPRITE_PIXELS
) -> dict[str, Any]:
    """``api/maps``: the feature maps of a row or of a block's last row, or the values of a vector. Measured.

    Raises:
        UnknownNameError: no such row or block.
        ShapeError: its output is neither a map nor a vector.
    """
    forward = bench.forward(subject, image)
    output = forward.output(row_of(forward, layer))[0].detach().float()
    if output.dim() == 1:
        values = output.tolist()
        return {"schema": SCHEMA, "layer": layer, "shape": list(output.shape), "sprite": "", "columns": 0,
                "tile": [0, 0], "channels": [], "dead": [], "values": values}  # fmt: skip
    if output.dim() != 3 or len(output) > MOST_CHANNELS:
        raise ShapeError(
            "the output of {layer} has the shape {shape}; maps (C, H, W) and vectors are shown.",
            layer=layer,
            shape=" x ".join(map(str, output.shape)),
        )
    maps = output.numpy()
    low, high = maps.min(axis=(1, 2)), maps.max(axis=(1, 2))
    means, zeros = maps.mean(axis=(1, 2), dtype=np.float64), (maps == 0).mean(axis=(1, 2))
    reduced = _reduced(maps, most_pixels)
    span = np.where(high > low, high - low, 1)
    grey = ((reduced - low[:, None, None]) * (255 / span)[:, None, None]).round().clip(0, 255)
    columns = math.ceil(math.sqrt(len(maps)))
    return {
        "schema": SCHEMA,
        "layer": layer,
        "shape": list(maps.shape),
        "sprite": sprite(np.nan_to_num(grey).astype(np.uint8), columns),
        "columns": columns,
        "tile": list(reduced.shape[1:]),
        "channels": [
            {"minimum": float(a), "maximum": float(b), "mean": float(m), "zeros": float(z)}
            for a, b, m, z in zip(low, high, means, zeros, strict=True)
        ],
        "dead": np.flatnonzero(zeros == 1).tolist(),
        "values": [],
    }


def row_of(forward: ForwardPass, layer: str) -> str:
    """The row of that name, or the last row of the block of that name.

    Raises:
        UnknownNameError: neither exists.
    """
    rows = forward.rows
    if layer in rows:
        return layer
    inside = [row for row in rows if row.startswith(f"{layer}.")]
    if not inside:
        raise UnknownNameError("layer", layer, rows)
    return inside[-1]


def _reduced(maps: np.ndarray, most_pixels: int) -> np.ndarray:
    """The maps, or the means of their squares of k x k values, so that all have at most ``most_pixels``."""
    side = math.ceil(math.sqrt(maps.size / most_pixels)) if maps.size > most_pixels else 1
    if side == 1 or min(maps.shape[1:]) < side:
        return maps
    height, width = (length // side for length in maps.shape[1:])
    whole = maps[:, : height * side, : width * side]
    return np.asarray(whole.reshape(len(maps), height, side, width, side).mean(axis=(2, 4)))


def sprite(tiles: np.ndarray, columns: int) -> str:
    """uint8 (N, h, w) or (N, h, w, 3) as one picture, ``columns`` tiles side by side."""
    rows = math.ceil(len(tiles) / columns)
    blank = np.zeros((rows * columns - len(tiles), *tiles.shape[1:]), dtype=np.uint8)
    grid = np.concatenate((tiles, blank)).reshape(rows, columns, *tiles.shape[1:])
    height, width = tiles.shape[1:3]
    return png(grid.swapaxes(1, 2).reshape(rows * height, columns * width, *tiles.shape[3:]))


def filters_document(bench: Workbench, subject: Subject, layer: str) -> dict[str, Any]:
    """``api/filters``: the kernels of a convolution. 0 is mid-grey, the largest weight of a filter black or white.

    A layer that reads three channels is shown in colour, a tile for each filter. Of other layers a row of tiles is a
    filter and a column an input channel, at most 64 of each.

    Raises:
        UnknownNameError: no such row.
        UsageError: it is not a convolution with weights.
    """
    row = subject.summary()[layer]
    weights = weights_of(bench.network(subject), row.path)
    if row.kind != "conv" or weights is None or weights.dim() != 4:
        raise UsageError("{layer} is not a convolution with filters of two axes.", layer=layer)
    kernels = weights.detach().float().numpy()
    colour = kernels.shape[1] == 3
    if not colour:
        kernels = kernels[:MOST_FILTERS, :MOST_FILTERS]
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    grey = np.nan_to_num(127.5 + 127.5 * kernels / np.where(largest > 0, largest, 1)).round().astype(np.uint8)
    if colour:
        tiles, columns = np.moveaxis(grey, 1, -1), math.ceil(math.sqrt(len(grey)))
    else:
        tiles, columns = grey.reshape(-1, *grey.shape[2:]), grey.shape[1]
    return {
        "schema": SCHEMA,
        "layer": layer,
        "shape": list(weights.shape),
        "sprite": sprite(tiles, columns),
        "columns": columns,
        "tile": list(grey.shape[2:]),
        "colour": colour,
    }


def weights_of(found: Ready, path: str) -> Tensor | None:
    """The weight of the module at a path; None where there is no such module, or it has none."""
    try:
        weight = getattr(found.net.get_submodule(path), "weight", None)
    except AttributeError:
        return None
    return weight if isinstance(weight, Tensor) else None
