"""Deletion and insertion scores: whether the pixels that a map ranks highest are those that the network uses.

Petsiuk, Das and Saenko, "RISE", arXiv:1806.07421, section 4.2. Pixels are removed from the image, or added to a blurred
image, in the order of the map. The score is the mean probability of the class along the way, the area under its curve.
A good map has a low deletion and a high insertion score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import ShapeError
from convatlas.inspection.forward import logits_of


@dataclass(frozen=True)
class Faithfulness:
    """Probability of a class while pixels are removed or added in the order of a map. Measured.

    Attributes:
        deletion, insertion: (N, steps + 1), the probability after each step.
    """

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def deletion_scores(self) -> np.ndarray:
        """(N,), from 0 to 1; lower is better."""
        return _area(self.deletion)

    @property
    def insertion_scores(self) -> np.ndarray:
        """(N,), from 0 to 1; higher is better."""
        return _area(self.insertion)


def faithfulness(
    net: nn.Module,
    images: Tensor,
    heat: np.ndarray,
    classes: Sequence[int],
    *,
    steps: int = 32,
    value: float = 0.0,
    blur: float = 10.0,
) -> Faithfulness:
    """Measure the deletion and the insertion score of a map for each image.

    Args:
        net: a classifier; it is not changed.
        images: (N, C, H, W), preprocessed for the network.
        heat: (N, H, W), the map of each image, as `Attribution.heat` returns it.
        classes: (N,), the class whose probability is followed.
        steps: number of equal groups of pixels; equal values are ordered from the top left.
        value: value of a removed pixel after preprocessing; 0 is the mean of the training images.
        blur: standard deviation, in pixels, of the Gaussian that makes the image to which pixels are added.

    Raises:
        ShapeError: the maps do not have the size of the images.
    """
    count, _, height, width = images.shape
    if heat.shape != (count, height, width):
        raise ShapeError(
            "the maps have the shape {heat}; expected {expected}, one value for each pixel of each image.",
            heat=heat.shape,
            expected=(count, height, width),
        )
    ends = [round(step * height * width / steps) for step in range(steps + 1)]
    deletion, insertion = [], []
    for image, values, index in zip(images, heat, classes, strict=True):
        order = np.argsort(-values, axis=None, kind="stable")
        rank = np.empty(order.size, dtype=np.int64)
        rank[order] = np.arange(order.size)
        ranks = torch.from_numpy(rank.reshape(height, width)).to(image.device)
        touched = torch.stack([ranks < end for end in ends])[:, None]  # (steps + 1, 1, H, W)
        blurred = gaussian_blur(image[None], blur)
        deletion.append(_probabilities(net, torch.where(touched, torch.full_like(image, value), image), index))
        insertion.append(_probabilities(net, torch.where(touched, image, blurred), index))
    return Faithfulness(np.stack(deletion), np.stack(insertion))


def gaussian_blur(images: Tensor, deviation: float) -> Tensor:
    """Images (N, C, H, W), blurred by a Gaussian of so many pixels; the border is repeated."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    weights = weights / weights.sum()
    flat = images.flatten(0, 1)[:, None]  # (N C, 1, H, W)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), weights.view(1, 1, -1, 1))
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), weights.view(1, 1, 1, -1))
    return flat[:, 0].view_as(images)


def _probabilities(net: nn.Module, images: Tensor, index: int) -> np.ndarray:
    return np.asarray(logits_of(net, images).float().softmax(dim=1)[:, index].cpu().numpy())


def _area(curves: np.ndarray) -> np.ndarray:
    """The mean height of each curve, by the trapezoidal rule."""
    return np.asarray((curves[:, :-1] + curves[:, 1:]).mean(axis=1) / 2)
