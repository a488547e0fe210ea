"""Inception-v4 and Inception-ResNet. Szegedy, Ioffe, Vanhoucke and Alemi, AAAI 2017. Read: arXiv:1602.07261 (figures
through transcriptions), and the authors' tensorflow/models definitions, whose names are used.

Inception-v4 on a 299 x 299 image; shapes are (C, H, W).
    layer            what it is                              output          params
    Conv2d_1a_3x3    32, stride 2, valid                32 x 149 x 149          928
    Conv2d_2a_3x3    32, valid                          32 x 147 x 147        9,280
    Conv2d_2b_3x3    64                                 64 x 147 x 147       18,560
    Mixed_3a         Figure 3                          160 x  73 x  73       55,488
    Mixed_4a         Figure 3                          192 x  71 x  71      189,312
    Mixed_5a         Figure 3                          384 x  35 x  35      332,160
    Inception_A      4 x Figure 4                      384 x  35 x  35    1,270,528
    Reduction_A      Figure 7                        1,024 x  17 x  17    2,306,112
    Inception_B      7 x Figure 5                    1,024 x  17 x  17   20,553,792
    Reduction_B      Figure 8                        1,536 x   8 x   8    2,747,392
    Inception_C      3 x Figure 6                    1,536 x   8 x   8   13,659,264
    head             average pool, dropout, fc-1000           1000        1,537,000    total 42,679,816
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.branches import Branches, ConvNorm, Outputs, ShiftNorm, Spec, Style
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.inception_v3 import AuxiliaryHead, auxiliary_side
from convatlas.models.initialisation import truncated_normal_

Table = tuple[Spec, ...]

# Figure 3, the stem of Inception-v4 and Inception-ResNet-v2
MIXED_3A: Table = (("maxpool 3x3 /2 V",), ("96 3x3 /2 V",))
MIXED_4A: Table = (("64 1x1", "96 3x3 V"), ("64 1x1", "64 1x7", "64 7x1", "96 3x3 V"))
MIXED_4A_RESNET: Table = (("64 1x1", "96 3x3 V"), ("64 1x1", "64 7x1", "64 1x7", "96 3x3 V"))
MIXED_5A: Table = (("192 3x3 /2 V",), ("maxpool 3x3 /2 V",))
# Figures 4 to 6
INCEPTION_A: Table = (("96 1x1",), ("64 1x1", "96 3x3"), ("64 1x1", "96 3x3", "96 3x3"), ("avgpool 3x3", "96 1x1"))
INCEPTION_B: Table = (
    ("384 1x1",),
    ("192 1x1", "224 1x7", "256 7x1"),
    ("192 1x1", "192 7x1", "224 1x7", "224 7x1", "256 1x7"),
    ("avgpool 3x3", "128 1x1"),
)
INCEPTION_C: Table = (
    ("256 1x1",),
    ("384 1x1", (("256 1x3",), ("256 3x1",))),
    ("384 1x1", "448 3x1", "512 1x3", (("256 1x3",), ("256 3x1",))),
    ("avgpool 3x3", "256 1x1"),
)
# Figure 8; Figures 12 and 18
REDUCTION_B: Table = (
    ("192 1x1", "192 3x3 /2 V"),
    ("256 1x1", "256 1x7", "320 7x1", "320 3x3 /2 V"),
    ("maxpool 3x3 /2 V",),
)
REDUCTION_B_RESNET_V1: Table = (
    ("256 1x1", "384 3x3 /2 V"),
    ("256 1x1", "256 3x3 /2 V"),
    ("256 1x1", "256 3x3", "256 3x3 /2 V"),
    ("maxpool 3x3 /2 V",),
)
REDUCTION_B_RESNET_V2: Table = (
    ("256 1x1", "384 3x3 /2 V"),
    ("256 1x1", "288 3x3 /2 V"),
    ("256 1x1", "288 3x3", "320 3x3 /2 V"),
    ("maxpool 3x3 /2 V",),
)


def reduction_a(k: int, l: int, m: int, n: int) -> Table:
    """Figure 7, its widths from Table 1."""
    return ((f"{n} 3x3 /2 V",), (f"{k} 1x1", f"{l} 3x3", f"{m} 3x3 /2 V"), ("maxpool 3x3 /2 V",))


# Figures 10, 11, 13 (v1) and 16, 17, 19 (v2): the branches of the Inception-ResNet blocks
BLOCKS_V1: tuple[Table, Table, Table] = (
    (("32 1x1",), ("32 1x1", "32 3x3"), ("32 1x1", "32 3x3", "32 3x3")),
    (("128 1x1",), ("128 1x1", "128 1x7", "128 7x1")),
    (("192 1x1",), ("192 1x1", "192 1x3", "192 3x1")),
)
BLOCKS_V2: tuple[Table, Table, Table] = (
    (("32 1x1",), ("32 1x1", "32 3x3"), ("32 1x1", "48 3x3", "64 3x3")),
    (("192 1x1",), ("128 1x1", "160 1x7", "192 7x1")),
    (("192 1x1",), ("192 1x1", "224 1x3", "256 3x1")),
)
MIXED_5B_RELEASED: Table = (
    ("96 1x1",),
    ("48 1x1", "64 5x5"),
    ("64 1x1", "96 3x3", "96 3x3"),
    ("avgpool 3x3", "64 1x1"),
)
SCALES = (0.17, 0.10, 0.20)  # of the A, B and C blocks in the released code; section 3.3 says 0.1 to 0.3
DROPOUT = 0.2  # section 3.1 and Figure 9: keep 0.8


class ResidualInception(nn.Module):
    """Branches, a linear 1x1 with bias back to the input's width, scaled and added to the input (section 3.3)."""

    def __init__(
        self, channels: int, table: Table, scale: float, last_relu: bool = True, style: Style | None = None
    ) -> None:
        super().__init__()
        self.branches = Branches(channels, *table, style=style)
        self.linear = nn.Conv2d(self.branches.out_channels, channels, kernel_size=1)
        self.scale, self.last_relu = scale, last_relu

    @property
    def branch_end(self) -> nn.Module:
        """The last layer of the residual branch."""
        return self.linear

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.scale * self.linear(self.branches(x))
        return F.relu(y) if self.last_relu else y


class StagedNetwork(Classifier):
    """A stem and stages in sequence, average pooling, dropout, one fully connected layer."""

    auxiliary_weight = 0.4  # the released code's
    auxiliary_after = ""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.num_classes, self.in_channels, self.built_for = num_classes, in_channels, image_size
        self.stages: list[str] = []
        self.width = in_channels

    def add(self, name: str, layer: nn.Module, out_channels: int | None = None) -> None:
        """Append a stage under the authors' name. A pooling keeps the width, so it needs no ``out_channels``."""
        self.add_module(name, layer)
        self.stages.append(name)
        self.width = self.width if out_channels is None else out_channels

    def convolution(
        self, name: str, out_channels: int, kernel_size: int = 3, stride: int = 1, padding: int = 0,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:  # fmt: skip
        sides = (kernel_size, kernel_size)
        self.add(name, ConvNorm(self.width, out_channels, sides, stride, (padding, padding), norm), out_channels)

    def mixed(self, name: str, table: Table, style: Style | None = None) -> None:
        module = Branches(self.width, *table, style=style)
        self.add(name, module, module.out_channels)

    def repeated(self, name: str, count: int, make: Callable[[int], nn.Module]) -> None:
        """Append ``count`` modules that keep the width."""
        self.add(name, nn.Sequential(*(make(self.width) for _ in range(count))))

    def finish(self) -> None:
        """Append the head, and draw the weights."""
        self.AvgPool = nn.AdaptiveAvgPool2d(1)
        self.Dropout = nn.Dropout(DROPOUT)
        self.Logits = nn.Linear(self.width, self.num_classes)
        truncated_normal_(self, std=0.1)

    def forward(self, images: Tensor) -> Tensor | Outputs:  # (N, 3, 299, 299)
        self.check(images)
        x: Tensor = images
        auxiliary: tuple[Tensor, ...] = ()
        for name in self.stages:
            x = self.get_submodule(name)(x)
            if self.training and name == self.auxiliary_after:
                auxiliary = (self.get_submodule("AuxLogits")(x),)
        x = torch.flatten(self.AvgPool(x), start_dim=1)
        logits: Tensor = self.Logits(self.Dropout(x))  # (N, K)
        return Outputs(logits, auxiliary, self.auxiliary_weight) if auxiliary else logits


class InceptionV4(StagedNetwork):
    """Figure 9, left."""

    auxiliary_after = "Inception_B"

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 299) -> None:
        super().__init__(num_classes, in_channels, image_size)
        stem(self, MIXED_4A)  # 384 x 35 x 35
        self.repeated("Inception_A", 4, lambda width: Branches(width, *INCEPTION_A))
        self.mixed("Reduction_A", reduction_a(k=192, l=224, m=256, n=384))  # 1024 x 17 x 17
        self.repeated("Inception_B", 7, lambda width: Branches(width, *INCEPTION_B))
        self.AuxLogits = AuxiliaryHead(self.width, auxiliary_side(image_size), num_classes, Style())
        self.mixed("Reduction_B", REDUCTION_B)  # 1536 x 8 x 8
        self.repeated("Inception_C", 3, lambda width: Branches(width, *INCEPTION_C))
        self.finish()


class InceptionResNetV1(StagedNetwork):
    """Figure 15 with the stem of Figure 14."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 299) -> None:
        super().__init__(num_classes, in_channels, image_size)
        self.convolution("Conv2d_1a_3x3", 32, stride=2)
        self.convolution("Conv2d_2a_3x3", 32)
        self.convolution("Conv2d_2b_3x3", 64, padding=1)
        self.add("MaxPool_3a_3x3", nn.MaxPool2d(kernel_size=3, stride=2))
        self.convolution("Conv2d_3b_1x1", 80, kernel_size=1)
        self.convolution("Conv2d_4a_3x3", 192)
        self.convolution("Conv2d_4b_3x3", 256, stride=2)  # 256 x 35 x 35
        a, b, c = BLOCKS_V1
        self.repeated("Inception_ResNet_A", 5, lambda width: ResidualInception(width, a, SCALES[0]))
        self.mixed("Reduction_A", reduction_a(k=192, l=192, m=256, n=384))  # 896 x 17 x 17
        self.repeated("Inception_ResNet_B", 10, lambda width: ResidualInception(width, b, SCALES[1]))
        self.mixed("Reduction_B", REDUCTION_B_RESNET_V1)  # 1792 x 8 x 8
        self.repeated("Inception_ResNet_C", 5, lambda width: ResidualInception(width, c, SCALES[2]))
        self.finish()


class InceptionResNetV2(StagedNetwork):
    """Figure 15 with the stem of Figure 3."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 299) -> None:
        super().__init__(num_classes, in_channels, image_size)
        stem(self, MIXED_4A_RESNET)  # 384 x 35 x 35
        a, b, c = BLOCKS_V2
        self.repeated("Inception_ResNet_A", 5, lambda width: ResidualInception(width, a, SCALES[0]))
        self.mixed("Reduction_A", reduction_a(k=256, l=256, m=384, n=384))  # 1152 x 17 x 17
        self.repeated("Inception_ResNet_B", 10, lambda width: ResidualInception(width, b, SCALES[1]))
        self.mixed("Reduction_B", REDUCTION_B_RESNET_V2)  # 2144 x 8 x 8
        self.repeated("Inception_ResNet_C", 5, lambda width: ResidualInception(width, c, SCALES[2]))
        self.finish()


class ReleasedInceptionResNetV2(StagedNetwork):
    """The network released by the authors and deployed by timm and Keras: another stem; 10, 20 and 10 blocks."""

    def __init__(
        self, style: Style | None = None, num_classes: int = 1000, in_channels: int = 3, image_size: int = 299
    ) -> None:
        super().__init__(num_classes, in_channels, image_size)
        style = style or Style()
        self.convolution("Conv2d_1a_3x3", 32, stride=2, norm=style.norm)
        self.convolution("Conv2d_2a_3x3", 32, norm=style.norm)
        self.convolution("Conv2d_2b_3x3", 64, padding=1, norm=style.norm)
        self.add("MaxPool_3a_3x3", nn.MaxPool2d(kernel_size=3, stride=2))
        self.convolution("Conv2d_3b_1x1", 80, kernel_size=1, norm=style.norm)
        self.convolution("Conv2d_4a_3x3", 192, norm=style.norm)
        self.add("MaxPool_5a_3x3", nn.MaxPool2d(kernel_size=3, stride=2))
        self.mixed("Mixed_5b", MIXED_5B_RELEASED, style)  # 320 x 35 x 35
        a, b, c = BLOCKS_V2
        self.repeated("Block35", 10, lambda width: ResidualInception(width, a, SCALES[0], style=style))
        self.mixed("Mixed_6a", reduction_a(k=256, l=256, m=384, n=384), style)  # 1088 x 17 x 17
        self.repeated("Block17", 20, lambda width: ResidualInception(width, b, SCALES[1], style=style))
        self.mixed("Mixed_7a", REDUCTION_B_RESNET_V2, style)  # 2080 x 8 x 8
        self.repeated("Block8", 9, lambda width: ResidualInception(width, c, SCALES[2], style=style))
        # the tenth block is neither scaled nor followed by a ReLU
        self.add("Block8_last", ResidualInception(self.width, c, scale=1.0, last_relu=False, style=style))
        self.convolution("Conv2d_7b_1x1", 1536, kernel_size=1, norm=style.norm)
        self.finish()


def stem(net: StagedNetwork, mixed_4a: Table) -> None:
    """Figure 3: three convolutions, then three pairs of branches; 384 x 35 x 35 at 299."""
    net.convolution("Conv2d_1a_3x3", 32, stride=2)
    net.convolution("Conv2d_2a_3x3", 32)
    net.convolution("Conv2d_2b_3x3", 64, padding=1)
    net.mixed("Mixed_3a", MIXED_3A)
    net.mixed("Mixed_4a", mixed_4a)
    net.mixed("Mixed_5a", MIXED_5A)


PAPER = Paper(
    authors=("Szegedy", "Ioffe", "Vanhoucke", "Alemi"),
    title="Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    venue="AAAI 2017",
    year=2016,
    arxiv="1602.07261",
    read="arXiv:1602.07261, its figures through transcriptions; tensorflow/models research/slim",
)
SINGLE = "ILSVRC-2012 val without the blacklist, single crop"
TWELVE, MANY = "ILSVRC-2012 val, 12 crops", "ILSVRC-2012 val, 144 crops"
TRUNCATED = "Gaussian 0.1 cut at two standard deviations (TF-slim's default; the paper does not say)"


def table(*rows: tuple[str, str]) -> tuple[Figure, ...]:
    """Tables 2, 3 and 4: single crop, 12 crops, 144 crops."""
    protocols = ((SINGLE, "Table 2"), (TWELVE, "Table 3"), (MANY, "Table 4"))
    return tuple(
        figure
        for (top1, top5), (protocol, where) in zip(rows, protocols, strict=True)
        for figure in errors(top1, top5, protocol, where=where)
    )


UNSTATED = (
    "batch norm's epsilon: 0.001, as released; affine, where the released code leaves the scale out",
    "the initialisation: TF-slim's",
)
SCALING = "the scale of the residuals, 0.1 to 0.3 in section 3.3: 0.17, 0.10 and 0.20 as released"
CARD_V4 = Card(
    paper=PAPER,
    summary="a uniform Inception without residuals: 4 A, 7 B and 3 C modules",
    initialisation=TRUNCATED,
    figures=(
        *table(("20.0", "5.0"), ("18.7", "4.2"), ("17.7", "3.8")),
        *errors("16.4", "3.1", f"{MANY}, this and 3 Inception-ResNet-v2", where="Table 5"),
        *errors("", "3.08", "ILSVRC-2012 test, 144 crops, this and 3 Inception-ResNet-v2", where="Table 5"),
    ),
    departures=(
        Departure(
            "auxiliary head",
            paper="not drawn in Figure 9",
            here="one after the last Inception-B, in training only",
            why="the authors' released definition",
        ),
    ),
    unstated=(*UNSTATED, "the weight of the auxiliary loss: 0.4, the released code's, recalled"),
)
CARD_RESNET_V1 = Card(
    paper=PAPER,
    summary="Inception blocks as residuals at the cost of Inception-v3: 5 A, 10 B and 5 C blocks",
    initialisation=TRUNCATED,
    figures=table(("21.3", "5.5"), ("19.8", "4.6"), ("18.8", "4.3")),
    departures=(
        Departure(
            "source of the widths",
            paper="Figures 10 to 14, which are pictures",
            here="the widths of facenet's port, with 5 C blocks instead of its 6",
            why="the figures were read through transcriptions only",
        ),
    ),
    unstated=(*UNSTATED, SCALING),
)
CARD_RESNET_V2 = Card(
    paper=PAPER,
    summary="Inception blocks as residuals at the cost of Inception-v4: 5 A, 10 B and 5 C blocks",
    initialisation=TRUNCATED,
    figures=table(("19.9", "4.9"), ("18.7", "4.1"), ("17.8", "3.7")),
    departures=(
        Departure(
            "linear 1x1 convolutions",
            paper="1154 and 2048 wide (Figures 17 and 19)",
            here="1152 and 2144 wide",
            why="a residual can only be added to its input's width",
        ),
        Departure(
            "m of Reduction-A",
            paper="256 in one transcription of Table 1",
            here="384",
            why="with it the map has the 1152 channels the figures need",
        ),
    ),
    unstated=(*UNSTATED, SCALING),
)
RELEASED = (
    Departure("stem", "Figure 3, 384 maps", "Inception-v3's, then Mixed_5b, 320 maps", "the authors' released file"),
    Departure(
        "blocks", "5, 10 and 5 (Figure 15)", "10, 20 and 10; the last without ReLU", "the authors' released file"
    ),
    Departure("before the pooling", "nothing", "a 1x1 convolution to 1536 maps", "the authors' released file"),
)
CARD_TIMM = Card(
    paper=PAPER,
    summary="the network released under the name: twice the blocks, another stem; affine batch norm as in timm",
    initialisation=TRUNCATED,
    departures=RELEASED,
)
CARD_KERAS = Card(
    paper=PAPER,
    summary="the network released under the name, batch norm without its scale as in Keras",
    initialisation=TRUNCATED,
    departures=(*RELEASED, Departure("batch norm", "scale and shift", "shift only", "Keras, as released")),
)

INPUT = (3, 299, 299)
NETWORKS = (
    Network("inception_v4", InceptionV4, CARD_V4, INPUT, smallest_size=107),
    Network("inception_resnet_v1", InceptionResNetV1, CARD_RESNET_V1, INPUT, smallest_size=75),
    Network("inception_resnet_v2", InceptionResNetV2, CARD_RESNET_V2, INPUT, smallest_size=75),
    Network("inception_resnet_v2@timm", ReleasedInceptionResNetV2, CARD_TIMM, INPUT, smallest_size=75),
    Network(
        "inception_resnet_v2@keras",
        partial(ReleasedInceptionResNetV2, Style(norm=ShiftNorm)),
        CARD_KERAS,
        INPUT,
        smallest_size=75,
    ),
)
