"""Pixels as data URLs: pictures travel inside the JSON documents, so that a saved page is the same page. No torch."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

THUMBNAIL = 128  # longer side, pixels
SMALL = 64  # sides up to here are kept exactly


def png(pixels: np.ndarray) -> str:
    """uint8 (H, W), (H, W, 1) or (H, W, 3) as the data URL of a PNG."""
    return _url(pixels, "png", compress_level=4)  # of level 9 the last hundredths of the size take most of the time


def jpeg(pixels: np.ndarray, quality: int = 80) -> str:
    """The same as the data URL of a JPEG, for photos that are only looked at."""
    return _url(pixels, "jpeg", quality=quality)


def _url(pixels: np.ndarray, kind: str, **options: Any) -> str:
    encoded = io.BytesIO()
    picture(pixels).save(encoded, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.getvalue()).decode()}"


def picture(pixels: np.ndarray) -> Any:
    """The pixels as a Pillow image."""
    from PIL import Image

    return Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    )


def thumbnail(pixels: np.ndarray, side: int = THUMBNAIL) -> str:
    """A data URL whose longer side is at most ``side`` pixels. Images of few pixels are enlarged without smoothing."""
    from PIL import Image

    height, width = pixels.shape[:2]
    image = picture(pixels)
    if max(height, width) > side:
        scale = side / max(height, width)
        image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
        return jpeg(np.asarray(image))
    factor = max(1, side // 2 // max(height, width))
    if factor > 1:
        image = image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    return png(np.asarray(image)) if max(height, width) <= SMALL else jpeg(np.asarray(image))
