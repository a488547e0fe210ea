"""SENet. Hu, Shen and Sun, CVPR 2018. Read: the authors' repository (hujie-frank/SENet); Table 2 of arXiv:1709.01507 is
recalled.

SE-ResNet-50 is ResNet-50 with squeeze-and-excitation at the end of every residual branch, before the addition
(Figure 3); r = 16.
    stage      squeeze-and-excitation of a block             output          params
    conv1                                              64 x 112 x 112         9,536
    conv2_x    256 -> 16 -> 256                       256 x  56 x  56       241,200
    conv3_x    512 -> 32 -> 512                       512 x  28 x  28     1,352,832
    conv4_x    1024 -> 64 -> 1024                   1,024 x  14 x  14     7,891,328
    conv5_x    2048 -> 128 -> 2048                  2,048 x   7 x   7    16,544,128
    head       average pool, fc-1000                            1000      2,049,000    total 28,088,024
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.models.bn_inception import INCEPTIONS, BNInception
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he_, he_by_fan_out
from convatlas.models.resnet import CAFFE_POOL, ResNet
from convatlas.models.resnext import AggregatedBottleneck, aggregated

REDUCTION = 16  # r, section 6.1

PAPER = Paper(
    authors=("Hu", "Shen", "Sun"),
    title="Squeeze-and-Excitation Networks",
    venue="CVPR 2018",
    year=2017,
    arxiv="1709.01507",
    read="hujie-frank/SENet: README; abstract of arXiv:1709.01507",
)
README = "hujie-frank/SENet README"
PROTOCOL = "ILSVRC-2012 val, centre crop, shorter side 256, released weights"
TABLE_2 = "ILSVRC-2012 val, centre crop, shorter side 256"
# size of the released file in MiB, top-1 and top-5 error of the README
RELEASED = {
    "se_bn_inception": ("46", "23.62", "7.04"),
    "se_resnet50": ("107", "22.37", "6.36"),
    "se_resnet101": ("189", "21.75", "5.72"),
    "se_resnet152": ("256", "21.34", "5.54"),
    "se_resnext50_32x4d": ("105", "20.97", "5.54"),
    "se_resnext101_32x4d": ("187", "19.81", "4.96"),
}
WITH_STATISTICS = "a Caffe file holds the running statistics of batch norm too"
EXPLAINED = {
    "se_resnet101": WITH_STATISTICS,
    "se_resnet152": WITH_STATISTICS,
    "se_bn_inception": f"45.1 MiB by BN-Inception's table; {WITH_STATISTICS}",
}
# Table 2, recalled: billion multiply-adds, top-1 and top-5 error
RECALLED = {
    "se_bn_inception": ("2.04", "24.23", "7.14"),
    "se_resnet50": ("3.87", "23.29", "6.62"),
    "se_resnet101": ("7.60", "22.38", "6.07"),
    "se_resnet152": ("11.32", "21.57", "5.73"),
    "se_resnext50_32x4d": ("4.25", "21.10", "5.49"),
    "se_resnext101_32x4d": ("8.00", "20.70", "5.01"),
}
STRIDE = Departure(
    "stride of a bottleneck",
    paper="in the first 1x1 convolution (as ResNet)",
    here="in the 3x3 convolution",
    why="timm's; same parameters, more multiply-adds",
)
FAN_OUT = Departure("initialisation", "He's rule with the inputs of a unit", "with its outputs", "timm's")
HE = "He: Gaussian, standard deviation sqrt(2/n), n the inputs of a unit (section 6 refers to 1502.01852)"


def figures(name: str) -> tuple[Figure, ...]:
    size, top1, top5 = RELEASED[name]
    macs, printed1, printed5 = RECALLED[name]
    explained = EXPLAINED.get(name, "")
    return (
        Figure("params", size, unit=262_144, source=README, explanation=explained),
        *errors(top1, top5, PROTOCOL, source=README),
        Figure("macs", macs, unit=1_000_000_000, where="Table 2", verified=False),
        *errors(printed1, printed5, TABLE_2, where="Table 2", verified=False),
    )


def card(name: str, summary: str) -> Card:
    return Card(
        paper=PAPER,
        summary=summary,
        initialisation=HE,
        figures=figures(name),
        unstated=(
            "whether the two layers of squeeze-and-excitation have biases: they have, as in the released models",
        ),
    )


def network(depth: int, pool_rounds_up: bool = False) -> partial[ResNet]:
    block = partial(AggregatedBottleneck, reduction=REDUCTION, stride_in_3x3=False)
    return partial(ResNet, depth, block=block, pool_rounds_up=pool_rounds_up, initialise=he_)


def initialise_as_timm(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); the last layer as torch leaves it."""
    draw_(net, he_by_fan_out, None)


RESNETS = tuple(
    Network(
        f"se_resnet{depth}",
        network(depth),
        card(f"se_resnet{depth}", f"ResNet-{depth} with squeeze-and-excitation in every block"),
        smallest_size=17,
    )
    for depth in (50, 101, 152)
)
RESNEXTS = tuple(
    Network(
        f"se_resnext{depth}_32x4d",
        aggregated(depth, cardinality=32, width=4, reduction=REDUCTION),
        card(f"se_resnext{depth}_32x4d", f"ResNeXt-{depth} (32x4d) with squeeze-and-excitation in every block"),
        smallest_size=17,
    )
    for depth in (50, 101)
)
INCEPTION = Network(
    "se_bn_inception",
    partial(BNInception, INCEPTIONS, REDUCTION),
    card("se_bn_inception", "BN-Inception with squeeze-and-excitation after every module"),
    smallest_size=17,
)
TIMM = Card(
    paper=PAPER,
    summary="as timm deploys it (seresnet50): the stride in the 3x3 convolution",
    initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer torch's default",
    departures=(STRIDE, FAN_OUT),
)
CAFFE = Card(
    paper=PAPER,
    summary="as the authors released it in Caffe; timm has it as legacy_seresnet50",
    initialisation=HE,
    departures=(CAFFE_POOL,),
)
NETWORKS = (
    *RESNETS,
    *RESNEXTS,
    INCEPTION,
    Network("se_resnet50@timm", aggregated(50, reduction=REDUCTION), TIMM, smallest_size=17),
    Network("se_resnet50@caffe", network(50, pool_rounds_up=True), CAFFE, smallest_size=19),
)
