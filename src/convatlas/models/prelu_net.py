"""PReLU-nets. He, Zhang, Ren and Sun, ICCV 2015. Read: arXiv:1502.01852v1, Tables 1 to 7, sections 2 and 3.

Model A on a 224 x 224 image; shapes are (C, H, W) after the pooling that ends the stage.
    stage    layers                                  output           params
    conv1    7x7-96, stride 2, max pool 2x2         96 x 56 x 56       14,304
    conv2_x  5 x 3x3-256, max pool 2x2             256 x 28 x 28    2,583,296
    conv3_x  5 x 3x3-512, max pool 2x2             512 x 14 x 14   10,621,952
    conv4_x  5 x 3x3-512                           512 x 14 x 14   11,801,600
    spp      max pool to 7x7, 3x3, 2x2, 1x1             32,256            0
    head     fc-4096, fc-4096, fc-1000                    1000  153,010,920    total 178,032,072
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import Layer, draw_


class Plan(NamedTuple):
    """A column of Table 3, or the network of Table 1."""

    conv1: int  # filters of the 7x7 with stride 2
    padding: int  # of conv1
    pool1: int  # kernel and stride
    kernel: int  # of all later convolutions
    stages: tuple[tuple[int, int], ...]  # filters and number of convolutions in conv2_x, conv3_x, ...; pooled between
    bins: tuple[int, ...]  # of the spatial pyramid


MODELS = {
    "A": Plan(96, 3, 2, 3, ((256, 5), (512, 5), (512, 5)), (7, 3, 2, 1)),
    "B": Plan(96, 3, 2, 3, ((256, 6), (512, 6), (512, 6)), (7, 3, 2, 1)),
    "C": Plan(96, 3, 2, 3, ((384, 6), (768, 6), (896, 6)), (7, 3, 2, 1)),
    "14": Plan(64, 0, 3, 2, ((128, 4), (256, 6)), (6, 3, 2, 1)),
}
# Table 2: a slope for every channel, one for the layer, or none
ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "channel": lambda width: nn.PReLU(width, init=0.25),
    "shared": lambda width: nn.PReLU(1, init=0.25),
    "relu": lambda width: nn.ReLU(),
}


class SpatialPyramidPooling(nn.Module):
    """He et al., arXiv:1406.4729: the maximum over each cell of several grids, for maps of any size."""

    def __init__(self, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.AdaptiveMaxPool2d(side) for side in bins)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C * (7*7 + 3*3 + 2*2 + 1))
        return torch.cat([torch.flatten(level(x), start_dim=1) for level in self.levels], dim=1)


class PReLUNet(Classifier):
    """A VGG-like network with parametric ReLUs and spatial pyramid pooling.

    Args:
        model: "A", "B", "C" of Table 3, "14" of Table 1.
        slopes: "channel" for one slope per channel, "shared" for one per layer, "relu" for none.
    """

    def __init__(
        self,
        model: str,
        slopes: str = "channel",
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        plan, prelu = MODELS[model], ACTIVATIONS[slopes]
        self.conv1 = nn.Conv2d(in_channels, plan.conv1, kernel_size=7, stride=2, padding=plan.padding)
        self.prelu1 = prelu(plan.conv1)
        self.pool1 = nn.MaxPool2d(kernel_size=plan.pool1, stride=plan.pool1)
        channels = plan.conv1
        for number, (width, convolutions) in enumerate(plan.stages, start=2):
            for index in range(1, convolutions + 1):
                if plan.kernel == 2:  # one row and one column of zeros, so that an even kernel keeps the map's size
                    self.add_module(f"pad{number}_{index}", nn.ZeroPad2d((0, 1, 0, 1)))
                conv = nn.Conv2d(channels, width, plan.kernel, padding=(plan.kernel - 1) // 2)
                self.add_module(f"conv{number}_{index}", conv)
                self.add_module(f"prelu{number}_{index}", prelu(width))
                channels = width
            if number <= len(plan.stages):
                self.add_module(f"pool{number}", nn.MaxPool2d(kernel_size=2, stride=2))
        self.spp = SpatialPyramidPooling(plan.bins)
        self.fc1 = nn.Linear(channels * sum(side * side for side in plan.bins), 4096)
        self.prelu_fc1 = prelu(4096)
        self.drop1 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(4096, 4096)
        self.prelu_fc2 = prelu(4096)
        self.drop2 = nn.Dropout(0.5)
        self.fc3 = nn.Linear(4096, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv1, prelu1, pool1, conv2_1, ..., spp, fc1, ..., fc3
            x = layer(x)
        return x  # (N, K), logits


def initialise(net: PReLUNet) -> None:
    """Section 3: equation 14 for the convolutions; section 2.2: 0.01, 0.01 and 0.001 for the fully connected layers."""

    def equation_14(conv: Layer) -> None:
        fan_out = len(conv.weight) * conv.weight[0, 0].numel()  # k^2 d
        nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))

    def by_place(fc: Layer) -> None:
        nn.init.normal_(fc.weight, std=0.001 if fc is net.fc3 else 0.01)

    draw_(net, equation_14, by_place)


PAPER = Paper(
    authors=("He", "Zhang", "Ren", "Sun"),
    title="Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification",
    venue="ICCV 2015",
    year=2015,
    arxiv="1502.01852",
    read="arXiv:1502.01852v1, Tables 1 to 7, sections 2 and 3",
)
DENSE = "ILSVRC-2012 val, multi-scale dense"
TEN_VIEW = "ILSVRC-2012 val, 10 views"


def at_one_scale(*rows: tuple[str, str, str]) -> tuple[Figure, ...]:
    """Table 4: shorter side, top-1 and top-5 error."""
    return tuple(
        figure
        for side, top1, top5 in rows
        for figure in errors(top1, top5, f"ILSVRC-2012 val, dense, shorter side {side}", where="Table 4")
    )


FIGURES = {
    "14": errors("32.64", "12.75", TEN_VIEW, where="Table 2"),
    "14 shared": errors("32.71", "12.87", TEN_VIEW, where="Table 2"),
    "14 relu": (
        *errors("33.82", "13.34", TEN_VIEW, where="Table 2"),
        *errors("33.90", "13.44", f"{TEN_VIEW}, Glorot's initialisation", where="section 2.2"),
    ),
    "A relu": (
        *at_one_scale(("256", "26.25", "8.25"), ("384", "24.77", "7.26"), ("480", "25.46", "7.63")),
        *errors("24.02", "6.51", DENSE, where="Tables 4 and 6"),
        *errors("26.48", "8.59", TEN_VIEW, where="Table 5"),
    ),
    "A": (
        Figure("macs", "1.90", unit=10_000_000_000, where="Table 3", explanation="0.3 % more here; column B agrees"),
        *at_one_scale(("256", "25.81", "8.08"), ("384", "24.20", "7.03"), ("480", "24.83", "7.39")),
        *errors("22.97", "6.28", DENSE, where="Tables 4 and 6"),
        *errors("25.59", "8.23", TEN_VIEW, where="Table 5"),
    ),
    "B": (
        Figure("macs", "2.32", unit=10_000_000_000, where="Table 3"),
        *errors("22.85", "6.27", DENSE, where="Table 6"),
        *errors("25.53", "8.13", TEN_VIEW, where="Table 5"),
    ),
    "C": (
        Figure("macs", "5.30", unit=10_000_000_000, where="Table 3", explanation="0.9 % more here; column B agrees"),
        *errors("21.59", "5.71", DENSE, where="Table 6"),
        *errors("24.27", "7.38", TEN_VIEW, where="Table 5"),
        *errors("", "4.94", "ILSVRC-2012 test, 6 nets", where="Table 7"),
    ),
}
SLOPES = {
    "channel": "a PReLU per channel",
    "shared": "one PReLU slope a layer",
    "relu": "ReLU, the baseline of PReLU",
}
FACTOR = "whether the slope's factor (1 + a^2) of equation 15 entered: section 3 names equation 14, which has none"
EQUATION = "which of equations 10 and 14 this net started from: 14, as section 3 says of the large ones"
SAME = "padding of the 2x2 convolutions: zeros to the right and below, so that maps keep their size"


def card(model: str, slopes: str = "channel") -> Card:
    depth = 1 + sum(convolutions for _, convolutions in MODELS[model].stages) + 3
    what = "the net of Table 1" if model == "14" else f"model {model}"
    learned = Departure(
        "activation", "PReLU, a slope per channel", SLOPES[slopes], "the paper's own comparison (Table 2)"
    )
    return Card(
        paper=PAPER,
        summary=f"{what}: {depth} weight layers, {SLOPES[slopes]}, spatial pyramid pooling",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 d of the outputs (equation 14, section 3); "
        "fully connected layers 0.01, 0.01 and 0.001" + ("" if slopes == "relu" else "; slopes 0.25"),
        figures=FIGURES[model if slopes == "channel" else f"{model} {slopes}"],
        departures=() if slopes == "channel" else (learned,),
        unstated=(*(() if slopes == "relu" else (FACTOR,)), *((EQUATION, SAME) if model == "14" else ())),
    )


def network(model: str, slopes: str = "channel") -> Network:
    """The smallest size of the 14-layer net is larger: its 7x7 is not padded, and its pool1 is 3x3."""
    name = f"prelu_net_{model.lower()}" + ("" if slopes == "channel" else f"@{slopes}")
    build = partial(PReLUNet, model, slopes)
    return Network(name, build, card(model, slopes), smallest_size=17 if model == "14" else 15)


NETWORKS = (
    network("A"),
    network("B"),
    network("C"),
    network("14"),
    network("14", "shared"),
    network("14", "relu"),
    network("A", "relu"),
)
