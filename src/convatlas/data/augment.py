"""The changes that follow the crop, on whole batches of tensors: colour, cutout, erasing, mixing (augmentation.py).

Every random number comes from ``keyed`` and belongs to one image in one epoch, so a batch may be cut anywhere, by any
number of workers, and each image still looks the same. Only mixup and cutmix know the batch: an image is mixed with
its mirror in the batch's order.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data import keyed, policy
from convatlas.data.augmentation import Augmentation
from convatlas.data.auto_augment import POLICIES, auto
from convatlas.data.keyed import Draws
from convatlas.data.normalisation import Normalisation

# luma of ITU-R 601, as Pillow's "L"
_LUMA = (0.299, 0.587, 0.114)


def augmented(
    crops: Tensor, augment: Augmentation, draws: Draws, normalise: Normalisation, principal_colours: Tensor | None
) -> Tensor:
    """uint8 (N, H, W, C) crops -> float32 (N, C, H, W), changed and normalised; all but the mixing.

    Args:
        principal_colours: as ``components`` of `jitter_colour`.
    """
    if augment.policy == "trivial":
        crops = policy.trivial(crops, draws, normalise.background)
    elif augment.policy == "rand":
        crops = policy.rand(crops, draws, normalise.background, augment.policy_number, augment.policy_magnitude)
    elif augment.policy in POLICIES:
        crops = auto(crops, draws, normalise.background, augment.policy)
    if augment.colour:
        images = crops.permute(0, 3, 1, 2).float().div_(255)
        images = normalise.of_unit(jitter_colour(images, augment, draws, principal_colours))
    else:
        images = normalise(crops)
    if augment.cutout:
        images = cut_out(images, augment.cutout, draws)
    if augment.erasing:
        images = erase(images, augment.erasing, draws, normalise.scale, normalise.shift)
    return images


def jitter_colour(images: Tensor, augment: Augmentation, draws: Draws, components: Tensor | None = None) -> Tensor:
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


def _colour_noise(augment: Augmentation, draws: Draws, components: Tensor) -> Tensor:
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


def mix(images: Tensor, labels: Tensor, augment: Augmentation, classes: int, stream: int) -> tuple[Tensor, Tensor]:
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
