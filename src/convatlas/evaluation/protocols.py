"""Evaluation protocols: how an image becomes one prediction. The protocol is printed with every accuracy.

Accuracies with different protocols are different quantities. AlexNet's top-1 error is 37.5 % as the mean of ten crops
and 39.0 % without them; VGG's figures are from dense evaluation; GoogLeNet's best figure is the mean of 144 crops.
Therefore every accuracy keeps its protocol, and accuracies with different protocols are not put into one table.

A protocol consists of one or several passes over the images. Each pass has an `ImageRegion` (the network's own input, a
larger central square, or the whole image at a given size) and a function that computes logits from it. The
probabilities of several test-time augmentation views of an image are averaged, as in the AlexNet (section 4.1) and
GoogLeNet (section 7) papers. The returned logits are the logarithm of the mean probability: their softmax is the mean
probability, and their cross-entropy is that of the averaged prediction.
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

CLASSIC_SIDE = 224  # input side, in pixels, of the networks for which the papers print their protocols


@dataclass(frozen=True)
class ImageRegion:
    """The part of each image that a pass reads, and its size.

    Args:
        shorter_side: length of the image's shorter side in pixels, for a network with a 224 x 224 input; scaled in
            proportion for other input sizes. None: the network's own input, prepared as for validation.
        whole: the whole image at that size instead of its central square.
    """

    shorter_side: int | None = None
    whole: bool = False

    def side(self, size: Size) -> int:
        """Length of the shorter side in pixels for a network with input ``size``; at least the input's.

        AlexNet's 227 corrects the arithmetic of its paper's 224, so its images have the sizes of a 224-pixel network.
        """
        if self.shorter_side is None:
            return min(size)
        scaled = self.shorter_side if min(size) == 227 else round(self.shorter_side * min(size) / CLASSIC_SIDE)
        return max(scaled, min(size))


INPUT = ImageRegion()


@dataclass(frozen=True)
class Pass:
    """One pass over the images: the region of each image, and how the logits are computed from it.

    Args:
        reader: (network in evaluation mode, (h, w) of its input) -> function from images to logits.
        weight: weight of the pass in the mean over the passes; the number of views that it averages.
        region: which part of the image goes through the network.
    """

    region: ImageRegion
    reader: Callable[[nn.Module, Size], Reader]
    weight: float = 1.0


@dataclass(frozen=True)
class Protocol:
    """A named way to compute logits from images.

    Args:
        name: the name on the command line and in every table.
        description: one sentence that explains the protocol.
        source: the paper that describes it.
        passes: the passes whose results are averaged.
    """

    name: str
    description: str
    passes: tuple[Pass, ...]
    source: str = ""

    @property
    def needs_larger_images(self) -> bool:
        """Whether a pass reads a region larger than the network's input."""
        return any(each.region != INPUT for each in self.passes)

    def logits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, h, w) of the network's input size.

        Raises:
            UsageError: the protocol needs larger images.
        """
        if self.needs_larger_images:
            raise UsageError(
                "the protocol {name} needs larger images than the network's input ({description}). Call "
                "convatlas.evaluate, which prepares them, or pass a function of the image region to "
                "evaluation.evaluate.",
                name=self.name,
                description=self.description,
            )
        size = (images.shape[-2], images.shape[-1])
        return combined([each.reader(network, size)(images) for each in self.passes], self.passes)


def combined(logits: Sequence[Tensor], passes: Sequence[Pass]) -> Tensor:
    """The logits of a single pass, or the logarithm of the weighted mean probability of several passes."""
    if len(logits) == 1:
        return logits[0]
    return log_mean_probability(logits, [each.weight for each in passes])


def log_mean_probability(logits: Iterable[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Logarithm of the (weighted) mean of the softmax probabilities of ``logits``, each (N, K).

    Args:
        weights: (V,) of the views; equal where None.
    """
    log_probabilities = torch.stack([torch.log_softmax(each.float(), dim=1) for each in logits])  # (V, N, K)
    shares = torch.tensor(weights or [1.0] * len(log_probabilities), device=log_probabilities.device)
    return torch.logsumexp(log_probabilities + (shares / shares.sum()).log()[:, None, None], dim=0)


def average_views(views: Views, weights: Sequence[float] | None = None) -> Callable[[nn.Module, Size], Reader]:
    """A reader that computes the logarithm of the mean probability over several views of each image.

    Args:
        views: from images (N, C, H, W) and the (h, w) of the input to the V views of each image.
        weights: (V,) of the views; equal where None.
    """

    def reader(network: nn.Module, size: Size) -> Reader:
        return lambda images: log_mean_probability([network(view) for view in views(images, size)], weights)

    return reader


# --- positions of the views: (top, left) of each h x w view in an H x W image -----------------------------------------


def ten_crop_positions(height: int, width: int, size: Size) -> list[tuple[int, int]]:
    """The four corners and the centre. Source: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1."""
    h, w = size
    bottom, right = height - h, width - w
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]


def square_positions(height: int, width: int) -> list[tuple[int, int]]:
    """Left, centre and right square, or top, centre and bottom square. Source: GoogLeNet, section 7, point 3."""
    spare = abs(height - width)
    offsets = [0, spare // 2, spare]
    return [(offset, 0) if height > width else (0, offset) for offset in offsets]


def grid_positions(height: int, width: int, size: Size, lines: int = 5) -> list[tuple[int, int]]:
    """A regular grid of ``lines`` x ``lines`` positions, corners included. Source: VGG, section 3.2."""
    tops, lefts = (
        [round(step * spare / (lines - 1)) for step in range(lines)] for spare in (height - size[0], width - size[1])
    )
    return [(top, left) for top in tops for left in lefts]


# --- the views --------------------------------------------------------------------------------------------------------


def with_mirror(view: Tensor) -> tuple[Tensor, Tensor]:
    return view, view.flip(-1)


def crop(images: Tensor, top: int, left: int, size: Size) -> Tensor:
    return images[..., top : top + size[0], left : left + size[1]]


def flips(images: Tensor, size: Size) -> Iterable[Tensor]:
    yield from with_mirror(images)


def flips_and_shifts(images: Tensor, size: Size) -> Iterable[Tensor]:
    """The image, the image shifted by a pixel down and right and up and left (reflected edges), and their mirrors."""
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    for top, left in ((1, 1), (0, 0), (2, 2)):
        yield from with_mirror(crop(padded, top, left, size))


def ten_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    for top, left in ten_crop_positions(images.shape[-2], images.shape[-1], size):
        yield from with_mirror(crop(images, top, left, size))


def squares_and_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    """GoogLeNet's 36 views at one scale: 3 squares, each with 5 crops and the resized square, and all mirrors."""
    side = min(images.shape[-2:])
    for top, left in square_positions(images.shape[-2], images.shape[-1]):
        square = crop(images, top, left, (side, side))
        yield from ten_crops(square, size)
        yield from with_mirror(F.interpolate(square, size, mode="bilinear", antialias=True, align_corners=False))


def grid_crops(images: Tensor, size: Size) -> Iterable[Tensor]:
    for top, left in grid_positions(images.shape[-2], images.shape[-1], size):
        yield from with_mirror(crop(images, top, left, size))


def single_view(network: nn.Module, size: Size) -> Reader:
    return network


def dense_with_mirror(network: nn.Module, size: Size) -> Reader:
    """VGG's: mean score over all positions, then the mean probability of the image and its mirror image."""
    scores = FullyConvolutional(network, size)
    return lambda images: log_mean_probability([scores(view).mean(dim=(2, 3)) for view in with_mirror(images)])


# --- the protocols ----------------------------------------------------------------------------------------------------

DENSE = "dense"
VGG_SCALES = (256, 384, 512)
GOOGLENET_SCALES = (256, 288, 320, 352)


def dense(*shorter_sides: int) -> Protocol:
    """VGG's dense evaluation at one or several image sizes Q; its name is, for example, ``dense@256,384,512``."""
    sizes = ",".join(map(str, shorter_sides))
    return Protocol(
        f"{DENSE}@{sizes}",
        Message(
            "the whole image with shorter side {sizes} and its mirror image, evaluated fully convolutionally; scores "
            "are averaged over positions, probabilities over mirror images and sizes",
            sizes=sizes.replace(",", ", "),
        ),
        tuple(Pass(ImageRegion(side, whole=True), dense_with_mirror, weight=2) for side in shorter_sides),
        "Simonyan and Zisserman, arXiv:1409.1556, section 3.2",
    )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("centre", Message("one central view of each image"), (Pass(INPUT, single_view),)),
        Protocol(
            "flip",
            Message("the mean probability of the central view and its mirror image"),
            (Pass(INPUT, average_views(flips), weight=2),),
        ),
        Protocol(
            "flip-shift",
            Message(
                "the mean probability of the central view (weight 1/2), the view shifted by one pixel down and right, "
                "and the view shifted by one pixel up and left (weight 1/4 each), each with its mirror image"
            ),
            (Pass(INPUT, average_views(flips_and_shifts, (2, 2, 1, 1, 1, 1)), weight=6),),
            "Jordan, arXiv:2404.00498, section 3.5 (which averages scores instead of probabilities)",
        ),
        Protocol(
            "ten-crop",
            Message(
                "the mean probability of ten crops of the central 256 x 256 square: four corners and the centre, and "
                "their mirror images"
            ),
            (Pass(ImageRegion(256), average_views(ten_crops), weight=10),),
            "Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1",
        ),
        dense(256),
        dense(*VGG_SCALES),
        Protocol(
            "150-crop",
            Message(
                "the mean probability of 150 crops: a grid of 5 x 5 positions in the whole image and their mirror "
                "images, with shorter sides 256, 384 and 512"
            ),
            tuple(Pass(ImageRegion(side, whole=True), average_views(grid_crops), weight=50) for side in VGG_SCALES),
            "Simonyan and Zisserman, arXiv:1409.1556, section 3.2",
        ),
        Protocol(
            "144-crop",
            Message(
                "the mean probability of 144 crops: shorter sides 256, 288, 320 and 352; left, centre and right square "
                "of each; four corners, the centre and the resized square of each; and their mirror images"
            ),
            tuple(
                Pass(ImageRegion(side, whole=True), average_views(squares_and_crops), weight=36)
                for side in GOOGLENET_SCALES
            ),
            "Szegedy and others, arXiv:1409.4842, section 7",
        ),
    )
}
# other names, such as those in the papers
ALIASES = {
    "dense": "dense@256",
    "multi-scale": f"dense@{','.join(map(str, VGG_SCALES))}",
    "multi-crop": "150-crop",
    "10-crop": "ten-crop",
    "center": "centre",
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol with that name; a ``Protocol`` is returned unchanged.

    Dense evaluation takes any image sizes: ``dense@224,256,288``.

    Args:
        protocol: a name of `PROTOCOLS`, or a `Protocol`.

    Raises:
        UnknownNameError: there is no protocol with that name.
        UsageError: the sizes are not integers of at least 224.
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
            "{protocol!r} is not a protocol: after dense@ shorter sides of at least {classic_side} pixels are "
            "expected, separated by commas. Write, for example, dense@224,256,288. For networks with another input "
            "than 224 pixels the sizes are scaled.",
            protocol=protocol,
            classic_side=CLASSIC_SIDE,
        )
    return [int(part) for part in parts]
