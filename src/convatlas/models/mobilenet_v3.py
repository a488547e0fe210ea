"""MobileNetV3. Howard et al., ICCV 2019. Read: the authors' released definition and its table (tensorflow/models,
research/slim/nets/mobilenet); Tables 1 and 2 of arXiv:1905.02244 are recalled.

MobileNetV3-Large on a 224 x 224 image; shapes are (C, H, W).
    layer    blocks                                         output             params
    stem     3x3, stride 2, hard swish                16 x 112 x 112              464
    stage1   1 block                                  16 x 112 x 112              464
    stage2   2 blocks                                 24 x  56 x  56            7,880
    stage3   3 blocks, 5x5, squeeze-and-excitation    40 x  28 x  28           52,312
    stage4   4 blocks, hard swish from here on        80 x  14 x  14          130,824
    stage5   2 blocks, squeeze-and-excitation        112 x  14 x  14          600,544
    stage6   3 blocks, 5x5, squeeze-and-excitation   160 x   7 x   7        2,023,944
    head     1x1                                     960 x   7 x   7          155,520
    hidden   average pool, fc-1280, hard swish            1280             1,230,080
    fc       fc-1000                                      1000             1,281,000    total 5,483,032
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.mobile_blocks import (
    TENSORFLOW,
    TORCH,
    ConvNormAct,
    Deployment,
    InvertedResidual,
    SqueezeExcitation,
    rounded,
)
from convatlas.models.mobilenet_v2 import initialise_as_released, initialise_as_torchvision

RE, HS = nn.ReLU, nn.Hardswish
# Tables 1 and 2, a line per block, in stages of one width: kernel, expanded channels, output channels,
# squeeze-and-excitation, activation, stride
LARGE = (
    ((3, 16, 16, False, RE, 1),),
    ((3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1)),
    ((5, 72, 40, True, RE, 2), (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1)),
    ((3, 240, 80, False, HS, 2), (3, 200, 80, False, HS, 1), (3, 184, 80, False, HS, 1), (3, 184, 80, False, HS, 1)),
    ((3, 480, 112, True, HS, 1), (3, 672, 112, True, HS, 1)),
    ((5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1)),
)
SMALL = (
    ((3, 16, 16, True, RE, 2),),
    ((3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1)),
    ((5, 96, 40, True, HS, 2), (5, 240, 40, True, HS, 1), (5, 240, 40, True, HS, 1)),
    ((5, 120, 48, True, HS, 1), (5, 144, 48, True, HS, 1)),
    ((5, 288, 96, True, HS, 2), (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1)),
)
STEM = 16
# stages, channels of the last 1x1 convolution, of the hidden layer
NETS = {"large": (LARGE, 960, 1280), "small": (SMALL, 576, 1024)}
# width multipliers by their suffix; below 1 the hidden layer keeps its width
WIDTHS = {"": 1.0, "_075": 0.75, "_125": 1.25}


class MobileNetV3(Classifier):
    """Inverted residuals, some with squeeze-and-excitation; the last layers work on the average of each map.

    Args:
        size: "large" (Table 1) or "small" (Table 2).
        width: multiplier of all channels; those within a block are scaled with its input.
    """

    def __init__(
        self,
        size: str,
        width: float = 1.0,
        deployment: Deployment = TENSORFLOW,
        initialise: Callable[[nn.Module], None] = initialise_as_released,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        stages, features, hidden = NETS[size]
        squeeze = partial(SqueezeExcitation, gate=nn.Hardsigmoid)
        conv = partial(ConvNormAct, activation=HS, deployment=deployment)
        channels, unscaled = rounded(STEM * width), STEM
        self.stem = conv(in_channels, channels, 3, stride=2)
        self.stages = len(stages)
        for number, lines in enumerate(stages, start=1):
            stage = nn.Sequential()
            for kernel, full, full_out, squeezes, activation, stride in lines:
                expanded, out = rounded(channels * (full / unscaled)), rounded(full_out * width)
                squeezed = rounded(expanded / 4) if squeezes else 0
                stage.append(
                    InvertedResidual(channels, expanded, out, kernel, stride, squeezed, activation, squeeze, deployment)
                )
                channels, unscaled = out, full_out
            self.add_module(f"stage{number}", stage)
        features, hidden = rounded(features * width), rounded(hidden * max(width, 1.0))
        self.head = conv(channels, features, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(hidden, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stem(images)  # (N, 16, 112, 112)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"stage{number}")(x)  # the last: (N, 160, 7, 7), or 96 maps
        x = torch.flatten(self.avgpool(self.head(x)), start_dim=1)  # (N, 960), or 576
        x = F.hardswish(self.hidden(x))  # (N, 1280), or 1024
        return self.fc(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Howard", "Sandler", "Chu", "Chen", "Chen", "Tan", "Wang", "Zhu", "Pang", "Vasudevan", "Le", "Adam"),
    title="Searching for MobileNetV3",
    venue="ICCV 2019",
    year=2019,
    arxiv="1905.02244",
    read="tensorflow/models, research/slim/nets/mobilenet: mobilenet_v3.py and README",
)
README = "tensorflow/models, research/slim/nets/mobilenet README"
PROTOCOL = "ILSVRC-2012 val, one crop, released weights"
FIGURES = {
    "large": (
        Figure("macs", "217", unit=1_000_000, source=README),
        Figure(
            "params",
            "5.4",
            unit=1_000_000,
            source=README,
            explanation="5.46 M without scales and shifts of batch norm, 5.48 M with them: cut off, not rounded",
        ),
        *errors("24.8", "", PROTOCOL, source=README),
    ),
    "small": (
        Figure(
            "macs",
            "66",
            unit=1_000_000,
            source=README,
            explanation="the layers of Table 2 need 56.5 M; how 66 M were counted is not known",
        ),
        Figure(
            "params",
            "2.9",
            unit=1_000_000,
            source=README,
            explanation="with 1,280 channels before the last layer, not Table 2's 1,024, it would have 2.95 M",
        ),
        *errors("32.5", "", PROTOCOL, source=README),
    ),
}
TRUNCATED = "Gaussian 0.09 cut at two standard deviations (released code; the paper does not say)"
LAST_SQUEEZE = Departure(
    "last 1x1 convolution of the small network",
    paper="with squeeze-and-excitation (Table 2, recalled)",
    here="without",
    why="the released code and every library leave it out",
)
PADDING = Departure(
    "padding",
    paper="TensorFlow's 'same' (released code)",
    here="the same number of pixels on every side",
    why="other windows in the five layers with stride 2",
)
EPSILON = Departure("batch norm", "epsilon 0.001 (released code)", "epsilon 1e-5", "timm's")


def network(size: str) -> Network:
    record = Card(
        paper=PAPER,
        summary=f"the {size} network of a search for latency: squeeze-and-excitation and hard swish",
        initialisation=TRUNCATED,
        figures=FIGURES[size],
        departures=(LAST_SQUEEZE,) if size == "small" else (),
        unstated=(
            "the accuracies are printed; the errors here are 100 minus them",
            "padding: TensorFlow's 'same'; batch norm: epsilon 0.001; dropout 0.2: all as in the released code",
            "squeezed channels: a quarter of the expanded ones, as a multiple of 8",
        ),
    )
    return Network(f"mobilenet_v3_{size}", partial(MobileNetV3, size), record, smallest_size=17)


# multiply-adds and parameters in millions, top-1 error, source
MEGVII = "megvii-model/ShuffleNet-Series README, which quotes the paper"
QUOTED = "ILSVRC-2012 val, one crop"
SCALED = {
    ("large", "_075"): (("155", "4.0", "26.7", PROTOCOL, README), ("155", "4.0", "26.7", QUOTED, MEGVII)),
    ("large", "_125"): (("356", "7.5", "23.4", QUOTED, MEGVII),),
    ("small", "_075"): (("44", "2.4", "34.6", PROTOCOL, README),),
}
SCALED_DIFFER = {
    (
        "large",
        "7.5",
    ): "8.26 M as the released code scales it; with a hidden layer of 1,280 channels it would have 7.55 M",
    ("small", "44"): "43.4 M in convolutions and linear layers; what else the README counts is not stated",
    ("small", "2.4"): "with 1,280 channels before the last layer, not Table 2's 1,024, it would have 2.4 M",
}


def scaled(size: str, suffix: str) -> Network:
    """A network with another number of channels."""
    width = WIDTHS[suffix]
    printed: list[Figure] = []
    for macs, params, top1, protocol, source in SCALED[size, suffix]:
        printed += [
            Figure(quantity, value, unit=1_000_000, source=source, explanation=SCALED_DIFFER.get((size, value), ""))
            for quantity, value in (("macs", macs), ("params", params))
        ]
        printed += errors(top1, "", protocol, source=source)
    record = Card(
        paper=PAPER,
        summary=f"the {size} network with {width:g} times the channels",
        initialisation=TRUNCATED,
        figures=tuple(printed),
        departures=(LAST_SQUEEZE,) if size == "small" else (),
        unstated=(
            "the accuracies are printed; the errors here are 100 minus them",
            "padding: TensorFlow's 'same'; batch norm: epsilon 0.001; dropout 0.2: all as in the released code",
            "channels: multiples of 8; those within a block are scaled with its input, as in the released code",
        ),
    )
    return Network(f"mobilenet_v3_{size}{suffix}", partial(MobileNetV3, size, width), record, smallest_size=17)


def deployed(size: str, library: str) -> Network:
    torchvision = library == "torchvision"
    deployment = TORCH._replace(epsilon=1e-3) if torchvision else TORCH
    departures = (PADDING,) if torchvision else (PADDING, EPSILON)
    rule = Departure("initialisation", "truncated Gaussian 0.09", "He's rule by outputs", f"{library}'s")
    record = Card(
        paper=PAPER,
        summary=f"as {library} deploys it: padded on every side",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; linear layers Gaussian 0.01",
        departures=(*departures, rule, *((LAST_SQUEEZE,) if size == "small" else ())),
    )
    build = partial(MobileNetV3, size, deployment=deployment, initialise=initialise_as_torchvision)
    return Network(f"mobilenet_v3_{size}@{library}", build, record, smallest_size=17)


NETWORKS = (
    network("small"),
    network("large"),
    *(deployed(size, library) for size in NETS for library in ("torchvision", "timm")),
    *(scaled(size, suffix) for size, suffix in SCALED),
)
