"""`Normalisation`: from 8-bit pixels to what a network reads."""

from __future__ import annotations

import torch
from torch import Tensor

from convatlas.data.preprocessing import Preprocessing

_CACHED_VALUES = 1 << 21  # 8 MB of floats: small enough to stay in a cache between two operations


class Normalisation:
    """(pixel/255 - mean) / std, as one multiply-add per value."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        mean, std = torch.tensor(preprocessing.mean, device=device), torch.tensor(preprocessing.std, device=device)
        self.background = torch.tensor(preprocessing.background, dtype=torch.uint8, device=device)
        self.scale, self.shift = 1 / std, -mean / std

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (N, H, W, C) -> float32 (N, C, H, W), channels_last without a copy."""
        n, height, width, channels = pixels.shape
        # whole rows of W * C values: the three channels alone are too short a row to be computed quickly
        rows, scale, shift = pixels.flatten(2), (self.scale / 255).repeat(width), self.shift.repeat(width)
        images = torch.empty(rows.shape, device=pixels.device)
        at_once = max(1, _CACHED_VALUES // (height * width * channels)) if pixels.device.type == "cpu" else n
        for these, whole in zip(rows.split(at_once), images.split(at_once), strict=True):
            whole.copy_(these)
            torch.addcmul(shift, whole, scale, out=whole)
        return images.view(n, height, width, channels).permute(0, 3, 1, 2)

    def of_unit(self, images: Tensor) -> Tensor:
        """float32 (N, C, H, W) of pixel/255 -> normalised, in place where it may be, channels_last."""
        images = images.mul_(self.scale.view(1, -1, 1, 1)).add_(self.shift.view(1, -1, 1, 1))
        return images.contiguous(memory_format=torch.channels_last)
