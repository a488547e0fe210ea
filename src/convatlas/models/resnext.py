"""ResNeXt. Xie, Girshick, Dollar, Tu and He, CVPR 2017. Read: the authors' repository (facebookresearch/ResNeXt);
Table 1 of arXiv:1611.05431 is recalled.

ResNeXt-50 (32x4d) on a 224 x 224 image; shapes are (C, H, W). 3x3/32 is a convolution in 32 groups.
    stage      layers                                                output             params
    conv1      conv7-64, stride 2, BN; max pool 3x3, stride 2    64 x  56 x  56          9,536
    conv2_x    3 x (conv1-128, conv3-128/32, conv1-256)         256 x  56 x  56        205,824
    conv3_x    4 x (conv1-256, conv3-256/32, conv1-512)         512 x  28 x  28      1,197,056
    conv4_x    6 x (conv1-512, conv3-512/32, conv1-1024)      1,024 x  14 x  14      7,022,592
    conv5_x    3 x (conv1-1024, conv3-1024/32, conv1-2048)    2,048 x   7 x   7     14,544,896
    head       average pool, fc-1000                                   1000          2,049,000    total 25,028,904
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Residual
from convatlas.models.cards import Card, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he_by_fan_out
from convatlas.models.mobile_blocks import SqueezeExcitation
from convatlas.models.resnet import ResNet, make_shortcut


class AggregatedBottleneck(Residual):
    """ResNet's bottleneck with a 3x3 in groups (Figure 3, c), and the stride in the 3x3.

    Args:
        channels: of ResNet's bottleneck: 64, 128, 256, 512.
        cardinality: number of groups.
        width: channels of one group in conv2_x, 4 of "32x4d"; twice as many in each later stage.
        reduction: of squeeze-and-excitation before the addition (Hu et al., arXiv:1709.01507); 0 is none.
        stride_in_3x3: False has the stride in the first 1x1, as ResNet's paper.
    """

    __jit_unused_properties__ = ("branch_end",)

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        cardinality: int = 1,
        width: int = 64,
        reduction: int = 0,
        stride_in_3x3: bool = True,
    ) -> None:
        super().__init__()
        inner, out_channels = cardinality * channels * width // 64, channels * self.expansion
        first, second = (1, stride) if stride_in_3x3 else (stride, 1)
        self.conv1 = nn.Conv2d(in_channels, inner, kernel_size=1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=second, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se: nn.Module = nn.Identity()
        if reduction:
            self.se = SqueezeExcitation(out_channels, out_channels // reduction)
        shortcut = make_shortcut("B", in_channels, out_channels, stride)
        assert shortcut is not None
        self.shortcut = shortcut

    @property
    def branch_end(self) -> nn.Module:
        """The last norm of the residual branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        if self.skips_branch():
            return F.relu(self.shortcut(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(self.rescaled(y) + self.shortcut(x))


def aggregated(depth: int, **block: Any) -> Callable[..., ResNet]:
    """A ResNet of these blocks; the options are those of `AggregatedBottleneck`."""
    return partial(ResNet, depth, block=partial(AggregatedBottleneck, **block), initialise=initialise_as_released)


def initialise_as_released(net: nn.Module) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)); the last layer as torch leaves it."""
    draw_(net, he_by_fan_out, None)


PAPER = Paper(
    authors=("Xie", "Girshick", "Dollár", "Tu", "He"),
    title="Aggregated Residual Transformations for Deep Neural Networks",
    venue="CVPR 2017",
    year=2016,
    arxiv="1611.05431",
    read="facebookresearch/ResNeXt: README and models/resnext.lua; abstract of arXiv:1611.05431",
)
README = "facebookresearch/ResNeXt README"
PROTOCOL = "ILSVRC-2012 val, centre crop, shorter side 256"
ABOUT = 0.2  # the README says "~"
# depth, cardinality, width -> billion multiply-adds (about) and top-1 error of the README
README_TABLE: dict[tuple[int, int, int], tuple[str, str]] = {
    (50, 32, 4): ("4.1", "22.2"),
    (101, 32, 4): ("7.8", "21.2"),
    (101, 64, 4): ("15.6", "20.4"),
    (101, 32, 8): ("", ""),
}
RULE = "Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs; last layer torch's default (released code)"


def network(depth: int, cardinality: int, width: int) -> Network:
    macs, top1 = README_TABLE[depth, cardinality, width]
    printed = Figure("macs", macs or "0", 1_000_000_000, source=README, tolerance=ABOUT)
    record = Card(
        paper=PAPER,
        summary=f"{depth} layers, {cardinality} groups of {width} channels in the 3x3 convolutions of conv2_x",
        initialisation=RULE,
        figures=(printed, *errors(top1, "", PROTOCOL, source=README)) if macs else (),
        unstated=("the stride of a bottleneck: in the 3x3, as in the released code",),
    )
    name = f"resnext{depth}_{cardinality}x{width}d"
    return Network(name, aggregated(depth, cardinality=cardinality, width=width), record, smallest_size=17)


NETWORKS = tuple(network(*key) for key in README_TABLE)
