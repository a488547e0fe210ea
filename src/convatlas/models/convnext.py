"""ConvNeXt. Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, CVPR 2022. Read: the authors' repository
(facebookresearch/ConvNeXt): README and models/convnext.py; abstract of arXiv:2201.03545.

ConvNeXt-T on a 224 x 224 image; shapes are (C, H, W).
    layer          what it is                                    output          params
    stem           4x4-96, stride 4, layer norm            96 x  56 x  56         4,896
    stage1         3 blocks                                96 x  56 x  56       237,888
    downsample2    layer norm, 2x2-192, stride 2          192 x  28 x  28        74,112
    stage2         3 blocks                               192 x  28 x  28       918,144
    downsample3    layer norm, 2x2-384, stride 2          384 x  14 x  14       295,680
    stage3         9 blocks                               384 x  14 x  14    10,817,280
    downsample4    layer norm, 2x2-768, stride 2          768 x   7 x   7     1,181,184
    stage4         3 blocks                               768 x   7 x   7    14,289,408
    norm, head     average pool, layer norm, fc-1000           1000             770,536    total 28,589,128
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier, Residual
from convatlas.models.cards import Card, Figure, Network, Paper, errors

EPSILON = 1e-6  # of layer norm, as released
LAYER_SCALE = 1e-6  # first value of the layer scale
# blocks and channels of the four stages (section 3 and "T" to "L")
NETS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of a map."""

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), the same shape out
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """One learned factor per channel (Touvron et al., arXiv:2103.17239), for channels in the last dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Block(Residual):
    """Depthwise 7x7, layer norm, 1x1 to four times the width, GELU, 1x1 back, layer scale (Figure 4, right).

    The two 1x1 convolutions are fully connected layers on channels-last maps.
    """

    __jit_unused_properties__ = ("branch_end",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, kernel_size=7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.layer_scale = LayerScale(channels)

    @property
    def branch_end(self) -> nn.Module:
        """The last layer of the residual branch."""
        return self.layer_scale

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), the same shape out
        if self.skips_branch():
            return x
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.layer_scale(self.pwconv2(F.gelu(self.pwconv1(y))))
        return x + self.rescaled(y.permute(0, 3, 1, 2))


class ConvNeXt(Classifier):
    """A stem of 4x4 patches, four stages of blocks, a 2x2 convolution between stages, layer norm, one linear layer."""

    stage1: nn.Sequential
    stage2: nn.Sequential
    stage3: nn.Sequential
    stage4: nn.Sequential
    downsample2: nn.Sequential
    downsample3: nn.Sequential
    downsample4: nn.Sequential

    def __init__(self, net: str, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        depths, widths = NETS[net]
        patches = nn.Conv2d(in_channels, widths[0], kernel_size=4, stride=4)
        self.stem = nn.Sequential(OrderedDict(conv=patches, norm=ChannelNorm(widths[0], eps=EPSILON)))
        for number, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            if number > 1:
                before = widths[number - 2]
                halve = nn.Conv2d(before, width, kernel_size=2, stride=2)
                downsample = nn.Sequential(OrderedDict(norm=ChannelNorm(before, eps=EPSILON), conv=halve))
                self.add_module(f"downsample{number}", downsample)
            self.add_module(f"stage{number}", nn.Sequential(*(Block(width) for _ in range(depth))))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(widths[-1], eps=EPSILON)
        self.head = nn.Linear(widths[-1], num_classes)
        initialise_as_released(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stage1(self.stem(images))  # (N, 96, 56, 56)
        x = self.stage2(self.downsample2(x))  # (N, 192, 28, 28)
        x = self.stage3(self.downsample3(x))  # (N, 384, 14, 14)
        x = self.stage4(self.downsample4(x))  # (N, 768, 7, 7)
        x = self.norm(torch.flatten(self.avgpool(x), start_dim=1))  # (N, 768)
        return self.head(x)  # (N, K), logits


def initialise_as_released(net: nn.Module) -> None:
    """Gaussian 0.02, cut far outside at 2; biases 0."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            assert module.bias is not None
            nn.init.constant_(module.bias, 0.0)


PAPER = Paper(
    authors=("Liu", "Mao", "Wu", "Feichtenhofer", "Darrell", "Xie"),
    title="A ConvNet for the 2020s",
    venue="CVPR 2022",
    year=2022,
    arxiv="2201.03545",
    read="facebookresearch/ConvNeXt: README and models/convnext.py; abstract of arXiv:2201.03545",
)
README = "facebookresearch/ConvNeXt README"
# million parameters, billion multiply-adds, top-1 error
TABLE = {
    "tiny": ("28", "4.5", "17.9"),
    "small": ("50", "8.7", "16.9"),
    "base": ("89", "15.4", "16.2"),
    "large": ("198", "34.4", "15.7"),
}
DIFFER = {"28": "28.6 M: cut off; the same table has 29 M for the network trained on ImageNet-22K"}


def network(net: str) -> Network:
    params, macs, top1 = TABLE[net]
    depths, widths = NETS[net]
    record = Card(
        paper=PAPER,
        summary=f"{sum(depths)} blocks of depthwise 7x7 and two 1x1, {widths[0]} to {widths[-1]} channels",
        initialisation="Gaussian 0.02 (truncated at 2), biases 0, layer scale 1e-6 (released code)",
        figures=(
            Figure("params", params, unit=1_000_000, source=README, explanation=DIFFER.get(params, "")),
            Figure("macs", macs, unit=1_000_000_000, source=README),
            *errors(top1, "", "ILSVRC-2012 val, centre crop 224", source=README),
        ),
        unstated=("the accuracies are printed; the errors here are 100 minus them",),
    )
    return Network(f"convnext_{net}", partial(ConvNeXt, net), record, smallest_size=32)


NETWORKS = tuple(network(net) for net in TABLE)
