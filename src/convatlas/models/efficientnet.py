"""EfficientNet. Tan and Le, ICML 2019. Read: Table 2 of arXiv:1905.11946 as quoted elsewhere, and tensorflow/tpu,
models/official/efficientnet; Table 1 and section 3 are recalled.

EfficientNet-B0 on a 224 x 224 image; shapes are (C, H, W).
    layer    blocks                              output             params
    stem     3x3, stride 2                 32 x 112 x 112              928
    stage1   1 block, not expanded, 3x3    16 x 112 x 112            1,448
    stage2   2 blocks, 3x3                 24 x  56 x  56           16,714
    stage3   2 blocks, 5x5                 40 x  28 x  28           46,640
    stage4   3 blocks, 3x3                 80 x  14 x  14          242,930
    stage5   3 blocks, 5x5                112 x  14 x  14          543,148
    stage6   4 blocks, 5x5                192 x   7 x   7        2,026,348
    stage7   1 block, 3x3                 320 x   7 x   7          717,232
    head     1x1                        1,280 x   7 x   7          412,160
    fc       average pool, fc-1000              1000             1,281,000    total 5,288,548

Compound scaling (section 3): B1 to B7 are wider, deeper and read larger images. Widths become multiples of 8, depths
are rounded up.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he_by_fan_out
from convatlas.models.mobile_blocks import (
    TENSORFLOW,
    TORCH,
    ConvNormAct,
    Deployment,
    InvertedResidual,
    SqueezeExcitation,
    rounded,
)

# Table 1: expansion, kernel, channels, number of blocks, stride of the first
STEM, HEAD = 32, 1280
STAGES = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1),
)  # fmt: skip
# width and depth coefficients, image size, dropout (released code)
SCALES = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}


class EfficientNet(Classifier):
    """Inverted residuals with squeeze-and-excitation and SiLU ("swish").

    Args:
        scale: "b0" to "b7".
    """

    def __init__(
        self,
        scale: str,
        deployment: Deployment = TENSORFLOW,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        width, depth, _, dropout = SCALES[scale]
        conv = partial(ConvNormAct, activation=nn.SiLU, deployment=deployment)
        squeeze = partial(SqueezeExcitation, activation=nn.SiLU)
        channels = rounded(STEM * width)
        self.stem = conv(in_channels, channels, 3, stride=2)
        for number, (expansion, kernel, full, blocks, first) in enumerate(STAGES, start=1):
            out = rounded(full * width)
            stage = nn.Sequential()
            for block in range(math.ceil(blocks * depth)):
                stage.append(
                    InvertedResidual(
                        channels,
                        expansion * channels,
                        out,
                        kernel,
                        stride=first if block == 0 else 1,
                        squeezed=max(1, channels // 4),
                        activation=nn.SiLU,
                        squeeze=squeeze,
                        deployment=deployment,
                    )
                )
                channels = out
            self.add_module(f"stage{number}", stage)
        features = rounded(HEAD * width)
        self.head = conv(channels, features, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, num_classes)
        initialise_as_released(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224) for B0
        self.check(images)
        x = self.stem(images)  # (N, 32, 112, 112)
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"stage{number}")(x)  # stage7: (N, 320, 7, 7)
        x = torch.flatten(self.avgpool(self.head(x)), start_dim=1)  # (N, 1280)
        return self.fc(self.dropout(x))  # (N, K), logits


def initialise_as_released(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); the last layer uniform in +-1/sqrt(out)."""

    def by_outputs(layer: nn.Conv2d | nn.Linear) -> None:
        bound = 1 / math.sqrt(layer.weight.shape[0])
        nn.init.uniform_(layer.weight, -bound, bound)

    draw_(net, he_by_fan_out, by_outputs)


PAPER = Paper(
    authors=("Tan", "Le"),
    title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    venue="ICML 2019",
    year=2019,
    arxiv="1905.11946",
    read="Table 2 of arXiv:1905.11946 as quoted by shengjiex98/Uncertain-Linear-System; tensorflow/tpu",
)
QUOTED = "Table 2, quoted by shengjiex98/Uncertain-Linear-System"
PYCLS = "facebookresearch/pycls, MODEL_ZOO.md: trained without EfficientNet's own augmentation"
# parameters in millions, multiply-adds in billions, top-1 and top-5 error; top-1 error of pycls
TABLE_2 = {
    "b0": ("5.3", "0.39", "22.9", "6.7", "24.9"),
    "b1": ("7.8", "0.70", "20.9", "5.6", "24.1"),
    "b2": ("9.2", "1.0", "19.9", "5.1", "23.4"),
    "b3": ("12", "1.8", "18.4", "4.3", "22.5"),
    "b4": ("19", "4.2", "17.1", "3.6", "21.2"),
    "b5": ("30", "9.9", "16.4", "3.3", "21.5"),
    "b6": ("43", "19", "16.0", "3.2", ""),
    "b7": ("66", "37", "15.7", "3.0", ""),
}
LARGER = "4.39, 10.27 and 37.7 billion for B4, B5 and B7; how the paper counted is not known"
DIFFER = {
    "0.70": "0.687 billion",
    "9.2": "9.110 M: B2's number of parameters is 9.1 million, rounded",
    "4.2": LARGER,
    "9.9": LARGER,
    "37": LARGER,
}
PADDING = Departure(
    "padding",
    paper="TensorFlow's 'same' (released code)",
    here="the same number of pixels on every side",
    why="torchvision's and timm's; other windows in the five layers with stride 2",
)
EPSILON = Departure("batch norm", "epsilon 0.001 (released code)", "epsilon 1e-5", "torchvision's and timm's")
RELEASED_RULE = (
    "Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer uniform in +-1/sqrt(outputs) "
    "(released code; the paper does not say)"
)
UNSTATED = (
    "the accuracies are printed; the errors here are 100 minus them",
    "padding: TensorFlow's 'same'; batch norm: epsilon 0.001; dropout: all as in the released code",
    "squeezed channels: a quarter of the block's input, as in the released code",
)


def network(scale: str) -> Network:
    params, macs, top1, top5, pycls = TABLE_2[scale]
    width, depth, size, _ = SCALES[scale]
    summary = "the baseline found by search" if scale == "b0" else f"width x {width:g}, depth x {depth:g}"
    record = Card(
        paper=PAPER,
        summary=f"{summary}, {size} x {size} images",
        initialisation=RELEASED_RULE,
        figures=(
            Figure("params", params, unit=1_000_000, where=QUOTED, explanation=DIFFER.get(params, "")),
            Figure("macs", macs, unit=1_000_000_000, where=QUOTED, explanation=DIFFER.get(macs, "")),
            *errors(top1, top5, "ILSVRC-2012 val, one crop", where=QUOTED),
            *errors(pycls, "", "ILSVRC-2012 val, one crop, mean of 5 runs", source=PYCLS),
        ),
        unstated=UNSTATED,
    )
    return Network(f"efficientnet_{scale}", partial(EfficientNet, scale), record, (3, size, size), smallest_size=17)


def torchvision(scale: str) -> Network:
    """Its B5 to B7 keep the released epsilon, as their weights were ported."""
    size, ported = SCALES[scale][2], scale > "b4"
    record = Card(
        paper=PAPER,
        summary="as torchvision and timm deploy it: padded on every side",
        initialisation=RELEASED_RULE,
        departures=(PADDING,) if ported else (PADDING, EPSILON),
    )
    build = partial(EfficientNet, scale, TORCH._replace(epsilon=1e-3) if ported else TORCH)
    return Network(f"efficientnet_{scale}@torchvision", build, record, (3, size, size), smallest_size=17)


NETWORKS = (*(network(scale) for scale in TABLE_2), *(torchvision(scale) for scale in TABLE_2))
