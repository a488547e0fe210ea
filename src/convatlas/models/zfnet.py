"""ZFNet. Zeiler and Fergus, ECCV 2014. Read: arXiv:1311.2901, Figure 3, sections 3, 3.1 and 5.1.

On a 224 x 224 image; shapes are (C, H, W) after the pooling of the layer.
    layer    what it is                              output             params
    conv1    96 filters 7x7, stride 2                96 x 55 x 55       14,208
    conv2    256 filters 5x5, stride 2              256 x 13 x 13      614,656
    conv3    384 filters 3x3                        384 x 13 x 13      885,120
    conv4    384 filters 3x3                        384 x 13 x 13    1,327,488
    conv5    256 filters 3x3                        256 x  6 x  6      884,992
    fc6, fc7, fc8                                            1000   58,631,144    total 62,357,608
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.arithmetic.formulas import output_size
from convatlas.message import Message
from convatlas.models.blocks import Classifier, LocalResponseNorm
from convatlas.models.cards import Card, Departure, Network, Paper, errors
from convatlas.models.initialisation import gaussian_

# filters of conv1 to conv5: the network of Figure 3, and row (b) of Table 2
WIDTHS = {"a": (96, 256, 384, 384, 256), "b": (96, 256, 512, 1024, 512)}


class ZFNet(Classifier):
    """AlexNet with smaller filters and strides in the first layers, as suggested by the deconvnet, and one tower."""

    def __init__(self, row: str, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        c1, c2, c3, c4, c5 = WIDTHS[row]
        # padding 1 and pooled sizes rounded up give the printed 110, 55, 26, 13, 6
        self.conv1 = nn.Conv2d(in_channels, c1, kernel_size=7, stride=2, padding=1)
        self.pool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.norm1 = LocalResponseNorm(n=5, k=2, alpha=1e-4, beta=0.75)
        self.conv2 = nn.Conv2d(c1, c2, kernel_size=5, stride=2)
        self.pool2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.norm2 = LocalResponseNorm(n=5, k=2, alpha=1e-4, beta=0.75)
        self.conv3 = nn.Conv2d(c2, c3, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(c3, c4, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(c4, c5, kernel_size=3, padding=1)
        self.pool5 = nn.MaxPool2d(kernel_size=3, stride=2)
        side = last_side(image_size)
        self.fixed_by = Message("its first fully connected layer ({n:,} features)", n=c5 * side * side)
        self.fc6 = nn.Linear(c5 * side * side, 4096)  # 256 * 6 * 6
        self.drop6 = nn.Dropout(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        self.drop7 = nn.Dropout(0.5)
        self.fc8 = nn.Linear(4096, num_classes)
        gaussian_(self, std=0.01)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = F.relu(self.conv1(images))  # (N, 96, 110, 110)
        x = self.norm1(self.pool1(x))  # (N, 96, 55, 55)
        x = F.relu(self.conv2(x))  # (N, 256, 26, 26)
        x = self.norm2(self.pool2(x))  # (N, 256, 13, 13)
        x = F.relu(self.conv3(x))  # (N, 384, 13, 13)
        x = F.relu(self.conv4(x))  # (N, 384, 13, 13)
        x = F.relu(self.conv5(x))  # (N, 256, 13, 13)
        x = torch.flatten(self.pool5(x), start_dim=1)  # (N, 9216)
        x = self.drop6(F.relu(self.fc6(x)))  # (N, 4096)
        x = self.drop7(F.relu(self.fc7(x)))  # (N, 4096)
        return self.fc8(x)  # (N, K), logits


def last_side(image_size: int) -> int:
    """Side of the maps after pool5."""
    side = output_size(image_size, 7, stride=2, padding=1)  # conv1
    side = output_size(side, 3, stride=2, ceil_mode=True)  # pool1
    side = output_size(side, 5, stride=2)  # conv2
    side = output_size(side, 3, stride=2, ceil_mode=True)  # pool2
    return output_size(side, 3, stride=2)  # pool5


PAPER = Paper(
    authors=("Zeiler", "Fergus"),
    title="Visualizing and Understanding Convolutional Networks",
    venue="ECCV 2014",
    year=2013,
    arxiv="1311.2901",
    read="arXiv:1311.2901, Figure 3, Table 2, sections 3 and 5",
)
DEPARTURES = (
    Departure(
        "contrast normalisation",
        paper="across feature maps after pool1 and pool2 (Figure 3), the formula not given",
        here="AlexNet's local response normalisation, n = 5, k = 2, alpha = 1e-4, beta = 0.75",
        why="the normalisation across maps of AlexNet, on which the network is based; neither has parameters",
    ),
    Departure(
        "initialisation",
        paper='"all weights are initialized to 10^-2 and biases are set to 0" (3.1)',
        here="Gaussian with standard deviation 10^-2, biases 0",
        why="equal weights would stay equal; the sentence can only mean their scale",
    ),
    Departure(
        "filter renormalisation",
        paper="a convolution filter whose RMS exceeds 0.1 is scaled back to 0.1 (3.1)",
        here="not part of the network",
        why="a step of training, not of the forward pass",
    ),
)
UNSTATED = ("padding and rounding: conv1 pads 1 and pools round up, which gives all printed map sizes", "weight decay")
INITIALISATION = "Gaussian 0.01, biases 0 (section 3.1)"

CARD = Card(
    paper=PAPER,
    summary="AlexNet improved with the deconvnet: 7x7 with stride 2 in conv1, one tower",
    initialisation=INITIALISATION,
    figures=(
        *errors("38.4", "16.5", "ILSVRC-2012 val, 1 net, 10 crops", where="Table 2"),
        *errors("36.7", "15.3", "ILSVRC-2012 val, 5 nets", where="Table 2"),
        *errors("", "15.3", "ILSVRC-2012 test, 5 nets", where="Table 2"),
    ),
    departures=DEPARTURES,
    unstated=UNSTATED,
)
WIDE = Card(
    paper=PAPER,
    summary="row (b) of Table 2: 512, 1024 and 512 maps in layers 3, 4 and 5",
    initialisation=INITIALISATION,
    figures=(
        *errors("37.5", "16.0", "ILSVRC-2012 val, 1 net, 10 crops", where="Table 2"),
        *errors("", "16.1", "ILSVRC-2012 test, 1 net, 10 crops", where="Table 2"),
        *errors("36.0", "14.7", "ILSVRC-2012 val, 6 nets: this and five of Figure 3", where="Table 2"),
        *errors("", "14.8", "ILSVRC-2012 test, 6 nets: this and five of Figure 3", where="Table 2"),
    ),
    departures=(
        Departure("widths", "384, 384, 256 (Figure 3)", "512, 1024, 512", "the paper's own wider network"),
        *DEPARTURES,
    ),
    unstated=UNSTATED,
)

NETWORKS = (
    Network("zfnet", partial(ZFNet, "a"), CARD, smallest_size=63, fixed_size=True),
    Network("zfnet@wide", partial(ZFNet, "b"), WIDE, smallest_size=63, fixed_size=True),
)
