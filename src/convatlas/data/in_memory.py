"""Images that a program holds already, as the pixels of an image file: uint8 (H, W, C) with C = 1 or 3."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from convatlas.data.decode import UnreadableImage, pixels_of_pillow
from convatlas.errors import UsageError
from convatlas.message import system_reason

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    ImageInMemory = Image.Image | np.ndarray | Tensor


def is_in_memory(value: object) -> TypeGuard[ImageInMemory]:
    """Whether the value is a Pillow image, a numpy array or a torch tensor; imports neither Pillow nor torch."""
    pillow, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
    return (
        isinstance(value, np.ndarray)
        or (pillow is not None and isinstance(value, pillow.Image))
        or (torch is not None and isinstance(value, torch.Tensor))
    )


def pixels_in_memory(image: ImageInMemory) -> np.ndarray:
    """The pixels of one image, as `decode` gives those of a file.

    Args:
        image: a Pillow image of any mode; a numpy array (H, W) or (H, W, C); or a tensor (H, W) or (C, H, W). C is 1,
            3, or 4 with alpha, which is laid over white. Whole numbers are 0 to 255, floating-point numbers 0 to 1.
    Raises:
        UsageError: another shape, or numbers outside of these ranges.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        try:
            return pixels_of_pillow(image)
        except UnreadableImage as error:
            raise UsageError("the Pillow image cannot be used: {reason}.", reason=error.message) from error
        except (OSError, ValueError) as error:  # its file is damaged, or closed
            raise UsageError("the Pillow image cannot be used: {reason}.", reason=system_reason(error)) from error
    values: Any = image
    if isinstance(image, np.ndarray):
        channels_last = True
    else:
        values, channels_last = image.detach().cpu().numpy(), False
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.ndim == 3 and not channels_last:
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or not values.size:
        raise UsageError(
            "an image is an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W), with 1, 3 or 4 channels; got "
            "the shape {shape}.",
            shape=tuple(image.shape),
        )
    pixels = _eight_bits(values)
    return pixels_of_pillow(Image.fromarray(pixels)) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    floating = np.issubdtype(values.dtype, np.floating)
    if not floating and not np.issubdtype(values.dtype, np.integer):
        raise UsageError("pixels are whole or floating-point numbers; got {kind}.", kind=values.dtype)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= (1 if floating else 255)):  # nan is in no range
        raise UsageError(
            "floating-point pixels are 0 to 1, before any mean is subtracted; got {low:g} to {high:g}."
            if floating
            else "whole-number pixels are 0 to 255; got {low:g} to {high:g}.",
            low=low,
            high=high,
        )
    return np.rint(values * 255 if floating else values).astype(np.uint8)
