"""Augmentation of whole batches of tensors, keyed by (seed, epoch, sample).

Every random number comes from ``keyed`` and belongs to one image in one epoch, so a batch may be cut anywhere, by any
number of workers, and each image still looks the same. Only mixup and cutmix know the batch: an image is mixed with
its mirror in the batch's order.

In the order applied:

    crop, flip             one gather on the uint8 pixels, or a box fitted to the input (random_resized, scale_jitter);
                           with shift, rotate or scale one affine sampling (bilinear) does all of them
    policy                 TrivialAugment or RandAugment, on 8-bit pixels (policy.py)
    colour                 on pixel/255: brightness, contrast, saturation, hue, PCA noise
    normalisation          (pixel/255 - mean) / std
    cutout, erasing        a square set to 0, the mean; a box set to noise
    mixup, cutmix          labels become (N, K) shares
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data import keyed
from convatlas.data.threads import for_each
from convatlas.errors import UsageError

# from this side of the input on, images are cut one at a time: a core's work on one pays for the call
LARGE = 64
# luma of ITU-R 601, as Pillow's "L"
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augment:
    """What is done to training images; the default does nothing but a random crop where the stored image is larger.

    Attributes:
        pad: pixels of background added on each side before the random crop; 4 in the CIFAR recipes.
        reflect: pad with the image mirrored at its edge instead.
        flip: mirror left and right with probability 1/2.
        alternating_flip: mirror each image in every second epoch, a random half of them first; instead of ``flip``.
            Source: Jordan, arXiv:2404.00498, section 3.6.
        shift: up to this share of the side, both ways, along both axes.
        rotate: up to this many degrees, both ways; counterclockwise is positive, as in Pillow.
        scale: enlarge by a factor drawn log-uniformly from this range.
        random_resized: cut out a box of this share of the area (low, high) and fit it to the input. Source: Szegedy
            and others, arXiv:1409.4842, section 6 (8 % to 100 % there).
        aspect: width over height of that box, drawn log-uniformly from this range.
        scale_jitter: a window of the input's size out of the image scaled so that its shorter side is S pixels, S
            drawn from this range. Source: Simonyan and Zisserman, arXiv:1409.1556, section 3.1 (256 to 512 there).
        brightness, contrast, saturation: multiply by a factor from 1 - x to 1 + x; as Pillow's ImageEnhance.
        hue: turn by up to this share of the colour circle, both ways; at most 0.5.
        pca_noise: standard deviation of the noise along the principal components of the training pixels' colours.
            Source: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1 (0.1 there).
        policy: "none", "trivial" (TrivialAugment) or "rand" (RandAugment); see policy.py.
        policy_number, policy_magnitude: RandAugment's N, and M out of 10.
        cutout: side in pixels of a square set to the mean. Source: DeVries and Taylor, arXiv:1708.04552.
        erasing: probability that a box is filled with noise; it has 2 to 40 % of the area and an aspect from 0.3 to
            1/0.3. Source: Zhong and others, arXiv:1708.04896, algorithm 1 (probability 0.5 there).
        mixup: alpha of Beta(alpha, alpha). Source: Zhang and others, arXiv:1710.09412.
        cutmix: alpha likewise. Source: Yun and others, arXiv:1905.04899. With mixup too, each batch takes either.
    """

    pad: int = 0
    reflect: bool = False
    flip: bool = False
    alternating_flip: bool = False
    shift: float = 0.0
    rotate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    random_resized: tuple[float, float] | None = None
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    scale_jitter: tuple[float, float] | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    pca_noise: float = 0.0
    policy: str = "none"
    policy_number: int = 2
    policy_magnitude: float = 9.0
    cutout: int = 0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name in ("pad", "shift", "rotate", "brightness", "contrast", "saturation", "hue", "pca_noise", "cutout"):
            if getattr(self, name) < 0:
                raise UsageError(
                    "augmentation {name} is {value}; expected at least 0", name=name, value=getattr(self, name)
                )
        for name in ("mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise UsageError(
                    "augmentation {name} is {value}; expected an alpha of at least 0",
                    name=name,
                    value=getattr(self, name),
                )
        if self.policy not in ("none", "trivial", "rand"):
            raise UsageError("policy is {policy!r}; expected none, trivial or rand", policy=self.policy)
        if self.policy_number < 1 or self.policy_magnitude < 0:
            raise UsageError("policy_number must be at least 1 and policy_magnitude at least 0")
        if not 0 <= self.erasing <= 1:
            raise UsageError("erasing is {erasing}; expected a probability", erasing=self.erasing)
        if self.flip and self.alternating_flip:
            raise UsageError("flip and alternating_flip exclude each other; choose one")
        if self.hue > 0.5:
            raise UsageError("hue is {hue}; half of the colour circle, 0.5, is the most there is", hue=self.hue)
        for name in ("scale", "aspect", "scale_jitter"):
            range_ = getattr(self, name)
            if range_ is not None and not 0 < range_[0] <= range_[1]:
                raise UsageError(
                    "{name} is {range_}; expected (low, high) with 0 < low <= high", name=name, range_=range_
                )
        if self.random_resized is not None and not 0 < self.random_resized[0] <= self.random_resized[1] <= 1:
            raise UsageError(
                "random_resized is {random_resized}; expected (low, high) with 0 < low <= high <= 1",
                random_resized=self.random_resized,
            )
        if self.random_resized is not None and self.scale_jitter is not None:
            raise UsageError("random_resized and scale_jitter exclude each other; choose one")
        if self.reflect and (not self.pad or self.affine):
            raise UsageError("reflect says what a crop is padded with: it needs pad, and no shift, rotate or scale")
        if self.pad and self.boxed:
            raise UsageError("a random_resized or jittered box lies inside the image: pad has no meaning, set it to 0")

    @property
    def affine(self) -> bool:
        """Whether the geometry needs sampling between the pixels."""
        return bool(self.shift or self.rotate or self.scale != (1.0, 1.0))

    @property
    def boxed(self) -> bool:
        """Whether the crop is a box that has to be resized."""
        return self.random_resized is not None or self.scale_jitter is not None

    @property
    def colour(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue or self.pca_noise)


@dataclass(frozen=True)
class Draws:
    """The uniform numbers of one batch, by use: each use has its own stream, so adding one changes no other."""

    seed: int
    epoch: int
    samples: Tensor  # (N,) int64, on the device the numbers are wanted
    on_host: Tensor | None = None  # the same on the CPU, where they are there already

    @property
    def here(self) -> Draws:
        """The same numbers on the CPU, for choices that must not wait for a device."""
        return Draws(self.seed, self.epoch, self.samples.cpu() if self.on_host is None else self.on_host)

    def uniform(self, use: str, draws: int = 1) -> Tensor:
        """(N, draws) float32 in [0, 1)."""
        return keyed.uniform(keyed.key(self.seed, self.epoch, use), self.samples, draws)

    def symmetric(self, use: str, limit: float) -> Tensor:
        """(N,) float32 in [-limit, limit)."""
        return (2 * self.uniform(use)[:, 0] - 1) * limit

    def between(self, use: str, low: float, high: float) -> Tensor:
        """(N,) float32 in [low, high)."""
        return low + (high - low) * self.uniform(use)[:, 0]

    def integers(self, use: str, below: int) -> Tensor:
        """(N,) int64 in [0, below)."""
        return (self.uniform(use)[:, 0] * below).long()


def flips(augment: Augment, draws: Draws) -> Tensor:
    """(N,) bool: which images are mirrored in this epoch."""
    if augment.alternating_flip:
        first_epoch = Draws(draws.seed, 0, draws.samples).uniform("alternating flip")[:, 0] < 0.5
        return first_epoch if draws.epoch % 2 == 0 else ~first_epoch
    if augment.flip:
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
    augment: Augment,
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
    if pixels.device.type == "cpu" and (augment.boxed or (not augment.pad and min(size) >= LARGE)):
        return cut_each(pixels, rows, size, (top, left, height, width), mirrored)
    pixels = pixels.index_select(0, rows)
    if augment.boxed:
        return _mirrored(sample_boxes(pixels, size, top, left, height, width), mirrored)
    filling = None if augment.reflect else background
    return crop_and_flip(pixels, size, top + augment.pad, left + augment.pad, mirrored, augment.pad, filling)


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
    augment: Augment, draws: Draws, stored: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of each image's box, (N,) int64, in pixels of the stored image.

    With ``random_resized`` or ``scale_jitter`` a box inside the image; else a window of ``size`` somewhere in the
    padded image, so that top and left begin at -pad.
    """
    u = draws.uniform("crop", 2)
    if augment.boxed:
        height, width = _box_sides(augment, draws, stored, size)
        height, width = height.round().long().clamp(1, stored[0]), width.round().long().clamp(1, stored[1])
        return (u[:, 0] * (stored[0] - height + 1)).long(), (u[:, 1] * (stored[1] - width + 1)).long(), height, width
    tops, lefts = (side + 2 * augment.pad - crop + 1 for side, crop in zip(stored, size, strict=True))
    top, left = (u[:, 0] * tops).long() - augment.pad, (u[:, 1] * lefts).long() - augment.pad
    return top, left, torch.full_like(top, size[0]), torch.full_like(left, size[1])


def _box_sides(augment: Augment, draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Height and width, (N,) float32, before they are rounded and kept inside the image."""
    if augment.random_resized is not None:
        area = draws.between("box area", *augment.random_resized) * (stored[0] * stored[1])
        low, high = augment.aspect
        aspect = torch.exp(draws.between("box aspect", math.log(low), math.log(high)))  # width / height
        return torch.sqrt(area / aspect), torch.sqrt(area * aspect)
    assert augment.scale_jitter is not None
    # a window of ``size`` in the image scaled to S is a box of size * stored / S in the stored one
    enlarged = draws.between("scale jitter", *augment.scale_jitter) / min(stored)
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


def affine_boxes(augment: Augment, draws: Draws, stored: tuple[int, int], size: tuple[int, int]) -> Tensor:
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


def jitter_colour(images: Tensor, augment: Augment, draws: Draws, components: Tensor | None = None) -> Tensor:
    """float (N, C, H, W) of pixel/255 -> the same, clipped to 0..1 after every change, as 8-bit images would be.

    Args:
        components: (3, 3) rows of eigenvalue-scaled principal colours, for ``pca_noise``.
    """
    if augment.brightness:
        images = brightness(images, 1 + draws.symmetric("brightness", augment.brightness))
    if augment.contrast:
        images = contrast(images, 1 + draws.symmetric("contrast", augment.contrast))
    if augment.saturation:
        images = saturation(images, 1 + draws.symmetric("saturation", augment.saturation))
    if augment.hue:
        images = turn_hue(images, draws.symmetric("hue", augment.hue))
    if augment.pca_noise and components is not None:
        images = (images + _colour_noise(augment, draws, components)[:, :, None, None]).clamp(0, 1)
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * _per_image(factor)).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, the image's mean luma."""
    mean = luma(images).mean(dim=(1, 2, 3), keepdim=True)
    return (mean + _per_image(factor) * (images - mean)).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, each pixel's luma; a grey image stays as it is."""
    grey = luma(images)
    return (grey + _per_image(factor) * (images - grey)).clamp(0, 1)


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by a share of the circle, saturation and value kept; a grey image stays as it is.

    Source: Smith, SIGGRAPH 1978, in the form f(n) = v - v s max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * turn[:, None, None]
    channels = []
    for n in (5, 3, 1):
        k = (n + hue) % 6
        channels.append(value - chroma * torch.minimum(torch.minimum(k, 4 - k), torch.ones_like(k)).clamp(min=0))
    return torch.stack(channels, dim=1).contiguous(memory_format=torch.channels_last)


def luma(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _colour_noise(augment: Augment, draws: Draws, components: Tensor) -> Tensor:
    """(N, 3): normal amounts, by Box and Muller, of each principal colour."""
    u = draws.uniform("pca noise", 6)
    normal = torch.sqrt(-2 * torch.log(1 - u[:, :3])) * torch.cos(2 * math.pi * u[:, 3:])
    return augment.pca_noise * normal @ components


def _per_image(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def cut_out(images: Tensor, side: int, draws: Draws) -> Tensor:
    """Set a square of ``side`` to 0 in each normalised image, in place; its centre is anywhere, as in the paper."""
    height, width = images.shape[2:]
    centre_y = draws.integers("cutout y", height)[:, None]
    centre_x = draws.integers("cutout x", width)[:, None]
    ys, xs = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    first = side // 2
    rows = (ys >= centre_y - first) & (ys < centre_y - first + side)
    columns = (xs >= centre_x - first) & (xs < centre_x - first + side)
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)


ERASED_AREA, ERASED_ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)
ERASING_ATTEMPTS = 40  # the paper tries until a box lies inside, as about one in three does


def erased_boxes(probability: float, draws: Draws, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width, (N,) int64, of the box each image loses; no height where it loses none."""
    height, width = size
    (least, most), (flat, tall) = ERASED_AREA, ERASED_ASPECT
    area = (least + (most - least) * draws.uniform("erased area", ERASING_ATTEMPTS)) * (height * width)
    aspect = flat + (tall - flat) * draws.uniform("erased aspect", ERASING_ATTEMPTS)  # height / width
    rows, columns = torch.sqrt(area * aspect).round().long(), torch.sqrt(area / aspect).round().long()
    top = (draws.uniform("erased top", ERASING_ATTEMPTS) * height).long()
    left = (draws.uniform("erased left", ERASING_ATTEMPTS) * width).long()
    fits = (top + rows <= height) & (left + columns <= width)
    wanted = (draws.uniform("erasing")[:, 0] < probability) & fits.any(dim=1)
    first = fits.int().argmax(dim=1, keepdim=True)
    top, left, rows, columns = (each.gather(1, first)[:, 0] for each in (top, left, rows, columns))
    return top, left, rows * wanted, columns * wanted


def erase(images: Tensor, probability: float, draws: Draws, scale: Tensor, shift: Tensor) -> Tensor:
    """Fill a box of some of the normalised images with noise; in place on the CPU.

    Args:
        scale, shift: (C,), the normalisation of pixel/255: the noise is uniform over the pixel values.
    """
    _, channels, height, width = images.shape
    boxes_ = erased_boxes(probability, draws, (height, width))
    places = torch.arange(channels * height * width, device=images.device).view(channels, height, width)
    stream = keyed.key(draws.seed, draws.epoch, "erased values")
    scale, shift = scale[:, None, None], shift[:, None, None]
    if images.device.type == "cpu":
        for image, (top, left, rows, columns) in enumerate(torch.stack(boxes_, dim=1).tolist()):
            if rows and columns:
                inside = places[:, top : top + rows, left : left + columns]
                noise = keyed.uniform_at(stream, draws.samples[image : image + 1], inside.flatten())
                images[image, :, top : top + rows, left : left + columns] = noise.view(inside.shape) * scale + shift
        return images
    # the noise of whole images costs a device less than waiting for the boxes
    top, left, rows, columns = (side[:, None] for side in boxes_)
    ys, xs = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside = ((ys >= top) & (ys < top + rows))[:, :, None] & ((xs >= left) & (xs < left + columns))[:, None, :]
    noise = keyed.uniform_at(stream, draws.samples, places.flatten()).view(images.shape)
    return torch.where(inside[:, None], noise * scale + shift, images)


def mix(images: Tensor, labels: Tensor, augment: Augment, classes: int, stream: int) -> tuple[Tensor, Tensor]:
    """Mixup or cutmix of each image with its mirror in the batch; labels become float (N, K), rows adding up to 1.

    Args:
        stream: a key of (seed, epoch, step): share and box are one per batch.
    """
    generator = np.random.default_rng(stream % (1 << 63))
    use_cutmix = augment.cutmix > 0 and (augment.mixup == 0 or generator.random() < 0.5)
    alpha = augment.cutmix if use_cutmix else augment.mixup
    share = float(generator.beta(alpha, alpha))
    partner = images.flip(0)
    if use_cutmix:
        height, width = images.shape[2:]
        box_h, box_w = height * math.sqrt(1 - share), width * math.sqrt(1 - share)
        centre_y, centre_x = generator.integers(height), generator.integers(width)
        top, bottom = max(0, round(centre_y - box_h / 2)), min(height, round(centre_y + box_h / 2))
        left, right = max(0, round(centre_x - box_w / 2)), min(width, round(centre_x + box_w / 2))
        images = images.clone()
        images[:, :, top:bottom, left:right] = partner[:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)  # of what was really cut
    else:
        images = images * share + partner * (1 - share)
    one_hot = F.one_hot(labels, classes).float()
    return images, one_hot * share + one_hot.flip(0) * (1 - share)
