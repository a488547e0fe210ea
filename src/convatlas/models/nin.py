"""Network in Network. Lin, Chen and Yan, ICLR 2014. Read: arXiv:1312.4400 and the authors' cuda-convnet definitions.

nin_cifar on a 32 x 32 image: three mlpconv layers, each a convolution and two 1x1 convolutions ("cccp" layers).
    layers                     what they are                        output          params
    conv1, cccp1, cccp2        5x5 192, 1x1 160, 1x1 96             96 x 16 x 16    60,928
    conv2, cccp3, cccp4        5x5 192, 1x1 192, 1x1 192           192 x  8 x  8   535,104
    conv3, cccp5, cccp6        3x3 192, 1x1 192, 1x1 10             10 x  8 x  8   370,954
    poolg                      global average                               10         0    total 966,986
"""

from __future__ import annotations

from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.initialisation import gaussian_

# name, kernel, stride, padding, filters (K: the classes), standard deviation of the Gaussian it starts from
CIFAR = (
    (("conv1", 5, 1, 2, 192, 0.05), ("cccp1", 1, 1, 0, 160, 0.05), ("cccp2", 1, 1, 0, 96, 0.05)),
    (("conv2", 5, 1, 2, 192, 0.05), ("cccp3", 1, 1, 0, 192, 0.05), ("cccp4", 1, 1, 0, 192, 0.05)),
    (("conv3", 3, 1, 1, 192, 0.05), ("cccp5", 1, 1, 0, 192, 0.05), ("cccp6", 1, 1, 0, "K", 0.05)),
)
IMAGENET = (
    (("conv1", 11, 4, 0, 96, 0.01), ("cccp1", 1, 1, 0, 96, 0.05), ("cccp2", 1, 1, 0, 96, 0.05)),
    (("conv2", 5, 1, 2, 256, 0.05), ("cccp3", 1, 1, 0, 256, 0.05), ("cccp4", 1, 1, 0, 256, 0.05)),
    (("conv3", 3, 1, 1, 384, 0.01), ("cccp5", 1, 1, 0, 384, 0.05), ("cccp6", 1, 1, 0, 384, 0.05)),
    (("conv4_1024", 3, 1, 1, 1024, 0.05), ("cccp7_1024", 1, 1, 0, 1024, 0.05), ("cccp8_1024", 1, 1, 0, "K", 0.01)),
)
# the layers between the mlpconv layers; cuda-convnet and Caffe round pooled sizes up
Between = tuple[tuple[str, ...], ...]
CIFAR_BETWEEN: Between = (("pool1", "dropout1"), ("pool2", "dropout2"))
IMAGENET_BETWEEN: Between = (("pool0",), ("pool2",), ("pool3", "drop"))


class NiN(Classifier):
    """mlpconv layers in sequence, the last with a map per class; global average pooling. ReLU follows every layer."""

    rectified_logits = True

    def __init__(
        self,
        mlpconvs: tuple[tuple[tuple[str, int, int, int, int | str, float], ...], ...],
        between: Between,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = in_channels
        for number, mlpconv in enumerate(mlpconvs):
            for name, kernel_size, stride, padding, filters, std in mlpconv:
                width = num_classes if filters == "K" else int(filters)
                layer = nn.Conv2d(channels, width, kernel_size, stride, padding)
                gaussian_(layer, std)
                self.add_module(name, layer)
                self.add_module(f"relu_{name}", nn.ReLU(inplace=True))
                channels = width
            for name in between[number] if number < len(between) else ():
                pool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
                self.add_module(name, pool if name.startswith("pool") else nn.Dropout(0.5))
        self.poolg = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv1, relu, cccp1, relu, cccp2, relu, pool1, dropout1, ..., poolg, flatten
            x = layer(x)
        return x  # (N, K), logits; never negative, as the last layer has a ReLU too


PAPER = Paper(
    authors=("Lin", "Chen", "Yan"),
    title="Network In Network",
    venue="ICLR 2014",
    year=2013,
    arxiv="1312.4400",
    read="arXiv:1312.4400; authors' code, mavenlin/cuda-convnet NIN/cifar-10_def and cifar-10_params",
)

CARD = Card(
    paper=PAPER,
    summary="three mlpconv layers and global average pooling, for 32 x 32 images",
    initialisation="Gaussian 0.05, biases 0 (authors' cifar-10_def)",
    figures=(
        Figure("error", "10.41", where="Table 1", protocol="CIFAR-10 test, dropout"),
        Figure("error", "8.81", where="Table 1", protocol="CIFAR-10 test, dropout, shift and flip augmentation"),
        Figure("error", "35.68", where="Table 2", protocol="CIFAR-100 test, dropout"),
        Figure("error", "2.35", where="Table 3", protocol="SVHN test, dropout"),
        Figure("error", "0.47", where="Table 4", protocol="MNIST test, dropout"),
    ),
    departures=(
        Departure(
            "input",
            paper="global contrast normalisation and ZCA whitening",
            here="left to the recipe",
            why="preprocessing is not part of the network",
        ),
    ),
    unstated=("layer sizes: the paper refers to the code, which is followed here",),
)

IMAGENET_CARD = Card(
    paper=PAPER,
    summary="four mlpconv layers, the authors' later model for ImageNet (not in the paper)",
    initialisation="Gaussian 0.05, 0.01 for conv1, conv3 and the last layer, biases 0 (the model's prototxt, recalled)",
    figures=(
        Figure("params", "29", unit=262_144, source="the authors' model-zoo page: 29 MB of float32", tolerance=0.5),
    ),
    departures=(
        Departure(
            "the network",
            paper="has CIFAR-10, CIFAR-100, SVHN and MNIST only",
            here="the authors' Caffe model-zoo entry nin_imagenet",
            why="the network that is usually meant by NiN on ImageNet",
        ),
        Departure(
            "pool4",
            paper="average over 6 x 6",
            here="average over the whole map",
            why="the same at 224, and other image sizes work",
        ),
    ),
)


def cifar(num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> NiN:
    return NiN(CIFAR, CIFAR_BETWEEN, num_classes, in_channels, image_size)


def imagenet(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> NiN:
    return NiN(IMAGENET, IMAGENET_BETWEEN, num_classes, in_channels, image_size)


NETWORKS = (
    Network("nin_cifar", cifar, CARD, (3, 32, 32), num_classes=10, smallest_size=4),
    Network("nin_imagenet", imagenet, IMAGENET_CARD, smallest_size=39),
)
