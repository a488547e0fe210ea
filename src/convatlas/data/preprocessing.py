"""`Preprocessing`: how an image of any size becomes a network's input, in training, evaluation and predict alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from convatlas.data.dataset import Dataset, with_channels
from convatlas.data.decode import read_image
from convatlas.errors import UsageError
from convatlas.message import Message, joined

Resize = Literal["squash", "shorter-crop", "pad", "letterbox"]
FITS = ("auto", "crop", "squash", "pad")
INTERPOLATIONS = ("bilinear", "bicubic")
# the usual ImageNet evaluation: resize the shorter side to 256, crop the central 224 x 224
CLASSIC_MARGIN = 256 / 224
PHOTO_SIDE = 64  # networks with at least this input side, pixels, use the margin
PAD_SHARE = 0.15  # images smaller than the input by at most this share are padded: MNIST's 28 to LeNet's 32


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    ``apply`` gives uint8 of ``store_size``, which is ``margin`` times the input, so that training has room for random
    crops. Evaluation and predict crop the centre ``size``. Last, ``mean`` is subtracted and the result divided by
    ``std`` (of pixel/255, per channel).

    Attributes:
        size: (H, W) of the network's input, pixels.
        channels: 1 or 3; grey is repeated, colour becomes luma.
        resize: ``squash`` to the size whatever the shape; ``shorter-crop``: the shorter side is fitted and the centre
            kept; ``pad``: an image that fits inside is centred on the background, one that does not is fitted first;
            ``letterbox``: the longer side is fitted, enlarged or reduced, and the rest is background.
        margin: side of the stored image divided by that of the input.
        background: value of padded pixels, 0 to 255, one per channel.
        why: the reason for the choice, for reports.
        interpolation: of the resize, "bilinear" or "bicubic"; with antialiasing when the image is reduced.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Resize = "squash"
    margin: float = 1.0
    background: tuple[int, ...] = ()
    why: str = ""
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise UsageError("channels is {channels}; expected 1 or 3", channels=self.channels)
        if min(self.size) < 1 or len(self.size) != 2:
            raise UsageError("size is {size}; expected height and width, at least 1 each", size=self.size)
        if self.resize not in get_args(Resize):
            raise UsageError(
                "resize is {resize!r}; expected one of {known}", resize=self.resize, known=", ".join(get_args(Resize))
            )
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(
                "interpolation is {interpolation!r}; expected {known}",
                interpolation=self.interpolation,
                known=" or ".join(INTERPOLATIONS),
            )
        if not self.margin >= 1:
            raise UsageError("margin is {margin}; expected at least 1", margin=self.margin)
        for name, neutral in (("mean", 0.0), ("std", 1.0), ("background", 0)):
            value = tuple(getattr(self, name)) or (neutral,) * self.channels
            if len(value) != self.channels:
                raise UsageError(
                    "{name} has {count} values for {channels} channels",
                    name=name,
                    count=len(value),
                    channels=self.channels,
                )
            object.__setattr__(self, name, value)
        if not all(value > 0 for value in self.std):
            raise UsageError("std is {std}; expected numbers above 0", std=self.std)
        if not all(0 <= value <= 255 for value in self.background):
            raise UsageError("background is {background}; expected values from 0 to 255", background=self.background)

    @property
    def store_size(self) -> tuple[int, int]:
        """(H, W) of the stored image: ``size`` times ``margin``, rounded."""
        return round(self.size[0] * self.margin), round(self.size[1] * self.margin)

    @property
    def at_least(self) -> int:
        """The least shorter side of a JPEG decoded at reduced size: twice the target, for quality."""
        return 2 * max(self.store_size)

    def with_stats(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
        """The same preprocessing with these channel statistics; a constant channel is not scaled."""
        return replace(self, mean=tuple(mean), std=tuple(value if value > 0 else 1.0 for value in std))

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (h, w, 1 or 3) -> uint8 (*store_size, channels)."""
        pixels = with_channels(pixels, self.channels)
        height, width = self.store_size
        if pixels.shape[:2] == (height, width):
            return pixels
        if self.resize == "squash":
            return _resized(pixels, height, width, self.interpolation)
        if self.resize == "shorter-crop":
            scale = max(height / pixels.shape[0], width / pixels.shape[1])
            return _centre(self._scaled(pixels, scale, at_least=(height, width)), height, width)
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        if self.resize == "pad":
            scale = min(1.0, scale)
        fitted = pixels if scale == 1 else self._scaled(pixels, scale, at_most=(height, width))
        return self._padded(fitted, height, width)

    def in_words(self, origin: str) -> Message:
        """The preprocessing with its numbers, and where it comes from."""
        height, width = self.size
        stored_size = " x ".join(map(str, self.store_size))
        fitted = {
            "squash": Message("squashed to {size}", size=stored_size),
            "shorter-crop": Message("shorter side to {side}", side=min(self.store_size)),
            "pad": Message("centred on {size}", size=stored_size),
            "letterbox": Message("scaled to fit {size}, with a border", size=stored_size),
        }[self.resize]
        return Message(
            "{fitted}, {interpolation}; centre {size}; {channels}, mean and std {values} ({origin})",
            fitted=fitted,
            interpolation=self.interpolation,
            size=f"{height} x {width}",
            channels="RGB" if self.channels == 3 else Message("grey"),
            values="  ".join(" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std)),
            origin=origin,
        )

    def kept_at(self, side: int) -> Preprocessing:
        """The same preprocessing with stored images whose shorter side has ``side`` pixels."""
        return replace(self, margin=side / min(self.size))

    def whole(self, pixels: np.ndarray, side: int) -> np.ndarray:
        """uint8 (h, w, 1 or 3) -> uint8 (h', w', channels), not cropped, with a shorter side of ``side`` pixels.

        An image that is padded becomes a square of that side.
        """
        if self.resize in ("pad", "letterbox"):
            return self.kept_at(side).apply(pixels)
        pixels = with_channels(pixels, self.channels)
        return self._scaled(pixels, side / min(pixels.shape[:2]), at_least=(side, side))

    def _scaled(
        self,
        pixels: np.ndarray,
        scale: float,
        *,
        at_least: tuple[int, int] = (1, 1),
        at_most: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Resized by ``scale``, sides rounded to the nearest pixel within the bounds."""
        height, width = (max(low, round(side * scale)) for side, low in zip(pixels.shape[:2], at_least, strict=True))
        if at_most is not None:
            height, width = min(at_most[0], height), min(at_most[1], width)
        return _resized(pixels, height, width, self.interpolation)

    def _padded(self, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        canvas = np.empty((height, width, self.channels), dtype=np.uint8)
        canvas[:] = self.background
        top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return canvas

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML; the inverse of ``from_dict``."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing with the values of ``to_dict``.

        Raises:
            UsageError: a field is unknown, missing or out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = set(values) - known
        if unknown or not {"size", "channels"} <= set(values):
            raise UsageError(
                "a preprocessing has the fields {known}; got {values}",
                known=", ".join(sorted(known)),
                values=", ".join(values),
            )
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        try:
            return cls(**plain)
        except TypeError as error:
            raise UsageError("a preprocessing has a field of the wrong type: {error}", error=error) from error


def preprocessing_for(
    data: Dataset,
    input_size: int | tuple[int, int],
    channels: int | None = None,
    keep: int | None = None,
    fit: str = "auto",
) -> Preprocessing:
    """Choose how these images become the input of a network; mean and deviation are not set yet.

    Args:
        input_size: the network's input side, or (H, W).
        channels: of the network; by default those of the images.
        keep: shorter side of the stored images, pixels, from which training takes its crops.
        fit: how an image becomes the shape of the input: "crop", "squash", "pad", or "auto", by the sizes.
        data: the data set.
    Raises:
        UsageError: ``keep`` is smaller than the input, or an unknown ``fit``.
    """
    size = (input_size, input_size) if isinstance(input_size, int) else (input_size[0], input_size[1])
    channels = data.channels if channels is None else channels
    if fit not in FITS:
        raise UsageError("fit is {fit!r}; expected one of {known}", fit=fit, known=", ".join(FITS))
    resize, margin, why = _choice(data, size, fit) if keep is None else _kept(size, keep)
    if fit in ("squash", "pad"):
        resize, margin, why = _whole_image(size, fit, margin if keep is not None else 1.0)
    if data.channels != channels:
        grey = Message("grey is repeated in three channels")
        why = joined((why, grey if channels == 3 else Message("colour becomes grey")), "; ")
    background = _background(data, channels) if resize in ("pad", "letterbox") else ()
    return Preprocessing(size, channels, resize=resize, margin=margin, background=background, why=why)


def load_file(path: str | Path, preprocessing: Preprocessing) -> np.ndarray:
    """Read one image file and prepare it by ``preprocessing``: uint8 (*preprocessing.store_size, channels).

    Args:
        path: of the image file.

    Raises:
        BadImageError: the file is missing, damaged or no image.
    """
    return preprocessing.apply(read_image(path, preprocessing.at_least))


def _whole_image(size: tuple[int, int], fit: str, margin: float) -> tuple[Resize, float, Message]:
    wanted = f"{size[0]} x {size[1]}"
    if fit == "squash":
        return "squash", margin, Message("the whole image is squashed to {wanted}", wanted=wanted)
    return "letterbox", margin, Message("the longer side is fitted to {wanted}, the rest is background", wanted=wanted)


def _choice(data: Dataset, size: tuple[int, int], fit: str) -> tuple[Resize, float, Message]:
    height, width = size
    wanted = f"{height} x {width}"
    if data.uniform_size is not None and fit == "auto":
        h, w = data.uniform_size
        if (h, w) == size:
            return "squash", 1.0, Message("the images are {wanted} already", wanted=wanted)
        if h <= height and w <= width and min(h / height, w / width) >= 1 - PAD_SHARE:
            return (
                "pad",
                1.0,
                Message("{h} x {w} images are centred in {wanted} on their background", h=h, w=w, wanted=wanted),
            )
        if h <= height and w <= width and h * width == w * height:
            return "squash", 1.0, Message("{h} x {w} images are enlarged to {wanted}", h=h, w=w, wanted=wanted)
    if min(size) >= PHOTO_SIDE:
        return "shorter-crop", CLASSIC_MARGIN, _fitted(round(min(size) * CLASSIC_MARGIN), size)
    return "shorter-crop", 1.0, Message("the shorter side is fitted and the centre {wanted} kept", wanted=wanted)


def _fitted(side: int, size: tuple[int, int]) -> Message:
    return Message(
        "the shorter side is fitted to {side} and the centre kept; evaluation takes the centre {height} x {width}",
        side=side,
        height=size[0],
        width=size[1],
    )


def _kept(size: tuple[int, int], side: int) -> tuple[Resize, float, Message]:
    if side < min(size):
        raise UsageError(
            "images kept at {side} pixels for an input of {height} x {width}; at least {least} are needed",
            side=side,
            height=size[0],
            width=size[1],
            least=min(size),
        )
    return "shorter-crop", side / min(size), _fitted(side, size)


def _background(data: Dataset, channels: int) -> tuple[int, ...]:
    """The median of the border pixels of up to 100 images, evenly chosen from the data set."""
    chosen = np.linspace(0, len(data) - 1, num=min(100, len(data)), dtype=np.int64)
    borders = []
    for index in chosen.tolist():
        pixels = with_channels(data.read(index), channels)
        borders += [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    return tuple(int(value) for value in np.median(np.concatenate(borders), axis=0))


def _resized(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    from PIL import Image

    if pixels.shape[:2] == (height, width):
        return pixels
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    resized = np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling[interpolation.upper()]))
    return resized if resized.ndim == 3 else resized[:, :, None]


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def memory_of(count: int, preprocessing: Preprocessing) -> int:
    """Bytes that ``count`` stored images take."""
    return count * math.prod(preprocessing.store_size) * preprocessing.channels
