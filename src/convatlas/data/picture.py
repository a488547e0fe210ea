"""A picture of augmented images: one row per image, unaugmented in the first column, then one column per epoch."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from convatlas.atomic import written_atomically
from convatlas.data.batches import Batches

GAP = 2  # white pixels between the images
LEGIBLE = 64  # images smaller than this are enlarged by a whole factor


def batch_picture(batches: Batches, images: int = 8, epochs: int = 7) -> np.ndarray:
    """uint8 (H, W, 3): the first ``images`` images of epoch 0, unaugmented and augmented as in ``epochs`` epochs.

    Mixed images (mixup, cutmix) are shown, their mixed labels are not.
    """
    plain = Batches(
        batches.store,
        batches.labels.cpu().numpy(),
        batches.indices.numpy(),
        batch_size=images,
        preprocessing=batches.preprocessing,
        shuffle=False,
    )
    samples = batches.order(0)[:images]
    columns = [plain.batch(samples)[0]] + [batches.batch(samples, epoch)[0].cpu() for epoch in range(epochs)]
    grid = torch.stack(columns, dim=1)  # (images, 1 + epochs, C, H, W)
    mean, std = (
        torch.tensor(values).view(-1, 1, 1) for values in (batches.preprocessing.mean, batches.preprocessing.std)
    )
    pixels = ((grid * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.expand(-1, -1, 3, -1, -1).permute(0, 1, 3, 4, 2)  # grey becomes RGB
    enlarged = max(1, LEGIBLE // max(pixels.shape[2:4]))
    pixels = pixels.repeat_interleave(enlarged, 2).repeat_interleave(enlarged, 3)
    rows, across, height, width, _ = pixels.shape
    canvas = np.full((rows * (height + GAP) + GAP, across * (width + GAP) + GAP, 3), 255, dtype=np.uint8)
    for row in range(rows):
        for column in range(across):
            top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
            canvas[top : top + height, left : left + width] = pixels[row, column].numpy()
    return canvas


def write_picture(path: str | Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) as PNG, whole or not at all.

    Raises:
        ConvAtlasError: the file cannot be written.
    """
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    with written_atomically(Path(path)) as file:
        file.write(encoded.getvalue())
