"""RepVGG. Ding, Zhang, Ma, Han, Ding and Sun, CVPR 2021. Read: the authors' repository (DingXiaoH/RepVGG), README;
Table 2 and Figure 4 of arXiv:2101.03697 are recalled.

RepVGG-A0 on a 224 x 224 image, as it is trained; shapes are (C, H, W).
    layer     blocks                          output           params
    stage0    1 block                   48 x 112 x 112          1,632
    stage1    2 blocks                  48 x  56 x  56         46,560
    stage2    4 blocks                  96 x  28 x  28        324,672
    stage3    14 blocks                192 x  14 x  14      4,992,384
    stage4    1 block                1,280 x   7 x   7      2,462,720
    fc        average pool, fc-1000          1000           1,281,000    total 9,108,968

A block is trained as three branches, a 3x3 and a 1x1 convolution and the identity, each with batch norm. After training
the three are one 3x3 convolution (`reparametrised`): ``@deployed`` is that network, with 8,309,384 parameters for A0.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import he_

# Table 2: blocks of stages 1 to 4, and the multipliers a (stages 1 to 3) and b (stage 4) of 64, 128, 256, 512
A, B = (2, 4, 14, 1), (4, 6, 16, 1)
NETS = {"a0": (A, 0.75, 2.5), "a1": (A, 1.0, 2.5), "a2": (A, 1.5, 2.75), "b0": (B, 1.0, 2.5), "b1": (B, 2.0, 4.0)}
WIDTHS = (64, 128, 256, 512)


class ConvNorm(nn.Module):
    """A convolution without bias and batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class RepVGGBlock(nn.Module):
    """3x3, 1x1 and, where the shape stays, the identity, each with batch norm; their sum; ReLU (Figure 2, b)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.dense = ConvNorm(in_channels, out_channels, 3, stride)
        self.pointwise = ConvNorm(in_channels, out_channels, 1, stride)
        self.identity: nn.BatchNorm2d | None = None
        if in_channels == out_channels and stride == 1:
            self.identity = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense(x) + self.pointwise(x)
        if self.identity is not None:
            y = y + self.identity(x)
        return F.relu(y)


class DeployedBlock(nn.Module):
    """The same function as one 3x3 convolution with bias, and ReLU (Figure 2, c)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class RepVGG(Classifier):
    """A stack of blocks, average pooling, one fully connected layer.

    Args:
        net: "a0" to "b1".
        deployed: whether the blocks are single convolutions.
    """

    def __init__(
        self, net: str, deployed: bool = False, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.net, self.deployed = net, deployed
        blocks, a, b = NETS[net]
        make = DeployedBlock if deployed else RepVGGBlock
        widths = [int(width * (b if number == 4 else a)) for number, width in enumerate(WIDTHS, start=1)]
        channels = min(64, widths[0])
        self.stage0 = make(in_channels, channels, stride=2)
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            first = make(channels, width, stride=2)
            self.add_module(
                f"stage{number}", nn.Sequential(first, *(make(width, width, stride=1) for _ in range(count - 1)))
            )
            channels = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.stage0(images)  # (N, 48, 112, 112) for A0
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"stage{number}")(x)  # stage4: (N, 1280, 7, 7)
        x = torch.flatten(self.avgpool(x), start_dim=1)  # (N, 1280)
        return self.fc(x)  # (N, K), logits


@torch.no_grad()
def reparametrised(net: RepVGG) -> RepVGG:
    """The deployed network with the same outputs in evaluation mode (section 3.3, Figure 4).

    Batch norm with running statistics is a convolution's scale and bias; a 1x1 kernel is a 3x3 kernel with zeros around
    it, and so is the identity.
    """
    assert not net.deployed, "the network is deployed already"
    other = RepVGG(net.net, True, net.fc.out_features, net.in_channels)
    blocks = {name: block for name, block in net.named_modules() if isinstance(block, RepVGGBlock)}
    for name, block in blocks.items():
        kernel, bias = fused(block.dense.conv.weight, block.dense.bn)
        parts = [fused(F.pad(block.pointwise.conv.weight, (1, 1, 1, 1)), block.pointwise.bn)]
        if block.identity is not None:
            one = torch.zeros_like(kernel)
            one[range(len(one)), range(len(one)), 1, 1] = 1.0
            parts.append(fused(one, block.identity))
        conv = cast(DeployedBlock, other.get_submodule(name)).conv
        assert conv.bias is not None
        conv.weight.copy_(kernel + sum(part for part, _ in parts))
        conv.bias.copy_(bias + sum(part for _, part in parts))
    other.fc.load_state_dict(net.fc.state_dict())
    return other.train(net.training)


def fused(kernel: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution followed by batch norm with its running statistics."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return kernel * scale[:, None, None, None], norm.bias - norm.running_mean * scale


PAPER = Paper(
    authors=("Ding", "Zhang", "Ma", "Han", "Ding", "Sun"),
    title="RepVGG: Making VGG-style ConvNets Great Again",
    venue="CVPR 2021",
    year=2021,
    arxiv="2101.03697",
    read="DingXiaoH/RepVGG: README",
)
README = "DingXiaoH/RepVGG README"
PROTOCOL = "ILSVRC-2012 val, one crop, 120 epochs"
# errors of the README, and million parameters and billion multiply-adds of the deployed network (Table 4, recalled)
ERRORS = {"a0": "27.59", "b1": "21.63"}
RECALLED = {
    "a0": ("8.30", "1.4"),
    "a1": ("12.78", "2.4"),
    "a2": ("25.49", "5.1"),
    "b0": ("14.33", "3.1"),
    "b1": ("51.82", "11.8"),
}
HE = "He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (assumed; the paper does not say)"


def network(net: str) -> Network:
    blocks, a, b = NETS[net]
    record = Card(
        paper=PAPER,
        summary=f"{sum(blocks) + 1} blocks of three branches, widths a = {a:g} and b = {b:g}; deployed as plain 3x3",
        initialisation=HE,
        figures=errors(ERRORS[net], "", PROTOCOL, source=README) if net in ERRORS else (),
        unstated=("the initialisation: He's rule", "the accuracies are printed; the errors here are 100 minus them"),
    )
    return Network(f"repvgg_{net}", partial(RepVGG, net), record, smallest_size=17)


def deployed(net: str) -> Network:
    params, macs = RECALLED[net]
    record = Card(
        paper=PAPER,
        summary="the network after training: every block one 3x3 convolution",
        initialisation=HE,
        figures=(
            Figure("params", params, unit=1_000_000, where="Table 4", verified=False),
            Figure("macs", macs, unit=1_000_000_000, where="Table 4", verified=False),
        ),
        departures=(
            Departure(
                "blocks",
                paper="three branches with batch norm in training",
                here="one 3x3 convolution with bias",
                why="the paper's own transformation after training; the outputs are the same",
            ),
        ),
    )
    return Network(f"repvgg_{net}@deployed", partial(RepVGG, net, True), record, smallest_size=17, modern="deep")


NETWORKS = (*(network(net) for net in NETS), *(deployed(net) for net in NETS))
