"""PReLU-nets. He, Zhang, Ren and Sun, ICCV 2015. Read: arXiv:1502.01852 through notes; Table 3 partly recalled.

Model A on a 224 x 224 image; shapes are (C, H, W) after the pooling that ends the stage.
    stage    layers                                  output           params
    conv1    7x7-96, stride 2, max pool 2x2         96 x 56 x 56       14,304
    conv2_x  5 x 3x3-256, max pool 2x2             256 x 28 x 28    2,583,296
    conv3_x  5 x 3x3-512, max pool 2x2             512 x 14 x 14   10,621,952
    conv4_x  5 x 3x3-512                           512 x 14 x 14   11,801,600
    spp      max pool to 7x7, 3x3, 2x2, 1x1             32,256            0
    head     fc-4096, fc-4096, fc-1000                    1000  153,010,920    together 178,032,072
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from convatlas.models._blocks import Classifier, fan_in
from convatlas.models._card import Card, Departure, Figure, Network, Paper, errors

# Table 3: filters and number of convolutions in conv2_x, conv3_x, conv4_x
MODELS = {
    "A": ((256, 5), (512, 5), (512, 5)),
    "B": ((256, 6), (512, 6), (512, 6)),
    "C": ((384, 6), (768, 6), (896, 6)),
}
BINS = (7, 3, 2, 1)


class SpatialPyramidPooling(nn.Module):
    """He et al., arXiv:1406.4729: the maximum over each cell of several grids, whatever the size of the map."""

    def __init__(self, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.AdaptiveMaxPool2d(side) for side in bins)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C * (7*7 + 3*3 + 2*2 + 1))
        return torch.cat([torch.flatten(level(x), start_dim=1) for level in self.levels], dim=1)


class PReLUNet(Classifier):
    """A VGG-like network with a parametric ReLU per channel and spatial pyramid pooling."""

    def __init__(self, model: str, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 96, kernel_size=7, stride=2, padding=3)
        self.prelu1 = nn.PReLU(96, init=0.25)
        self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        channels = 96
        for number, (width, convolutions) in enumerate(MODELS[model], start=2):
            for index in range(1, convolutions + 1):
                self.add_module(f"conv{number}_{index}", nn.Conv2d(channels, width, kernel_size=3, padding=1))
                self.add_module(f"prelu{number}_{index}", nn.PReLU(width, init=0.25))
                channels = width
            if number < 4:
                self.add_module(f"pool{number}", nn.MaxPool2d(kernel_size=2, stride=2))
        self.spp = SpatialPyramidPooling(BINS)
        self.fc1 = nn.Linear(channels * sum(side * side for side in BINS), 4096)
        self.prelu_fc1 = nn.PReLU(4096, init=0.25)
        self.drop1 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(4096, 4096)
        self.prelu_fc2 = nn.PReLU(4096, init=0.25)
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
    """Equation 10 for the convolutions; section 2.2: 0.01, 0.01 and 0.001 for the fully connected layers."""
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            std = {"fc1": 0.01, "fc2": 0.01, "fc3": 0.001}.get(name, math.sqrt(2 / fan_in(module.weight)))
            nn.init.normal_(module.weight, std=std)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


PAPER = Paper(
    authors=("He", "Zhang", "Ren", "Sun"),
    title="Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification",
    venue="ICCV 2015",
    year=2015,
    arxiv="1502.01852",
    read="notes on arXiv:1502.01852; the architecture table itself was not found as text",
)
DENSE = "ILSVRC-2012 val, multi-scale dense"
FIGURES = {
    "A": (
        Figure("macs", "1.90", unit=10_000_000_000, where="Table 3", tolerance=0.01, verified=False),
        *errors("22.97", "6.28", DENSE, where="Table 5"),
    ),
    "B": (
        Figure("macs", "2.32", unit=10_000_000_000, where="Table 3", tolerance=0.01, verified=False),
        *errors("22.85", "6.27", DENSE, where="Table 5"),
    ),
    "C": (
        Figure("macs", "5.30", unit=10_000_000_000, where="Table 3", tolerance=0.06, verified=False),
        *errors("21.59", "5.71", DENSE, where="Table 5"),
    ),
}


def card(model: str) -> Card:
    depth = 1 + sum(convolutions for _, convolutions in MODELS[model]) + 3
    return Card(
        paper=PAPER,
        summary=f"model {model}: {depth} weight layers, a PReLU per channel, spatial pyramid pooling",
        initialisation="Gaussian, standard deviation sqrt(2/n), n = k^2 c (equation 10); fully connected layers 0.01, "
        "0.01 and 0.001; slopes 0.25",
        figures=FIGURES[model],
        departures=(
            Departure(
                "Table 3",
                paper="96 first filters, 5 or 6 convolutions a stage",
                here="the same, from memory",
                why="no text of the table was found; the recalled complexities are met within 1 %",
            ),
        ),
        unstated=("whether the slope's factor (1 + a^2)/2 of equation 15 entered the initialisation: not here",),
    )


NETWORKS = tuple(
    Network(f"prelu_net_{model.lower()}", partial(PReLUNet, model), card(model), smallest_size=15) for model in MODELS
)
