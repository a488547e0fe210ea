"""CBAM. Woo, Park, Lee and Kweon, ECCV 2018. Read: the authors' repository (Jongchan/attention-module), README,
MODELS/cbam.py and MODELS/model_resnet.py; Table 4 of arXiv:1807.06521 is recalled.

CBAM-ResNet-50 is ResNet-50 with two kinds of attention at the end of every residual branch, before the addition: first
a factor for each channel, then one for each position (Figure 1); r = 16.
    stage      layers of the attention of a block             output          params
    conv1                                              64 x 112 x 112         9,536
    conv2_x    256 -> 16 -> 256; conv7, 2 -> 1        256 x  56 x  56       241,500
    conv3_x    512 -> 32 -> 512; conv7, 2 -> 1        512 x  28 x  28     1,353,232
    conv4_x    1024 -> 64 -> 1024; conv7, 2 -> 1    1,024 x  14 x  14     7,891,928
    conv5_x    2048 -> 128 -> 2048; conv7, 2 -> 1   2,048 x   7 x   7    16,544,428
    head       average pool, fc-1000                            1000      2,049,000    total 28,089,624
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he, he_by_fan_out
from convatlas.models.resnet import ResNet
from convatlas.models.resnext import AggregatedBottleneck

REDUCTION = 16  # r, section 3


class ChannelAttention(nn.Module):
    """A factor for each channel from the average and the maximum of its map (equation 2).

    Both go through the same two fully connected layers (here 1x1 convolutions of one position) and are added.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.maxpool = nn.AdaptiveMaxPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), the same shape out
        average = self.fc2(self.act(self.fc1(self.avgpool(x))))
        largest = self.fc2(self.act(self.fc1(self.maxpool(x))))
        return x * torch.sigmoid(average + largest)


class SpatialAttention(nn.Module):
    """A factor for each position from the average and the maximum over the channels: a 7x7, batch norm (equation 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), the same shape out
        both = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.bn(self.conv(both)))


class CBAMBottleneck(AggregatedBottleneck):
    """ResNet's bottleneck with both kinds of attention before the addition (Figure 3)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, stride)
        out_channels = channels * self.expansion
        self.se = nn.Sequential()
        self.se.add_module("channel", ChannelAttention(out_channels, out_channels // REDUCTION))
        self.se.add_module("spatial", SpatialAttention())


def initialise_as_released(net: nn.Module) -> None:
    """Convolutions by He's rule with the outputs, the last layer with the inputs; the norm of a 7x7 has scale 0."""
    draw_(net, he_by_fan_out, he)
    for module in net.modules():
        if isinstance(module, SpatialAttention):
            nn.init.zeros_(module.bn.weight)


PAPER = Paper(
    authors=("Woo", "Park", "Lee", "Kweon"),
    title="CBAM: Convolutional Block Attention Module",
    venue="ECCV 2018",
    year=2018,
    arxiv="1807.06521",
    read="Jongchan/attention-module: README, MODELS/cbam.py and MODELS/model_resnet.py",
)
README = "Jongchan/attention-module README"
CARD = Card(
    paper=PAPER,
    summary="ResNet-50 with attention over channels and positions in every block",
    initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer n its inputs; the "
    "norm of the 7x7 has scale 0, so that every factor of a position begins at 0.5 (released code)",
    figures=(
        *errors("22.378", "6.052", "ILSVRC-2012 val, centre crop, released weights, 100 epochs", source=README),
        Figure("params", "28.09", unit=1_000_000, where="Table 4", verified=False),
        Figure("macs", "3.864", unit=1_000_000_000, where="Table 4", verified=False),
        *errors("22.66", "6.31", "ILSVRC-2012 val, centre crop", where="Table 4", verified=False),
    ),
    departures=(
        Departure(
            "batch norm after the 7x7",
            paper="momentum 0.01 in its running statistics (released code)",
            here="0.1, as all others",
            why="one rule for all norms; the statistics at the end are the same",
        ),
    ),
    unstated=(
        "the accuracies are printed; the errors here are 100 minus them",
        "the stride of a bottleneck: in the 3x3, as in the released code",
    ),
)

NETWORKS = (
    Network(
        "cbam_resnet50",
        partial(ResNet, 50, block=CBAMBottleneck, initialise=initialise_as_released),
        CARD,
        smallest_size=17,
    ),
)
