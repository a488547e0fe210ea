"""Where an image's pixels come from: random crops, boxes, shifts, rotations and mirroring of whole batches.

Every function takes an augmentation whose ``pad`` and ``flip`` are definite (`Augmentation.resolved_for`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.augmentation import Augmentation
from convatlas.data.keyed import Draws
from convatlas.data.threads import for_each

# from this side of the input on, images are cut one at a time: a core's work on one pays for the call
LARGE = 64


def flips(augment: Augmentation, draws: Draws) -> Tensor:
    """(N,) bool: which images are mirrored in this epoch."""
    if augment.flip == "alternating":
        first_epoch = Draws(draws.seed, 0, draws.samples).uniform("alternating flip")[:, 0] < 0.5
        return first_epoch if draws.epoch % 2 == 0 else ~first_epoch
    if augment.flip == "on":
        return draws.uniform("flip")[:, 0] < 0.5
    return torch.zeros(len(draws.samples), dtype=torch.bool, device=draws.samples.device)


def crop_and_flip(
    pixels: Tensor,
    size: tuple[int, int],
    top: Tensor,
    left: Tensor,
    mirrored: Tensor,
    pad: int,
    background: Tensor | None,
) -> Tensor:
    """One gather: image i becomes its ``size`` window at (top[i], left[i]) of the padded image, mirrored or not.

    Args:
        pixels: uint8 (N, H, W, C).
        top, left: int64 (N,), from 0 to H + 2 * pad - size[0] (W likewise).
        mirrored: bool (N,).
        background: uint8 (C,), what the padding is filled with; None: the image, mirrored at its edge.
    Returns:
        uint8 (N, *size, C), contiguous.
    """
    if pad and background is None:
        rows, columns = (_mirrored_places(side, pad, pixels.device) for side in pixels.shape[1:3])
        pixels = pixels.index_select(2, columns).index_select(1, rows)
    elif pad and background is not None:
        n, height, width, channels = pixels.shape
        canvas = pixels.new_empty((n, height + 2 * pad, (width + 2 * pad) * channels))
        canvas[:] = background.repeat(width + 2 * pad)
        pixels, canvas = canvas.view(n, height + 2 * pad, width + 2 * pad, channels), pixels
        pixels[:, pad : pad + height, pad : pad + width] = canvas
    return _mirrored(_windows(pixels, size, top, left), mirrored)


def _mirrored_places(side: int, pad: int, device: torch.device) -> Tensor:
    """Which pixel stands at each place of a padded side: of 4 pixels padded by 2, 2 1 0 1 2 3 2 1."""
    places = torch.arange(-pad, side + pad, device=device).abs()
    return (side - 1) - ((side - 1) - places).abs()


def _windows(pixels: Tensor, size: tuple[int, int], top: Tensor, left: Tensor) -> Tensor:
    """Index the view (N, tops, lefts, H, W, C) of every window there is by (image, top, left)."""
    if pixels.device.type == "cpu":
        # numpy copies whole rows where torch's CPU kernel goes byte by byte: a fifth of the time
        views = np.lib.stride_tricks.sliding_window_view(pixels.numpy(), size, axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        return torch.from_numpy(views[np.arange(len(pixels)), top.numpy(), left.numpy()])
    windows = pixels.unfold(1, size[0], 1).unfold(2, size[1], 1).permute(0, 1, 2, 4, 5, 3)
    return windows[torch.arange(len(pixels), device=pixels.device), top, left]


def _mirrored(pixels: Tensor, which: Tensor) -> Tensor:
    """Turn the chosen images of (N, H, W, C) left to right; in place on the CPU."""
    if pixels.device.type == "cpu":
        where = which.nonzero()[:, 0]
        # as (N, C, H, W) in channels_last: torch has a vectorised mirror for that, twice as fast
        mirrored = pixels.index_select(0, where).permute(0, 3, 1, 2).flip(3)
        return pixels.index_copy_(0, where, mirrored.permute(0, 2, 3, 1))
    return torch.where(which[:, None, None, None], pixels.flip(2), pixels)  # no wait for the device


def random_crop(
    pixels: Tensor,
    size: tuple[int, int],
    augment: Augmentation,
    draws: Draws,
    background: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """uint8 (M, H, W, C) -> uint8 (N, *size, C): a random window of the padded image, or box, mirrored or not.

    Args:
        rows: which images, (N,) int64; by default all in their order.
    """
    if rows is None:
        rows = torch.arange(len(pixels), device=pixels.device)
    top, left, height, width = boxes(augment, draws, (pixels.shape[1], pixels.shape[2]), size)
    mirrored = flips(augment, draws)
    if pixels.device.type == "cpu" and (augment.boxed or (not augment.padding and min(size) >= LARGE)):
        return cut_each(pixels, rows, size, (top, left, height, width), mirrored)
    pixels = pixels.index_select(0, rows)
    if augment.boxed:
        return _mirrored(sample_boxes(pixels, size, top, left, height, width), mirrored)
    filling = None if augment.pad_with == "reflection" else background
    return crop_and_flip(
        pixels, size, top + augment.padding, left + augment.padding, mirrored, augment.padding, filling
    )


def cut_each(
    pixels: Tensor,
    rows: Tensor,
    size: tuple[int, int],
    boxes: tuple[Tensor, Tensor, Tensor, Tensor],
    mirrored: Tensor,
) -> Tensor:
    """uint8 (M, H, W, C) on the CPU -> uint8 (N, *size, C): each image's box, resized where it has another size.

    One image at a time, straight out of the store: nothing is read but the boxes. The resize is torch's bilinear one
    for 8-bit pixels, antialiased as Pillow's is.
    """
    cut = pixels.new_empty((len(rows), *size, pixels.shape[3]))
    places = torch.stack([rows, *boxes, mirrored], dim=1).tolist()

    def cut_one(image: int) -> None:
        row, top, left, height, width, mirror = places[image]
        box = pixels[row : row + 1, top : top + height, left : left + width].permute(0, 3, 1, 2)
        if (height, width) != size:
            box = F.interpolate(box, size, mode="bilinear", antialias=True, align_corners=False)
        # as (1, C, H, W) in channels_last torch has a vectorised mirror
        cut[image] = (box.flip(3) if mirror else box)[0].permute(1, 2, 0)

    for_each(cut_one, len(rows))
    return cut


def boxes(
    augment: Augmentation, draws: Draws, stored: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of each image's box, (N,) int64, in pixels of the stored image.

    With the crops random-resized and scale-jitter a box inside the image; else a window of ``size`` somewhere in the
    padded image, so that top and left begin at -pad.
    """
    u = draws.uniform("crop", 2)
    if augment.boxed:
        height, width = _box_sides(augment, draws, stored, size)
        height, width = height.round().long().clamp(1, stored[0]), width.round().long().clamp(1, stored[1])
        return (u[:, 0] * (stored[0] - height + 1)).long(), (u[:, 1] * (stored[1] - width + 1)).long(), height, width
    tops, lefts = (side + 2 * augment.padding - crop + 1 for side, crop in zip(stored, size, strict=True))
    top, left = (u[:, 0] * tops).long() - augment.padding, (u[:, 1] * lefts).long() - augment.padding
    return top, left, torch.full_like(top, size[0]), torch.full_like(left, size[1])


def _box_sides(
    augment: Augmentation, draws: Draws, stored: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Height and width, (N,) float32, before they are rounded and kept inside the image."""
    if augment.crop == "random-resized":
        area = draws.between("box area", *augment.crop_area) * (stored[0] * stored[1])
        low, high = augment.crop_ratio
        aspect = torch.exp(draws.between("box aspect", math.log(low), math.log(high)))  # width / height
        return torch.sqrt(area / aspect), torch.sqrt(area * aspect)
    # a window of ``size`` in the image scaled to S is a box of size * stored / S in the stored one
    enlarged = draws.between("scale jitter", *augment.crop_scale) / min(stored)
    return size[0] / enlarged, size[1] / enlarged


def sample_boxes(
    pixels: Tensor, size: tuple[int, int], top: Tensor, left: Tensor, height: Tensor, width: Tensor
) -> Tensor:
    """uint8 (N, H, W, C) -> uint8 (N, *size, C): each image's box, sampled bilinearly, the whole batch at once.

    What a device does in place of ``cut_each``. There is no antialiasing: the two differ where a box is larger than
    the input.
    """
    _, stored_h, stored_w, channels = pixels.shape
    matrix = _axis_aligned(top, left, height, width, (stored_h, stored_w))
    sampled = sample_affine(pixels.permute(0, 3, 1, 2).float(), matrix, size, pixels.new_zeros(channels).float())
    return sampled.round_().to(torch.uint8).permute(0, 2, 3, 1)


def _axis_aligned(top: Tensor, left: Tensor, height: Tensor, width: Tensor, stored: tuple[int, int]) -> Tensor:
    """(N, 2, 3) maps, as grid_sample's, from the output onto each box."""
    matrix = torch.zeros((len(top), 2, 3), device=top.device)
    matrix[:, 0, 0], matrix[:, 0, 2] = width / stored[1], (2 * left + width) / stored[1] - 1
    matrix[:, 1, 1], matrix[:, 1, 2] = height / stored[0], (2 * top + height) / stored[0] - 1
    return matrix


def centre_crop(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 (N, H, W, C) -> a view (N, *size, C)."""
    top, left = (pixels.shape[1] - size[0]) // 2, (pixels.shape[2] - size[1]) // 2
    return pixels[:, top : top + size[0], left : left + size[1]]


def affine_boxes(augment: Augmentation, draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(N, 2, 3) float32: for each image the map from output to input, both from -1 to 1 (x first), as grid_sample's.

    A box of the stored image (a random-resized one, or a random window of ``size`` in the padded image), then shift,
    scale and rotation about its centre, then the mirror.
    """
    stored_h, stored_w = stored
    top, left, height, width = boxes(augment, draws, stored, size)
    zoom = torch.exp(draws.between("scale", math.log(augment.scale[0]), math.log(augment.scale[1])))
    angle = torch.deg2rad(draws.symmetric("rotate", augment.rotate))
    mirror = 1 - 2 * flips(augment, draws).float()
    # in pixels: input = centre of the box + R(angle) / zoom * (half the box * mirror * output)
    centre_y = top + height / 2 - draws.symmetric("shift down", augment.shift) * size[0]
    centre_x = left + width / 2 - draws.symmetric("shift right", augment.shift) * size[1]
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    rows = (
        torch.stack([cos * width * mirror, -sin * height, 2 * centre_x - stored_w], dim=1) / stored_w,
        torch.stack([sin * width * mirror, cos * height, 2 * centre_y - stored_h], dim=1) / stored_h,
    )
    return torch.stack(rows, dim=1)


def sample_affine(images: Tensor, matrix: Tensor, size: tuple[int, int], background: Tensor) -> Tensor:
    """float (N, C, H, W) -> (N, C, *size) by ``affine_boxes``' maps, bilinear; outside is ``background`` (C,)."""
    fill = background.view(1, -1, 1, 1)
    grid = F.affine_grid(matrix, [len(images), images.shape[1], *size], align_corners=False)
    return F.grid_sample(images - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill
