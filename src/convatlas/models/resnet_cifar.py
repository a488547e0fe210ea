"""CIFAR residual and plain networks. He, Zhang, Ren and Sun, CVPR 2016. Read: arXiv:1512.03385, section 4.2.

Depth 6n + 2 on a 32 x 32 image; shapes are (C, H, W), parameters of ResNet-20 (n = 3).
    stage    layers                 output          params
    conv1    conv3-16               16 x 32 x 32       464
    stage1   2n x conv3-16          16 x 32 x 32    14,016
    stage2   2n x conv3-32          32 x 16 x 16    51,072
    stage3   2n x conv3-64          64 x  8 x  8   203,520
    head     average pool, fc-10               10       650    total 269,722

Shortcuts are identities everywhere ("option A"), so a residual network has exactly the parameters of the plain one.

The untrained network of 1,202 layers cannot be evaluated: with the initial running statistics of batch norm each of its
600 blocks doubles the second moment, and 2^600 overflows float32.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.initialisation import he_
from convatlas.models.resnet import BasicBlock, stage

RESIDUAL_DEPTHS = (20, 32, 44, 56, 110, 1202)
PLAIN_DEPTHS = (20, 32, 44, 56, 110)
PROJECTED_DEPTHS = (20, 32, 44, 56)


class CifarResNet(Classifier):
    """``depth`` = 6n + 2 weighted layers: one convolution, three stages of n blocks, one fully connected layer.

    Args:
        shortcut: "A" for the residual network, "none" for the plain one, "B" as many reimplementations have it.
    """

    def __init__(
        self, depth: int, shortcut: str, num_classes: int = 10, in_channels: int = 3, image_size: int = 32
    ) -> None:
        super().__init__()
        n, rest = divmod(depth - 2, 6)
        assert rest == 0, "the depth is 6n + 2"
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        block = partial(BasicBlock, shortcut=shortcut)
        self.stage1, _ = stage(block, 16, 16, n, stride=1)
        self.stage2, _ = stage(block, 16, 32, n, stride=2)
        self.stage3, _ = stage(block, 32, 64, n, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x = F.relu(self.bn1(self.conv1(images)))  # (N, 16, 32, 32)
        x = self.stage1(x)  # (N, 16, 32, 32)
        x = self.stage2(x)  # (N, 32, 16, 16)
        x = self.stage3(x)  # (N, 64, 8, 8)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 64)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("He", "Zhang", "Ren", "Sun"),
    title="Deep Residual Learning for Image Recognition (section 4.2)",
    venue="CVPR 2016",
    year=2015,
    arxiv="1512.03385",
    read="arXiv:1512.03385, section 4.2 and Table 6",
)

# Table 6: depth, parameters in millions, test error
TABLE_6 = {
    20: ("0.27", "8.75"),
    32: ("0.46", "7.51"),
    44: ("0.66", "7.17"),
    56: ("0.85", "6.97"),
    110: ("1.7", "6.43"),
    1202: ("19.4", "7.93"),
}


def residual_card(depth: int) -> Card:
    params, error = TABLE_6[depth]
    return Card(
        paper=PAPER,
        summary=f"{depth} layers (n = {(depth - 2) // 6}) with identity shortcuts (option A), for 32 x 32 images",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
        figures=(
            Figure("params", params, unit=1_000_000, where="Table 6"),
            Figure(
                "error",
                error,
                where="Table 6",
                protocol="CIFAR-10 test, flip and shift augmentation" + (", best of 5 runs" if depth == 110 else ""),
            ),
        ),
        unstated=("the initialisation of the last layer: He's rule like the others",),
    )


def plain_card(depth: int) -> Card:
    return Card(
        paper=PAPER,
        summary=f"{depth} layers (n = {(depth - 2) // 6}) without shortcuts: the baseline of the residual network",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
        unstated=("the initialisation of the last layer: He's rule like the others",),
    )


def projected_card(depth: int) -> Card:
    return Card(
        paper=PAPER,
        summary=f"{depth} layers (n = {(depth - 2) // 6}) with shortcut B, as many reimplementations have it",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
        departures=(
            Departure(
                "shortcuts",
                paper='identities everywhere, padded with zeros where the width grows ("option A")',
                here='1x1 convolutions with batch norm where the width grows ("option B")',
                why="what chenyaofo/pytorch-cifar-models and others deploy: 2,752 parameters more",
            ),
        ),
    )


# below 3 x 3 the input of the third stage, which has stride 2, would be a single pixel
NETWORKS = (
    tuple(
        Network(f"resnet{depth}_cifar", partial(CifarResNet, depth, "A"), residual_card(depth), (3, 32, 32), 10, 3)
        for depth in RESIDUAL_DEPTHS
    )
    + tuple(
        Network(f"plain{depth}_cifar", partial(CifarResNet, depth, "none"), plain_card(depth), (3, 32, 32), 10, 3)
        for depth in PLAIN_DEPTHS
    )
    + tuple(
        Network(
            f"resnet{depth}_cifar@projected",
            partial(CifarResNet, depth, "B"),
            projected_card(depth),
            (3, 32, 32),
            10,
            3,
        )
        for depth in PROJECTED_DEPTHS
    )
)
