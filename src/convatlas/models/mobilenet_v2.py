"""MobileNetV2. Sandler, Howard, Zhu, Zhmoginov and Chen, CVPR 2018. Read: the authors' released definition and its
table (tensorflow/models, research/slim/nets/mobilenet); Table 2 of arXiv:1801.04381 is recalled.

On a 224 x 224 image; shapes are (C, H, W).
    layer    blocks                          output             params
    stem     3x3, stride 2             32 x 112 x 112              928
    stage1   1 block, not expanded     16 x 112 x 112              896
    stage2   2 blocks, expanded by 6   24 x  56 x  56           13,968
    stage3   3 blocks                  32 x  28 x  28           39,696
    stage4   4 blocks                  64 x  14 x  14          183,872
    stage5   3 blocks                  96 x  14 x  14          303,168
    stage6   3 blocks                 160 x   7 x   7          795,264
    stage7   1 block                  320 x   7 x   7          473,920
    head     1x1                    1,280 x   7 x   7          412,160
    fc       average pool, fc-1000          1000             1,281,000    total 3,504,872
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, gaussian, he_by_fan_out, truncated_normal_
from convatlas.models.mobile_blocks import TENSORFLOW, TORCH, ConvNormAct, Deployment, InvertedResidual, rounded

# Table 2: expansion t, channels c, number of blocks n, stride s of the first
STEM, HEAD = 32, 1280
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def initialise_as_released(net: nn.Module) -> None:
    """Gaussian 0.09, cut at two standard deviations."""
    truncated_normal_(net, std=0.09)


def initialise_as_torchvision(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); linear layers Gaussian 0.01."""
    draw_(net, he_by_fan_out, gaussian(0.01))


class MobileNetV2(Classifier):
    """A full convolution, seven stages of inverted residuals, a 1x1 convolution, average pooling, one linear layer.

    Args:
        width: the width multiplier. Numbers of channels become multiples of 8; the last 1x1 is never made narrower.
    """

    def __init__(
        self,
        width: float = 1.0,
        deployment: Deployment = TENSORFLOW,
        initialise: Callable[[nn.Module], None] = initialise_as_released,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        conv = partial(ConvNormAct, activation=nn.ReLU6, deployment=deployment)
        channels = rounded(STEM * width)
        self.stem = conv(in_channels, channels, 3, stride=2)
        for number, (expansion, full, blocks, first) in enumerate(STAGES, start=1):
            out = rounded(full * width)
            stage = nn.Sequential()
            for block in range(blocks):
                stride = first if block == 0 else 1
                stage.append(
                    InvertedResidual(channels, expansion * channels, out, stride=stride, deployment=deployment)
                )
                channels = out
            self.add_module(f"stage{number}", stage)
        features = rounded(HEAD * max(1.0, width))
        self.head = conv(channels, features, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(features, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stem(images)  # (N, 32, 112, 112)
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"stage{number}")(x)  # stage7: (N, 320, 7, 7)
        x = torch.flatten(self.avgpool(self.head(x)), start_dim=1)  # (N, 1280)
        return self.fc(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Sandler", "Howard", "Zhu", "Zhmoginov", "Chen"),
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    venue="CVPR 2018",
    year=2018,
    arxiv="1801.04381",
    read="tensorflow/models, research/slim/nets/mobilenet: mobilenet_v2.py and README; abstract of arXiv:1801.04381",
)
README = "tensorflow/models, research/slim/nets/mobilenet README"
MEGVII = "Table 4, quoted by megvii-model/ShuffleNet-Series"
# width in percent -> million multiply-adds, million parameters, top-1 and top-5 error of the README
RELEASED = {
    100: ("300", "3.47", "28.2", "9.0"),
    140: ("582", "6.06", "25.0", "7.5"),
    75: ("209", "2.61", "30.2", "10.4"),
    50: ("97", "1.95", "34.6", "13.6"),
    35: ("59", "1.66", "39.7", "17.1"),
}
# Table 4 of the paper: million multiply-adds, million parameters, top-1 error
QUOTED = {100: ("300", "3.4", "28.0"), 140: ("585", "6.9", "25.3")}
WITHOUT_NORMS = "the README counts neither scales nor shifts of batch norm"
DIFFER = {
    **dict.fromkeys(("3.47", "6.06", "2.61", "1.95", "1.66"), WITHOUT_NORMS),
    "3.4": "3.50 M with the scales and shifts of batch norm, 3.47 M without",
    "6.9": "6.11 M with the rounding of the released code; the released network has 6.06 M without batch norm",
    "300": "300.8 M, cut off",
    "585": "582 M with the rounding of the released code, whose README has 582 M",
}
TRUNCATED = "Gaussian 0.09 cut at two standard deviations (released code; the paper does not say)"


def figures(width: int) -> tuple[Figure, ...]:
    macs, params, top1, top5 = RELEASED[width]
    released = (
        Figure("params", params, unit=1_000_000, source=README, explanation=DIFFER.get(params, "")),
        Figure("macs", macs, unit=1_000_000, source=README, explanation=DIFFER.get(macs, "")),
        *errors(top1, top5, "ILSVRC-2012 val, one crop, released weights", source=README),
    )
    if width not in QUOTED:
        return released
    macs, params, top1 = QUOTED[width]
    return (
        Figure("params", params, unit=1_000_000, where=MEGVII, explanation=DIFFER.get(params, "")),
        Figure("macs", macs, unit=1_000_000, where=MEGVII, explanation=DIFFER.get(macs, "")),
        *errors(top1, "", "ILSVRC-2012 val, one crop", where=MEGVII),
        *released,
    )


def network(width: int) -> Network:
    summary = "inverted residuals: narrow maps between blocks, wide depthwise convolutions inside"
    record = Card(
        paper=PAPER,
        summary=summary if width == 100 else f"width multiplier {width / 100:g}",
        initialisation=TRUNCATED,
        figures=figures(width),
        unstated=(
            "the accuracies are printed; the errors here are 100 minus them",
            "padding: TensorFlow's 'same'; batch norm: epsilon 0.001; dropout 0.2: all as in the released code",
            "numbers of channels of the narrower and wider networks: multiples of 8, as in the released code",
        ),
    )
    name = "mobilenet_v2" if width == 100 else f"mobilenet_v2_{width:03}"
    return Network(name, partial(MobileNetV2, width / 100), record, smallest_size=17)


TORCHVISION = Card(
    paper=PAPER,
    summary="as torchvision and timm deploy it: padded on every side",
    initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer Gaussian 0.01",
    departures=(
        Departure(
            "padding",
            paper="TensorFlow's 'same' (released code)",
            here="one pixel on every side",
            why="torchvision's and timm's; other windows in the five layers with stride 2",
        ),
        Departure("batch norm", "epsilon 0.001 (released code)", "epsilon 1e-5", "torchvision's"),
        Departure("initialisation", "truncated Gaussian 0.09", "He's rule by outputs", "torchvision's"),
    ),
)
NETWORKS = (
    *(network(width) for width in RELEASED),
    Network(
        "mobilenet_v2@torchvision",
        partial(MobileNetV2, 1.0, TORCH, initialise_as_torchvision),
        TORCHVISION,
        smallest_size=17,
    ),
)
