"""DenseNet for ImageNet (DenseNet-BC). Huang, Liu, van der Maaten and Weinberger, CVPR 2017. Read: arXiv:1608.06993v5,
Table 1, section 3, and the authors' Torch code.

DenseNet-121 (k = 32) on a 224 x 224 image; shapes are (C, H, W).
    stage         layers                             output               params
    conv0         7x7-64, stride 2, BN                 64 x 112 x 112      9,536
    pool0         max pool 3x3, stride 2               64 x  56 x  56          0
    block1         6 x (1x1-128, 3x3-32)              256 x  56 x  56    335,040
    transition1   1x1-128, average pool 2x2           128 x  28 x  28     33,280
    block2        12 x (1x1-128, 3x3-32)              512 x  28 x  28    919,680
    transition2   1x1-256, average pool 2x2           256 x  14 x  14    132,096
    block3        24 x (1x1-128, 3x3-32)            1,024 x  14 x  14  2,837,760
    transition3   1x1-512, average pool 2x2           512 x   7 x   7    526,336
    block4        16 x (1x1-128, 3x3-32)            1,024 x   7 x   7  2,158,080
    head          BN, average pool, fc-1000                  1000      1,027,048    total 7,978,856
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_

# Table 1: growth rate k, dense layers in blocks 1 to 4
DENSENETS = {
    121: (32, (6, 12, 24, 16)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    264: (32, (6, 12, 64, 48)),
    161: (48, (6, 12, 36, 24)),
}


class DenseLayer(nn.Module):
    """BN-ReLU-3x3 to k maps, concatenated to its input; with ``bottleneck``, after a BN-ReLU-1x1 to 4k maps."""

    __constants__ = ("bottleneck",)  # torch.jit.script reads only the branch that is taken

    def __init__(self, in_channels: int, growth: int, bottleneck: bool, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        if bottleneck:
            self.conv1 = nn.Conv2d(in_channels, 4 * growth, kernel_size=1, bias=False)
            self.norm2 = nn.BatchNorm2d(4 * growth)
            self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, growth, kernel_size=3, padding=1, bias=False)
        self.bottleneck, self.drop_rate = bottleneck, drop_rate

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C + k, H, W)
        y = self.drop(self.conv1(F.relu(self.norm1(x))))
        if self.bottleneck:
            y = self.drop(self.conv2(F.relu(self.norm2(y))))
        return torch.cat([x, y], dim=1)

    def drop(self, y: Tensor) -> Tensor:
        return F.dropout(y, self.drop_rate, self.training) if self.drop_rate else y


class Transition(nn.Module):
    """BN-ReLU-1x1 to ``out_channels``, then 2x2 average pooling."""

    def __init__(self, in_channels: int, out_channels: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, out, H / 2, W / 2)
        x = self.conv(self.relu(self.norm(x)))
        return self.pool(F.dropout(x, self.drop_rate, self.training) if self.drop_rate else x)


def dense_block(in_channels: int, layers: int, growth: int, bottleneck: bool, drop_rate: float = 0.0) -> nn.Sequential:
    """``layers`` dense layers; the output has ``in_channels + layers * growth`` maps."""
    return nn.Sequential(
        *(DenseLayer(in_channels + index * growth, growth, bottleneck, drop_rate) for index in range(layers))
    )


class DenseNet(Classifier):
    """DenseNet-BC: bottlenecks of 4k, transitions that halve the channels (theta = 0.5)."""

    def __init__(self, depth: int, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        growth, blocks = DENSENETS[depth]
        channels = 2 * growth  # section 4.2: 2k filters in the first convolution
        self.conv0 = nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.norm0 = nn.BatchNorm2d(channels)
        self.relu0 = nn.ReLU(inplace=True)
        self.pool0 = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for number, layers in enumerate(blocks, start=1):
            self.add_module(f"block{number}", dense_block(channels, layers, growth, bottleneck=True))
            channels += layers * growth
            if number < len(blocks):
                self.add_module(f"transition{number}", Transition(channels, channels // 2))
                channels //= 2
        self.norm5 = nn.BatchNorm2d(channels)
        self.relu5 = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv0, norm0, relu0, pool0, block1, transition1, ..., classifier
            x = layer(x)
        return x  # (N, K), logits


PAPER = Paper(
    authors=("Huang", "Liu", "van der Maaten", "Weinberger"),
    title="Densely Connected Convolutional Networks",
    venue="CVPR 2017",
    year=2016,
    arxiv="1608.06993",
    read="arXiv:1608.06993v5, Tables 1 and 3; liuzhuang13/DenseNet",
)
ONE, TEN = "ILSVRC-2012 val, centre crop", "ILSVRC-2012 val, 10 crops"
FIGURES = {
    121: errors("25.02", "7.71", ONE, where="Table 3") + errors("23.61", "6.66", TEN, where="Table 3"),
    169: errors("23.80", "6.85", ONE, where="Table 3") + errors("22.08", "5.92", TEN, where="Table 3"),
    201: (
        Figure("params", "20", unit=1_000_000, where="section 4.4"),
        *errors("22.58", "6.34", ONE, where="Table 3"),
        *errors("21.46", "5.54", TEN, where="Table 3"),
    ),
    264: errors("22.15", "6.12", ONE, where="Table 3") + errors("20.80", "5.29", TEN, where="Table 3"),
    161: errors("22.2", "", ONE, source="liuzhuang13/DenseNet README"),
}
DEPARTURES = {
    264: (
        Departure(
            "depth",
            paper="264 layers",
            here="265 by the rule that gives 121, 169, 201 and 161",
            why="blocks 6, 12, 64, 48 make 2 * 130 + 5",
        ),
    ),
    161: (
        Departure(
            "Table 1",
            paper="the CVPR table has k = 32 only",
            here="k = 48, blocks 6, 12, 36, 24",
            why="earlier versions of the paper and the authors' repository",
        ),
    ),
}


def card(depth: int) -> Card:
    growth, blocks = DENSENETS[depth]
    return Card(
        paper=PAPER,
        summary=f"blocks of {', '.join(map(str, blocks))} dense layers, growth rate {growth}, bottlenecks, theta 0.5",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
        figures=FIGURES[depth],
        departures=DEPARTURES.get(depth, ()),
        unstated=("the initialisation of the last layer: He's rule like the others",),
    )


NETWORKS = tuple(
    Network(f"densenet{depth}", partial(DenseNet, depth), card(depth), smallest_size=29) for depth in DENSENETS
)
