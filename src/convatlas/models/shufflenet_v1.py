"""ShuffleNet. Zhang, Zhou, Lin and Sun, CVPR 2018. Read: the authors' repository (megvii-model/ShuffleNet-Series);
Table 1 and Figure 2 of arXiv:1707.01083 are recalled.

ShuffleNet 1x with 3 groups on a 224 x 224 image; shapes are (C, H, W).
    layer      what it is                              output         params
    conv1      3x3-24, stride 2                  24 x 112 x 112          696
    maxpool    3x3, stride 2                     24 x  56 x  56            0
    stage2     4 units                          240 x  28 x  28       39,552
    stage3     8 units                          480 x  14 x  14      307,680
    stage4     4 units                          960 x   7 x   7      556,800
    fc         average pool, fc-1000                  1000           960,000    total 1,864,728
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_
from convatlas.models.mobile_blocks import TORCH, ConvNormAct
from convatlas.models.shufflenet_v2 import shuffled

# Table 1: units of stages 2 to 4
UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
# groups and width -> channels of conv1 and of the stages
CHANNELS = {
    (3, "0_5"): (12, 120, 240, 480),
    (3, "1_0"): (24, 240, 480, 960),
    (3, "1_5"): (24, 360, 720, 1440),
    (3, "2_0"): (48, 480, 960, 1920),
    (8, "0_5"): (16, 192, 384, 768),
    (8, "1_0"): (24, 384, 768, 1536),
    (8, "1_5"): (24, 576, 1152, 2304),
    (8, "2_0"): (48, 768, 1536, 3072),
}
BOTTLENECK = 4  # a unit convolves a quarter of its output channels

Conv = partial(ConvNormAct, deployment=TORCH)


class Unit(Residual):
    """1x1 in groups, channels shuffled, depthwise 3x3, 1x1 in groups (Figure 2, b); the input is added.

    With stride 2 the input is averaged and concatenated instead (Figure 2, c).

    Args:
        groups: of both 1x1 convolutions.
        first_groups: of the first one; 1 in the first unit of stage 2, whose input has few channels (Table 1).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int, first_groups: int) -> None:
        super().__init__()
        inner = out_channels // BOTTLENECK
        new = out_channels - in_channels if stride > 1 else out_channels
        linear = partial(Conv, activation=nn.Identity)
        self.groups = groups
        self.pointwise1 = Conv(in_channels, inner, 1, groups=first_groups)
        self.depthwise = linear(inner, inner, 3, stride, inner)
        self.pointwise2 = linear(inner, new, 1, groups=groups)
        self.avgpool: nn.Module | None = None
        if stride > 1:
            self.avgpool = nn.AvgPool2d(kernel_size=3, stride=2, padding=1)

    @property
    def branch_end(self) -> nn.Module | None:
        """The last norm of the residual branch; a unit that concatenates has none."""
        return self.pointwise2.bn if self.avgpool is None else None

    def forward(self, x: Tensor) -> Tensor:
        if self.avgpool is None and self.skips_branch():
            return F.relu(x)
        y = self.depthwise(shuffled(self.pointwise1(x), self.groups))
        y = self.pointwise2(y)
        if self.avgpool is None:
            return F.relu(x + self.rescaled(y))
        return torch.cat([self.avgpool(x), F.relu(y)], dim=1)


class ShuffleNet(Classifier):
    """One convolution, max pooling, three stages of units, average pooling, one linear layer.

    Args:
        groups: 3 or 8.
        width: "0_5", "1_0", "1_5", "2_0".
    """

    def __init__(
        self, groups: int, width: str, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels, *stages = CHANNELS[groups, width]
        self.conv1 = Conv(in_channels, channels, 3, stride=2)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for (name, units), out in zip(UNITS.items(), stages, strict=True):
            stage = nn.Sequential()
            for number in range(units):
                first = 1 if name == "stage2" and number == 0 else groups
                stage.append(Unit(channels, out, 2 if number == 0 else 1, groups, first))
                channels = out
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes, bias=False)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.maxpool(self.conv1(images))  # (N, 24, 56, 56)
        for name in UNITS:
            x = self.get_submodule(name)(x)  # stage4 of 1x with 3 groups: (N, 960, 7, 7)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 960)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Zhang", "Zhou", "Lin", "Sun"),
    title="ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
    venue="CVPR 2018",
    year=2017,
    arxiv="1707.01083",
    read="megvii-model/ShuffleNet-Series: README and ShuffleNetV1",
)
README = "megvii-model/ShuffleNet-Series README"
# million multiply-adds, million parameters, top-1 and top-5 error
TABLE = {
    (3, "0_5"): ("38", "0.7", "42.7", "20.0"),
    (3, "1_0"): ("138", "1.9", "32.2", "12.3"),
    (3, "1_5"): ("292", "3.4", "28.4", "9.8"),
    (3, "2_0"): ("524", "5.4", "25.9", "8.6"),
    (8, "0_5"): ("40", "1.0", "41.2", "19.0"),
    (8, "1_0"): ("138", "2.4", "32.0", "13.6"),
    (8, "1_5"): ("290", "4.3", "29.0", "10.4"),
    (8, "2_0"): ("522", "6.5", "27.1", "9.2"),
}
DIFFER = {(3, "1_0"): "137.46 M in convolutions and the linear layer; what else the README counts is not stated"}


def network(groups: int, width: str) -> Network:
    macs, params, top1, top5 = TABLE[groups, width]
    record = Card(
        paper=PAPER,
        summary=f"width {width.replace('_', '.')}x, 1x1 convolutions in {groups} groups, channels shuffled",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (assumed; the paper does not say)",
        figures=(
            Figure("macs", macs, unit=1_000_000, source=README, explanation=DIFFER.get((groups, width), "")),
            Figure("params", params, unit=1_000_000, source=README),
            *errors(top1, top5, "ILSVRC-2012 val, centre crop", source=README),
        ),
        unstated=("the initialisation: He's rule", "biases of the last layer: none, as in the released code"),
    )
    return Network(f"shufflenet_v1_x{width}_g{groups}", partial(ShuffleNet, groups, width), record, smallest_size=17)


NETWORKS = tuple(network(*key) for key in TABLE)
