"""LeNet-5. LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86(11), 1998. Read: section II.B, Table I.

The whole network of 1998 on a 32 x 32 image; shapes are (C, H, W).
    layer    what it is                               output        params   connections
    C1       convolution 5x5                          6 x 28 x 28      156       122,304
    S2       trainable subsampling 2x2                6 x 14 x 14       12         5,880
    C3       convolution 5x5, wired by Table I       16 x 10 x 10    1,516       151,600
    S4       trainable subsampling 2x2               16 x  5 x  5       32         2,000
    C5       convolution 5x5 over the whole map     120 x  1 x  1   48,120        48,120
    F6       fully connected                                   84   10,164        10,164
    OUTPUT   Euclidean RBF, fixed codes                        10        0           840   total 60,000 and 340,908
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.arithmetic.protocol import LayerCount, Shape
from convatlas.errors import RecipeError
from convatlas.message import Message
from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Measurement, Network, Paper
from convatlas.models.initialisation import caffe_xavier, draw_, fan_in

# Table I: for each of the 16 maps of C3, the maps of S2 it reads
C3_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# the output codes, one 7 x 12 bitmap per digit, 0 to 9 (drawn after Figure 3)
BITMAPS = """
..###.. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.#...#. ..###.. ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .####.. ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. .....## ##..##. ######. ##.###. ....##. .##.##. ##...##
##...## ...##.. ...##.. ..####. ##..##. .....## ###..## ...##.. ..###.. .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ...##.. ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
.#...#. ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""
CODE_LENGTH = 7 * 12


class ScaledTanh(nn.Module):
    """Appendix A: 1.7159 tanh(2a/3), so that f(1) = 1 and f(-1) = -1."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
        return LayerCount("scaled_tanh", 0, 0)  # one layer of the paper, three operators here


class Subsampling(nn.Module):
    """S2 and S4: the sum of 2 x 2 pixels, times a trainable coefficient per map, plus a trainable bias per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H // 2, W // 2)
        total = 4 * F.avg_pool2d(x, kernel_size=2)
        return total * self.weight[:, None, None] + self.bias[:, None, None]

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
        maps, height, width = output
        connections = maps * height * width * (2 * 2 + 1)
        working = (f"{maps}*{height}*{width} * (2*2 + 1) = {connections:,} connections",)
        return LayerCount("subsample", 0, connections, kernel=(2, 2), stride=(2, 2), padding=(0, 0), working=working)


class TableConvolution(nn.Module):
    """C3: a convolution in which an output map reads only the input maps listed in a table.

    The weight has one 5 x 5 kernel per connection, (60, 5, 5) for Table I, so pairs of maps that are not connected have
    no parameters. ``forward`` expands it to a dense weight with zeros.
    """

    def __init__(self, table: tuple[tuple[int, ...], ...], kernel_size: int = 5) -> None:
        super().__init__()
        links = sum(len(maps) for maps in table)
        in_channels = 1 + max(max(maps) for maps in table)
        self.table, self.kernel_size = table, kernel_size
        self.weight = nn.Parameter(torch.empty(links, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(len(table)))
        # the index of each (output, input) pair's kernel in the weight; the index after the last stands for zeros
        place = [[links] * in_channels for _ in table]
        numbered = ((output, input) for output, maps in enumerate(table) for input in maps)
        for row, (output, input) in enumerate(numbered):
            place[output][input] = row
        self.place = nn.Buffer(torch.tensor(place), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 6, H, W) -> (N, 16, H - 4, W - 4)
        kernels = F.pad(self.weight, (0, 0, 0, 0, 0, 1))  # (61, 5, 5), the last one zero
        return F.conv2d(x, kernels[self.place], self.bias)

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
        maps, height, width = output
        links, k, _ = self.weight.shape
        macs = height * width * self.weight.numel()
        connections = macs + height * width * maps
        working = (
            f"{links} kernels of {k}*{k}: {links}*{k}*{k} + {maps} = {links * k * k + maps:,} parameters",
            f"{height}*{width} * ({links}*{k}*{k} + {maps}) = {connections:,} connections",
        )
        kernel, stride, padding = (k, k), (1, 1), (0, 0)
        return LayerCount("conv", macs, connections, kernel, stride, padding, groups=1, working=working)


class EuclideanRBF(nn.Module):
    """OUTPUT: the squared distance between F6 and each class's fixed code of +1 and -1 (equation 7).

    The predicted class has the smallest distance. The distances are returned with a minus sign as logits, for both
    cross-entropy and the criterion of equation 9.
    """

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.codes = nn.Buffer(codes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 84) -> (N, K)
        return -(x[:, None, :] - self.codes).square().sum(dim=2)

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
        classes, length = self.codes.shape
        connections = classes * length
        working = (f"{classes}*{length} = {connections:,} connections, none of them trained",)
        return LayerCount("rbf", 0, connections, working=working)


def class_codes(num_classes: int) -> Tensor:
    """(K, 84) of +1 and -1: the bitmaps for ten classes, else random codes any two of which differ in 16 places."""
    if num_classes == 10:
        rows = [line.split() for line in BITMAPS.split("\n") if line]
        return torch.tensor([[1.0 if c == "#" else -1.0 for row in rows for c in row[d]] for d in range(10)])
    draw = random.Random(num_classes)  # a separate generator, as codes must not depend on the seed
    codes: list[int] = []
    while len(codes) < num_classes:
        code = draw.getrandbits(CODE_LENGTH)
        if all((code ^ other).bit_count() >= 16 for other in codes):
            codes.append(code)
    return torch.tensor([[1.0 if code >> bit & 1 else -1.0 for bit in range(CODE_LENGTH)] for code in codes])


def map_side(image_size: int) -> int:
    """Side of the maps of S4, after two 5 x 5 convolutions and two halvings. C5 reads these maps as a whole."""
    return ((image_size - 4) // 2 - 4) // 2


class LeNet5(Classifier):
    """The complete network of 1998: C3 connected by Table I, trainable subsampling, scaled tanh, RBF output."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        side = map_side(image_size)
        self.fixed_by = Message("C5, which reads all of S4 (16 x {side} x {side})", side=side)
        self.C1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.S2 = Subsampling(6)
        self.C3 = TableConvolution(C3_TABLE)
        self.S4 = Subsampling(16)
        self.C5 = nn.Conv2d(16, 120, kernel_size=side)
        self.F6 = nn.Linear(120, CODE_LENGTH)
        self.OUTPUT = EuclideanRBF(class_codes(num_classes))
        self.f = ScaledTanh()  # the paper's name for the squashing function
        initialise(self)

    @torch.no_grad()
    def initialise_modern(self) -> None:
        """Gaussian 1/sqrt(F), which keeps the scaled tanh out of saturation; biases 0; S2 and S4 by the same rule.

        The fan-in of a map of C3 is that of the maps it reads. The codes of the output are fixed and not drawn.
        """
        for layer in (self.C1, self.C5, self.F6):
            nn.init.normal_(layer.weight, std=fan_in(layer.weight) ** -0.5)
        for subsampling in (self.S2, self.S4):
            nn.init.constant_(subsampling.weight, 4**-0.5)  # of the sum of four
        row = 0
        for maps in self.C3.table:
            nn.init.normal_(self.C3.weight[row : row + len(maps)], std=(len(maps) * self.C3.kernel_size**2) ** -0.5)
            row += len(maps)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:  # (N, 1, 32, 32)
        self.check(images)
        x = self.f(self.C1(images))  # (N, 6, 28, 28)
        x = self.f(self.S2(x))  # (N, 6, 14, 14)
        x = self.f(self.C3(x))  # (N, 16, 10, 10)
        x = self.f(self.S4(x))  # (N, 16, 5, 5)
        x = self.f(self.C5(x))  # (N, 120, 1, 1)
        x = self.f(self.F6(torch.flatten(x, start_dim=1)))  # (N, 84)
        return self.OUTPUT(x)  # (N, K), logits


class LeNet5Modern(Classifier):
    """What tutorials call LeNet-5: a full convolution as C3, ReLU, max pooling, a linear output."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        side = map_side(image_size)
        self.fixed_by = Message("C5, which reads all of S4 (16 x {side} x {side})", side=side)
        self.C1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.S2 = nn.MaxPool2d(2)
        self.C3 = nn.Conv2d(6, 16, kernel_size=5)
        self.S4 = nn.MaxPool2d(2)
        self.C5 = nn.Linear(16 * side * side, 120)
        self.F6 = nn.Linear(120, 84)
        self.OUTPUT = nn.Linear(84, num_classes)  # torch's default initialisation everywhere, as in the tutorials

    def forward(self, images: Tensor) -> Tensor:  # (N, 1, 32, 32)
        self.check(images)
        x = self.S2(F.relu(self.C1(images)))  # (N, 6, 14, 14)
        x = self.S4(F.relu(self.C3(x)))  # (N, 16, 5, 5)
        x = torch.flatten(x, start_dim=1)  # (N, 400)
        x = F.relu(self.C5(x))  # (N, 120)
        x = F.relu(self.F6(x))  # (N, 84)
        return self.OUTPUT(x)  # (N, K), logits


class CaffeLeNet(Classifier):
    """The network of Caffe's MNIST example: 20 and 50 maps, max pooling, 500 hidden units."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        side = map_side(image_size)
        self.fixed_by = Message("ip1, which reads all of pool2 (50 x {side} x {side})", side=side)
        self.conv1 = nn.Conv2d(in_channels, 20, kernel_size=5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, kernel_size=5)
        self.pool2 = nn.MaxPool2d(2)
        self.ip1 = nn.Linear(50 * side * side, 500)
        self.ip2 = nn.Linear(500, num_classes)
        draw_(self, caffe_xavier, caffe_xavier)

    def forward(self, images: Tensor) -> Tensor:  # (N, 1, 28, 28)
        self.check(images)
        x = self.pool1(self.conv1(images))  # (N, 20, 12, 12), no activation in between
        x = self.pool2(self.conv2(x))  # (N, 50, 4, 4)
        x = F.relu(self.ip1(torch.flatten(x, start_dim=1)))  # (N, 500)
        return self.ip2(x)  # (N, K), logits


@torch.no_grad()
def initialise(net: LeNet5) -> None:
    """Appendix A: uniform in [-2.4/F, 2.4/F], F the number of inputs of the unit; biases are weights of a constant."""
    for layer in (net.C1, net.C5, net.F6):
        bound = 2.4 / fan_in(layer.weight)
        nn.init.uniform_(layer.weight, -bound, bound)
        assert layer.bias is not None
        nn.init.uniform_(layer.bias, -bound, bound)
    for subsampling in (net.S2, net.S4):
        nn.init.uniform_(subsampling.weight, -2.4 / 4, 2.4 / 4)
        nn.init.uniform_(subsampling.bias, -2.4 / 4, 2.4 / 4)
    row = 0
    for output, maps in enumerate(net.C3.table):  # the fan-in of a map of C3 is 3, 4 or 6 kernels
        bound = 2.4 / (len(maps) * net.C3.kernel_size**2)
        nn.init.uniform_(net.C3.weight[row : row + len(maps)], -bound, bound)
        nn.init.uniform_(net.C3.bias[output : output + 1], -bound, bound)
        row += len(maps)


@torch.no_grad()
def widen_(net: nn.Module) -> None:
    """Multiply every weight and bias by sqrt(F), F its fan-in: a range of 2.4 / sqrt(F) instead of the printed 2.4 / F.

    This is a departure from the paper. With the printed range the signals of the deep layers vanish, and with them
    their curvatures. The first steps are then eta / mu for nearly every weight, and the network saturates permanently
    (results/main_job).

    Raises:
        RecipeError: the network is not lenet5.
    """
    if not isinstance(net, LeNet5):
        raise RecipeError(
            "initial = root-fan-in is available only for lenet5. Use initial = printed for {model}.",
            model=getattr(net, "network", type(net).__name__),
        )
    for layer in (net.C1, net.C5, net.F6):
        for parameter in layer.parameters():
            parameter.mul_(fan_in(layer.weight) ** 0.5)
    row = 0
    for output, maps in enumerate(net.C3.table):
        root = (len(maps) * net.C3.kernel_size**2) ** 0.5
        net.C3.weight[row : row + len(maps)].mul_(root)
        net.C3.bias[output].mul_(root)
        row += len(maps)


PAPER = Paper(
    authors=("LeCun", "Bottou", "Bengio", "Haffner"),
    title="Gradient-Based Learning Applied to Document Recognition",
    venue="Proceedings of the IEEE 86(11), 1998",
    year=1998,
    read="section II.B, Table I, appendices A and C",
)

CARD = Card(
    paper=PAPER,
    summary="the complete network of 1998: C3 connected by Table I, trainable subsampling, scaled tanh, RBF output",
    initialisation="uniform in [-2.4/F, 2.4/F], F the unit's fan-in (appendix A); biases are drawn like weights",
    figures=(
        Figure("params", "60,000", where="section II.B"),
        Figure("connections", "340,908", where="section II.B"),
        Figure(
            "error",
            "0.95",
            where="section III.B",
            protocol="MNIST test, no distortions",
            measured=Measurement(
                1.51,
                "MNIST test, no distortions, 16 patterns an update, one run",
                source="results/main_job",
                explanation="the paper updates after each pattern; the first weights are drawn from a wider range",
            ),
        ),
        Figure("error", "0.8", where="section III.B", protocol="MNIST test, 540,000 distorted images added"),
    ),
    departures=(
        Departure(
            "output codes",
            paper="7 x 12 bitmaps of stylised characters, shown as pictures (Figure 3)",
            here="bitmaps drawn anew for the ten digits; random codes of +1 and -1 for other class counts",
            why="the pictures' pixels are not printed, and only characters have bitmaps",
        ),
        Departure(
            "sign of the output",
            paper="RBF penalties, the smallest wins (equation 7)",
            here="their negative, the largest wins",
            why="so that cross-entropy, top-1 and the criterion of equation 9 read the same logits",
        ),
    ),
    unstated=(
        "whether biases are drawn like weights: assumed, as the weight of a constant input",
        "the fan-in of a subsampling unit: taken as its four inputs",
    ),
)

MODERN = Card(
    paper=PAPER,
    summary="the tutorials' simplification: a full convolution as C3, ReLU, max pooling, a linear output",
    initialisation="torch's default for convolutions and linear layers, uniform in [-1/sqrt(F), 1/sqrt(F)]",
    departures=(
        Departure(
            "C3",
            paper="each map reads 3, 4 or 6 of S2's maps (Table I)",
            here="each map reads all six",
            why="what every tutorial builds: 2,416 parameters instead of 1,516",
        ),
        Departure(
            "S2, S4",
            paper="sum of four, trainable coefficient and bias",
            here="max pooling",
            why="no parameters; the tutorials' choice, some average instead",
        ),
        Departure("activation", paper="1.7159 tanh(2a/3)", here="ReLU", why="the modern default"),
        Departure(
            "output",
            paper="Euclidean RBF with fixed codes",
            here="a linear layer, 850 trainable parameters",
            why="the usual head; with C3 it makes the 61,706 often quoted for LeNet-5",
        ),
    ),
)

CAFFE = Card(
    paper=PAPER,
    summary="the network of Caffe's MNIST example: 20 and 50 maps, max pooling, 500 hidden units",
    initialisation='Caffe\'s "xavier", uniform in +-sqrt(3/fan-in); biases 0 (examples/mnist)',
    departures=(
        Departure("C1, C3", "6 and 16 maps, C3 wired by Table I", "20 and 50 maps, each wired to all", "Caffe's"),
        Departure("S2, S4", "sum of four, trainable coefficient and bias", "max pooling", "Caffe's"),
        Departure("activation", "1.7159 tanh(2a/3) in every layer", "one ReLU, after the hidden layer", "Caffe's"),
        Departure("hidden layers", "C5 with 120 units and F6 with 84", "one with 500 units", "Caffe's"),
        Departure("output", "Euclidean RBF with fixed codes", "a linear layer", "Caffe's: softmax and cross-entropy"),
        Departure("image size", "32 x 32, the digit's 28 x 28 padded", "28 x 28", "Caffe's; no padding"),
    ),
)

NETWORKS = (
    Network("lenet5", LeNet5, CARD, input=(1, 32, 32), num_classes=10, smallest_size=16, fixed_size=True),
    Network(
        "lenet5@modern", LeNet5Modern, MODERN, input=(1, 32, 32), num_classes=10, smallest_size=16, fixed_size=True
    ),
    Network("lenet5@caffe", CaffeLeNet, CAFFE, input=(1, 28, 28), num_classes=10, smallest_size=16, fixed_size=True),
)
