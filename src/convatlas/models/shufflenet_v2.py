"""ShuffleNet V2. Ma, Zhang, Zheng and Sun, ECCV 2018. Read: the authors' repository (megvii-model/ShuffleNet-Series);
Table 5 and Figure 3 of arXiv:1807.11164 are recalled.

ShuffleNet V2 1x on a 224 x 224 image; shapes are (C, H, W).
    layer      what it is                              output         params
    conv1      3x3-24, stride 2                  24 x 112 x 112          696
    maxpool    3x3, stride 2                     24 x  56 x  56            0
    stage2     4 units                          116 x  28 x  28       30,192
    stage3     8 units                          232 x  14 x  14      244,180
    stage4     4 units                          464 x   7 x   7      501,352
    conv5      1x1                            1,024 x   7 x   7      477,184
    fc         average pool, fc-1000                  1000         1,025,000    total 2,278,604
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_
from convatlas.models.mobile_blocks import TORCH, ConvNormAct

# Table 5: units of stages 2 to 4; output channels of the stages and of conv5 by width
UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
STEM = 24
CHANNELS = {
    "0_5": (48, 96, 192, 1024),
    "1_0": (116, 232, 464, 1024),
    "1_5": (176, 352, 704, 1024),
    "2_0": (244, 488, 976, 2048),
}

Conv = partial(ConvNormAct, deployment=TORCH)


class Unit(nn.Module):
    """One half of the channels passes, the other is convolved; then the halves are interleaved (Figure 3, c).

    With stride 2 both branches read all channels and are convolved (Figure 3, d).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        linear = partial(Conv, activation=nn.Identity)
        branch_in = in_channels if stride > 1 else half
        self.branch1: nn.Module = nn.Identity()
        if stride > 1:
            self.branch1 = nn.Sequential()
            self.branch1.add_module("depthwise", linear(in_channels, in_channels, 3, stride, in_channels))
            self.branch1.add_module("pointwise", Conv(in_channels, half, 1))
        self.branch2 = nn.Sequential()
        self.branch2.add_module("pointwise1", Conv(branch_in, half, 1))
        self.branch2.add_module("depthwise", linear(half, half, 3, stride, half))
        self.branch2.add_module("pointwise2", Conv(half, half, 1))
        self.splits = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        if self.splits:
            passed, convolved = x.chunk(2, dim=1)
        else:
            passed = convolved = x
        return shuffled(torch.cat([self.branch1(passed), self.branch2(convolved)], dim=1))


def shuffled(x: Tensor, groups: int = 2) -> Tensor:
    """The channels of the groups in turn: the first of each, then the second of each."""
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width).transpose(1, 2)
    return x.reshape(batch, channels, height, width)


class ShuffleNetV2(Classifier):
    """One convolution, max pooling, three stages of units, a 1x1 convolution, average pooling, one linear layer.

    Args:
        width: "0_5", "1_0", "1_5", "2_0".
    """

    def __init__(self, width: str, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        *stages, last = CHANNELS[width]
        self.conv1 = Conv(in_channels, STEM, 3, stride=2)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = STEM
        for (name, units), out in zip(UNITS.items(), stages, strict=True):
            stage = nn.Sequential(Unit(channels, out, stride=2), *(Unit(out, out, stride=1) for _ in range(units - 1)))
            self.add_module(name, stage)
            channels = out
        self.conv5 = Conv(channels, last, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.maxpool(self.conv1(images))  # (N, 24, 56, 56)
        for name in UNITS:
            x = self.get_submodule(name)(x)  # stage4 of 1x: (N, 464, 7, 7)
        x = torch.flatten(self.avgpool(self.conv5(x)), start_dim=1)  # (N, 1024)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Ma", "Zhang", "Zheng", "Sun"),
    title="ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
    venue="ECCV 2018",
    year=2018,
    arxiv="1807.11164",
    read="megvii-model/ShuffleNet-Series: README and ShuffleNetV2; introduction of arXiv:1807.11164",
)
README = "megvii-model/ShuffleNet-Series README"
# million multiply-adds, million parameters, top-1 and top-5 error
TABLE = {
    "0_5": ("41", "1.4", "38.9", "17.4"),
    "1_0": ("146", "2.3", "30.6", "11.1"),
    "1_5": ("299", "3.5", "27.4", "9.4"),
    "2_0": ("591", "7.4", "25.0", "7.6"),
}
DIFFER = {
    "41": "40.48 M in convolutions and the linear layer; what else the README counts is not stated",
    "146": "144.9 M in convolutions and the linear layer; what else the README counts is not stated",
    "299": "295.8 M in convolutions and the linear layer; what else the README counts is not stated",
    "591": "583.3 M in convolutions and the linear layer; what else the README counts is not stated",
}


def network(width: str) -> Network:
    macs, params, top1, top5 = TABLE[width]
    record = Card(
        paper=PAPER,
        summary=f"width {width.replace('_', '.')}x: channels split, convolved and shuffled",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (assumed; the paper does not say)",
        figures=(
            Figure("macs", macs, unit=1_000_000, source=README, explanation=DIFFER.get(macs, "")),
            Figure("params", params, unit=1_000_000, source=README),
            *errors(top1, top5, "ILSVRC-2012 val, centre crop", source=README),
        ),
        unstated=("the initialisation: He's rule",),
    )
    return Network(f"shufflenet_v2_x{width}", partial(ShuffleNetV2, width), record, smallest_size=17)


NETWORKS = tuple(network(width) for width in TABLE)
