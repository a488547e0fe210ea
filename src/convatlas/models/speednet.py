"""A network made to reach 94 % on CIFAR-10 in the least time. After Jordan, "94% on CIFAR-10 in 3.29 Seconds on a
Single GPU". Read: the author's program, KellerJordan/cifar10-airbench, airbench94.py. An independent implementation.

It has no residuals: a first layer that whitens patches of 2 x 2 pixels, then three groups of two convolutions. Every
convolution is followed by batch norm without scale and ReLU; the first one of a group is followed by pooling before.
    layer         output          params
    whiten     24 x 31 x 31          24
    group1     64 x 15 x 15      50,816
    group2    256 x  7 x  7     737,792
    group3    256 x  3 x  3   1,180,160
    head                 10       2,560    total 1,971,352

The 288 weights of the whitening are fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.errors import RecipeError
from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Measurement, Network, Paper

WIDTHS = (64, 256, 256)
PATCH = 2  # side of the patches that are whitened
HEAD_SCALE = 1 / 9


class Whitening(nn.Module):
    """Convolution over 2 x 2 patches with fixed filters, in pairs of opposite sign, and a trainable bias.

    Initially the filters return the pixels of a patch; `fit_` replaces them by whitening filters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = channels * PATCH**2
        self.filters = nn.Buffer(torch.empty(2 * inputs, channels, PATCH, PATCH))
        self.bias = nn.Parameter(torch.zeros(2 * inputs))
        self._set(torch.eye(inputs))

    def forward(self, images: Tensor) -> Tensor:  # (N, C, H, W) -> (N, 8 C, H - 1, W - 1)
        return F.conv2d(images, self.filters, self.bias)

    @torch.no_grad()
    def fit_(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the filters to the eigenvectors of the covariance of the patches of ``images``, by falling eigenvalue.

        Each eigenvector is divided by the root of its eigenvalue, which makes the outputs uncorrelated with variance 1.
        As each filter also occurs with a minus sign, the ReLU loses no information.

        Args:
            images: (N, C, H, W) float32, preprocessed.
            eps: added to the eigenvalues, so that directions with little variance are not amplified too much.
        """
        patches = F.unfold(images.double(), PATCH).transpose(1, 2).flatten(0, 1)  # (N * places, C * 2 * 2)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        self._set((vectors / (values + eps).sqrt()).T.flip(0))

    @torch.no_grad()
    def _set(self, rows: Tensor) -> None:
        filters = self.filters
        filters.copy_(torch.cat((rows, -rows)).view_as(filters))


class BiasNorm(nn.BatchNorm2d):
    """Batch norm with a trainable shift and no scale. Its momentum is large, as the training is short.

    A scale is not needed: it could be moved behind the ReLU, where the next convolution can learn it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))


class Group(nn.Module):
    """conv3, max pool 2, norm, ReLU, conv3, norm, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.norm1 = BiasNorm(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = BiasNorm(width)
        for conv in (self.conv1, self.conv2):
            pass_through_(conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = F.max_pool2d(self.conv1(x), kernel_size=2)  # (N, width, H / 2, W / 2)
        x = F.relu(self.norm1(x), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


class FirstGroup(Group):
    """The first group, with the whitening layer before it."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(2 * in_channels * PATCH**2, width)
        self.whiten = Whitening(in_channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolve(F.relu(self.whiten(images), inplace=True))


class SpeedNet(Classifier):
    """Three groups, a max pooling over the whole map, and a linear layer without bias."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.group1 = FirstGroup(in_channels, WIDTHS[0])
        self.group2 = Group(WIDTHS[0], WIDTHS[1])
        self.group3 = Group(WIDTHS[1], WIDTHS[2])
        self.pool = nn.AdaptiveMaxPool2d(1)  # of 3 x 3 at 32 x 32
        self.head = nn.Linear(WIDTHS[2], num_classes, bias=False)
        self.head_scale = HEAD_SCALE

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x = self.group1(images)  # (N, 64, 15, 15)
        x = self.group2(x)  # (N, 256, 7, 7)
        x = self.group3(x)  # (N, 256, 3, 3)
        x = torch.flatten(self.pool(x), start_dim=1)  # (N, 256)
        return self.head(x) * self.head_scale  # (N, K), logits


def whiten_(net: nn.Module, images: Tensor) -> None:
    """Fit the first layer to the patches of ``images`` (N, C, H, W), which are preprocessed.

    Raises:
        RecipeError: the network is not speednet_cifar.
    """
    if not isinstance(net, SpeedNet):
        raise RecipeError("initial = whitened is available only for speednet_cifar. Use initial = printed.")
    net.group1.whiten.fit_(images)


@torch.no_grad()
def pass_through_(conv: nn.Conv2d) -> None:
    """Initialise the first outputs as copies of the inputs (Dirac); the others keep PyTorch's default."""
    nn.init.dirac_(conv.weight[: conv.in_channels])


CARD = Card(
    paper=Paper(
        authors=("Jordan",),
        title="94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
        venue="arXiv",
        year=2024,
        arxiv="2404.00498",
        read="KellerJordan/cifar10-airbench, airbench94.py; the text of the paper was not available",
    ),
    summary="a whitened first layer and six convolutions without residuals, made to be trained in minutes",
    initialisation="whitening of 2x2 patches (fixed), partial identities in the six convolutions, PyTorch's default "
    "for all other weights (section 3)",
    figures=(
        Figure("params", "1.97", unit=1_000_000, where="section 3.1", verified=False),
        Figure(
            "error",
            "5.99",
            protocol="CIFAR-10 test, mean of 1,000 runs, averaged over mirror images and shifts by a pixel",
            source="KellerJordan/cifar10-airbench, airbench94.py: 94.01 average accuracy",
            measured=Measurement(
                6.37,
                "CIFAR-10 test, one run, averaged over mirror images and shifts by a pixel",
                source="results/fast",
                explanation="one run, and ReLU for GELU",
            ),
        ),
    ),
    departures=(
        Departure(
            "activation",
            paper="GELU",
            here="ReLU",
            why="on a CPU GELU costs a tenth of an update",
        ),
        Departure(
            "first layer without data",
            paper="whitened by the training images",
            here="the pixels of a patch as they are, until fit_ is called",
            why="a network is built before it sees images; the recipe fast whitens it",
        ),
        Departure(
            "last pooling",
            paper="max pooling over 3x3",
            here="max pooling over the whole map",
            why="the same at 32 x 32, and other sizes work",
        ),
    ),
)

NETWORKS = (Network("speednet_cifar", SpeedNet, CARD, (3, 32, 32), num_classes=10, smallest_size=9),)
