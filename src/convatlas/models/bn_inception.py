"""BN-Inception. Ioffe and Szegedy, ICML 2015. Read: arXiv:1502.03167, Figure 5 (the appendix), section 4.2.

On a 224 x 224 image; shapes are (C, H, W).
    layer           what it is                                             output          params
    conv1           separable 7x7-64, stride 2, multiplier 8          64 x 112 x 112        2,840
    conv2_reduce    1x1-64                                            64 x  56 x  56        4,224
    conv2           3x3-192                                          192 x  56 x  56      110,976
    inception_3a    64; 64-64; 64-96-96; average, 32                 256 x  28 x  28      219,072
    inception_3b    64; 64-96; 64-96-96; average, 64                 320 x  28 x  28      260,160
    inception_3c    128-160 /2; 64-96-96 /2; max /2                  576 x  14 x  14      385,088
    inception_4a    224; 64-96; 96-128-128; average, 128             576 x  14 x  14      609,984
    inception_4b    192; 96-128; 96-128-128; average, 128            576 x  14 x  14      665,344
    inception_4c    160; 128-160; 128-160-160; average, 96           576 x  14 x  14      895,936
    inception_4d    96; 128-192; 160-192-192; average, 96            576 x  14 x  14    1,108,032
    inception_4e    128-192 /2; 192-256-256 /2; max /2             1,024 x   7 x   7    1,439,744
    inception_5a    352; 192-320; 160-224-224; average, 128        1,024 x   7 x   7    2,182,272
    inception_5b    352; 192-320; 192-224-224; max, 128            1,024 x   7 x   7    2,279,616
    head            average pool, fc-1000                                1000           1,025,000    total 11,188,288

A module's columns: 1x1; 3x3 reduce and 3x3; double 3x3 reduce and double 3x3; pooling and its
projection. In 3c and 4e the last convolution of a branch and the pooling stride by 2.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, SamePool
from convatlas.models.branches import Branches, ConvNorm, Spec, inception_norm
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_
from convatlas.models.mobile_blocks import SqueezeExcitation

# Figure 5: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, pooling, its projection; "-" where there is none
Row = tuple[int | str, ...]
INCEPTIONS: dict[str, Row] = {
    "3a": (64, 64, 64, 64, 96, "avg", 32),
    "3b": (64, 64, 96, 64, 96, "avg", 64),
    "3c": ("-", 128, 160, 64, 96, "max", "-"),
    "4a": (224, 64, 96, 96, 128, "avg", 128),
    "4b": (192, 96, 128, 96, 128, "avg", 128),
    "4c": (160, 128, 160, 128, 160, "avg", 96),  # 128 is printed, but gives 608 maps, and 576 are printed
    "4d": (96, 128, 192, 160, 192, "avg", 96),  # the same
    "4e": ("-", 128, 192, 192, 256, "max", "-"),
    "5a": (352, 192, 320, 160, 224, "avg", 128),
    "5b": (352, 192, 320, 192, 224, "max", 128),
}
AS_PRINTED: dict[str, Row] = {**INCEPTIONS, "4c": (*INCEPTIONS["4c"][:6], 128), "4d": (*INCEPTIONS["4d"][:6], 128)}


def branches(row: Row) -> tuple[Spec, ...]:
    """A row of the table in the notation of branches.py."""
    n1x1, n3x3_reduce, n3x3, double_reduce, double, pool, projection = row
    stride = " /2" if n1x1 == "-" else ""
    branches: list[Spec] = [] if n1x1 == "-" else [(f"{n1x1} 1x1",)]
    branches += [
        (f"{n3x3_reduce} 1x1", f"{n3x3} 3x3{stride}"),
        (f"{double_reduce} 1x1", f"{double} 3x3", f"{double} 3x3{stride}"),
        (f"{pool}pool 3x3{stride}", *(() if projection == "-" else (f"{projection} 1x1",))),
    ]
    return tuple(branches)


class SeparableConvNorm(nn.Module):
    """Footnote of Figure 5: a depthwise convolution with a channel multiplier, then a 1x1; one batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, multiplier: int) -> None:
        super().__init__()
        wide = in_channels * multiplier
        self.depthwise = nn.Conv2d(
            in_channels, wide, kernel_size, stride, kernel_size // 2, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(wide, out_channels, kernel_size=1, bias=False)
        self.bn = inception_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.pointwise(self.depthwise(x))), inplace=True)


class BNInception(Classifier):
    """GoogLeNet with batch norm, two 3x3 instead of each 5x5, and modules with stride 2.

    Args:
        reduction: of squeeze-and-excitation after each module (Hu et al., arXiv:1709.01507, Figure 2); 0 is none.
    """

    def __init__(
        self,
        inceptions: dict[str, Row],
        reduction: int = 0,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = SeparableConvNorm(in_channels, 64, kernel_size=7, stride=2, multiplier=8)
        self.pool1 = SamePool()
        self.conv2_reduce = ConvNorm(64, 64, (1, 1))
        self.conv2 = ConvNorm(64, 192, (3, 3), padding=(1, 1))
        self.pool2 = SamePool()
        channels = 192
        for name, row in inceptions.items():
            module = Branches(channels, *branches(row))
            self.add_module(f"inception_{name}", module)
            channels = module.out_channels
            if reduction:
                self.add_module(f"se_{name}", SqueezeExcitation(channels, channels // reduction))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv1, pool1, conv2_reduce, conv2, pool2, inception_3a, ..., 5b, ..., fc
            x = layer(x)
        return x  # (N, K), logits


PAPER = Paper(
    authors=("Ioffe", "Szegedy"),
    title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    venue="ICML 2015",
    year=2015,
    arxiv="1502.03167",
    read="arXiv:1502.03167, Figure 5, sections 4.2 and 5",
)
SINGLE = "ILSVRC-2012 val, single crop"
EXPLANATION = (
    "the printed table gives 11.19 M (11.28 M with both 128 projections); the stated 25 % over GoogLeNet would be 8.7 M"
)


def printed_params() -> Figure:
    return Figure("params", "13.6", unit=1_000_000, where="section 4.2.1", tolerance=0.1, explanation=EXPLANATION)


UNSTATED = (
    "the initialisation: He's rule",
    "whether average pooling counts the padding: it does not, as in TensorFlow",
    "batch norm's epsilon: 0.001, as in the authors' later code",
)
CARD = Card(
    paper=PAPER,
    summary="GoogLeNet with batch norm, two 3x3 in place of each 5x5",
    initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c; not stated in the paper",
    figures=(
        printed_params(),
        Figure(
            "macs", "2.0", unit=1_000_000_000, where="Table 3", source="Szegedy et al., arXiv:1512.00567", tolerance=0.1
        ),
        *errors("25.2", "7.8", SINGLE, where="Table 3", source="Szegedy et al., arXiv:1512.00567"),
        *errors("21.99", "5.81", "ILSVRC-2012 val, multi-crop", where="Table 4", source="He et al., arXiv:1512.03385"),
        *errors("27.3", "", f"{SINGLE}, BN-Baseline: GoogLeNet's learning rate", where="Figure 3"),
        *errors("27.0", "", f"{SINGLE}, BN-x5: five times that", where="Figure 3"),
        *errors("25.2", "", f"{SINGLE}, BN-x30: thirty times that", where="Figure 3"),
        *errors("30.2", "", f"{SINGLE}, BN-x5 with sigmoids", where="Figure 3"),
        *errors("", "4.82", "ILSVRC-2012 test, 6 nets, multi-crop", where="Figure 4"),
        *errors("20.1", "4.9", "ILSVRC-2012 val, 6 nets, 144 crops", where="Figure 4"),
    ),
    departures=(
        Departure(
            "pool projection of 4c and 4d",
            paper="128, with 576 output maps (Figure 5)",
            here="96",
            why="128 makes 608 maps; 96 makes the printed 576, and is what the authors' TF-slim has",
        ),
    ),
    unstated=UNSTATED,
)
PRINTED = Card(
    paper=PAPER,
    summary="Figure 5 exactly as printed: projections of 128 in 4c and 4d, whose outputs have 608 maps",
    initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c; not stated in the paper",
    figures=(printed_params(),),
    departures=(
        Departure(
            "width of 4c and 4d",
            paper="576 (Figure 5)",
            here="608",
            why="the printed banks add up to it; 4e then makes 1,056 maps",
        ),
    ),
    unstated=UNSTATED,
)

NETWORKS = (
    Network("bn_inception", partial(BNInception, INCEPTIONS), CARD, smallest_size=17),
    Network("bn_inception@as_printed", partial(BNInception, AS_PRINTED), PRINTED, smallest_size=17),
)
