"""ResNet and its plain counterparts. He, Zhang, Ren and Sun, CVPR 2016. Read: arXiv:1512.03385, Table 1, Figure 3.

ResNet-50 on a 224 x 224 image; shapes are (C, H, W).
    stage      layers                                       output            params
    conv1      conv7-64, stride 2, BN                       64 x 112 x 112     9,536
    pool1      max pool 3x3, stride 2                       64 x  56 x  56         0
    conv2_x    3 x (conv1-64, conv3-64, conv1-256)         256 x  56 x  56   215,808
    conv3_x    4 x (conv1-128, conv3-128, conv1-512)       512 x  28 x  28 1,219,584
    conv4_x    6 x (conv1-256, conv3-256, conv1-1024)     1024 x  14 x  14 7,098,368
    conv5_x    3 x (conv1-512, conv3-512, conv1-2048)     2048 x   7 x   7 14,964,736
    head       average pool, fc-1000                               1000    2,049,000    total 25,557,032
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, glorot_, he_, he_by_fan_out

# Table 1: blocks in conv2_x, conv3_x, conv4_x, conv5_x
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class PaddedIdentity(nn.Module):
    """Shortcut A: every second pixel of the input, with maps of zeros for the additional channels."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (out_channels - in_channels) // 2  # the paper does not say where the zeros go: half on each side
        self.padding = (before, out_channels - in_channels - before)

    def forward(self, x: Tensor) -> Tensor:
        # a pooling over one pixel instead of a slice, whose gradient would be channels-first in every memory format
        return F.pad(F.avg_pool2d(x, kernel_size=1, stride=self.stride), (0, 0, 0, 0, *self.padding))


def projection(in_channels: int, out_channels: int, stride: int, bias: bool = False) -> nn.Sequential:
    """Shortcuts B and C: a 1x1 convolution to the new width, with batch norm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


def make_shortcut(kind: str, in_channels: int, out_channels: int, stride: int, bias: bool = False) -> nn.Module | None:
    """Section 4.1: "A" pads with zeros, "B" projects where the shape changes, "C" everywhere; "none" is plain."""
    if kind == "none":
        return None
    if kind == "C":
        return projection(in_channels, out_channels, stride, bias)
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    if kind == "A":
        return PaddedIdentity(in_channels, out_channels, stride)
    return projection(in_channels, out_channels, stride, bias)


class BasicBlock(Residual):
    """Two 3x3 convolutions (Figure 5, left)."""

    __jit_unused_properties__ = ("branch_end",)

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = make_shortcut(shortcut, in_channels, channels, stride)

    @property
    def branch_end(self) -> nn.Module | None:
        """The last layer of the residual branch; a plain network has none."""
        return None if self.shortcut is None else self.bn2

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is not None and self.skips_branch():
            return F.relu(self.shortcut(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y if self.shortcut is None else self.rescaled(y) + self.shortcut(x))


class Bottleneck(Residual):
    """1x1 to reduce, 3x3, 1x1 to restore four times the width (Figure 5, right)."""

    __jit_unused_properties__ = ("branch_end",)

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        shortcut: str,
        stride_in_3x3: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        # the paper and its released models stride in the first 1x1; fb.resnet.torch moved it to the 3x3 ("v1.5")
        first, second = (1, stride) if stride_in_3x3 else (stride, 1)
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=1, stride=first, bias=bias)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=second, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, kernel_size=1, bias=bias)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride, bias)

    @property
    def branch_end(self) -> nn.Module | None:
        """The last layer of the residual branch; a plain network has none."""
        return None if self.shortcut is None else self.bn3

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is not None and self.skips_branch():
            return F.relu(self.shortcut(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y if self.shortcut is None else self.rescaled(y) + self.shortcut(x))


Block = BasicBlock | Bottleneck


def plan(depth: int, shortcut: str, stride_in_3x3: bool, bias: bool) -> tuple[Callable[..., Block], tuple[int, ...]]:
    """The block of a depth, and the numbers of blocks in conv2_x to conv5_x."""
    if depth in BASIC:
        return partial(BasicBlock, shortcut=shortcut), BASIC[depth]
    return partial(Bottleneck, shortcut=shortcut, stride_in_3x3=stride_in_3x3, bias=bias), BOTTLENECK[depth]


def stage(
    block: Callable[..., Any], in_channels: int, channels: int, blocks: int, stride: int
) -> tuple[nn.Sequential, int]:
    """Blocks of one width, the first of which has the stride; and the number of output channels."""
    first = block(in_channels, channels, stride=stride)
    out_channels = channels * first.expansion
    return nn.Sequential(first, *(block(out_channels, channels, stride=1) for _ in range(blocks - 1))), out_channels


class ResNet(Classifier):
    """Five stages that halve the map, average pooling, one fully connected layer.

    Args:
        depth: 18, 34 (basic blocks), 50, 101, 152 (bottlenecks).
        shortcut: "A", "B", "C", or "none" for the plain network.
        stride_in_3x3: the bottleneck that libraries deploy, with the stride in its 3x3 convolution.
        biases: "none" before batch norm; "conv1" as in the released Caffe ResNet-50; "all" as in Keras.
        pool_rounds_up: Caffe's pool1 without padding, with the size rounded up: other windows, also 56 x 56.
        block: of a later paper, in the place of the bottleneck; it takes the input's channels, 64 to 512, and a stride.
        initialise: draws the weights.
    """

    def __init__(
        self,
        depth: int,
        shortcut: str = "B",
        stride_in_3x3: bool = False,
        biases: str = "none",
        pool_rounds_up: bool = False,
        block: Callable[..., Any] | None = None,
        initialise: Callable[[nn.Module], None] = he_,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=biases != "none")
        self.bn1 = nn.BatchNorm2d(64)
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=0 if pool_rounds_up else 1, ceil_mode=pool_rounds_up)

        own, blocks = plan(depth, shortcut, stride_in_3x3, bias=biases == "all")
        make = block or own
        self.conv2_x, width = stage(make, 64, 64, blocks[0], stride=1)  # pool1 has halved already
        self.conv3_x, width = stage(make, width, 128, blocks[1], stride=2)
        self.conv4_x, width = stage(make, width, 256, blocks[2], stride=2)
        self.conv5_x, width = stage(make, width, 512, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.pool1(F.relu(self.bn1(self.conv1(images))))  # (N, 64, 56, 56)
        x = self.conv2_x(x)  # (N, 256, 56, 56), a quarter of the channels with basic blocks
        x = self.conv3_x(x)  # (N, 512, 28, 28)
        x = self.conv4_x(x)  # (N, 1024, 14, 14)
        x = self.conv5_x(x)  # (N, 2048, 7, 7)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 2048)
        return self.fc(x)  # (N, K), logits


def initialise_as_torchvision(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); the last layer as torch leaves it."""
    draw_(net, he_by_fan_out, None)


PAPER = Paper(
    authors=("He", "Zhang", "Ren", "Sun"),
    title="Deep Residual Learning for Image Recognition",
    venue="CVPR 2016",
    year=2015,
    arxiv="1512.03385",
    read="arXiv:1512.03385, Tables 1 to 5, Figure 3",
)
TEN_CROP = "ILSVRC-2012 val, 10 crops"
DENSE = "ILSVRC-2012 val, fully convolutional, five scales"
ONE_CROP = "ILSVRC-2012 val, centre crop, shorter side 256"
RELEASED = "released models, KaimingHe/deep-residual-networks"
FB_TORCH = "facebook/fb.resnet.torch README"


def macs(printed: str) -> tuple[Figure, ...]:
    """The paper's "FLOPs" are multiply-adds, printed in billions to one digit and not always rounded alike."""
    return (Figure("macs", printed, unit=1_000_000_000, where="Table 1", tolerance=0.1),)


# by network: multiply-adds of Table 1, then errors of Table 2 (18 layers), 3 and 4, and of the released models
FIGURES = {
    "plain18": macs("1.8") + errors("27.94", "", TEN_CROP, where="Table 2"),
    "plain34": macs("3.6") + errors("28.54", "10.02", TEN_CROP, where="Table 3"),
    "resnet18_a": macs("1.8") + errors("27.88", "", TEN_CROP, where="Table 2"),
    "resnet18": macs("1.8") + errors("30.43", "10.76", ONE_CROP, source=FB_TORCH),
    "resnet34_a": macs("3.6") + errors("25.03", "7.76", TEN_CROP, where="Table 3"),
    "resnet34": macs("3.6")
    + errors("24.52", "7.46", TEN_CROP, where="Table 3")
    + errors("21.84", "5.71", DENSE, where="Table 4")
    + errors("26.73", "8.74", ONE_CROP, source=FB_TORCH),
    "resnet34_c": errors("24.19", "7.40", TEN_CROP, where="Table 3") + errors("21.53", "5.60", DENSE, where="Table 4"),
    "resnet50": macs("3.8")
    + errors("22.85", "6.71", TEN_CROP, where="Table 3")
    + errors("20.74", "5.25", DENSE, where="Table 4")
    + errors("24.7", "7.8", ONE_CROP, source=RELEASED),
    "resnet101": macs("7.6")
    + errors("21.75", "6.05", TEN_CROP, where="Table 3")
    + errors("19.87", "4.60", DENSE, where="Table 4")
    + errors("23.6", "7.1", ONE_CROP, source=RELEASED),
    "resnet152": macs("11.3")
    + errors("21.43", "5.71", TEN_CROP, where="Table 3")
    + errors("19.38", "4.49", DENSE, where="Table 4")
    + errors("23.0", "6.7", ONE_CROP, source=RELEASED)
    + errors("", "3.57", "ILSVRC-2015 test, 6 residual networks of several depths", where="Table 5"),
    "resnet50@torchvision": errors("24.01", "7.02", ONE_CROP, source=FB_TORCH),
    "resnet101@torchvision": errors("22.44", "6.21", ONE_CROP, source=FB_TORCH),
    "resnet152@torchvision": errors("22.16", "6.16", ONE_CROP, source=FB_TORCH),
    "resnet50@caffe": macs("3.8") + errors("24.7", "7.8", ONE_CROP, source=RELEASED),
    "resnet101@caffe": errors("23.6", "7.1", ONE_CROP, source=RELEASED),
    "resnet152@caffe": errors("23.0", "6.7", ONE_CROP, source=RELEASED),
}
STRIDE = Departure(
    "stride of a bottleneck",
    paper="in the first 1x1 convolution (as the released models have it)",
    here="in the 3x3 convolution",
    why="what fb.resnet.torch, torchvision and timm deploy: same parameters, 231 M more multiply-adds",
)
FAN_OUT = Departure(
    "initialisation",
    paper="He's rule with the inputs of a unit (1502.01852, equation 10)",
    here="with its outputs (equation 14)",
    why="torchvision's",
)
CONV1_BIAS = Departure(
    "bias of conv1",
    paper="no bias before batch norm",
    here="64 biases",
    why="the released ResNet-50-deploy.prototxt has them; ResNet-101 and 152 do not",
)
CAFFE_POOL = Departure(
    "pool1",
    paper="3x3, stride 2, to 56 x 56; the padding is not stated",
    here="unpadded, the size rounded up",
    why="Caffe's rule, with which the released weights were trained; elsewhere it is padded by 1 and rounded down",
)
KERAS = (
    Departure("biases", "none before batch norm", "every convolution has one", "Keras"),
    Departure("initialisation", "He's rule", "Glorot's, uniform", "Keras's default"),
)
STATISTICS = Departure(
    "batch-norm statistics",
    paper="the released models hold plain averages over a large batch",
    here="moving averages, momentum 0.1",
    why="torch's rule; both estimate the same quantity",
)
DESCRIPTIONS = {
    "none": "without shortcuts: the baseline of the residual network",
    "A": "shortcut A: identities, padded with zeros where the width grows",
    "B": "shortcut B: projections where the shape changes, identities elsewhere",
    "C": "shortcut C: every shortcut a projection",
}
HE = "He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 3.4 refers to 1502.01852)"


def card(
    name: str, depth: int, shortcut: str, *departures: Departure, note: str = "", initialisation: str = HE
) -> Card:
    return Card(
        paper=PAPER,
        summary=f"{depth} layers, {note or DESCRIPTIONS[shortcut]}",
        initialisation=initialisation,
        figures=FIGURES.get(name, ()),
        departures=(*departures, STATISTICS),
        unstated=(
            "the initialisation of the last layer: He's rule like the others",
            *(("where option A puts the zero maps: half before, half after the input's",) if shortcut == "A" else ()),
        ),
    )


def network(name: str, depth: int, shortcut: str) -> Network:
    # below 17 pixels the input of conv5_x, which has stride 2, would be a single pixel
    return Network(name, partial(ResNet, depth, shortcut), card(name, depth, shortcut), smallest_size=17)


def torchvision(depth: int) -> Network:
    name, bottleneck = f"resnet{depth}@torchvision", depth in BOTTLENECK
    build = partial(ResNet, depth, stride_in_3x3=bottleneck, initialise=initialise_as_torchvision)
    record = card(
        name,
        depth,
        "B",
        *((STRIDE,) if bottleneck else ()),
        FAN_OUT,
        note=f"as torchvision deploys it{': the stride in the 3x3 convolution (v1.5)' if bottleneck else ''}",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer torch's default",
    )
    return Network(name, build, record, smallest_size=17)


def caffe(depth: int) -> Network:
    name = f"resnet{depth}@caffe"
    build = partial(ResNet, depth, biases="conv1" if depth == 50 else "none", pool_rounds_up=True)
    departures = (CONV1_BIAS, CAFFE_POOL) if depth == 50 else (CAFFE_POOL,)
    record = card(name, depth, "B", *departures, note="as the authors released it in Caffe")
    return Network(name, build, record, smallest_size=19)  # pool1 is unpadded


def keras(depth: int) -> Network:
    name = f"resnet{depth}@keras"
    build = partial(ResNet, depth, biases="all", initialise=glorot_)
    note = "as Keras deploys it: a bias in every convolution"
    record = card(name, depth, "B", *KERAS, note=note, initialisation="Glorot, uniform; biases 0 (Keras's default)")
    return Network(name, build, record, smallest_size=17)


NETWORKS = (
    network("plain18", 18, "none"),
    network("plain34", 34, "none"),
    network("resnet18_a", 18, "A"),
    network("resnet18", 18, "B"),
    network("resnet34_a", 34, "A"),
    network("resnet34", 34, "B"),
    network("resnet34_c", 34, "C"),
    network("resnet50", 50, "B"),
    network("resnet101", 101, "B"),
    network("resnet152", 152, "B"),
    *(torchvision(depth) for depth in (18, 34, 50, 101, 152)),
    *(caffe(depth) for depth in BOTTLENECK),
    *(keras(depth) for depth in BOTTLENECK),
)
