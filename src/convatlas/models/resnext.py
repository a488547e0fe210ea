"""ResNeXt. Xie, Girshick, Dollar, Tu and He, CVPR 2017. Read: the authors' repository (facebookresearch/ResNeXt);
Table 1 of arXiv:1611.05431 is recalled.

ResNeXt-50 (32x4d) on a 224 x 224 image; shapes are (C, H, W). 3x3/32 is a convolution in 32 groups.
    stage      layers                                                output             params
    conv1      conv7-64, stride 2, BN; max pool 3x3, stride 2    64 x  56 x  56          9,536
    conv2_x    3 x (conv1-128, conv3-128/32, conv1-256)         256 x  56 x  56        205,824
    conv3_x    4 x (conv1-256, conv3-256/32, conv1-512)         512 x  28 x  28      1,197,056
    conv4_x    6 x (conv1-512, conv3-512/32, conv1-1024)      1,024 x  14 x  14      7,022,592
    conv5_x    3 x (conv1-1024, conv3-1024/32, conv1-2048)    2,048 x   7 x   7     14,544,896
    head       average pool, fc-1000                                   1000          2,049,000    total 25,028,904
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he_by_fan_out
from convatlas.models.mobile_blocks import SqueezeExcitation
from convatlas.models.resnet import ResNet, make_shortcut, stage

BLOCKS_CIFAR = 3  # in each of the three stages: 9 * 3 + 2 = 29 layers


class AggregatedBottleneck(Residual):
    """ResNet's bottleneck with a 3x3 in groups (Figure 3, c), and the stride in the 3x3.

    Args:
        channels: of ResNet's bottleneck: 64, 128, 256, 512.
        cardinality: number of groups.
        width: channels of one group in conv2_x, 4 of "32x4d"; twice as many in each later stage.
        reduction: of squeeze-and-excitation before the addition (Hu et al., arXiv:1709.01507); 0 is none.
        stride_in_3x3: False has the stride in the first 1x1, as ResNet's paper.
    """

    __jit_unused_properties__ = ("branch_end",)

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        cardinality: int = 1,
        width: int = 64,
        reduction: int = 0,
        stride_in_3x3: bool = True,
    ) -> None:
        super().__init__()
        inner, out_channels = cardinality * channels * width // 64, channels * self.expansion
        first, second = (1, stride) if stride_in_3x3 else (stride, 1)
        self.conv1 = nn.Conv2d(in_channels, inner, kernel_size=1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=second, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se: nn.Module = nn.Identity()
        if reduction:
            self.se = SqueezeExcitation(out_channels, out_channels // reduction)
        shortcut = make_shortcut("B", in_channels, out_channels, stride)
        assert shortcut is not None
        self.shortcut = shortcut

    @property
    def branch_end(self) -> nn.Module:
        """The last norm of the residual branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        if self.skips_branch():
            return F.relu(self.shortcut(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(self.rescaled(y) + self.shortcut(x))


def aggregated(depth: int, **block: Any) -> Callable[..., ResNet]:
    """A ResNet of these blocks; the options are those of `AggregatedBottleneck`."""
    return partial(ResNet, depth, block=partial(AggregatedBottleneck, **block), initialise=initialise_as_released)


def initialise_as_released(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); the last layer as torch leaves it."""
    draw_(net, he_by_fan_out, None)


class ResNeXtCifar(Classifier):
    """One 3x3 convolution, three stages of three blocks, average pooling, one fully connected layer (section 5.2)."""

    def __init__(
        self, cardinality: int, width: int, num_classes: int = 10, in_channels: int = 3, image_size: int = 32
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        block = partial(AggregatedBottleneck, cardinality=cardinality, width=width)
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.stage1, channels = stage(block, 64, 64, BLOCKS_CIFAR, stride=1)
        self.stage2, channels = stage(block, channels, 128, BLOCKS_CIFAR, stride=2)
        self.stage3, channels = stage(block, channels, 256, BLOCKS_CIFAR, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialise_as_released(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x = F.relu(self.bn1(self.conv1(images)))  # (N, 64, 32, 32)
        x = self.stage3(self.stage2(self.stage1(x)))  # (N, 1024, 8, 8)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 1024)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Xie", "Girshick", "Dollár", "Tu", "He"),
    title="Aggregated Residual Transformations for Deep Neural Networks",
    venue="CVPR 2017",
    year=2016,
    arxiv="1611.05431",
    read="facebookresearch/ResNeXt: README and models/resnext.lua; abstract of arXiv:1611.05431",
)
README = "facebookresearch/ResNeXt README"
PROTOCOL = "ILSVRC-2012 val, centre crop, shorter side 256"
ABOUT = 0.2  # the README says "~"
# depth, cardinality, width -> billion multiply-adds (about) and top-1 error of the README
README_TABLE: dict[tuple[int, int, int], tuple[str, str]] = {
    (50, 32, 4): ("4.1", "22.2"),
    (101, 32, 4): ("7.8", "21.2"),
    (101, 64, 4): ("15.6", "20.4"),
    (101, 32, 8): ("", ""),
}
RULE = "Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer torch's default (released code)"


def network(depth: int, cardinality: int, width: int) -> Network:
    macs, top1 = README_TABLE[depth, cardinality, width]
    printed = Figure("macs", macs or "0", 1_000_000_000, source=README, tolerance=ABOUT)
    record = Card(
        paper=PAPER,
        summary=f"{depth} layers, {cardinality} groups of {width} channels in the 3x3 convolutions of conv2_x",
        initialisation=RULE,
        figures=(printed, *errors(top1, "", PROTOCOL, source=README)) if macs else (),
        unstated=("the stride of a bottleneck: in the 3x3, as in the released code",),
    )
    name = f"resnext{depth}_{cardinality}x{width}d"
    return Network(name, aggregated(depth, cardinality=cardinality, width=width), record, smallest_size=17)


TABLE_7 = "CIFAR-10 test, mean of 10 runs"
# cardinality, width -> million parameters and error of Table 7
CIFAR = {(8, 64): ("34.4", "3.65"), (16, 64): ("68.1", "3.58")}
DIFFER = {"68.1": "68.16 M: cut off, not rounded"}
PREACTIVATED = Departure(
    "blocks",
    paper="pre-activated bottlenecks (README of the released code)",
    here="ResNet's bottlenecks, with the activation after the convolution",
    why="the released code, whose README finds them more accurate",
)


def small(cardinality: int, width: int) -> Network:
    params, error = CIFAR[cardinality, width]
    record = Card(
        paper=PAPER,
        summary=f"29 layers, {cardinality} groups of {width} channels in the first stage, for 32 x 32 images",
        initialisation=RULE,
        figures=(
            Figure("params", params, unit=1_000_000, where="Table 7", explanation=DIFFER.get(params, "")),
            Figure("error", error, protocol=TABLE_7, where="Table 7"),
        ),
        departures=(PREACTIVATED,),
        unstated=("the shortcut where the shape changes: B, as in the released code",),
    )
    build = partial(ResNeXtCifar, cardinality, width)
    return Network(f"resnext29_{cardinality}x{width}d_cifar", build, record, (3, 32, 32), 10, 5)


NETWORKS = (*(network(*key) for key in README_TABLE), *(small(*key) for key in CIFAR))
