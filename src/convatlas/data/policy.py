"""Policies of named operations, on batches of 8-bit images: TrivialAugment and RandAugment.

Both draw from one list of fourteen operations, Pillow's in the papers' own code and pixel for pixel in the tests here:

    identity    brightness  contrast  colour  sharpness  auto-contrast  equalize  posterize  solarize
    rotate      shear-x  shear-y  translate-x  translate-y

TrivialAugment (Mueller and Hutter, arXiv:2103.10158, section 3): one operation per image, its strength one of 31 at
random, up to those of the wide space (table of its appendix). RandAugment (Cubuk and others, arXiv:1909.13719, section
3): N operations, drawn with replacement, all of strength M on AutoAugment's scale of 0 to 10, larger M beyond it.

Where the papers' code leaves room: geometry is bilinear here and filled with the data's background, nearest and grey
there; a larger M is always the stronger change, where the code of RandAugment lets solarize weaken and enhancement
pass through 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.data.geometry import sample_affine
from convatlas.data.keyed import Draws

OPERATIONS = (
    "identity", "brightness", "contrast", "colour", "sharpness", "auto-contrast", "equalize", "posterize", "solarize",
    "rotate", "shear-x", "shear-y", "translate-x", "translate-y",
)  # fmt: skip
TRIVIAL_STRENGTHS = 31
RAND_SCALE = 10.0


@dataclass(frozen=True)
class Space:
    """What strength 1 means: degrees, tangent, pixels, distance of the factor from 1, bits lost."""

    rotate: float
    shear: float
    translate: float
    enhance: float
    posterize: float


def wide(size: tuple[int, int]) -> Space:
    """TrivialAugment's; the shift is 32 pixels whatever the size."""
    return Space(rotate=135, shear=0.99, translate=32, enhance=0.99, posterize=6)


def auto_augments(size: tuple[int, int]) -> Space:
    """AutoAugment's (arXiv:1805.09501, table 6), its 150 pixels as a share of the 331 they were meant for."""
    return Space(rotate=30, shear=0.3, translate=150 / 331 * max(size), enhance=0.9, posterize=4)


def trivial(pixels: Tensor, draws: Draws, background: Tensor) -> Tensor:
    """uint8 (N, H, W, C) -> the same after one operation each."""
    strength = (draws.uniform("policy strength")[:, 0] * TRIVIAL_STRENGTHS).floor() / (TRIVIAL_STRENGTHS - 1)
    return _one_each(pixels, draws, 0, strength, wide(_size(pixels)), background)


def rand(pixels: Tensor, draws: Draws, background: Tensor, number: int, magnitude: float) -> Tensor:
    """uint8 (N, H, W, C) -> the same after ``number`` operations each, of strength ``magnitude`` out of 10."""
    strength = torch.full((len(pixels),), magnitude / RAND_SCALE, device=pixels.device)
    for turn in range(number):
        pixels = _one_each(pixels, draws, turn, strength, auto_augments(_size(pixels)), background)
    return pixels


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[2]


def _one_each(pixels: Tensor, draws: Draws, turn: int, strength: Tensor, space: Space, background: Tensor) -> Tensor:
    """Each image through the operation it drew: those with the same one together."""
    # where the images are on a device, which of them drew what is worked out here, without waiting for it
    operations = (draws.here.uniform(f"policy operation {turn}")[:, 0] * len(OPERATIONS)).long()
    signed = strength * torch.where(draws.uniform(f"policy sign {turn}")[:, 0] < 0.5, -1.0, 1.0)
    changed = pixels.clone()
    for number, name in enumerate(OPERATIONS[1:], start=1):
        rows = (operations == number).nonzero()[:, 0].to(pixels.device, non_blocking=True)
        if len(rows):
            of_these = signed[rows] if name in SIGNED else strength[rows]
            changed[rows] = operate(name, pixels[rows], of_these, space, background)
    return changed


def operate(name: str, pixels: Tensor, strength: Tensor, space: Space, background: Tensor) -> Tensor:
    """One operation on uint8 (n, H, W, C), of ``strength`` (n,) float32 from 0 to 1, or -1 to 1 where it has a sign."""
    if name in GEOMETRY:
        matrix = GEOMETRY[name](strength, space, _size(pixels))
        planes = pixels.permute(0, 3, 1, 2).float()
        moved = sample_affine(planes, matrix, _size(pixels), background.float())
        return moved.round_().to(torch.uint8).permute(0, 2, 3, 1)
    factor = 1 + space.enhance * strength
    if name == "colour":
        return blend(grey(pixels)[..., None].float(), pixels, factor)
    if name == "sharpness":
        return blend(smooth(pixels), pixels, factor)
    if name == "brightness":
        return look_up(_whole_table(pixels) * factor[:, None, None], pixels)
    if name == "contrast":
        return look_up(_contrast_table(pixels, factor), pixels)
    if name == "posterize":
        bits = (space.posterize * strength).round().clamp(0, 7)[:, None, None]
        return look_up((_whole_table(pixels) / 2**bits).floor() * 2**bits, pixels)
    if name == "solarize":
        values = _whole_table(pixels)
        threshold = (256 * (1 - strength))[:, None, None]
        return look_up(torch.where(values < threshold, values, 255 - values), pixels)
    return look_up(TABLES[name](histograms(pixels)), pixels)


SIGNED = frozenset(
    {"brightness", "contrast", "colour", "sharpness", "rotate", "shear-x", "shear-y", "translate-x", "translate-y"}
)


# --- geometry: maps from the output to the input, as grid_sample's --------------------------------------------------


def _map(strength: Tensor, xx: Tensor, xy: Tensor, x: Tensor, yx: Tensor, yy: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.stack([xx, xy, x], dim=1), torch.stack([yx, yy, y], dim=1)], dim=1).to(strength)


def _rotate(strength: Tensor, space: Space, size: tuple[int, int]) -> Tensor:
    angle, (height, width), none = torch.deg2rad(space.rotate * strength), size, torch.zeros_like(strength)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _map(strength, cos, -sin * height / width, none, sin * width / height, cos, none)


def _shear_x(strength: Tensor, space: Space, size: tuple[int, int]) -> Tensor:
    one, none, slope = torch.ones_like(strength), torch.zeros_like(strength), space.shear * strength * size[0] / size[1]
    return _map(strength, one, slope, slope, none, one, none)  # about the corner, as Pillow's transform


def _shear_y(strength: Tensor, space: Space, size: tuple[int, int]) -> Tensor:
    one, none, slope = torch.ones_like(strength), torch.zeros_like(strength), space.shear * strength * size[1] / size[0]
    return _map(strength, one, none, none, slope, one, slope)


def _translate_x(strength: Tensor, space: Space, size: tuple[int, int]) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _map(strength, one, none, 2 * space.translate * strength / size[1], none, one, none)


def _translate_y(strength: Tensor, space: Space, size: tuple[int, int]) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _map(strength, one, none, none, none, one, 2 * space.translate * strength / size[0])


GEOMETRY: dict[str, Callable[[Tensor, Space, tuple[int, int]], Tensor]] = {
    "rotate": _rotate,
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "translate-x": _translate_x,
    "translate-y": _translate_y,
}


# --- values: what depends on the value of a pixel alone is a table of 256 ---------------------------------------------


def look_up(table: Tensor, pixels: Tensor) -> Tensor:
    """uint8 (n, H, W, C) through float (n, 1 or C, 256): clipped to 0..255, fractions dropped, as Pillow does."""
    n, channels = len(pixels), pixels.shape[3]
    table = table.clamp(0, 255).to(torch.uint8).expand(n, channels, 256)
    values = pixels.reshape(n, -1, channels).transpose(1, 2).long()
    return table.gather(2, values).transpose(1, 2).reshape(pixels.shape)


def _whole_table(pixels: Tensor) -> Tensor:
    """(n, 1, 256): every value to itself."""
    return torch.arange(256, device=pixels.device, dtype=torch.float32).expand(len(pixels), 1, 256)


def _contrast_table(pixels: Tensor, factor: Tensor) -> Tensor:
    levels = grey(pixels)
    mean = (levels.sum(dim=(1, 2)).double() / levels[0].numel() + 0.5).floor().float()[:, None, None]
    return mean + factor[:, None, None] * (_whole_table(pixels) - mean)


def histograms(pixels: Tensor) -> Tensor:
    """(n, C, 256) int64: how often each value occurs in each channel."""
    n, channels = len(pixels), pixels.shape[3]
    values = pixels.reshape(n, -1, channels).transpose(1, 2).long()  # (n, C, H * W)
    counts = torch.zeros((n, channels, 256), dtype=torch.int64, device=pixels.device)
    return counts.scatter_add_(2, values, torch.ones_like(values))


def auto_contrast_table(counts: Tensor) -> Tensor:
    """The darkest value of each channel to 0, the lightest to 255; a channel of one value stays."""
    values = torch.arange(256, device=counts.device)
    present = counts > 0
    darkest = torch.where(present, values, 255).amin(2, keepdim=True).double()
    lightest = torch.where(present, values, 0).amax(2, keepdim=True).double()
    # in Pillow's order, so that fractions fall the same way (torch takes 255 / x for 255 * (1 / x))
    scale = torch.full_like(darkest, 255) / (lightest - darkest).clamp(min=1)
    stretched = (values * scale - darkest * scale).floor()
    return torch.where(lightest > darkest, stretched, values.double()).float()


def equalize_table(counts: Tensor) -> Tensor:
    """As many pixels at each level as at any other, by Pillow's integers; a channel of one value stays."""
    values = torch.arange(256, device=counts.device)
    top = torch.where(counts > 0, values, 0).amax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, top)) // 255
    below = counts.cumsum(2) - counts + step // 2
    return torch.where(step > 0, below // step.clamp(min=1), values).float()


TABLES: dict[str, Callable[[Tensor], Tensor]] = {
    "auto-contrast": auto_contrast_table,
    "equalize": equalize_table,
}


# --- blends ---------------------------------------------------------------------------------------------------------


def blend(other: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    """Away from ``other`` (float, broadcast to (n, H, W, C)) for a factor above 1, towards it below; as Image.blend."""
    blended = other + factor[:, None, None, None] * (pixels.float() - other)
    return blended.clamp_(0, 255).to(torch.uint8)


def grey(pixels: Tensor) -> Tensor:
    """(n, H, W) int32 luma by Pillow's integers; a grey image is its own."""
    if pixels.shape[3] == 1:
        return pixels[..., 0].int()
    red, green, blue = pixels.int().unbind(3)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def smooth(pixels: Tensor) -> Tensor:
    """float (n, H, W, C): Pillow's SMOOTH, 5 of the pixel and 1 of each neighbour; the outermost pixels stay."""
    smoothed = pixels.float()
    if min(_size(pixels)) < 3:
        return smoothed
    whole = pixels.to(torch.int16)
    rows = whole[:, :-2] + whole[:, 1:-1] + whole[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * whole[:, 1:-1, 1:-1]
    smoothed[:, 1:-1, 1:-1] = (around.float() / 13 + 0.5).floor_()
    return smoothed
