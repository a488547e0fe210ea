"""MobileNet. Howard et al., 2017. Read: the authors' released definition and its table (tensorflow/models,
research/slim/nets/mobilenet_v1.py and .md), whose layer names are used; Table 1 of arXiv:1704.04861 is recalled.

On a 224 x 224 image; shapes are (C, H, W).
    layer         depthwise   pointwise             output        params
    Conv2d_0      a full 3x3, stride 2         32 x 112 x 112         928
    Conv2d_1      3x3         1x1-64           64 x 112 x 112       2,528
    Conv2d_2      3x3 /2      1x1-128         128 x  56 x  56       9,152
    Conv2d_3      3x3         1x1-128         128 x  56 x  56      18,048
    Conv2d_4      3x3 /2      1x1-256         256 x  28 x  28      34,688
    Conv2d_5      3x3         1x1-256         256 x  28 x  28      68,864
    Conv2d_6      3x3 /2      1x1-512         512 x  14 x  14     134,912
    Conv2d_7..11  3x3         1x1-512, 5 times  512 x  14 x  14  1,344,000
    Conv2d_12     3x3 /2      1x1-1024      1,024 x   7 x   7     531,968
    Conv2d_13     3x3         1x1-1024      1,024 x   7 x   7   1,061,888
    head          average pool, fc-1000              1000       1,025,000    total 4,231,976

Two multipliers make smaller networks: the width multiplier scales every number of channels (section 3.3), and the
resolution multiplier is the size of the image (section 3.4).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import truncated_normal_
from convatlas.models.mobile_blocks import TENSORFLOW, TORCH, Activation, ConvNormAct, Deployment

# Table 1: output channels and stride of the depthwise convolution of Conv2d_1 to Conv2d_13
STEM = 32
SEPARABLES = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class DepthwiseSeparable(nn.Module):
    """A depthwise 3x3 and a pointwise 1x1 convolution, each with batch norm and ReLU (Figure 3, right)."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, activation: Activation, deployment: Deployment
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(in_channels, in_channels, 3, stride, in_channels, activation, deployment)
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, activation=activation, deployment=deployment)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class MobileNetV1(Classifier):
    """One full convolution, thirteen depthwise separable ones, average pooling, one fully connected layer.

    Args:
        width: the width multiplier alpha.
    """

    def __init__(
        self,
        width: float = 1.0,
        activation: Activation = nn.ReLU,
        dropout: float = 0.0,
        deployment: Deployment = TENSORFLOW,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = int(STEM * width)
        self.Conv2d_0 = ConvNormAct(in_channels, channels, 3, 2, activation=activation, deployment=deployment)
        for number, (full, stride) in enumerate(SEPARABLES, start=1):
            layer = DepthwiseSeparable(channels, int(full * width), stride, activation, deployment)
            self.add_module(f"Conv2d_{number}", layer)
            channels = int(full * width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        truncated_normal_(self, std=0.09)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.Conv2d_0(images)  # (N, 32, 112, 112)
        for number in range(1, len(SEPARABLES) + 1):
            x = self.get_submodule(f"Conv2d_{number}")(x)  # Conv2d_13: (N, 1024, 7, 7)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 1024)
        return self.fc(self.dropout(x))  # (N, K), logits


PAPER = Paper(
    authors=("Howard", "Zhu", "Chen", "Kalenichenko", "Wang", "Weyand", "Andreetto", "Adam"),
    title="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    venue="arXiv 2017",
    year=2017,
    arxiv="1704.04861",
    read="tensorflow/models, research/slim/nets/mobilenet_v1.py and mobilenet_v1.md; abstract of arXiv:1704.04861",
)
README = "tensorflow/models, mobilenet_v1.md"
PROTOCOL = "ILSVRC-2012 val, one crop, released weights"
TRUNCATED = "Gaussian 0.09 cut at two standard deviations (released code; the paper does not say)"
# width in percent and image size -> million multiply-adds, million parameters, top-1 and top-5 error of the README
RELEASED = {
    (100, 224): ("569", "4.24", "29.1", "10.1"),
    (100, 192): ("418", "4.24", "30.0", "10.8"),
    (100, 160): ("291", "4.24", "32.0", "12.3"),
    (100, 128): ("186", "4.24", "34.8", "14.2"),
    (75, 224): ("317", "2.59", "31.6", "11.8"),
    (50, 224): ("150", "1.34", "36.7", "15.1"),
    (25, 224): ("41", "0.47", "50.2", "25.8"),
}
# Tables 6 and 7 of the paper, as megvii-model/ShuffleNet-Series quotes them: multiply-adds, parameters, top-1 error
QUOTED = {
    100: ("569", "4.2", "29.4"),
    75: ("325", "2.6", "31.6"),
    50: ("149", "1.3", "36.3"),
    25: ("41", "0.5", "49.4"),
}
# why a count of the README differs
UNEXPLAINED = "the README does not say how it counts; the paper's figures, quoted elsewhere, agree"
DIFFER = {"4.24": UNEXPLAINED, "1.34": UNEXPLAINED, "317": UNEXPLAINED, "150": UNEXPLAINED}
ACTIVATION = Departure(
    "activation", paper="ReLU", here="ReLU6", why="the released code's, for arithmetic of low precision"
)


def figures(width: int, size: int) -> tuple[Figure, ...]:
    """What the README prints of a released network, and for 224 x 224 what the paper prints."""
    macs, params, top1, top5 = RELEASED[width, size]
    released = (
        Figure("params", params, unit=1_000_000, source=README, explanation=DIFFER.get(params, "")),
        Figure("macs", macs, unit=1_000_000, source=README, explanation=DIFFER.get(macs, "")),
        *errors(top1, top5, PROTOCOL, source=README),
    )
    if size != 224:
        return released
    macs, params, top1 = QUOTED[width]
    where = "Tables 6 and 7, quoted by megvii-model/ShuffleNet-Series"
    return (
        Figure("params", params, unit=1_000_000, where=where),
        Figure("macs", macs, unit=1_000_000, where=where),
        *errors(top1, "", "ILSVRC-2012 val, one crop", where=where),
        *released,
    )


def network(width: int, size: int = 224) -> Network:
    suffix = ("" if width == 100 else f"_{width:03}") + ("" if size == 224 else f"_r{size}")
    small = f"width multiplier {width / 100:g}" if width < 100 else "depthwise separable convolutions throughout"
    record = Card(
        paper=PAPER,
        summary=small if size == 224 else f"{size} x {size} images: resolution multiplier {size}/224",
        initialisation=TRUNCATED,
        figures=figures(width, size),
        unstated=(
            "the accuracies are printed; the errors here are 100 minus them",
            "padding: TensorFlow's 'same', as in the released code",
            "batch norm: epsilon 0.001, as in the released code",
        ),
    )
    return Network(
        f"mobilenet_v1{suffix}", partial(MobileNetV1, width / 100), record, (3, size, size), smallest_size=17
    )


KERAS = Card(
    paper=PAPER,
    summary="as Keras deploys it: ReLU6, a dropout of 0.001",
    initialisation=TRUNCATED,
    departures=(ACTIVATION, Departure("dropout", "none", "0.001 before the last layer", "released code and Keras")),
)
TIMM = Card(
    paper=PAPER,
    summary="as timm deploys it (mobilenetv1_100): ReLU6, padded on every side",
    initialisation=TRUNCATED,
    departures=(
        ACTIVATION,
        Departure(
            "padding",
            paper="TensorFlow's 'same' (released code)",
            here="one pixel on every side",
            why="timm's; other windows in the five layers with stride 2",
        ),
        Departure("batch norm", "epsilon 0.001 (released code)", "epsilon 1e-5", "timm's"),
    ),
)
NETWORKS = (
    network(100),
    network(75),
    network(50),
    network(25),
    network(100, 192),
    network(100, 160),
    network(100, 128),
    Network("mobilenet_v1@keras", partial(MobileNetV1, 1.0, nn.ReLU6, 0.001), KERAS, smallest_size=17),
    Network("mobilenet_v1@timm", partial(MobileNetV1, 1.0, nn.ReLU6, deployment=TORCH), TIMM, smallest_size=17),
)
