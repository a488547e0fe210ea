"""A convolutional autoencoder for teaching: an encoder of two convolutions and poolings, and a mirrored decoder.

On a 28 x 28 image; shapes are (C, H, W).
    layer      what it is                                output         params
    encode1    3x3-16, max pooling 2x2               16 x 14 x 14          160
    encode2    3x3-32, max pooling 2x2               32 x  7 x  7        4,640
    decode2    unpooling 2x2, 3x3-16                 16 x 14 x 14        4,624
    decode1    unpooling 2x2, 3x3-1                   1 x 28 x 28          145    total 9,569

Unpooling with the switches of the max pooling is described by Zeiler and Fergus (ECCV 2014, section 2.1).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Network, Paper
from convatlas.models.initialisation import he_

WIDTHS = (16, 32)


class Autoencoder(Classifier):
    """Images (N, C, H, W) in, reconstructions of the same shape out: there are no classes.

    Args:
        unpool: "nearest" repeats every pixel; "switches" puts it at the position of the maximum, with zeros elsewhere.
        num_classes: not used; the registry passes it to every network.
    """

    def __init__(
        self, unpool: str = "nearest", num_classes: int = 0, in_channels: int = 1, image_size: int = 28
    ) -> None:
        super().__init__()
        self.in_channels, self.unpool = in_channels, unpool
        self.encode1 = nn.Conv2d(in_channels, WIDTHS[0], kernel_size=3, padding=1)
        self.encode2 = nn.Conv2d(WIDTHS[0], WIDTHS[1], kernel_size=3, padding=1)
        self.decode2 = nn.Conv2d(WIDTHS[1], WIDTHS[0], kernel_size=3, padding=1)
        self.decode1 = nn.Conv2d(WIDTHS[0], in_channels, kernel_size=3, padding=1)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 1, 28, 28)
        self.check(images)
        x, switches1 = self.pool(F.relu(self.encode1(images)))  # (N, 16, 14, 14)
        code, switches2 = self.pool(F.relu(self.encode2(x)))  # (N, 32, 7, 7)
        x = F.relu(self.decode2(self.up(code, switches2, x)))  # (N, 16, 14, 14)
        return self.decode1(self.up(x, switches1, images))  # (N, 1, 28, 28)

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Max pooling 2x2, and the switches: the position of each maximum."""
        pooled, switches = F.max_pool2d(x, kernel_size=2, return_indices=True)
        return pooled, switches

    def up(self, x: Tensor, switches: Tensor, like: Tensor) -> Tensor:
        """Undo a pooling, to the height and width of ``like``."""
        if self.unpool == "switches":
            return F.max_unpool2d(x, switches, kernel_size=[2, 2], output_size=list(like.shape[2:]))
        return F.interpolate(x, size=like.shape[2:], mode="nearest")


PAPER = Paper(
    authors=("Zeiler", "Fergus"),
    title="Visualizing and Understanding Convolutional Networks (unpooling with switches)",
    venue="ECCV 2014",
    year=2013,
    arxiv="1311.2901",
    read="section 2.1",
)
OWN = Departure(
    "the network",
    paper="none: a teaching network of our own",
    here="two symmetric levels, 16 and 32 maps",
    why="the smallest network with a code, unpooling and a reconstruction",
)
HE = "Gaussian, standard deviation sqrt(2/n) with n inputs (He et al. 2015); biases 0"

NETWORKS = (
    Network(
        "autoencoder",
        Autoencoder,
        Card(PAPER, "convolutional and symmetric; reconstructs images, for teaching", HE, departures=(OWN,)),
        (1, 28, 28),
        num_classes=0,
        smallest_size=4,
        task="reconstruct",
    ),
    Network(
        "autoencoder@switches",
        partial(Autoencoder, "switches"),
        Card(PAPER, "unpools with the switches of the max pooling", HE, departures=(OWN,)),
        (1, 28, 28),
        num_classes=0,
        smallest_size=4,
        task="reconstruct",
    ),
)
