"""A multi-layer perceptron, the baseline of the convolutional networks: 28x28-300-100-10.

The "three-layer fully connected network" of LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86(11), 1998,
section III.C, with ReLU. It ignores the positions of the pixels: with all pixels permuted it learns the same.
    layer    output     params
    fc1         300    235,500
    fc2         100     30,100
    fc3          10      1,010    total 266,610
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.message import Message
from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.initialisation import he_

HIDDEN = (300, 100)


class MLP(Classifier):
    """Two hidden layers on the flattened image."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        pixels = in_channels * image_size * image_size
        self.fixed_by = Message("its first fully connected layer ({n:,} pixels)", n=pixels)
        self.fc1 = nn.Linear(pixels, HIDDEN[0])
        self.fc2 = nn.Linear(HIDDEN[0], HIDDEN[1])
        self.fc3 = nn.Linear(HIDDEN[1], num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 1, 28, 28)
        self.check(images)
        x = torch.flatten(images, start_dim=1)  # (N, 784)
        x = F.relu(self.fc1(x))  # (N, 300)
        x = F.relu(self.fc2(x))  # (N, 100)
        return self.fc3(x)  # (N, K), logits


CARD = Card(
    paper=Paper(
        authors=("LeCun", "Bottou", "Bengio", "Haffner"),
        title="Gradient-Based Learning Applied to Document Recognition",
        venue="Proceedings of the IEEE 86(11), 1998",
        year=1998,
        read="section III.C",
    ),
    summary="28x28-300-100-10, fully connected: a baseline without convolutions",
    initialisation="Gaussian, standard deviation sqrt(2/n) with n inputs (He et al. 2015), as suits ReLU; biases 0",
    figures=(Figure("error", "3.05", where="section III.C", protocol="MNIST test, no distortions", verified=False),),
    departures=(
        Departure(
            "activation",
            paper="scaled tanh and a squared error",
            here="ReLU and logits",
            why="a baseline is trained like the networks that are compared with it",
        ),
    ),
)

NETWORKS = (Network("mlp", MLP, CARD, input=(1, 28, 28), num_classes=10, smallest_size=1, fixed_size=True),)
