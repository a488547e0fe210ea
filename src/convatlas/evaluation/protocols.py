"""How an image becomes one prediction: the protocol, whose name is printed with every accuracy.

Two accuracies under different protocols are different quantities: AlexNet's 37.5 % top-1 error is the mean of ten
crops, 39.0 % is the same network without them; VGG's figures are dense, GoogLeNet's best is the mean of 144 crops. So
an accuracy here never travels without its protocol, and a table has one protocol or is refused.

A protocol is one look at the image or several. Each look says what it wants to be given, its `Canvas`: the network's
own input, a larger central square, or the whole image at a stated size; and how it reads that. Views of one image are
averaged as probabilities, as AlexNet (section 4.1) and GoogLeNet (section 7) do, and the logarithm of the mean is
returned: its softmax is the mean again, and its cross-entropy is the one of the averaged prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.errors import UnknownNameError, UsageError
from convatlas.evaluation.dense import FullyConvolutional
from convatlas.message import Message

Size = tuple[int, int]  # (h, w) of the network's input
Views = Callable[[Tensor, Size], Iterable[Tensor]]  # images (N, C, H, W), (h, w) -> views, each (N, C, h, w)
Reader = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> logits (N, K)

CLASSIC_SIDE = 224  # the input of the networks for which the papers print their protocols, in pixels


@dataclass(frozen=True)
class Canvas:
    """What a look wants of each image.

    Args:
        shorter: pixels of the image's shorter side for a network with a 224 x 224 input, in proportion for another;
            None: the network's own input, prepared as in training.
        whole: the whole image at that size, not only its central square.
    """

    shorter: int | None = None
    whole: bool = False

    def side(self, size: Size) -> int:
        """Pixels of the shorter side for a network whose input is ``size``; never less than that.

        AlexNet's 227 is its paper's 224 with the arithmetic put right, so its images are those of 224.
        """
        if self.shorter is None:
            return min(size)
        scaled = self.shorter if min(size) == 227 else round(self.shorter * min(size) / CLASSIC_SIDE)
        return max(scaled, min(size))


INPUT = Canvas()


@dataclass(frozen=True)
class Look:
    """A canvas and a way to read it.

    Args:
        reading: (network in eval mode, (h, w) of its input) -> a function of the images.
        weight: in the mean over the looks of a protocol: how many views this one averages.
    """

    canvas: Canvas
    reading: Callable[[nn.Module, Size], Reader]
    weight: float = 1.0


@dataclass(frozen=True)
class Protocol:
    """A named way from images to logits.

    Args:
        name: the word of the command line and of every table.
        what: one sentence for a reader who does not know the name.
        source: where it is printed.
    """

    name: str
    what: str
    looks: tuple[Look, ...]
    source: str = ""

    @property
    def needs_more(self) -> bool:
        """Whether it asks for more of an image than the network's own input."""
        return any(look.canvas != INPUT for look in self.looks)

    def logits(self, network: nn.Module, images: Tensor) -> Tensor:
        """(N, K) of images (N, C, h, w) of the network's own size.

        Raises:
            UsageError: the protocol asks for more of an image.
        """
        if self.needs_more:
            raise UsageError(
                "the protocol {name} asks for larger images than the network's input ({what}); let "
                "convatlas.evaluate prepare them, or give evaluation.evaluate a function of the canvas.",
                name=self.name,
                what=self.what,
            )
        size = (images.shape[-2], images.shape[-1])
        return together([look.reading(network, size)(images) for look in self.looks], self.looks)


def together(logits: Sequence[Tensor], looks: Sequence[Look]) -> Tensor:
    """The looks' logits as one: those of a single look as they are, else the log of the mean probability."""
    if len(logits) == 1:
        return logits[0]
    return log_mean(logits, [look.weight for look in looks])


def log_mean(logits: Iterable[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Logarithm of the mean, weighted or not, of the probabilities that ``logits``, each (N, K), stand for."""
    log_probabilities = torch.stack([torch.log_softmax(each.float(), dim=1) for each in logits])  # (V, N, K)
    shares = torch.tensor(weights or [1.0] * len(log_probabilities), device=log_probabilities.device)
    return torch.logsumexp(log_probabilities + (shares / shares.sum()).log()[:, None, None], dim=0)


def averaged(views: Views, weights: Sequence[float] | None = None) -> Callable[[nn.Module, Size], Reader]:
    """A reading that looks several times: log of the mean probability over the views."""
    return lambda network, size: lambda images: log_mean([network(view) for view in views(images, size)], weights)


# --- where the views lie: (top, left) of each, for a network that takes h x w of an H x W image -----------------------


def ten_crop_places(height: int, width: int, size: Size) -> list[tuple[int, int]]:
    """The four corners and the centre. Source: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1."""
    h, w = size
    bottom, right = height - h, width - w
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]


def square_places(height: int, width: int) -> list[tuple[int, int]]:
    """Left, central and right square, or top, central and bottom one. Source: GoogLeNet, section 7, point 3."""
    spare = abs(height - width)
    offsets = [0, spare // 2, spare]
    return [(offset, 0) if height > width else (0, offset) for offset in offsets]


def grid_places(height: int, width: int, size: Size, lines: int = 5) -> list[tuple[int, int]]:
    """A regular grid of ``lines`` x ``lines`` places, corners included. Source: VGG, section 3.2."""
    tops, lefts = (
        [round(step * spare / (lines - 1)) for step in range(lines)] for spare in (height - size[0], width - size[1])
    )
    return [(top, left) for top in tops for left in lefts]


# --- the views --------------------------------------------------------------------------------------------------------


def with_mirror(view: Tensor) -> tuple[Tensor, Tensor]:
    return view, view.flip(-1)


def cut(images: Tensor, top: int, left: int, size: Size) -> Tensor:
    return images[..., top : top + size[0], left : left + size[1]]


def flips(images: Tensor, size: Size) -> Iterable[Tensor]:
    yield from with_mirror(images)


def flips_and_shifts(images: Tensor, size: Size) -> Iterable[Tensor]:
    """The image, it one pixel down and right, one up and left, edges reflected; and the three mirrored."""
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    for top, left in ((1, 1), (0, 0), (2, 2)):
        yield from with_mirror(cut(padded, top, left, size))


def ten_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    for top, left in ten_crop_places(images.shape[-2], images.shape[-1], size):
        yield from with_mirror(cut(images, top, left, size))


def squares_and_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    """GoogLeNet's 36 views of one scale: 3 squares, each cut in 5 places and once shrunk whole, each mirrored."""
    side = min(images.shape[-2:])
    for top, left in square_places(images.shape[-2], images.shape[-1]):
        square = cut(images, top, left, (side, side))
        yield from ten_crops(square, size)
        yield from with_mirror(F.interpolate(square, size, mode="bilinear", antialias=True, align_corners=False))


def grid_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    for top, left in grid_places(images.shape[-2], images.shape[-1], size):
        yield from with_mirror(cut(images, top, left, size))


def one_look(network: nn.Module, size: Size) -> Reader:
    return network


def dense_with_mirror(network: nn.Module, size: Size) -> Reader:
    """VGG's: the class scores of all places averaged, then the probabilities of the image and its mirror."""
    scores = FullyConvolutional(network, size)
    return lambda images: log_mean([scores(view).mean(dim=(2, 3)) for view in with_mirror(images)])


# --- the protocols ----------------------------------------------------------------------------------------------------

DENSE = "dense"
VGG_SCALES = (256, 384, 512)
GOOGLENET_SCALES = (256, 288, 320, 352)


def dense(*shorter_sides: int) -> Protocol:
    """VGG's dense evaluation at one or several image sizes Q, ``dense@256,384,512`` by name."""
    sizes = ",".join(map(str, shorter_sides))
    return Protocol(
        f"{DENSE}@{sizes}",
        Message(
            "the whole image, shorter side {sizes}, read fully convolutionally, and its mirror image; scores averaged "
            "over the places, probabilities over mirrors and sizes",
            sizes=sizes.replace(",", ", "),
        ),
        tuple(Look(Canvas(side, whole=True), dense_with_mirror, weight=2) for side in shorter_sides),
        "Simonyan and Zisserman, arXiv:1409.1556, section 3.2",
    )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("centre", Message("one central view of each image"), (Look(INPUT, one_look),)),
        Protocol(
            "flip",
            Message("the central view and its mirror image, probabilities averaged"),
            (Look(INPUT, averaged(flips), weight=2),),
        ),
        Protocol(
            "flip-shift",
            Message(
                "the central view with half of the weight, it shifted by a pixel down and right and up and left with a "
                "quarter each, and their mirror images, probabilities averaged"
            ),
            (Look(INPUT, averaged(flips_and_shifts, (2, 2, 1, 1, 1, 1)), weight=6),),
            "Jordan, arXiv:2404.00498, section 3.5, on the views; probabilities averaged instead of scores",
        ),
        Protocol(
            "ten-crop",
            Message(
                "four corners and the centre of the central 256 x 256 square, and their mirror images, probabilities "
                "averaged"
            ),
            (Look(Canvas(256), averaged(ten_crops), weight=10),),
            "Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1",
        ),
        dense(256),
        dense(*VGG_SCALES),
        Protocol(
            "150-crop",
            Message(
                "5 x 5 places of the whole image and their mirror images, at the shorter sides 256, 384 and 512, "
                "probabilities averaged"
            ),
            tuple(Look(Canvas(side, whole=True), averaged(grid_crops), weight=50) for side in VGG_SCALES),
            "Simonyan and Zisserman, arXiv:1409.1556, section 3.2",
        ),
        Protocol(
            "144-crop",
            Message(
                "the shorter sides 256, 288, 320 and 352; left, central and right square; four corners, the centre and "
                "the square whole; and their mirror images, probabilities averaged"
            ),
            tuple(Look(Canvas(side, whole=True), averaged(squares_and_crops), weight=36) for side in GOOGLENET_SCALES),
            "Szegedy and others, arXiv:1409.4842, section 7",
        ),
    )
}
# the words of the papers for what is in the list above
ALIASES = {
    "dense": "dense@256",
    "multi-scale": f"dense@{','.join(map(str, VGG_SCALES))}",
    "multi-crop": "150-crop",
    "10-crop": "ten-crop",
    "center": "centre",
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name; a ``Protocol`` is passed through.

    Besides the listed ones there is dense evaluation at any image sizes: ``dense@224,256,288``.

    Raises:
        UnknownNameError: there is none of that name.
        UsageError: sizes that are none, or smaller than the network's input.
    """
    if isinstance(protocol, Protocol):
        return protocol
    name = ALIASES.get(protocol, protocol)
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    base, at, sizes = name.partition("@")
    if base == DENSE and at:
        return dense(*_sizes(protocol, sizes))
    raise UnknownNameError("protocol", protocol, [*PROTOCOLS, *ALIASES])


def _sizes(protocol: str, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) >= CLASSIC_SIDE for part in parts):
        raise UsageError(
            "protocol {protocol!r}: after dense@ come shorter sides in pixels, {classic_side} at least, as in "
            "dense@224,256,288. They are for 224-pixel networks and are scaled for others.",
            protocol=protocol,
            classic_side=CLASSIC_SIDE,
        )
    return [int(part) for part in parts]
