"""Inception-v3. Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016. Read: arXiv:1512.00567, Table 1, Figures 5 to
8, sections 6 to 8, and the authors' released definition (tf_slim/nets/inception_v3.py), whose names are used.

On a 299 x 299 image; shapes are (C, H, W).
    layer            what it is                                       output          params
    Conv2d_1a_3x3    32, stride 2, valid                         32 x 149 x 149          928
    Conv2d_2a_3x3    32, valid                                   32 x 147 x 147        9,280
    Conv2d_2b_3x3    64; then 3x3 max pooling, stride 2          64 x 147 x 147       18,560
    Conv2d_3b_1x1    80                                          80 x  73 x  73        5,280
    Conv2d_4a_3x3    192, valid; then 3x3 max pooling           192 x  71 x  71      138,624
    Mixed_5b         Figure 5, pool projection 32               256 x  35 x  35      255,904
    Mixed_5c         Figure 5, pool projection 64               288 x  35 x  35      277,472
    Mixed_5d         Figure 5, pool projection 64               288 x  35 x  35      285,152
    Mixed_6a         grid reduction                             768 x  17 x  17    1,153,280
    Mixed_6b         Figure 6, 128 wide                         768 x  17 x  17    1,297,408
    Mixed_6c         Figure 6, 160 wide                         768 x  17 x  17    1,691,008
    Mixed_6d         Figure 6, 160 wide                         768 x  17 x  17    1,691,008
    Mixed_6e         Figure 6, 192 wide                         768 x  17 x  17    2,141,952
    Mixed_7a         grid reduction                           1,280 x   8 x   8    1,698,304
    Mixed_7b         Figure 7                                 2,048 x   8 x   8    5,044,608
    Mixed_7c         Figure 7                                 2,048 x   8 x   8    6,076,800
    head             average pool, dropout, fc-1000                1000    2,049,000    total 23,834,568
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.arithmetic.formulas import output_size
from convatlas.models.blocks import AuxiliaryClassifier, Classifier
from convatlas.models.branches import Branches, ConvNorm, Outputs, ShiftNorm, Spec, Style
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import truncated_normal_


def figure_5(pool_projection: int) -> tuple[Spec, ...]:
    """35 x 35: a branch with a 5x5 as in GoogLeNet, and one with two 3x3, as in the released network."""
    return (
        ("64 1x1",),
        ("48 1x1", "64 5x5"),
        ("64 1x1", "96 3x3", "96 3x3"),
        ("avgpool 3x3", f"{pool_projection} 1x1"),
    )


def figure_6(width: int) -> tuple[Spec, ...]:
    """17 x 17: every 7x7 as a 1x7 and a 7x1."""
    return (
        ("192 1x1",),
        (f"{width} 1x1", f"{width} 1x7", "192 7x1"),
        (f"{width} 1x1", f"{width} 7x1", f"{width} 1x7", f"{width} 7x1", "192 1x7"),
        ("avgpool 3x3", "192 1x1"),
    )


REDUCTION_35: tuple[Spec, ...] = (("384 3x3 /2 V",), ("64 1x1", "96 3x3", "96 3x3 /2 V"), ("maxpool 3x3 /2 V",))
REDUCTION_17: tuple[Spec, ...] = (
    ("192 1x1", "320 3x3 /2 V"),
    ("192 1x1", "192 1x7", "192 7x1", "192 3x3 /2 V"),
    ("maxpool 3x3 /2 V",),
)
FIGURE_7: tuple[Spec, ...] = (
    ("320 1x1",),
    ("384 1x1", (("384 1x3",), ("384 3x1",))),
    ("448 1x1", "384 3x3", (("384 1x3",), ("384 3x1",))),
    ("avgpool 3x3", "192 1x1"),
)
MIXED = {
    "Mixed_5b": figure_5(pool_projection=32),
    "Mixed_5c": figure_5(pool_projection=64),
    "Mixed_5d": figure_5(pool_projection=64),
    "Mixed_6a": REDUCTION_35,
    "Mixed_6b": figure_6(width=128),
    "Mixed_6c": figure_6(width=160),
    "Mixed_6d": figure_6(width=160),
    "Mixed_6e": figure_6(width=192),
    "Mixed_7a": REDUCTION_17,
    "Mixed_7b": FIGURE_7,
    "Mixed_7c": FIGURE_7,
}
AUXILIARY_AFTER = "Mixed_6e"  # the last 17 x 17 grid
AUXILIARY_WEIGHT = 0.4  # of the released code; the paper does not say


class AuxiliaryHead(AuxiliaryClassifier):
    """Figure 8: 5x5 average pooling with stride 3, 1x1-128, 5x5-768 over the whole map, fc-K; batch-normalised."""

    def __init__(self, in_channels: int, side: int, num_classes: int, style: Style) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(kernel_size=5, stride=3)
        self.conv1x1 = ConvNorm(in_channels, 128, (1, 1), norm=style.norm)
        self.conv5x5 = ConvNorm(128, 768, (side, side), norm=style.norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 768, 17, 17) -> (N, K)
        x = self.conv5x5(self.conv1x1(self.pool(x)))  # (N, 768, 1, 1)
        return self.fc(torch.flatten(self.avgpool(x), start_dim=1))


class InceptionV3(Classifier):
    """The released network. In training mode it returns ``Outputs`` with the auxiliary head's logits."""

    auxiliary_weight = AUXILIARY_WEIGHT

    def __init__(
        self,
        style: Style | None = None,
        dropout: float = 0.2,
        auxiliary: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 299,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        style = style or Style()
        conv = partial(ConvNorm, norm=style.norm)
        self.Conv2d_1a_3x3 = conv(in_channels, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = conv(32, 64, (3, 3), padding=(1, 1))
        self.MaxPool_3a_3x3 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = conv(80, 192, (3, 3))
        self.MaxPool_5a_3x3 = nn.MaxPool2d(kernel_size=3, stride=2)
        channels = 192
        for name, figure in MIXED.items():
            module = Branches(channels, *figure, style=style)
            self.add_module(name, module)
            channels = module.out_channels
            if auxiliary and name == AUXILIARY_AFTER:
                self.AuxLogits = AuxiliaryHead(channels, auxiliary_side(image_size), num_classes, style)
        self.AvgPool = nn.AdaptiveAvgPool2d(1)
        self.Dropout = nn.Dropout(dropout)
        self.Logits = nn.Linear(channels, num_classes)
        truncated_normal_(self, std=0.1)

    def forward(self, images: Tensor) -> Tensor | Outputs:  # (N, 3, 299, 299)
        self.check(images)
        x = self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images))  # (N, 32, 147, 147)
        x = self.MaxPool_3a_3x3(self.Conv2d_2b_3x3(x))  # (N, 64, 73, 73)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # (N, 192, 71, 71)
        x = self.MaxPool_5a_3x3(x)  # (N, 192, 35, 35)
        auxiliary: tuple[Tensor, ...] = ()
        for name in MIXED:
            x = self.get_submodule(name)(x)  # 5b to 5d: 35 x 35; 6a to 6e: 17 x 17; 7a to 7c: 8 x 8
            if self.training and name == AUXILIARY_AFTER and hasattr(self, "AuxLogits"):
                auxiliary = (self.AuxLogits(x),)
        x = torch.flatten(self.AvgPool(x), start_dim=1)  # (N, 2048)
        logits: Tensor = self.Logits(self.Dropout(x))  # (N, K)
        return Outputs(logits, auxiliary, self.auxiliary_weight) if auxiliary else logits


def auxiliary_side(image_size: int) -> int:
    """Side of the map that the auxiliary head's 5x5 convolution reads: 5 for images of 299."""
    side = image_size
    for kernel, stride, padding in (
        (3, 2, 0),
        (3, 1, 0),
        (3, 1, 1),
        (3, 2, 0),
        (3, 1, 0),
        (3, 2, 0),
        (3, 2, 0),
        (5, 3, 0),
    ):
        side = output_size(side, kernel, stride, padding)
    return side


PAPER = Paper(
    authors=("Szegedy", "Vanhoucke", "Ioffe", "Shlens", "Wojna"),
    title="Rethinking the Inception Architecture for Computer Vision",
    venue="CVPR 2016",
    year=2015,
    arxiv="1512.00567",
    read="arXiv:1512.00567, Tables 1 and 3 to 5; tf_slim/nets/inception_v3.py",
)
VAL = "ILSVRC-2012 val without the blacklist"
TRUNCATED = "Gaussian 0.1 cut at two standard deviations (released code; the paper does not say)"
CARD = Card(
    paper=PAPER,
    summary="the network the authors released: factorised 7x7, grid reductions, a batch-normalised auxiliary head",
    initialisation=TRUNCATED,
    figures=(
        *errors("21.2", "5.6", f"{VAL}, single crop", where="Table 3"),
        *errors("19.47", "4.48", f"{VAL}, 12 crops", where="Table 4"),
        *errors("18.77", "4.2", f"{VAL}, 144 crops", where="Table 4"),
        *errors("17.2", "", f"{VAL}, 4 nets, 144 crops", where="Table 5"),
        *errors("", "3.58", "ILSVRC-2012 test, 4 nets, 144 crops", where="Table 5 and its footnote"),
        *errors("21.8", "5.9", f"{VAL}, single crop", where="Table 1", source="Chollet, arXiv:1610.02357"),
        Figure("params", "25", unit=1_000_000, where="abstract: fewer than 25 million", tolerance=2),
        Figure(
            "macs",
            "5",
            unit=1_000_000_000,
            where="abstract; 4.8 in Table 3",
            tolerance=0.3,
            explanation="the released network is not Table 1 and needs 5.71 G",
        ),
        Figure(
            "params",
            "23,626,728",
            source="Chollet, arXiv:1610.02357, Table 3",
            explanation="23,834,568 with affine batch norm, 23,817,352 without its scale; 23,626,728 is neither",
        ),
    ),
    departures=(
        Departure(
            "stem",
            paper="3x3-80, 3x3-192 with stride 2, 3x3-288 (Table 1)",
            here="1x1-80, 3x3-192, max pooling",
            why="the definition that the authors released and libraries deploy; the paper's model.txt was not found",
        ),
        Departure(
            "35 x 35 modules",
            paper="three, 288 wide, without a 5x5 (Figure 5)",
            here="256, 288 and 288 wide, one branch with a 5x5",
            why="released definition",
        ),
        Departure(
            "17 x 17 modules", paper="five (Table 1)", here="four after the reduction", why="released definition"
        ),
    ),
    unstated=(
        "the weight of the auxiliary loss: 0.4, the released code's, recalled",
        "dropout: 0.2, the released code keeps 0.8",
        "batch norm: epsilon 0.001 as released; affine, where the released code leaves the scale out (see @keras)",
    ),
)
TORCHVISION = Card(
    paper=PAPER,
    summary="as torchvision and timm deploy it: average pooling counts its padding, dropout 0.5",
    initialisation=TRUNCATED,
    departures=(
        Departure(
            "average pooling",
            paper="TensorFlow's, which leaves the padding out",
            here="the padding counts as zeros",
            why="torchvision's pooling; other values along every border",
        ),
        Departure("dropout", "0.2 (released code)", "0.5", "torchvision's"),
        Departure("batch norm", "without a scale (released code)", "affine, epsilon 0.001", "torchvision's"),
    ),
)
KERAS = Card(
    paper=PAPER,
    summary="as Keras deploys it: batch norm without its scale, no auxiliary head, no dropout",
    initialisation=TRUNCATED,
    departures=(
        Departure("batch norm", "scale and shift", "shift only", "Keras, as the released TensorFlow code"),
        Departure("auxiliary head", "on the last 17 x 17 grid", "none", "Keras"),
        Departure("dropout", "0.2 (released code)", "none", "Keras"),
    ),
)

INPUT = (3, 299, 299)
NETWORKS = (
    Network("inception_v3", InceptionV3, CARD, INPUT, smallest_size=107),
    Network(
        "inception_v3@torchvision",
        partial(InceptionV3, Style(count_padding=True), dropout=0.5),
        TORCHVISION,
        INPUT,
        smallest_size=107,
    ),
    Network(
        "inception_v3@keras",
        partial(InceptionV3, Style(norm=ShiftNorm), dropout=0.0, auxiliary=False),
        KERAS,
        INPUT,
        smallest_size=75,
    ),
)
