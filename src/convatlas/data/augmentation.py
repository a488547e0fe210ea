"""`Augmentation`: what is done to training images; declared here, carried out in geometry.py, policy.py and augment.py.

In the order applied:

    crop, flip             one gather on the uint8 pixels, or a box resized to the input (random-resized, scale-jitter);
                           with shift, rotate or scale one affine sampling (bilinear) does all of them
    policy                 TrivialAugment, RandAugment or AutoAugment, on 8-bit pixels (policy.py, auto_augment.py)
    colour                 on pixel/255: brightness, contrast, saturation, hue, PCA noise
    normalisation          (pixel/255 - mean) / std
    cutout, erasing        a square set to 0, the mean; a box set to noise
    mixup, cutmix          labels become (N, K) shares
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convatlas.errors import RecipeError
from convatlas.settings import check, setting

if TYPE_CHECKING:
    from convatlas.data.preprocessing import Preprocessing

# Szegedy et al., arXiv:1409.4842, section 6; Simonyan and Zisserman, arXiv:1409.1556, section 3.1
CROP_AREA, CROP_RATIO, CROP_SCALE = (0.08, 1.0), (3 / 4, 4 / 3), (256.0, 512.0)
NEVER_OFF = None  # of a setting that is listed whenever the one it needs is chosen


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training images. ``Augmentation(pad=0, flip="off")`` crops at random where the stored image is
    larger than the input, and does nothing else.

    Raises:
        RecipeError: a value out of range, or two that contradict each other.
    """

    crop: str = setting(
        "pad",
        "Random crop: pad (a window of the padded image), random-resized (a box of random area and aspect ratio, "
        "resized to the input), or scale-jitter (a window of the image resized to a random scale).",
        "images",
        ("pad", "random-resized", "scale-jitter"),
    )
    pad: int | str = setting(
        "auto",
        "With crop pad: pixels added on each side; auto is 1/16 of the side, or 0 if images are stored larger than the "
        "input.",
        "images",
        ("auto",),
        needs=("crop", "pad"),
        off=0,
        least=0,
    )
    pad_with: str = setting(
        "background",
        "With crop pad: fill with the background colour of the data, or with the reflection of the image at its edge.",
        "images",
        ("background", "reflection"),
        needs=("crop", "pad"),
    )
    crop_area: tuple[float, float] = setting(
        CROP_AREA,
        "With crop random-resized: smallest and largest share of the image's area.",
        "images",
        needs=("crop", "random-resized"),
        off=NEVER_OFF,
        above=0,
        most=1,
    )
    crop_ratio: tuple[float, float] = setting(
        CROP_RATIO,
        "With crop random-resized: smallest and largest aspect ratio, width over height.",
        "images",
        needs=("crop", "random-resized"),
        above=0,
    )  # drawn log-uniformly
    crop_scale: tuple[float, float] = setting(
        CROP_SCALE,
        "With crop scale-jitter: smallest and largest shorter side of the resized image, in pixels (S in VGG's paper).",
        "images",
        needs=("crop", "scale-jitter"),
        off=NEVER_OFF,
        least=1,
    )
    flip: str = setting(
        "auto",
        "Horizontal flip: on (with probability 1/2), alternating (each image in every second epoch), off, or auto "
        "(alternating for colour images, off for grey ones).",
        "images",
        ("auto", "on", "alternating", "off"),
        off="off",
    )  # alternating: Jordan, arXiv:2404.00498, section 3.6
    shift: float = setting(
        0.0, "Random shift along each axis, up to this share of the side; 0 is off.", "images", least=0, most=1
    )
    rotate: float = setting(
        0.0, "Random rotation, up to this many degrees in either direction; 0 is off.", "images", least=0, most=180
    )
    scale: tuple[float, float] = setting(
        (1.0, 1.0), "Random enlargement: smallest and largest factor.", "images", above=0
    )  # drawn log-uniformly
    brightness: float = setting(
        0.0, "Random brightness: a factor from 1 - x to 1 + x on the pixels.", "images", least=0
    )  # this and the next two as Pillow's ImageEnhance
    contrast: float = setting(
        0.0, "Random contrast: a factor from 1 - x to 1 + x on the distance to the mean luma.", "images", least=0
    )
    saturation: float = setting(
        0.0, "Random saturation: a factor from 1 - x to 1 + x on the distance to the pixel's luma.", "images", least=0
    )
    hue: float = setting(
        0.0,
        "Random hue: a turn of up to this share of the colour circle, in either direction; 0 is off.",
        "images",
        least=0,
        most=0.5,
    )
    pca_noise: float = setting(
        0.0,
        "Standard deviation of the noise along the principal components of the colours (0.1 in AlexNet's paper); 0 is "
        "off.",
        "images",
        least=0,
    )  # Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1
    policy: str = setting(
        "none",
        "Augmentation policy: none, trivial (TrivialAugment: one operation of random strength), rand (RandAugment: "
        "policy_number operations of strength policy_magnitude), auto (AutoAugment's policy for ImageNet), or "
        "auto-cifar (its policy for CIFAR-10).",
        "images",
        ("none", "trivial", "rand", "auto", "auto-cifar"),
    )  # sources in policy.py and auto_augment.py
    policy_number: int = setting(
        2,
        "With policy rand: operations per image (N in the paper).",
        "images",
        needs=("policy", "rand"),
        off=NEVER_OFF,
        least=1,
    )
    policy_magnitude: float = setting(
        9.0,
        "With policy rand: strength of the operations, where 10 is AutoAugment's strongest (M in the paper).",
        "images",
        needs=("policy", "rand"),
        off=NEVER_OFF,
        least=0,
        most=30,
    )
    cutout: int = setting(
        0, "Side of a random square that is set to the mean, in pixels (Cutout); 0 is off.", "images", least=0
    )  # DeVries and Taylor, arXiv:1708.04552
    erasing: float = setting(
        0.0,
        "Probability that a random box is filled with noise (random erasing); 0 is off.",
        "images",
        least=0,
        most=1,
    )  # Zhong et al., arXiv:1708.04896, algorithm 1 (0.5 there)
    mixup: float = setting(
        0.0, "Alpha of mixup, which blends two images and their labels; 0 is off.", "images", least=0
    )  # Zhang et al., arXiv:1710.09412
    cutmix: float = setting(
        0.0,
        "Alpha of CutMix, which pastes a box of another image; 0 is off. With mixup too, each batch uses one of them.",
        "images",
        least=0,
    )  # Yun et al., arXiv:1905.04899

    def __post_init__(self) -> None:
        check(self)

    def resolved_for(self, preprocessing: Preprocessing) -> Augmentation:
        """The same with ``pad`` and ``flip`` made definite for images prepared this way.

        ``auto`` pads by a sixteenth of the side (2 of 32 pixels: short trainings want less than the 4 of long ones;
        none where the stored image is larger than the input, which leaves room to shift) and flips colour images only,
        for a mirrored digit is no digit, each image in every second epoch (Jordan, arXiv:2404.00498, sections 3.5 and
        3.6).

        Raises:
            RecipeError: crops that these images do not allow.
        """
        side = min(preprocessing.size)
        pad: Any = self.pad if self.crop == "pad" else 0
        if pad == "auto":
            pad = side // 16 if preprocessing.store_size == preprocessing.size else 0
        if self.crop == "scale-jitter" and self.crop_scale[0] < side:
            raise RecipeError(
                "crop_scale begins at {begin:g} pixels, and the input has {side}: no window of that size "
                "fits in. Let it begin at the side of the input or above.",
                settings=("crop_scale",),
                begin=self.crop_scale[0],
                side=side,
            )
        if self.pad_with == "reflection" and pad >= side:
            raise RecipeError(
                "a side of {side} pixels mirrored at its edge gives fewer than pad = {pad}; lower pad.",
                settings=("pad", "pad_with"),
                side=side,
                pad=pad,
            )
        if self.pad_with == "reflection" and pad and self.affine:
            raise RecipeError(
                "pad_with = reflection cannot be combined with shift, rotate or scale, which fill with the "
                "background; set pad_with to background.",
                settings=("pad_with", "shift", "rotate", "scale"),
            )
        flip = ("alternating" if preprocessing.channels == 3 else "off") if self.flip == "auto" else self.flip
        return replace(self, pad=pad, flip=flip)

    @property
    def padding(self) -> int:
        """Pixels added on each side; of a resolved augmentation (`resolved_for`)."""
        assert isinstance(self.pad, int)
        return self.pad

    @property
    def affine(self) -> bool:
        """Whether the geometry needs sampling between the pixels."""
        return bool(self.shift or self.rotate or self.scale != (1.0, 1.0))

    @property
    def boxed(self) -> bool:
        """Whether the crop is a box that has to be resized."""
        return self.crop in ("random-resized", "scale-jitter")

    @property
    def colour(self) -> bool:
        """Whether colours are changed on pixel/255."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue or self.pca_noise)

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed with each other, and their labels become shares."""
        return bool(self.mixup or self.cutmix)
