"""Pre-activation residual networks. He, Zhang, Ren and Sun, ECCV 2016. Read: the authors' repository
(KaimingHe/resnet-1k-layers), resnet-pre-act.lua; Table 5 of arXiv:1603.05027; its other figures as quoted elsewhere.

ResNet-164 (depth 9n + 2 with n = 18) on a 32 x 32 image; shapes are (C, H, W).
    stage     layers                                       output          params
    conv1     conv3-16                                 16 x 32 x 32           432
    stage1    18 units of conv1-16, conv3-16, conv1-64     64 x 32 x 32    81,952
    stage2    18 units of conv1-32, conv3-32, conv1-128   128 x 16 x 16   326,272
    stage3    18 units of conv1-64, conv3-64, conv1-256   256 x  8 x  8 1,291,520
    head      BN, ReLU, average pool, fc-10                    10           3,082    total 1,703,258

Batch norm and ReLU stand before each convolution, so that nothing but additions lies on the path of the shortcuts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, he, he_by_fan_out
from convatlas.models.resnet import PaddedIdentity

# kernels of a unit: two convolutions (ResNet-110) or a bottleneck
BASIC, BOTTLENECK = (3, 3), (1, 3, 1)
UNITS = {110: BASIC, 164: BOTTLENECK, 1001: BOTTLENECK}
WIDTHS = (16, 32, 64)


class PreactUnit(Residual):
    """BN, ReLU, convolution, two or three times (Figure 4, e); ``channels`` is the width of the 3x3.

    Where the number of channels grows, a bottleneck's first norm and ReLU are before its projected shortcut too, as in
    the released code; two convolutions have shortcut A, which pads with zeros.

    Args:
        activated: whether the input is normalised and rectified already, as that of the first unit for ImageNet.
    """

    bn1: nn.Module
    conv1: nn.Conv2d

    def __init__(
        self, in_channels: int, channels: int, stride: int, kernels: tuple[int, ...], activated: bool = False
    ) -> None:
        super().__init__()
        self.out_channels = channels * (4 if kernels == BOTTLENECK else 1)
        widths = [in_channels, *[channels] * (len(kernels) - 1), self.out_channels]
        for number, kernel in enumerate(kernels, start=1):
            before, after = widths[number - 1], widths[number]
            self.add_module(f"bn{number}", nn.Identity() if activated and number == 1 else nn.BatchNorm2d(before))
            conv = nn.Conv2d(before, after, kernel, stride if number == 1 else 1, kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
        self.convolutions = len(kernels)
        self.shares_norm = False
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != self.out_channels and kernels == BOTTLENECK:
            self.shares_norm = True
            self.shortcut = nn.Conv2d(in_channels, self.out_channels, kernel_size=1, stride=stride, bias=False)
        elif in_channels != self.out_channels:
            self.shortcut = PaddedIdentity(in_channels, self.out_channels, stride)

    @property
    def branch_end(self) -> nn.Module:
        """The last layer of the residual branch."""
        return self.get_submodule(f"conv{self.convolutions}")

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(x))
        shortcut = self.shortcut(y if self.shares_norm else x)
        if self.skips_branch():
            return shortcut
        y = self.conv1(y)
        for number in range(2, self.convolutions + 1):
            norm, conv = self.get_submodule(f"bn{number}"), self.get_submodule(f"conv{number}")
            y = conv(F.relu(norm(y)))
        return self.rescaled(y) + shortcut


class PreactResNet(Classifier):
    """One convolution, three stages of units, batch norm and ReLU, average pooling, one fully connected layer."""

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__()
        kernels = UNITS[depth]
        n, rest = divmod(depth - 2, 3 * len(kernels))
        assert rest == 0, "the depth is 6n + 2, or 9n + 2 with bottlenecks"
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        channels = 16
        for number, width in enumerate(WIDTHS, start=1):
            stage = nn.Sequential()
            for block in range(n):
                unit = PreactUnit(channels, width, 2 if block == 0 and number > 1 else 1, kernels)
                stage.append(unit)
                channels = unit.out_channels
            self.add_module(f"stage{number}", stage)
        self.bn = nn.BatchNorm2d(channels)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        draw_(self, he_by_fan_out, he)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x = self.conv1(images)  # (N, 16, 32, 32)
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"stage{number}")(x)  # stage3: (N, 256, 8, 8), or 64 maps
        x = torch.flatten(self.avgpool(F.relu(self.bn(x))), start_dim=1)
        return self.fc(x)  # (N, K), logits


# Table 1 of the first paper, extended to 200 layers by 12 blocks in conv3_x and 12 in conv4_x
BLOCKS_IMAGENET = {200: (3, 24, 36, 3)}


class PreactResNetImageNet(Classifier):
    """A 7x7 convolution, max pooling, four stages of bottlenecks, batch norm and ReLU, average pooling, one layer."""

    def __init__(self, depth: int, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = 64
        for number, blocks in enumerate(BLOCKS_IMAGENET[depth], start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and number > 1 else 1
                first = block == 0 and number == 1
                unit = PreactUnit(channels, 32 * 2**number, stride, BOTTLENECK, activated=first)
                stage.append(unit)
                channels = unit.out_channels
            self.add_module(f"stage{number}", stage)
        self.bn = nn.BatchNorm2d(channels)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        draw_(self, he_by_fan_out, he)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))  # (N, 64, 56, 56)
        for number in range(1, 5):
            x = self.get_submodule(f"stage{number}")(x)  # stage4: (N, 2048, 7, 7)
        x = torch.flatten(self.avgpool(F.relu(self.bn(x))), start_dim=1)  # (N, 2048)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("He", "Zhang", "Ren", "Sun"),
    title="Identity Mappings in Deep Residual Networks",
    venue="ECCV 2016",
    year=2016,
    arxiv="1603.05027",
    read="KaimingHe/resnet-1k-layers: README and resnet-pre-act.lua; arXiv:1603.05027, abstract and Table 5",
)
README = "KaimingHe/resnet-1k-layers README"
QUOTED = "quoted by two READMEs of reimplementations"
CIFAR = "CIFAR-10 test, flip and shift augmentation, median of 5 runs"
# million parameters, error on CIFAR-10, where it stands
TABLE = {110: ("1.7", "6.37", QUOTED), 164: ("1.7", "5.46", QUOTED), 1001: ("10.3", "4.92", README)}


# measured: the standard deviation is 60 after 21 units, 3e13 after 111, and too large for float32 after 333
WITHOUT_STATISTICS = (
    "untrained and in evaluation mode it has infinite activations, so its logits are nan: its norms have no statistics "
    "yet and change nothing, and each of 333 units enlarges its input; one batch in training mode is enough"
)


def network(depth: int) -> Network:
    params, error, source = TABLE[depth]
    shape = "two 3x3 convolutions" if UNITS[depth] == BASIC else "bottlenecks"
    better = (Figure("error", "4.62", protocol=f"{CIFAR}, batch 64", source=README),) if depth == 1001 else ()
    record = Card(
        paper=PAPER,
        summary=f"{depth} layers, pre-activated units of {shape}, for 32 x 32 images",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs (released code)",
        figures=(
            Figure("params", params, unit=1_000_000, source=QUOTED),
            Figure("error", error, protocol=CIFAR, source=source),
            *better,
        ),
        unstated=(
            "the initialisation of the last layer: He's rule by its inputs",
            *(("the shortcut where the width grows: A, as in the first paper",) if depth == 110 else ()),
            *((WITHOUT_STATISTICS,) if depth == 1001 else ()),
        ),
    )
    return Network(f"preact_resnet{depth}_cifar", partial(PreactResNet, depth), record, (3, 32, 32), 10, 3)


TABLE_5 = "ILSVRC-2012 val, one crop of 320 pixels"
IMAGENET = Network(
    "preact_resnet200",
    partial(PreactResNetImageNet, 200),
    Card(
        paper=PAPER,
        summary="200 layers, pre-activated bottlenecks, for ImageNet",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 times the outputs (released code)",
        figures=(
            *errors("20.7", "5.3", TABLE_5, where="Table 5"),
            *errors("20.1", "4.8", f"{TABLE_5}, trained with scale and aspect ratio augmentation", where="Table 5"),
        ),
        unstated=(
            "the stride of a bottleneck: in the first 1x1, as in the released code for CIFAR",
            "the initialisation of the last layer: He's rule by its inputs",
        ),
    ),
    smallest_size=17,
)
NETWORKS = (*(network(depth) for depth in TABLE), IMAGENET)
