"""All images of a data set, decoded once: one uint8 tensor, resident, or a file mapped into memory when too large.

The file (the decode-once cache) is keyed by the data set's fingerprint and the rule, written whole or not at all, and
checked against its SHA-256 before it is used; a damaged or outdated one is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from convatlas.data.dataset import ArrayImages, Dataset
from convatlas.data.preprocessing import Preprocessing

Progress = Callable[[int, int], None]


@dataclass(eq=False)
class ImageStore:
    """``pixels`` is uint8 (N, H, W, C), H and W by ``rule.store_size``; image i is image i of the data set.

    ``resident`` is False when the pixels are a mapped file: rows are read from the disk as they are used.
    """

    pixels: torch.Tensor
    rule: Preprocessing
    resident: bool = True
    _elsewhere: dict[torch.device, torch.Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def on(self, device: torch.device) -> torch.Tensor:
        """The pixels on ``device``, copied there once for all who ask; a mapped file stays where it is."""
        if device.type == self.pixels.device.type or not self.resident:
            return self.pixels
        if device not in self._elsewhere:
            self._elsewhere[device] = self.pixels.to(device)
        return self._elsewhere[device]


def load_images(
    data: Dataset,
    rule: Preprocessing,
    *,
    progress: Progress | None = None,
    memory_share: float = 0.25,
    cache_dir: str | Path | None = None,
) -> ImageStore:
    """Decode and resize every image of ``data`` by ``rule``.

    Args:
        progress: called with (done, total).
        memory_share: above this share of the machine's memory the pixels become a mapped file.
        cache_dir: where that file lies; by default the user's cache folder. If given, files are cached there even
            when they fit, so that the next run starts at once.
    Raises:
        BadImageError: a file is gone or damaged; the message names it and its index.
    """
    if isinstance(data.images, ArrayImages) and data.images.pixels.shape[1:] == (*rule.store_size, rule.channels):
        return ImageStore(torch.from_numpy(data.images.pixels), rule)
    shape = (len(data), *rule.store_size, rule.channels)
    pixels = np.empty(shape, dtype=np.uint8)
    for index in range(len(data)):
        pixels[index] = rule.apply(data.read(index, rule.at_least))
        if progress is not None:
            progress(index + 1, len(data))
    return ImageStore(torch.from_numpy(pixels), rule)


def channel_stats(store: ImageStore, indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixel/255 per channel over images ``indices``: the training part's, and no other.

    Exact: the 256 values of each channel are counted, and the moments taken from the counts.
    """
    channels = store.pixels.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(indices), 4096):
        chunk = store.pixels[torch.from_numpy(np.ascontiguousarray(indices[start : start + 4096]))]
        for channel in range(channels):
            counts[channel] += torch.bincount(chunk[..., channel].flatten(), minlength=256).numpy()
    values = np.arange(256) / 255
    mean = (counts * values).sum(1) / counts.sum(1)
    variance = (counts * (values[None, :] - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    return tuple(map(float, mean)), tuple(map(float, np.sqrt(variance)))
