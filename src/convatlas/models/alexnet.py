"""AlexNet. Krizhevsky, Sutskever and Hinton, NIPS 2012. Read: sections 3.1 to 3.5, 4.2 and 5, Figure 2.

Two towers on a 227 x 227 image: groups of 2 wherever a layer reads only the maps on its own GPU.
    layer    what it is                              output             params
    conv1    96 filters 11x11, stride 4              96 x 55 x 55       34,944
    norm1, pool1                                     96 x 27 x 27            0
    conv2    256 filters 5x5, two groups            256 x 27 x 27      307,456
    norm2, pool2                                    256 x 13 x 13            0
    conv3    384 filters 3x3, across the towers     384 x 13 x 13      885,120
    conv4    384 filters 3x3, two groups            384 x 13 x 13      663,936
    conv5    256 filters 3x3, two groups            256 x 13 x 13      442,624
    pool5                                           256 x  6 x  6            0
    fc6, fc7, fc8                                            1000   58,631,144    total 60,965,224
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.message import Message
from convatlas.models.blocks import Classifier, LocalResponseNorm, side_after
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import gaussian_


class AlexNet(Classifier):
    """The network of 2012, with its two GPUs as two groups.

    Args:
        caffe: the BVLC replicas: Caffe's normalisation (k = 1, alpha divided by n) and initialisation.
        pool_first: CaffeNet's order, pooling before normalisation.
        groups: 2 for the two GPUs; 1 where every layer reads all maps.
        widths: filters of conv1 to conv5.
        round_up: cuda-convnet's rule for conv1: a last window that extends past the image counts, padded with zeros.
    """

    def __init__(
        self,
        caffe: bool = False,
        pool_first: bool = False,
        groups: int = 2,
        widths: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256),
        round_up: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 227,
    ) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        self.pool_first = pool_first
        c1, c2, c3, c4, c5 = widths
        self.overhang = -(image_size - 11) % 4 if round_up else 0  # pixels of conv1's last window past the image
        k, alpha = (1.0, 1e-4 / 5) if caffe else (2.0, 1e-4)  # section 3.3
        # section 3.4: pooling windows of 3 with stride 2 overlap
        self.conv1 = nn.Conv2d(in_channels, c1, kernel_size=11, stride=4)
        self.norm1 = LocalResponseNorm(5, k, alpha, beta=0.75)
        self.pool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv2 = nn.Conv2d(c1, c2, kernel_size=5, padding=2, groups=groups)
        self.norm2 = LocalResponseNorm(5, k, alpha, beta=0.75)
        self.pool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv3 = nn.Conv2d(c2, c3, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(c3, c4, kernel_size=3, padding=1, groups=groups)
        self.conv5 = nn.Conv2d(c4, c5, kernel_size=3, padding=1, groups=groups)
        self.pool5 = nn.MaxPool2d(kernel_size=3, stride=2)
        side = side_after(
            image_size + self.overhang, (11, 4, 0), (3, 2, 0), (3, 2, 0), (3, 2, 0)
        )  # conv1, pool1, pool2, pool5
        self.fixed_by = Message("its first fully connected layer ({n:,} features)", n=c5 * side * side)
        self.fc6 = nn.Linear(c5 * side * side, 4096)
        self.drop6 = nn.Dropout(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        self.drop7 = nn.Dropout(0.5)
        self.fc8 = nn.Linear(4096, num_classes)
        (initialise_as_caffe if caffe else initialise)(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 227, 227)
        self.check(images)
        x = F.pad(images, (0, self.overhang, 0, self.overhang)) if self.overhang else images
        x = F.relu(self.conv1(x))  # (N, 96, 55, 55)
        x = self.norm1(self.pool1(x)) if self.pool_first else self.pool1(self.norm1(x))  # (N, 96, 27, 27)
        x = F.relu(self.conv2(x))  # (N, 256, 27, 27)
        x = self.norm2(self.pool2(x)) if self.pool_first else self.pool2(self.norm2(x))  # (N, 256, 13, 13)
        x = F.relu(self.conv3(x))  # (N, 384, 13, 13)
        x = F.relu(self.conv4(x))  # (N, 384, 13, 13)
        x = F.relu(self.conv5(x))  # (N, 256, 13, 13)
        x = torch.flatten(self.pool5(x), start_dim=1)  # (N, 9216)
        x = self.drop6(F.relu(self.fc6(x)))  # (N, 4096)
        x = self.drop7(F.relu(self.fc7(x)))  # (N, 4096)
        return self.fc8(x)  # (N, K), logits


class OneTower(Classifier):
    """The one-tower network of 2014 as torchvision deploys it: other widths, no normalisation, any image size."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2)
        self.pool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv2 = nn.Conv2d(64, 192, kernel_size=5, padding=2)
        self.pool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv3 = nn.Conv2d(192, 384, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(384, 256, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.pool5 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # the identity at 224; allows other image sizes
        self.drop5 = nn.Dropout(0.5)
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.drop6 = nn.Dropout(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)  # torch's default initialisation everywhere, as in torchvision

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = self.pool1(F.relu(self.conv1(images)))  # (N, 64, 27, 27)
        x = self.pool2(F.relu(self.conv2(x)))  # (N, 192, 13, 13)
        x = F.relu(self.conv3(x))  # (N, 384, 13, 13)
        x = F.relu(self.conv4(x))  # (N, 256, 13, 13)
        x = F.relu(self.conv5(x))  # (N, 256, 13, 13)
        x = torch.flatten(self.avgpool(self.pool5(x)), start_dim=1)  # (N, 9216)
        x = F.relu(self.fc6(self.drop5(x)))  # (N, 4096)
        x = F.relu(self.fc7(self.drop6(x)))  # (N, 4096)
        return self.fc8(x)  # (N, K), logits


def initialise(net: AlexNet) -> None:
    """Section 5: Gaussian weights of standard deviation 0.01; biases 1 where they feed early ReLUs, 0 elsewhere."""
    gaussian_(net, std=0.01)
    for layer in (net.conv2, net.conv4, net.conv5, net.fc6, net.fc7):
        assert layer.bias is not None
        nn.init.ones_(layer.bias)


def initialise_as_caffe(net: AlexNet) -> None:
    """The Caffe replica's rule: 0.005 in fc6 and fc7, and 0.1 instead of 1 for the biases that are not 0."""
    gaussian_(net, std=0.01)
    for fc in (net.fc6, net.fc7):
        nn.init.normal_(fc.weight, std=0.005)
    for layer in (net.conv2, net.conv4, net.conv5, net.fc6, net.fc7):
        assert layer.bias is not None
        nn.init.constant_(layer.bias, 0.1)


CARD = Card(
    paper=Paper(
        authors=("Krizhevsky", "Sutskever", "Hinton"),
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        venue="NIPS 2012",
        year=2012,
        read="sections 3 to 5, Figure 2",
    ),
    summary="two towers, local response normalisation, overlapping pooling, dropout",
    initialisation="Gaussian 0.01; biases 1 in conv2, conv4, conv5, fc6, fc7 and 0 elsewhere (section 5)",
    figures=(
        Figure("params", "60", unit=1_000_000, where="abstract", tolerance=1),
        Figure("neurons", "650", unit=1_000, where="abstract", tolerance=10),
        Figure(
            "connections",
            "630",
            unit=1_000_000,
            source="the authors' ILSVRC-2012 slides",
            tolerance=10,
            explanation="the table gives 724.4 M multiply-adds with groups and 1,135 M without; 630 M fits neither",
        ),
        *errors("37.5", "17.0", "ILSVRC-2010 test, 10 crops", where="Table 1"),
        *errors("39.0", "18.3", "ILSVRC-2010 test, centre crop", where="section 6"),
        *errors("40.7", "18.2", "ILSVRC-2012 val, 10 crops", where="Table 2"),
        *errors("38.1", "16.4", "ILSVRC-2012 val, 5 nets", where="Table 2"),
        *errors("", "16.4", "ILSVRC-2012 test, 5 nets", where="Table 2"),
        *errors("36.7", "15.4", "ILSVRC-2012 val, 7 nets, two pretrained on Fall 2011", where="Table 2"),
        *errors("", "15.3", "ILSVRC-2012 test, 7 nets, two pretrained on Fall 2011", where="Table 2"),
        *errors(
            "40.5", "18.1", "ILSVRC-2012 val, replicated, 1 net", where="Table 2", source="Zeiler and Fergus, ECCV 2014"
        ),
    ),
    departures=(
        Departure(
            "image size",
            paper="224 x 224 (section 3.5, Figure 2)",
            here="227 x 227",
            why="(224 - 11)/4 + 1 = 54.25 does not fit; 55 needs 227, as the Caffe replica crops "
            "(the author's own code rounds up)",
        ),
        Departure(
            "neurons of conv1",
            paper="253,440 (section 3.5)",
            here="290,400 = 55 x 55 x 96",
            why="253,440 / 96 = 2,640 is not a square",
        ),
    ),
    unstated=(
        "padding of conv2 to conv5: the one that keeps the printed map sizes",
        "whether alpha was divided by n when the printed results were obtained: the author's later code does, "
        "the formula of section 3.3 does not; the formula stands here",
    ),
)

TORCHVISION = Card(
    paper=Paper(
        authors=("Krizhevsky",),
        title="One weird trick for parallelizing convolutional neural networks",
        venue="arXiv 2014",
        year=2014,
        arxiv="1404.5997",
        read="torchvision 0.28, torchvision/models/alexnet.py",
    ),
    summary="the one-tower network of 2014 as torchvision deploys it: widths 64-192-384-256-256, no normalisation",
    initialisation="torch's default for convolutions and linear layers, uniform in [-1/sqrt(F), 1/sqrt(F)]",
    departures=(
        Departure("towers", paper="two (2012)", here="one: 64, 192, 384, 256, 256 filters", why="the 2014 widths"),
        Departure("normalisation", paper="after conv1 and conv2", here="none", why="torchvision leaves it out"),
        Departure(
            "conv1",
            paper="no padding, output rounded up (cuda-convnet2)",
            here="padding 2 on a 224 image, output rounded down",
            why="the same 55 x 55",
        ),
        Departure("dropout", paper="after fc6 and fc7", here="before fc6 and fc7", why="torchvision's order"),
        Departure("pool5", paper="6 x 6", here="followed by adaptive average pooling to 6 x 6", why="any image size"),
    ),
)

ONE_TOWER = Card(
    paper=TORCHVISION.paper,
    summary="the one-tower network of 2014 as its author's cuda-convnet2 defines it: 64-192-384-256-256, normalised",
    initialisation="AlexNet's: Gaussian 0.01; biases 1 in conv2, conv4, conv5, fc6, fc7 and 0 elsewhere",
    departures=(
        Departure("towers", paper="two (2012)", here="one: 64, 192, 384, 256, 256 filters", why="the paper of 2014"),
        Departure(
            "conv1",
            paper="a 224 x 224 image, the output rounded up to 55 (cuda-convnet2)",
            here="three columns and rows of zeros at the end of the image, the output rounded down",
            why="torch's convolutions round down; the values are the same",
        ),
    ),
    unstated=(
        "the parameters of the normalisation: AlexNet's by AlexNet's formula",
        "the initialisation: that of 2012",
    ),
)
UNGROUPED = Card(
    paper=CARD.paper,
    summary="every layer reads all maps: the usual reading on one GPU; not in the paper",
    initialisation=CARD.initialisation,
    departures=(
        Departure(
            "towers",
            paper="conv2, conv4 and conv5 read the maps of their own GPU (section 3.2)",
            here="all maps: 62,378,344 parameters and 1.135 G multiply-adds",
            why="the network that many tutorials count; here for comparison",
        ),
        *CARD.departures,
    ),
)
REPLICA = (
    Departure("normalisation", "k = 2, alpha as printed (3.3)", "k = 1, alpha divided by n = 5", "Caffe's rule"),
    Departure("biases", "1 where they are not 0", "0.1", "the replica's readme: 1 did not train in Caffe"),
)
CAFFE_INITIALISATION = (
    "Gaussian 0.01, 0.005 in fc6 and fc7; biases 0.1 in conv2, conv4, conv5, fc6, fc7 and 0 elsewhere"
)
ACCURACIES = ("the accuracies are printed; the errors here are 100 minus them",)
CAFFE = Card(
    paper=CARD.paper,
    summary="the BVLC replica (bvlc_alexnet)",
    initialisation=CAFFE_INITIALISATION,
    figures=errors("42.9", "19.8", "ILSVRC-2012 val, centre crop", source="BVLC models/bvlc_alexnet readme"),
    departures=REPLICA,
    unstated=ACCURACIES,
)
CAFFENET = Card(
    paper=CARD.paper,
    summary="CaffeNet (bvlc_reference_caffenet): pooling before normalisation",
    initialisation=CAFFE_INITIALISATION,
    figures=errors("42.6", "19.6", "ILSVRC-2012 val, centre crop", source="BVLC bvlc_reference_caffenet readme"),
    departures=(*REPLICA, Departure("order", "normalise, then pool", "pool, then normalise", "CaffeNet's")),
    unstated=ACCURACIES,
)

NETWORKS = (
    Network("alexnet", AlexNet, CARD, input=(3, 227, 227), smallest_size=67, fixed_size=True),
    Network("alexnet@torchvision", OneTower, TORCHVISION, smallest_size=63),
    Network("alexnet@caffe", partial(AlexNet, caffe=True), CAFFE, (3, 227, 227), smallest_size=67, fixed_size=True),
    Network(
        "alexnet@caffenet",
        partial(AlexNet, caffe=True, pool_first=True),
        CAFFENET,
        (3, 227, 227),
        smallest_size=67,
        fixed_size=True,
    ),
    Network(
        "alexnet@ungrouped", partial(AlexNet, groups=1), UNGROUPED, (3, 227, 227), smallest_size=67, fixed_size=True
    ),
    Network(
        "alexnet@one_tower",
        partial(AlexNet, groups=1, widths=(64, 192, 384, 256, 256), round_up=True, image_size=224),
        ONE_TOWER,
        smallest_size=64,
        fixed_size=True,
    ),
)
