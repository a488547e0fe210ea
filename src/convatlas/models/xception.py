"""Xception. Chollet, CVPR 2017. Read: arXiv:1610.02357, Figure 5, sections 3 and 4; names as in the author's Keras.

On a 299 x 299 image; shapes are (C, H, W).
    layer               what it is                                       output          params
    block1_conv1        3x3-32, stride 2, valid                     32 x 149 x 149          928
    block1_conv2        3x3-64, valid                               64 x 147 x 147       18,560
    block2              2 x separable 128, pooled                  128 x  74 x  74       35,264
    block3              2 x separable 256, pooled                  256 x  37 x  37      136,064
    block4              2 x separable 728, pooled                  728 x  19 x  19      915,944
    block5 to block12   3 x separable 728, eight times             728 x  19 x  19   12,911,808
    block13             separable 728 and 1024, pooled           1,024 x  10 x  10    2,039,584
    block14_sepconv1    separable 1536                           1,536 x  10 x  10    1,585,152
    block14_sepconv2    separable 2048                           2,048 x  10 x  10    3,163,648
    head                average pool, dropout 0.5, fc-1000             1000           2,049,000    total 22,855,952
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, SamePool
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.initialisation import glorot_

# Figure 5: separable convolutions of a block, and the stride of the pooling that ends it (1: none)
BLOCKS = {
    "block2": ((128, 128), 2),
    "block3": ((256, 256), 2),
    "block4": ((728, 728), 2),
    **{f"block{number}": ((728, 728, 728), 1) for number in range(5, 13)},
    "block13": ((728, 1024), 2),
}


class SeparableConvNorm(nn.Module):
    """A depthwise 3x3 directly followed by a 1x1 (section 4.7), then batch norm."""

    def __init__(self, in_channels: int, out_channels: int, epsilon: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.pointwise(self.depthwise(x)))


class Block(nn.Module):
    """ReLU and separable convolution, two or three times, with a residual connection.

    Where the block has a stride, the shortcut is a 1x1 convolution with batch norm.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], stride: int, first_relu: bool, epsilon: float, symmetric: bool
    ) -> None:
        super().__init__()
        self.first_relu, channels = first_relu, in_channels
        self.separables = nn.ModuleList()
        for width in widths:
            self.separables.append(SeparableConvNorm(channels, width, epsilon))
            channels = width
        self.pool: nn.Module | None = None
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.pool = nn.MaxPool2d(kernel_size=3, stride=stride, padding=1) if symmetric else SamePool()
            projection = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels, eps=epsilon))

    @property
    def branch_end(self) -> nn.Module:
        """The last layer of the residual branch."""
        return self.separables[-1].get_submodule("bn")

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number, separable in enumerate(self.separables):
            y = separable(F.relu(y) if number > 0 or self.first_relu else y)
        if self.pool is not None:
            y = self.pool(y)
        return y + self.shortcut(x)


class Xception(Classifier):
    """36 convolutions in 14 modules.

    Args:
        symmetric: timm's pooling, padded by 1 on every side; Keras pads as TensorFlow does.
    """

    def __init__(
        self,
        epsilon: float = 1e-3,
        symmetric: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 299,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.block1_conv1 = nn.Conv2d(in_channels, 32, kernel_size=3, stride=2, bias=False)
        self.block1_conv1_bn = nn.BatchNorm2d(32, eps=epsilon)
        self.block1_conv2 = nn.Conv2d(32, 64, kernel_size=3, bias=False)
        self.block1_conv2_bn = nn.BatchNorm2d(64, eps=epsilon)
        channels = 64
        for name, (widths, stride) in BLOCKS.items():
            # the input of block2 is already the output of a ReLU
            self.add_module(name, Block(channels, widths, stride, name != "block2", epsilon, symmetric))
            channels = widths[-1]
        self.block14_sepconv1 = SeparableConvNorm(channels, 1536, epsilon)
        self.block14_sepconv2 = SeparableConvNorm(1536, 2048, epsilon)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.predictions = nn.Linear(2048, num_classes)
        glorot_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 299, 299)
        self.check(images)
        x = F.relu(self.block1_conv1_bn(self.block1_conv1(images)))  # (N, 32, 149, 149)
        x = F.relu(self.block1_conv2_bn(self.block1_conv2(x)))  # (N, 64, 147, 147)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)  # block4 to block12: (N, 728, 19, 19); block13: (N, 1024, 10, 10)
        x = F.relu(self.block14_sepconv1(x))  # (N, 1536, 10, 10)
        x = F.relu(self.block14_sepconv2(x))  # (N, 2048, 10, 10)
        x = torch.flatten(self.avg_pool(x), start_dim=1)  # (N, 2048)
        return self.predictions(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Chollet",),
    title="Xception: Deep Learning with Depthwise Separable Convolutions",
    venue="CVPR 2017",
    year=2016,
    arxiv="1610.02357",
    read="arXiv:1610.02357, Figure 5, Tables 1 to 3; keras/src/applications/xception.py",
)
GLOROT = "Glorot, uniform (Keras's default; the paper does not say)"
CARD = Card(
    paper=PAPER,
    summary="depthwise separable convolutions throughout, with residual connections",
    initialisation=GLOROT,
    figures=(
        Figure("params", "22,855,952", where="Table 3"),
        Figure("top1_error", "21.0", where="Table 1", protocol="ILSVRC-2012 val without the blacklist, single crop"),
        Figure("top5_error", "5.5", where="Table 1", protocol="ILSVRC-2012 val without the blacklist, single crop"),
    ),
    unstated=(
        "the accuracies are printed, 79.0 and 94.5; the errors here are 100 minus them",
        "padding: as in the author's Keras, the first two convolutions without, all else TensorFlow's 'same'",
        "the initialisation: Keras's default",
    ),
)
TIMM = Card(
    paper=PAPER,
    summary="as timm deploys it (legacy_xception): pooling padded on every side",
    initialisation=GLOROT,
    departures=(
        Departure(
            "pooling",
            paper="TensorFlow's 'same' padding (the author's Keras)",
            here="one pixel on every side",
            why="timm's; other windows where a map is even, as the 74 x 74 of block3",
        ),
        Departure("batch norm", "epsilon 0.001 (Keras)", "epsilon 1e-5", "timm's"),
    ),
)

INPUT = (3, 299, 299)
NETWORKS = (
    Network("xception", Xception, CARD, INPUT, smallest_size=23),
    Network("xception@timm", partial(Xception, epsilon=1e-5, symmetric=True), TIMM, INPUT, smallest_size=23),
)
