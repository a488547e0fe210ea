"""How images are prepared for weights, as their user says it: for weights whose origin is unknown, or known better."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from convatlas.errors import UsageError
from convatlas.message import Message, joined
from convatlas.models.loaded import Preparation

INTERPOLATIONS = ("bilinear", "bicubic")
CHANNELS = ("rgb", "bgr")
SMALL = 64  # pixels; a network for smaller images gets them whole, a larger one the classic margin of 256 / 224
OF_BYTES = 255  # a mean or deviation above 1 is one of pixels from 0 to 255


@dataclass(frozen=True)
class GivenPreparation:
    """What is known of the preparation; None is not given.

    Attributes:
        mean: of the pixels, one value or one per channel, in the order of ``channels``: of pixels from 0 to 1, or
            from 0 to 255 where any value of mean or std is above 1.
        std: the standard deviation likewise.
        channels: "rgb", or "bgr" where the weights were trained on images of that order.
        resize: the shorter side, pixels.
        crop: the side of the centre that the network reads, pixels.
        interpolation: "bilinear" or "bicubic".

    Raises:
        UsageError: a value out of range.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: str | None = None
    resize: int | None = None
    crop: int | None = None
    interpolation: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value is not None and (len(value) not in (1, 3) or not all(-1000 < each < 1000 for each in value)):
                raise UsageError(
                    "{name} {value} is not one number or three, one per channel.",
                    name=name,
                    value=" ".join(f"{each:g}" for each in value),
                )
        if self.std is not None and not all(each > 0 for each in self.std):
            raise UsageError("std {std}: expected numbers above 0.", std=" ".join(f"{each:g}" for each in self.std))
        for name, choice, known in (
            ("channels", self.channels, CHANNELS),
            ("interpolation", self.interpolation, INTERPOLATIONS),
        ):
            if choice is not None and choice not in known:
                raise UsageError(
                    "{name} is {value!r}; expected {known}.", name=name, value=choice, known=" or ".join(known)
                )
        for name, side in (("resize", self.resize), ("crop", self.crop)):
            if side is not None and side < 1:
                raise UsageError("{name} {side}: at least 1 pixel is needed.", name=name, side=side)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))

    @property
    def names(self) -> tuple[str, ...]:
        """What was given."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is not None)

    @classmethod
    def of_texts(cls, mean: str | None, std: str | None, **others: Any) -> GivenPreparation:
        """From texts such as ``0.485,0.456,0.406``, with commas or blanks.

        Raises:
            UsageError: a text that holds no numbers.
        """
        return cls(numbers("mean", mean), numbers("std", std), **others)

    def completed(
        self, base: Preparation | None, base_from: Message, side: int, in_channels: int
    ) -> tuple[Preparation | None, Message]:
        """The whole preparation, and where it is from; None where neither mean nor std is given or known.

        Args:
            base: what is known or assumed of the weights; None where nothing is.
            side: of the images that the network's paper has, pixels.

        Raises:
            UsageError: mean or std without the other, where nothing else is known; a crop
                larger than the resized image; other channels than
                the network's.
        """
        if base is None and self.mean is None and self.std is None:
            return None, base_from
        if base is None and (self.mean is None or self.std is None):
            raise UsageError(
                "the preparation of these weights is unknown and needs both --mean and --std; given: {names}.",
                names=", ".join(self.names),
            )
        crop = self.crop or (base.crop if base else side)
        resize = self.resize or (base.resize if base and self.crop is None else usual_resize(crop))
        if crop > resize:
            raise UsageError(
                "a crop of {crop} pixels from images resized to {resize}: pass a larger --resize or a smaller --crop.",
                crop=crop,
                resize=resize,
            )
        scale = OF_BYTES if max((*(self.mean or ()), *(self.std or ())), default=0) > 1 else 1
        mean = base.mean if self.mean is None and base else per_channel("mean", self.mean, in_channels, scale)
        std = base.std if self.std is None and base else per_channel("std", self.std, in_channels, scale)
        if self.channels == "bgr":
            mean = mean if self.mean is None else mean[::-1]
            std = std if self.std is None else std[::-1]
        first = base or Preparation(mean, std, resize, crop)
        whole = replace(
            first,
            mean=mean,
            std=std,
            resize=resize,
            crop=crop,
            interpolation=self.interpolation or first.interpolation,
        )
        given = Message("{names} as given", names=", ".join(self.names))
        missing = {each.name for each in fields(self)} - {"channels", *self.names}
        if base is None and missing:
            return whole, joined((given, Message("the rest as is usual for this network")), "; ")
        return whole, joined((given, base_from), "; ") if missing else given


def usual_resize(crop: int) -> int:
    return crop if crop < SMALL else round(crop * 256 / 224)


def per_channel(name: str, values: tuple[float, ...] | None, in_channels: int, scale: float) -> tuple[float, ...]:
    assert values is not None  # `completed` has asked for it
    if len(values) not in (1, in_channels):
        raise UsageError(
            "{name} has {count} values for {channels} channels", name=name, count=len(values), channels=in_channels
        )
    return tuple(value / scale for value in (values * in_channels if len(values) == 1 else values))


def numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(each) for each in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(
            "--{name} {text!r} is not one number or three, such as 0.485,0.456,0.406.", name=name, text=text
        ) from error
