"""GoogLeNet. Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, CVPR 2015.
Read: arXiv:1409.4842, Table 1, Figures 2 and 3, sections 5 and 6; the BVLC replica for what the paper does not state.

On a 224 x 224 image; shapes are (C, H, W).
    layer           what it is                                       output          params
    conv1           7x7-64, stride 2; then pool1, norm1         64 x 112 x 112        9,472
    conv2_reduce    1x1-64                                      64 x  56 x  56        4,160
    conv2           3x3-192; then norm2, pool2                 192 x  56 x  56      110,784
    inception_3a    64, 96-128, 16-32, pool 32                 256 x  28 x  28      163,696
    inception_3b    128, 128-192, 32-96, pool 64               480 x  28 x  28      388,736
    inception_4a    192, 96-208, 16-48, pool 64                512 x  14 x  14      376,176
    inception_4b    160, 112-224, 24-64, pool 64               512 x  14 x  14      449,160
    inception_4c    128, 128-256, 24-64, pool 64               512 x  14 x  14      510,104
    inception_4d    112, 144-288, 32-64, pool 64               528 x  14 x  14      605,376
    inception_4e    256, 160-320, 32-128, pool 128             832 x  14 x  14      868,352
    inception_5a    256, 160-320, 32-128, pool 128             832 x   7 x   7    1,043,456
    inception_5b    384, 192-384, 48-128, pool 128           1,024 x   7 x   7    1,444,080
    head            average pool, dropout 0.4, fc-1000                1000        1,025,000    total 6,998,552
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.arithmetic.formulas import output_size
from convatlas.errors import ShapeError
from convatlas.models.blocks import AuxiliaryClassifier, Classifier, LocalResponseNorm
from convatlas.models.branches import ConvNorm, Outputs
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import caffe_xavier, draw_, truncated_normal_

# Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED_AFTER = ("3b", "4e")
AUXILIARY_AFTER = ("4a", "4d")
AUXILIARY_WEIGHT = 0.3  # section 5


class ConvReLU(nn.Module):
    """A convolution with bias, padded to keep the map, and its ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class SeparableConvReLU(nn.Module):
    """The conv1 that Table 1 counts: a depthwise 7x7 with multiplier 8, then a 1x1, as described for BN-Inception."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        wide = 8 * in_channels
        padding = kernel_size // 2
        self.depthwise = nn.Conv2d(in_channels, wide, kernel_size, stride, padding, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(wide, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)), inplace=True)


def conv_norm(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> ConvNorm:
    """torchvision's convolution: batch norm instead of a bias."""
    return ConvNorm(in_channels, out_channels, (kernel_size, kernel_size), stride, (kernel_size // 2,) * 2)


class Inception(nn.Module):
    """Figure 2(b): parallel 1x1, 3x3, 5x5 and max pooling, with 1x1 reductions before and a projection after."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], torchvision: bool = False) -> None:
        super().__init__()
        n1x1, n3x3_reduce, n3x3, n5x5_reduce, n5x5, n_pool = widths
        conv = conv_norm if torchvision else ConvReLU
        self.conv1x1 = conv(in_channels, n1x1, 1)
        self.reduce3x3 = conv(in_channels, n3x3_reduce, 1)
        self.conv3x3 = conv(n3x3_reduce, n3x3, 3)
        self.reduce5x5 = conv(in_channels, n5x5_reduce, 1)
        # torchvision has 3x3 here, as the weights that it ported need it (pytorch/vision issue 906)
        self.conv5x5 = conv(n5x5_reduce, n5x5, 3 if torchvision else 5)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.pool_proj = conv(in_channels, n_pool, 1)
        self.out_channels = n1x1 + n3x3 + n5x5 + n_pool

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.conv1x1(x),
            self.conv3x3(self.reduce3x3(x)),
            self.conv5x5(self.reduce5x5(x)),
            self.pool_proj(self.pool(x)),
        )
        return torch.cat(branches, dim=1)


class NaiveInception(nn.Module):
    """Figure 2(a): the same filters without reductions. The pooling keeps all input maps, so the width only grows."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        n1x1, _, n3x3, _, n5x5, _ = widths
        self.conv1x1 = ConvReLU(in_channels, n1x1, 1)
        self.conv3x3 = ConvReLU(in_channels, n3x3, 3)
        self.conv5x5 = ConvReLU(in_channels, n5x5, 5)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.out_channels = n1x1 + n3x3 + n5x5 + in_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv1x1(x), self.conv3x3(x), self.conv5x5(x), self.pool(x)], dim=1)


class AuxiliaryHead(AuxiliaryClassifier):
    """Section 5: 5x5 average pooling with stride 3, 1x1-128, fc-1024, dropout 0.7, fc-K.

    torchvision's pools adaptively to 4x4 and has batch norm in its convolution.
    """

    def __init__(self, in_channels: int, side: int, num_classes: int, torchvision: bool = False) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4) if torchvision else nn.AvgPool2d(kernel_size=5, stride=3)
        self.conv = (conv_norm if torchvision else ConvReLU)(in_channels, 128, 1)
        side = 4 if torchvision else side
        self.fc = nn.Linear(128 * side * side, 1024)  # 128 * 4 * 4 at 224
        self.drop = nn.Dropout(0.7)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 512 or 528, 14, 14) -> (N, K)
        x = torch.flatten(self.conv(self.pool(x)), start_dim=1)
        return self.classifier(self.drop(F.relu(self.fc(x))))


class GoogLeNet(Classifier):
    """Table 1. In training mode it returns ``Outputs`` with the two auxiliary heads' logits.

    Args:
        lrn: k and alpha of the local response normalisations norm1 and norm2; None for none (torchvision).
        torchvision: 3x3 instead of 5x5, batch norm, 2x2 pooling before 5a, dropout 0.2.
        naive: the modules of Figure 2(a), without auxiliary heads.
        separable: conv1 as the first row of Table 1 counts it.
    """

    auxiliary_weight = AUXILIARY_WEIGHT

    def __init__(
        self,
        lrn: tuple[float, float] | None = (2.0, 1e-4),
        torchvision: bool = False,
        naive: bool = False,
        separable: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels, self.built_for, self.auxiliary_resizes = in_channels, image_size, torchvision
        conv = conv_norm if torchvision else ConvReLU
        pool = partial(nn.MaxPool2d, kernel_size=3, stride=2, ceil_mode=True)  # sizes round up: 112, 56, 28, 14, 7
        self.conv1 = (SeparableConvReLU if separable else conv)(in_channels, 64, 7, 2)
        self.pool1 = pool()
        self.norm1 = normalisation(lrn)
        self.conv2_reduce = conv(64, 64, 1)
        self.conv2 = conv(64, 192, 3)
        self.norm2 = normalisation(lrn)
        self.pool2 = pool()
        channels = 192
        side = auxiliary_side(image_size)
        for name, widths in INCEPTIONS.items():
            module = NaiveInception(channels, widths) if naive else Inception(channels, widths, torchvision)
            self.add_module(f"inception_{name}", module)
            channels = module.out_channels
            if name in POOLED_AFTER:
                small = torchvision and name == "4e"
                self.add_module(f"pool_{name}", nn.MaxPool2d(2, 2, ceil_mode=True) if small else pool())
            if name in AUXILIARY_AFTER and not naive:
                head = AuxiliaryHead(channels, side, num_classes, torchvision)
                self.add_module(f"auxiliary_{name}", head)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2 if torchvision else 0.4)
        self.fc = nn.Linear(channels, num_classes)
        if torchvision:
            truncated_normal_(self, std=0.01)
        else:
            initialise(self)

    def forward(self, images: Tensor) -> Tensor | Outputs:  # (N, 3, 224, 224)
        self.check(images)
        x = self.norm1(self.pool1(self.conv1(images)))  # (N, 64, 56, 56)
        x = self.pool2(self.norm2(self.conv2(self.conv2_reduce(x))))  # (N, 192, 28, 28)
        auxiliary: list[Tensor] = []
        for name in INCEPTIONS:
            x = self.get_submodule(f"inception_{name}")(x)  # 3a, 3b: 28 x 28; 4a to 4e: 14 x 14; 5a, 5b: 7 x 7
            if name in POOLED_AFTER:
                x = self.get_submodule(f"pool_{name}")(x)
            if self.training and hasattr(self, f"auxiliary_{name}"):
                self.check_auxiliary(images)
                auxiliary.append(self.get_submodule(f"auxiliary_{name}")(x))
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 1024)
        logits: Tensor = self.fc(self.dropout(x))  # (N, K)
        return Outputs(logits, tuple(auxiliary), self.auxiliary_weight) if auxiliary else logits

    def check_auxiliary(self, images: Tensor) -> None:
        """Raise ShapeError for another image size: the auxiliary heads have a fully connected layer of one size."""
        height, width = images.shape[2:]
        if not self.auxiliary_resizes and (height, width) != (self.built_for, self.built_for):
            raise ShapeError(
                "{network} in training needs {built_for} x {built_for} images for its auxiliary heads; "
                "got {channels} x {height} x {width}. Pass image_size={height}, or resize the images.",
                network=self.network,
                built_for=self.built_for,
                channels=images.shape[1],
                height=height,
                width=width,
            )


def normalisation(lrn: tuple[float, float] | None) -> nn.Module:
    return nn.Identity() if lrn is None else LocalResponseNorm(n=5, k=lrn[0], alpha=lrn[1], beta=0.75)


def auxiliary_side(image_size: int) -> int:
    """Side of an auxiliary head's maps: those of 4a and 4d, pooled 5x5 with stride 3."""
    side = output_size(image_size, 7, stride=2, padding=3)
    for _ in range(3):  # pool1, pool2, pool_3b
        side = output_size(side, 3, stride=2, ceil_mode=True)
    return (side - 5) // 3 + 1


def initialise(net: GoogLeNet) -> None:
    """The Caffe replica's "xavier", uniform in +-sqrt(3 / fan-in); biases 0.2, those of the classifiers 0."""
    draw_(net, caffe_xavier, caffe_xavier, bias=0.2)
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear) and (name == "fc" or name.endswith("classifier")):
            nn.init.zeros_(module.bias)


PAPER = Paper(
    authors=("Szegedy", "Liu", "Jia", "Sermanet", "Reed", "Anguelov", "Erhan", "Vanhoucke", "Rabinovich"),
    title="Going Deeper with Convolutions",
    venue="CVPR 2015",
    year=2014,
    arxiv="1409.4842",
    read="arXiv:1409.4842, Tables 1 and 3, sections 4 to 7; BVLC models/bvlc_googlenet",
)
XAVIER = 'the Caffe replica\'s "xavier", uniform in +-sqrt(3/fan-in); biases 0.2, of the classifiers 0'
TABLE_3 = tuple(
    figure
    for nets, crops, error in (
        ("1 net", "1 crop", "10.07"),
        ("1 net", "10 crops", "9.15"),
        ("1 net", "144 crops", "7.89"),
        ("7 nets", "1 crop", "8.09"),
        ("7 nets", "10 crops", "7.62"),
        ("7 nets", "144 crops", "6.67"),
    )
    for figure in errors("", error, f"ILSVRC-2014 val, {nets}, {crops}", where="Table 3")
)
CARD = Card(
    paper=PAPER,
    summary="nine Inception modules with their 5x5 branch, local response normalisation, two auxiliary heads",
    initialisation=XAVIER,
    figures=(
        *TABLE_3,
        *errors(
            "29.0",
            "9.2",
            "ILSVRC-2012 val without the blacklist, single crop",
            where="Table 3",
            source="Szegedy et al., arXiv:1512.00567",
        ),
        Figure("macs", "1.5", unit=1_000_000_000, where="section 5, ops column of Table 1", tolerance=0.1),
        Figure("params", "6.7977", unit=1_048_576, where="sum of the params column of Table 1", tolerance=0.3),
        Figure(
            "params",
            "5",
            unit=1_000_000,
            where="section 1: 12 times fewer than AlexNet",
            tolerance=0.5,
            explanation="Table 1 itself sums to 6.8 M; exact counting gives 7.0 M, 8.7 times fewer than AlexNet",
        ),
    ),
    departures=(
        Departure(
            "conv1",
            paper="2.7K parameters and 34M ops (Table 1), a depthwise 7x7 with multiplier 8 and a 1x1",
            here="a plain 7x7 convolution, 9,408 weights and 118 M multiply-adds",
            why="the type printed is 'convolution'; only the BN paper of 2015 states the separable form",
        ),
        Departure(
            "params column",
            paper="364K, 463K, 580K, 840K, 1072K, 1388K for 4a, 4c, 4d, 4e, 5a, 5b",
            here="366, 497, 590, 847, 1018, 1409 K (K = 1024)",
            why="what the printed filter counts give; the ops column agrees with them except in 5a",
        ),
    ),
    unstated=(
        "the parameters of the normalisation: AlexNet's by AlexNet's formula (the Caffe replica: see @caffe)",
        "the initialisation: the Caffe replica's",
        "the initial learning rate and the batch size",
    ),
)
CAFFE = Card(
    paper=PAPER,
    summary="the BVLC replica: Table 1 with Caffe's local response normalisation",
    initialisation=XAVIER,
    figures=errors("31.3", "11.1", "ILSVRC-2012 val, centre crop", source="BVLC models/bvlc_googlenet readme"),
    departures=(
        Departure(
            "normalisation",
            paper="parameters not given",
            here="k = 1 and alpha = 1e-4 divided by n = 5",
            why="Caffe's rule, with which the published weights were trained",
        ),
    ),
    unstated=("the accuracies are printed; the errors here are 100 minus them",),
)
TORCHVISION = Card(
    paper=PAPER,
    summary="as torchvision deploys it: batch norm, 3x3 in place of 5x5, dropout 0.2",
    initialisation="Gaussian 0.01 cut at two standard deviations",
    departures=(
        Departure("5x5 branch", "5x5 (Table 1)", "3x3", "the ported weights have it; pytorch/vision issue 906"),
        Departure("normalisation", "local response, and biases", "batch norm after every convolution", "torchvision"),
        Departure("pooling before 5a", "3x3 stride 2", "2x2 stride 2", "torchvision"),
        Departure("dropout", "0.4", "0.2", "torchvision"),
        Departure("auxiliary heads", "5x5 pooling, stride 3", "adaptive pooling to 4x4", "any image size"),
    ),
)
SEPARABLE = Card(
    paper=PAPER,
    summary="Table 1 with the conv1 its numbers describe: a depthwise 7x7 with multiplier 8, and a 1x1",
    initialisation=XAVIER,
    figures=(Figure("macs", "1502", unit=1_000_000, where="sum of the ops column of Table 1", tolerance=4),),
    departures=(
        Departure(
            "conv1",
            paper="a convolution 7x7, 2.7K parameters and 34M ops (Table 1)",
            here="separable: 2,712 weights and 34 M multiply-adds",
            why="what the first row of Table 1 counts; the BN paper of 2015 states this form",
        ),
    ),
    unstated=CARD.unstated,
)
NAIVE = Card(
    paper=PAPER,
    summary="Figure 2(a) throughout: no reductions, so the width only grows; for teaching",
    initialisation=XAVIER,
    departures=(
        Departure(
            "modules",
            paper="Figure 2(b), with 1x1 reductions and a pool projection",
            here="Figure 2(a), the naive version, with the same numbers of 1x1, 3x3 and 5x5 filters",
            why="to count what the reductions save",
        ),
        Departure("auxiliary heads", "two", "none", "not what is being compared"),
    ),
)

NETWORKS = (
    Network("googlenet", GoogLeNet, CARD, smallest_size=79),
    Network("googlenet@naive", partial(GoogLeNet, naive=True), NAIVE, smallest_size=31),
    Network("googlenet@separable", partial(GoogLeNet, separable=True), SEPARABLE, smallest_size=79),
    Network("googlenet@caffe", partial(GoogLeNet, lrn=(1.0, 1e-4 / 5)), CAFFE, smallest_size=79),
    Network("googlenet@torchvision", partial(GoogLeNet, lrn=None, torchvision=True), TORCHVISION, smallest_size=31),
)
