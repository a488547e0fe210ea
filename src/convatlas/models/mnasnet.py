"""MnasNet. Tan, Chen, Pang, Vasudevan, Sandler, Howard and Le, CVPR 2019. Read: the authors' released table
(tensorflow/tpu, models/official/mnasnet, README); Figure 7 of arXiv:1807.11626 is recalled.

MnasNet-A1 on a 224 x 224 image; shapes are (C, H, W).
    layer    blocks                                              output           params
    stem     3x3, stride 2                                 32 x 112 x 112            928
    stage1   1 block, not expanded                         16 x 112 x 112            896
    stage2   2 blocks, expanded by 6                       24 x  56 x  56         13,968
    stage3   3 blocks, by 3, 5x5, squeeze-and-excitation   40 x  28 x  28         39,098
    stage4   4 blocks, by 6                                80 x  14 x  14        281,680
    stage5   2 blocks, by 6, squeeze-and-excitation       112 x  14 x  14        316,144
    stage6   3 blocks, by 6, 5x5, squeeze-and-excitation  160 x   7 x   7      1,067,244
    stage7   1 block, by 6                                320 x   7 x   7        473,920
    head     1x1                                        1,280 x   7 x   7        412,160
    fc       average pool, fc-1000                              1000           1,281,000    total 3,887,038
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.efficientnet import initialise_as_released
from convatlas.models.mobile_blocks import TENSORFLOW, TORCH, ConvNormAct, Deployment, InvertedResidual


class Stage(NamedTuple):
    """A line of Figure 7."""

    expansion: int
    kernel: int
    channels: int
    blocks: int
    stride: int
    squeezes: bool = False  # to a quarter of the block's input


STEM, HEAD = 32, 1280
NETS = {
    "a1": (
        Stage(1, 3, 16, 1, 1), Stage(6, 3, 24, 2, 2), Stage(3, 5, 40, 3, 2, True), Stage(6, 3, 80, 4, 2),
        Stage(6, 3, 112, 2, 1, True), Stage(6, 5, 160, 3, 2, True), Stage(6, 3, 320, 1, 1),
    ),
    "b1": (
        Stage(1, 3, 16, 1, 1), Stage(3, 3, 24, 3, 2), Stage(3, 5, 40, 3, 2), Stage(6, 5, 80, 3, 2),
        Stage(6, 3, 96, 2, 1), Stage(6, 5, 192, 4, 2), Stage(6, 3, 320, 1, 1),
    ),
}  # fmt: skip


class MnasNet(Classifier):
    """Inverted residuals with ReLU, found by a search for accuracy and latency.

    Args:
        net: "a1" (with squeeze-and-excitation) or "b1".
    """

    def __init__(
        self,
        net: str,
        deployment: Deployment = TENSORFLOW,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = ConvNormAct(in_channels, STEM, 3, stride=2, deployment=deployment)
        channels = STEM
        self.stages = len(NETS[net])
        for number, line in enumerate(NETS[net], start=1):
            stage = nn.Sequential()
            for block in range(line.blocks):
                stage.append(
                    InvertedResidual(
                        channels,
                        line.expansion * channels,
                        line.channels,
                        line.kernel,
                        stride=line.stride if block == 0 else 1,
                        squeezed=channels // 4 if line.squeezes else 0,
                        activation=nn.ReLU,
                        deployment=deployment,
                    )
                )
                channels = line.channels
            self.add_module(f"stage{number}", stage)
        self.head = ConvNormAct(channels, HEAD, 1, deployment=deployment)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(HEAD, num_classes)
        initialise_as_released(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stem(images)  # (N, 32, 112, 112)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"stage{number}")(x)  # stage7: (N, 320, 7, 7)
        x = torch.flatten(self.avgpool(self.head(x)), start_dim=1)  # (N, 1280)
        return self.fc(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Tan", "Chen", "Pang", "Vasudevan", "Sandler", "Howard", "Le"),
    title="MnasNet: Platform-Aware Neural Architecture Search for Mobile",
    venue="CVPR 2019",
    year=2018,
    arxiv="1807.11626",
    read="tensorflow/tpu, models/official/mnasnet, README",
)
README = "tensorflow/tpu, models/official/mnasnet, README"
FIGURES = {
    "a1": (
        Figure("params", "3.9", unit=1_000_000, source=README),
        Figure(
            "macs",
            "315.2",
            unit=1_000_000,
            source=README,
            explanation="311.6 M in convolutions and linear layers, the 312 M of the README's text",
        ),
        Figure("macs", "312", unit=1_000_000, source=README),
        *errors("24.8", "7.5", "ILSVRC-2012 val, one crop", source=README),
    ),
    "b1": (
        Figure("params", "4.4", unit=1_000_000, where="Table 1", verified=False),
        Figure("macs", "315", unit=1_000_000, where="Table 1", verified=False),
        *errors("25.5", "7.9", "ILSVRC-2012 val, one crop", where="Table 1", verified=False),
    ),
}
RULE = (
    "Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer uniform in +-1/sqrt(outputs) "
    "(the released code of EfficientNet; the paper does not say)"
)
SUMMARIES = {
    "a1": "found by search, with squeeze-and-excitation",
    "b1": "found by search, without squeeze-and-excitation",
}


def network(net: str) -> Network:
    record = Card(
        paper=PAPER,
        summary=SUMMARIES[net],
        initialisation=RULE,
        figures=FIGURES[net],
        unstated=(
            "the accuracies are printed; the errors here are 100 minus them",
            "padding: TensorFlow's 'same'; batch norm: epsilon 0.001; dropout 0.2: as in the released code",
        ),
    )
    return Network(f"mnasnet_{net}", partial(MnasNet, net), record, smallest_size=17)


def deployed(net: str, library: str) -> Network:
    record = Card(
        paper=PAPER,
        summary=f"as {library} deploys it: padded on every side",
        initialisation=RULE,
        departures=(
            Departure(
                "padding",
                paper="TensorFlow's 'same' (released code)",
                here="the same number of pixels on every side",
                why=f"{library}'s; other windows in the five layers with stride 2",
            ),
            Departure("batch norm", "epsilon 0.001 (released code)", "epsilon 1e-5", f"{library}'s"),
        ),
    )
    return Network(f"mnasnet_{net}@{library}", partial(MnasNet, net, TORCH), record, smallest_size=17)


NETWORKS = (network("a1"), network("b1"), deployed("a1", "timm"), deployed("b1", "torchvision"))
