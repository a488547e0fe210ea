"""Wide residual networks. Zagoruyko and Komodakis, BMVC 2016. Read: the authors' repository
(szagoruyko/wide-residual-networks), models/wide-resnet.lua; figures of arXiv:1605.07146 as quoted there and elsewhere.

WRN-40-4 (depth 6n + 4 with n = 6, k = 4) on a 32 x 32 image; shapes are (C, H, W).
    stage     layers                                          output          params
    conv1     conv3-16                                    16 x 32 x 32           432
    stage1    6 blocks of two 3x3, 16 k wide              64 x 32 x 32       417,184
    stage2    6 blocks of two 3x3, 32 k wide             128 x 16 x 16     1,706,880
    stage3    6 blocks of two 3x3, 64 k wide             256 x  8 x  8     6,821,632
    head      BN, ReLU, average pool, fc-10                       10         3,082    total 8,949,210

Blocks are pre-activated: batch norm and ReLU before each convolution. For ImageNet (WRN-50-2) the authors make the 3x3
of ResNet's bottleneck twice as wide.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_
from convatlas.models.resnext import aggregated


class WideBlock(Residual):
    """BN, ReLU, 3x3, BN, ReLU, (dropout,) 3x3 (Figure 1, c and d).

    Where the width changes, the first norm and ReLU are before the shortcut's 1x1 convolution too.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.projects = in_channels != channels
        self.shortcut: nn.Module = nn.Identity()
        if self.projects:
            self.shortcut = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)

    @property
    def branch_end(self) -> nn.Module:
        """The last layer of the residual branch."""
        return self.conv2

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = self.shortcut(active) if self.projects else x
        if self.skips_branch():
            return shortcut
        y = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(active)))))
        return self.rescaled(y) + shortcut


class WideResNet(Classifier):
    """``depth`` = 6n + 4 layers, ``k`` times as wide as the residual networks of CIFAR."""

    def __init__(
        self,
        depth: int,
        k: int,
        dropout: float = 0.0,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        n, rest = divmod(depth - 4, 6)
        assert rest == 0, "the depth is 6n + 4"
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        channels = 16
        for number, (width, stride) in enumerate(((16 * k, 1), (32 * k, 2), (64 * k, 2)), start=1):
            blocks = [WideBlock(channels, width, stride, dropout)]
            blocks += [WideBlock(width, width, 1, dropout) for _ in range(n - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            channels = width
        self.bn = nn.BatchNorm2d(channels)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x = self.conv1(images)  # (N, 16, 32, 32)
        for number in (1, 2, 3):
            x = self.get_submodule(f"stage{number}")(x)  # stage3: (N, 64 k, 8, 8)
        x = torch.flatten(self.avgpool(F.relu(self.bn(x))), start_dim=1)  # (N, 64 k)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Zagoruyko", "Komodakis"),
    title="Wide Residual Networks",
    venue="BMVC 2016",
    year=2016,
    arxiv="1605.07146",
    read="szagoruyko/wide-residual-networks: README and models/wide-resnet.lua",
)
README = "szagoruyko/wide-residual-networks README"
QUOTED = "quoted by two READMEs of reimplementations"
CIFAR = "CIFAR-10 test, flip and shift augmentation, median of 5 runs"
# depth, k, dropout -> million parameters, error on CIFAR-10, where the error stands
WIDE = {
    (40, 4, 0.0): ("8.9", "4.53", QUOTED),
    (16, 8, 0.0): ("11.0", "4.27", QUOTED),
    (28, 10, 0.0): ("36.5", "4.00", README),
    (28, 10, 0.3): ("36.5", "3.89", README),
}
HE = "He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (released code: MSRinit)"


def cifar(depth: int, k: int, dropout: float) -> Network:
    params, error, source = WIDE[depth, k, dropout]
    regular = f", dropout {dropout:g} in the blocks" if dropout else ""
    record = Card(
        paper=PAPER,
        summary=f"WRN-{depth}-{k}: {depth} layers, {k} times as wide as ResNet's for CIFAR{regular}",
        initialisation=HE,
        figures=(
            Figure("params", params, unit=1_000_000, source=QUOTED),
            Figure("error", error, protocol=CIFAR, source=source),
        ),
        unstated=("the initialisation of the last layer: He's rule like the others",),
    )
    name = f"wide_resnet{depth}_{k}_cifar" + ("_dropout" if dropout else "")
    # below 3 x 3 the input of the third stage, which has stride 2, would be a single pixel
    return Network(name, partial(WideResNet, depth, k, dropout), record, (3, 32, 32), 10, 3)


def imagenet(depth: int) -> Network:
    figures = errors("21.9", "5.79", "ILSVRC-2012 val, single crop", source=README) if depth == 50 else ()
    record = Card(
        paper=PAPER,
        summary=f"WRN-{depth}-2: ResNet-{depth} with 3x3 convolutions of twice the width",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer torch's default",
        figures=figures,
        unstated=("the stride of a bottleneck: in the 3x3, as in fb.resnet.torch, which the authors used",),
    )
    return Network(f"wide_resnet{depth}_2", aggregated(depth, width=128), record, smallest_size=17)


NETWORKS = (*(cifar(*key) for key in WIDE), imagenet(50), imagenet(101))
