"""EfficientNetV2. Tan and Le, ICML 2021. Read: the authors' repository (google/automl), efficientnetv2/README.md,
effnetv2_configs.py and effnetv2_model.py; Table 4 of arXiv:2104.00298 is in the configurations.

EfficientNetV2-S on a 384 x 384 image; shapes are (C, H, W).
    layer    blocks                                              output              params
    stem     3x3, stride 2                               24 x 192 x 192                 696
    stage1   2 fused, not expanded, 3x3                  24 x 192 x 192              10,464
    stage2   4 fused, 3x3                                48 x  96 x  96             303,552
    stage3   4 fused, 3x3                                64 x  48 x  48             589,184
    stage4   6 blocks, 3x3, squeeze-and-excitation      128 x  24 x  24             917,680
    stage5   9 blocks, 3x3, squeeze-and-excitation      160 x  24 x  24           3,463,840
    stage6   15 blocks, 3x3, squeeze-and-excitation     256 x  12 x  12          14,561,832
    head     1x1                                      1,280 x  12 x  12             330,240
    fc       average pool, fc-1000                            1000            1,281,000    total 21,458,488

A fused block has one 3x3 convolution in the place of the 1x1 that expands and the depthwise 3x3 (Figure 2).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.efficientnet import RELEASED_RULE, UNSTATED, initialise_as_released
from convatlas.models.mobile_blocks import (
    TENSORFLOW,
    TORCH,
    ConvNormAct,
    Deployment,
    InvertedResidual,
    SqueezeExcitation,
)

# Table 4 for S: fused?, expansion, channels, number of blocks, stride of the first
Stages = tuple[tuple[bool, int, int, int, int], ...]
HEAD = 1280
SMALL: Stages = (
    (True, 1, 24, 2, 1), (True, 4, 48, 4, 2), (True, 4, 64, 4, 2),
    (False, 4, 128, 6, 2), (False, 6, 160, 9, 1), (False, 6, 256, 15, 2),
)  # fmt: skip
MEDIUM: Stages = (
    (True, 1, 24, 3, 1), (True, 4, 48, 5, 2), (True, 4, 80, 5, 2),
    (False, 4, 160, 7, 2), (False, 6, 176, 14, 1), (False, 6, 304, 18, 2), (False, 6, 512, 5, 1),
)  # fmt: skip
LARGE: Stages = (
    (True, 1, 32, 4, 1), (True, 4, 64, 7, 2), (True, 4, 96, 7, 2),
    (False, 4, 192, 10, 2), (False, 6, 224, 19, 1), (False, 6, 384, 25, 2), (False, 6, 640, 7, 1),
)  # fmt: skip
# stages, side of the images in evaluation, dropout
NETS = {"s": (SMALL, 384, 0.2), "m": (MEDIUM, 480, 0.3), "l": (LARGE, 480, 0.4)}


class FusedInvertedResidual(Residual):
    """A 3x3 convolution to ``expanded`` channels and a 1x1 without activation; without expansion one 3x3 (Figure 2).

    With stride 1 and the same number of channels the input is added.
    """

    __jit_unused_properties__ = ("branch_end",)

    def __init__(
        self, in_channels: int, expanded: int, out_channels: int, stride: int, deployment: Deployment = TENSORFLOW
    ) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        expands = expanded != in_channels
        self.fused = ConvNormAct(
            in_channels, expanded if expands else out_channels, 3, stride, activation=nn.SiLU, deployment=deployment
        )
        self.project: nn.Module = nn.Identity()
        if expands:
            self.project = ConvNormAct(expanded, out_channels, 1, activation=nn.Identity, deployment=deployment)
        self.expands = expands

    @property
    def branch_end(self) -> nn.Module | None:
        """The last norm of the residual branch; a block without shortcut has none, nor one that ends in SiLU."""
        end = self.project if self.expands else self.fused
        return end.bn if self.has_shortcut and isinstance(end, ConvNormAct) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.has_shortcut and self.skips_branch():
            return x
        y = self.project(self.fused(x))
        return x + self.rescaled(y) if self.has_shortcut else y


class EfficientNetV2(Classifier):
    """Fused inverted residuals, then inverted residuals with squeeze-and-excitation; SiLU everywhere.

    Args:
        net: "s", "m" or "l".
    """

    def __init__(
        self,
        net: str,
        deployment: Deployment = TENSORFLOW,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 384,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        stages, _, dropout = NETS[net]
        squeeze = partial(SqueezeExcitation, activation=nn.SiLU)
        conv = partial(ConvNormAct, activation=nn.SiLU, deployment=deployment)
        channels = stages[0][2]
        self.stem = conv(in_channels, channels, 3, stride=2)
        self.stages = len(stages)
        for number, (fused, expansion, out, blocks, first) in enumerate(stages, start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                stride, expanded = (first if block == 0 else 1), expansion * channels
                if fused:
                    stage.append(FusedInvertedResidual(channels, expanded, out, stride, deployment))
                else:  # squeezed to a quarter of the block's input
                    squeezed = channels // 4
                    stage.append(
                        InvertedResidual(
                            channels, expanded, out, 3, stride, squeezed, nn.SiLU, squeeze, deployment=deployment
                        )
                    )
                channels = out
            self.add_module(f"stage{number}", stage)
        self.head = conv(channels, HEAD, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(HEAD, num_classes)
        initialise_as_released(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 384, 384) for S
        self.check(images)
        x = self.stem(images)  # (N, 24, 192, 192)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"stage{number}")(x)  # the last of S: (N, 256, 12, 12)
        x = torch.flatten(self.avgpool(self.head(x)), start_dim=1)  # (N, 1280)
        return self.fc(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Tan", "Le"),
    title="EfficientNetV2: Smaller Models and Faster Training",
    venue="ICML 2021",
    year=2021,
    arxiv="2104.00298",
    read="google/automl, efficientnetv2: README, effnetv2_configs.py and effnetv2_model.py",
)
README = "google/automl, efficientnetv2/README.md"
# million parameters, billion multiply-adds, top-1 error (100 minus the printed accuracy)
TABLE = {"s": ("21.5", "8.4", "16.1"), "m": ("54.1", "24.7", "14.8"), "l": ("119.5", "56.3", "14.3")}
DIFFER = {
    "119.5": "118.5 M, as torchvision and timm count them too; how the README counts is not stated",
    "24.7": "24.58 billion in convolutions and the linear layer; how the README counts is not stated",
    "56.3": "56.08 billion in convolutions and the linear layer; how the README counts is not stated",
}
PADDING = Departure(
    "padding",
    paper="TensorFlow's 'same' (released code)",
    here="the same number of pixels on every side",
    why="torchvision's; other windows in the five layers with stride 2",
)


def network(net: str) -> Network:
    params, macs, top1 = TABLE[net]
    size = NETS[net][1]
    record = Card(
        paper=PAPER,
        summary=f"fused blocks first, found by a search for training time; {size} x {size} images",
        initialisation=RELEASED_RULE,
        figures=(
            Figure("params", params, unit=1_000_000, source=README, explanation=DIFFER.get(params, "")),
            Figure("macs", macs, unit=1_000_000_000, source=README, explanation=DIFFER.get(macs, "")),
            *errors(top1, "", "ILSVRC-2012 val, one crop", source=README),
        ),
        unstated=UNSTATED,
    )
    return Network(f"efficientnet_v2_{net}", partial(EfficientNetV2, net), record, (3, size, size), smallest_size=17)


def torchvision(net: str) -> Network:
    size = NETS[net][1]
    record = Card(
        paper=PAPER,
        summary="as torchvision deploys it: padded on every side",
        initialisation=RELEASED_RULE,
        departures=(PADDING,),
    )
    build = partial(EfficientNetV2, net, TORCH._replace(epsilon=1e-3))
    return Network(f"efficientnet_v2_{net}@torchvision", build, record, (3, size, size), smallest_size=17)


NETWORKS = (*(network(net) for net in TABLE), *(torchvision(net) for net in TABLE))
