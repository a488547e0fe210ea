"""RegNet. Radosavovic, Kosaraju, Girshick, He and Dollar, CVPR 2020. Read: the authors' repository
(facebookresearch/pycls), MODEL_ZOO.md; the parameters of arXiv:2003.13678, appendix, are recalled.

RegNetY-400MF on a 224 x 224 image; shapes are (C, H, W).
    layer     blocks                      output          params
    stem      3x3-32, stride 2      32 x 112 x 112           928
    stage1    1 block               48 x  56 x  56        10,040
    stage2    3 blocks             104 x  28 x  28        102,296
    stage3    6 blocks             208 x  14 x  14       737,438
    stage4    6 blocks             440 x   7 x   7     3,052,442
    fc        average pool, fc-1000      1000            441,000    total 4,344,144

The widths of the blocks lie on a line, u_j = w_0 + w_a j, and are rounded to powers of w_m times w_0 and to multiples
of 8 (section 3.3). A stage is a run of blocks of one width.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, gaussian, he_by_fan_out
from convatlas.models.mobile_blocks import TORCH, ConvNormAct, SqueezeExcitation


class Line(NamedTuple):
    """The parameters of one network; ``squeezes`` is RegNetY."""

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group: int  # channels of a group
    squeezes: bool = False


STEM = 32
# depth, w_0, w_a, w_m, group width
NETS = {
    "x_200mf": Line(13, 24, 36.44, 2.49, 8),
    "x_400mf": Line(22, 24, 24.48, 2.54, 16),
    "x_600mf": Line(16, 48, 36.97, 2.24, 24),
    "x_800mf": Line(16, 56, 35.73, 2.28, 16),
    "x_1_6gf": Line(18, 80, 34.01, 2.25, 24),
    "x_3_2gf": Line(25, 88, 26.31, 2.25, 48),
    "x_4_0gf": Line(23, 96, 38.65, 2.43, 40),
    "x_6_4gf": Line(17, 184, 60.83, 2.07, 56),
    "x_8_0gf": Line(23, 80, 49.56, 2.88, 120),
    "x_12gf": Line(19, 168, 73.36, 2.37, 112),
    "x_16gf": Line(22, 216, 55.59, 2.1, 128),
    "x_32gf": Line(23, 320, 69.86, 2.0, 168),
    "y_200mf": Line(13, 24, 36.44, 2.49, 8, True),
    "y_400mf": Line(16, 48, 27.89, 2.09, 8, True),
    "y_600mf": Line(15, 48, 32.54, 2.32, 16, True),
    "y_800mf": Line(14, 56, 38.84, 2.4, 16, True),
    "y_1_6gf": Line(27, 48, 20.71, 2.65, 24, True),
    "y_3_2gf": Line(21, 80, 42.63, 2.66, 24, True),
    "y_4_0gf": Line(22, 96, 31.41, 2.24, 64, True),
    "y_6_4gf": Line(25, 112, 33.22, 2.27, 72, True),
    "y_8_0gf": Line(17, 192, 76.82, 2.19, 56, True),
    "y_12gf": Line(19, 168, 73.36, 2.37, 112, True),
    "y_16gf": Line(18, 200, 106.23, 2.48, 112, True),
    "y_32gf": Line(20, 232, 115.89, 2.53, 232, True),
}


def stages_of(line: Line, half_up: bool = False) -> list[tuple[int, int, int]]:
    """(width, blocks, channels of a group) of each stage, by equations 2 to 4.

    Args:
        half_up: torchvision's rounding: 24.5 groups become 25, and no width shrinks by more than 10 %; in the released
            code 24.5 groups become 24.
    """
    widths = []
    for j in range(line.depth):
        u = line.w_0 + line.w_a * j
        power = round(math.log(u / line.w_0) / math.log(line.w_m))
        widths.append(round(line.w_0 * line.w_m**power / 8) * 8)
    runs = [(width, len(list(run))) for width, run in itertools.groupby(widths)]
    stages = []
    for width, blocks in runs:
        group = min(line.group, width)
        groups = math.floor(width / group + 0.5) if half_up else round(width / group)  # a whole number
        if half_up and groups * group < 0.9 * width:
            groups += 1
        stages.append((groups * group, blocks, group))
    return stages


class RegNetBlock(Residual):
    """1x1, 3x3 in groups, (squeeze-and-excitation,) 1x1, all of one width (Figure 13); projected where it strides."""

    __jit_unused_properties__ = ("branch_end",)

    def __init__(self, in_channels: int, width: int, stride: int, group: int, squeezes: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=width // group, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se: nn.Module = nn.Identity()
        if squeezes:  # to a quarter of the block's input
            self.se = SqueezeExcitation(width, round(0.25 * in_channels))
        self.conv3 = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != width:
            self.shortcut = ConvNormAct(in_channels, width, 1, stride, activation=nn.Identity, deployment=TORCH)

    @property
    def branch_end(self) -> nn.Module:
        """The last norm of the residual branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        if self.skips_branch():
            return F.relu(self.shortcut(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.se(y)))
        return F.relu(self.rescaled(y) + self.shortcut(x))


class RegNet(Classifier):
    """A 3x3 convolution, four stages that halve the map, average pooling, one fully connected layer."""

    def __init__(
        self,
        net: str,
        half_up: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        line = NETS[net]
        self.stem = ConvNormAct(in_channels, STEM, 3, stride=2, deployment=TORCH)
        channels = STEM
        self.stages = 0
        for width, blocks, group in stages_of(line, half_up):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(RegNetBlock(channels, width, 2 if block == 0 else 1, group, line.squeezes))
                channels = width
            self.stages += 1
            self.add_module(f"stage{self.stages}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        draw_(self, he_by_fan_out, gaussian(0.01))

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stem(images)  # (N, 32, 112, 112)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"stage{number}")(x)  # the fourth: (N, C, 7, 7)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, C)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Radosavovic", "Kosaraju", "Girshick", "He", "Dollár"),
    title="Designing Network Design Spaces",
    venue="CVPR 2020",
    year=2020,
    arxiv="2003.13678",
    read="facebookresearch/pycls, MODEL_ZOO.md",
)
ZOO = "facebookresearch/pycls, MODEL_ZOO.md"
# billion multiply-adds, million parameters, top-1 error
TABLE = {
    "x_200mf": ("0.2", "2.7", "31.1"),
    "x_400mf": ("0.4", "5.2", "27.3"),
    "x_600mf": ("0.6", "6.2", "25.9"),
    "x_800mf": ("0.8", "7.3", "24.8"),
    "x_1_6gf": ("1.6", "9.2", "23.0"),
    "x_3_2gf": ("3.2", "15.3", "21.7"),
    "x_4_0gf": ("4.0", "22.1", "21.4"),
    "x_6_4gf": ("6.5", "26.2", "20.8"),
    "x_8_0gf": ("8.0", "39.6", "20.7"),
    "x_12gf": ("12.1", "46.1", "20.3"),
    "x_16gf": ("15.9", "54.3", "20.0"),
    "x_32gf": ("31.7", "107.8", "19.5"),
    "y_200mf": ("0.2", "3.2", "29.6"),
    "y_400mf": ("0.4", "4.3", "25.9"),
    "y_600mf": ("0.6", "6.1", "24.5"),
    "y_800mf": ("0.8", "6.3", "23.7"),
    "y_1_6gf": ("1.6", "11.2", "22.0"),
    "y_3_2gf": ("3.2", "19.4", "21.0"),
    "y_4_0gf": ("4.0", "20.6", "20.6"),
    "y_6_4gf": ("6.4", "30.6", "20.1"),
    "y_8_0gf": ("8.0", "39.2", "20.1"),
    "y_12gf": ("12.1", "51.8", "19.7"),
    "y_16gf": ("15.9", "83.6", "19.6"),
    "y_32gf": ("32.3", "145.0", "19.0"),
}


def network(net: str) -> Network:
    macs, params, top1 = TABLE[net]
    line = NETS[net]
    space = "RegNetY: with squeeze-and-excitation" if line.squeezes else "RegNetX"
    record = Card(
        paper=PAPER,
        summary=f"{space}, {macs} billion multiply-adds: w_0 {line.w_0}, w_a {line.w_a:g}, w_m {line.w_m:g}",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer Gaussian 0.01",
        figures=(
            Figure("macs", macs, unit=1_000_000_000, source=ZOO),
            Figure("params", params, unit=1_000_000, source=ZOO),
            *errors(top1, "", "ILSVRC-2012 val, centre crop, mean of 5 runs", source=ZOO),
        ),
        unstated=("biases of squeeze-and-excitation: they are there, as in the released code",),
    )
    return Network(f"regnet_{net}", partial(RegNet, net), record, smallest_size=17)


def torchvision(net: str) -> Network:
    ours, theirs = (" ".join(str(width) for width, _, _ in stages_of(NETS[net], up)) for up in (False, True))
    widths = Departure(
        "widths",
        paper=f"{ours}: a whole number of groups, the nearest to the width; halfway the even one (released code)",
        here=f"{theirs}: halfway the larger one, and also where the nearest is more than 10 % narrower",
        why="torchvision's rounding; other shapes, so its weights fit this network only",
    )
    record = Card(
        paper=PAPER,
        summary="as torchvision deploys it: one or two wider stages",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer Gaussian 0.01",
        departures=(widths,),
    )
    return Network(f"regnet_{net}@torchvision", partial(RegNet, net, half_up=True), record, smallest_size=17)


NETWORKS = (*(network(net) for net in TABLE), torchvision("x_400mf"), torchvision("y_800mf"), torchvision("y_8_0gf"))
