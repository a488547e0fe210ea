"""AutoAugment's policies for ImageNet and for CIFAR-10. Cubuk and others, arXiv:1805.09501, appendix.

Each image draws one of 25 pairs of operations. An operation of the pair is applied with its probability, at its
magnitude of 0 to 9. The operations are those of policy.py, and "invert", whose magnitude means nothing ("-").

The tables are as torchvision and the authors' program have them; the paper's text was not found.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from convatlas.data.keyed import Draws
from convatlas.data.policy import SIGNED, Space, auto_augments, operate

STRONGEST = 9  # of the magnitudes
# operation, probability, magnitude; the first and the second of each pair
IMAGENET = """
    posterize 0.4 8, rotate 0.6 9
    solarize 0.6 5, auto-contrast 0.6 -
    equalize 0.8 -, equalize 0.6 -
    posterize 0.6 7, posterize 0.6 6
    equalize 0.4 -, solarize 0.2 4
    equalize 0.4 -, rotate 0.8 8
    solarize 0.6 3, equalize 0.6 -
    posterize 0.8 5, equalize 1.0 -
    rotate 0.2 3, solarize 0.6 8
    equalize 0.6 -, posterize 0.4 6
    rotate 0.8 8, colour 0.4 0
    rotate 0.4 9, equalize 0.6 -
    equalize 0.0 -, equalize 0.8 -
    invert 0.6 -, equalize 1.0 -
    colour 0.6 4, contrast 1.0 8
    rotate 0.8 8, colour 1.0 2
    colour 0.8 8, solarize 0.8 7
    sharpness 0.4 7, invert 0.6 -
    shear-x 0.6 5, equalize 1.0 -
    colour 0.4 0, equalize 0.6 -
    equalize 0.4 -, solarize 0.2 4
    solarize 0.6 5, auto-contrast 0.6 -
    invert 0.6 -, equalize 1.0 -
    colour 0.6 4, contrast 1.0 8
    equalize 0.8 -, equalize 0.6 -
"""
CIFAR = """
    invert 0.1 -, contrast 0.2 6
    rotate 0.7 2, translate-x 0.3 9
    sharpness 0.8 1, sharpness 0.9 3
    shear-y 0.5 8, translate-y 0.7 9
    auto-contrast 0.5 -, equalize 0.9 -
    shear-y 0.2 7, posterize 0.3 7
    colour 0.4 3, brightness 0.6 7
    sharpness 0.3 9, brightness 0.7 9
    equalize 0.6 -, equalize 0.5 -
    contrast 0.6 7, sharpness 0.6 5
    colour 0.7 7, translate-x 0.5 8
    equalize 0.3 -, auto-contrast 0.4 -
    translate-y 0.4 3, sharpness 0.2 6
    brightness 0.9 6, colour 0.2 8
    solarize 0.5 2, invert 0.0 -
    equalize 0.2 -, auto-contrast 0.6 -
    equalize 0.2 -, equalize 0.6 -
    colour 0.9 9, equalize 0.6 -
    auto-contrast 0.8 -, solarize 0.2 8
    brightness 0.1 3, colour 0.7 0
    solarize 0.4 5, auto-contrast 0.9 -
    translate-y 0.9 9, translate-y 0.7 9
    auto-contrast 0.9 -, solarize 0.8 3
    equalize 0.8 -, invert 0.1 -
    translate-y 0.7 9, auto-contrast 0.9 -
"""
POLICIES = {"auto": IMAGENET, "auto-cifar": CIFAR}


class Step(NamedTuple):
    operation: str
    probability: float
    strength: float  # 0 to 1


@cache
def pairs(policy: str) -> tuple[tuple[Step, Step], ...]:
    """The 25 pairs of a policy."""
    return tuple(
        (_step(first), _step(second))
        for first, second in (line.split(",") for line in POLICIES[policy].strip().splitlines())
    )


def _step(text: str) -> Step:
    operation, probability, magnitude = text.split()
    return Step(operation, float(probability), 0.0 if magnitude == "-" else int(magnitude) / STRONGEST)


def auto(pixels: Tensor, draws: Draws, background: Tensor, policy: str) -> Tensor:
    """uint8 (N, H, W, C) -> the same after the pair that each image drew from ``policy``."""
    table = pairs(policy)
    space = auto_augments((pixels.shape[1], pixels.shape[2]))
    # where the images are on a device, which of them drew what is worked out here, without waiting for it
    drawn = (draws.here.uniform("auto pair")[:, 0] * len(table)).long()
    for turn in range(2):
        chance = draws.here.uniform(f"auto-applied-{turn}")[:, 0]
        applied = chance < torch.tensor([pair[turn].probability for pair in table])[drawn]
        strength = torch.tensor([pair[turn].strength for pair in table])[drawn]
        sign = torch.where(draws.here.uniform(f"auto-sign-{turn}")[:, 0] < 0.5, -1.0, 1.0)
        changed = pixels.clone()
        for name in sorted({pair[turn].operation for pair in table}):
            meant = torch.tensor([pair[turn].operation == name for pair in table])[drawn]
            rows = (meant & applied).nonzero()[:, 0]
            if len(rows):
                of_these = (strength * sign if name in SIGNED else strength)[rows].to(pixels.device)
                rows = rows.to(pixels.device)
                changed[rows] = _operate(name, pixels[rows], of_these, space, background)
        pixels = changed
    return pixels


def _operate(name: str, pixels: Tensor, strength: Tensor, space: Space, background: Tensor) -> Tensor:
    if name == "invert":
        return 255 - pixels
    return operate(name, pixels, strength, space, background)
