"""SqueezeNet. Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer, 2016. Read: arXiv:1602.07360, Table 1, Figure 2,
section 6, and the authors' prototxt files.

Version 1.0 on a 227 x 227 image; shapes are (C, H, W).
    layer             what it is                            output          params
    conv1             96 filters 7x7, stride 2          96 x 111 x 111      14,208
    fire2             squeeze 16, expand 64 + 64       128 x  55 x  55      11,920
    fire3             squeeze 16, expand 64 + 64       128 x  55 x  55      12,432
    fire4             squeeze 32, expand 128 + 128     256 x  55 x  55      45,344
    fire5             squeeze 32, expand 128 + 128     256 x  27 x  27      49,440
    fire6             squeeze 48, expand 192 + 192     384 x  27 x  27     104,880
    fire7             squeeze 48, expand 192 + 192     384 x  27 x  27     111,024
    fire8             squeeze 64, expand 256 + 256     512 x  27 x  27     188,992
    fire9             squeeze 64, expand 256 + 256     512 x  13 x  13     197,184
    conv10            1000 filters 1x1, average             1000           513,000    total 1,248,424
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import caffe_xavier, draw_

# squeeze 1x1, expand 1x1, expand 3x3 of fire2 to fire9: the same in all versions
FIRES = {
    "fire2": (16, 64, 64),
    "fire3": (16, 64, 64),
    "fire4": (32, 128, 128),
    "fire5": (32, 128, 128),
    "fire6": (48, 192, 192),
    "fire7": (48, 192, 192),
    "fire8": (64, 256, 256),
    "fire9": (64, 256, 256),
}
# conv1 filters and kernel, and the layers that are followed by a 3x3 max pooling with stride 2
VERSIONS = {
    "1.0": (96, 7, ("conv1", "fire4", "fire8")),
    "1.1": (64, 3, ("conv1", "fire3", "fire5")),
}
# Figure 2: the bypasses around fire modules
BYPASS = {
    "none": {},
    "simple": dict.fromkeys(("fire3", "fire5", "fire7", "fire9"), "identity"),
    "complex": {f"fire{number}": "identity" if number % 2 else "conv" for number in range(2, 10)},
}


class Fire(nn.Module):
    """A 1x1 convolution that squeezes, then parallel 1x1 and 3x3 convolutions that expand (Figure 1)."""

    __jit_unused_properties__ = (
        "linear_shortcut",
        "rectified_ends",
    )

    def __init__(self, in_channels: int, squeeze: int, expand1x1: int, expand3x3: int, bypass: str = "") -> None:
        super().__init__()
        out_channels = expand1x1 + expand3x3
        self.squeeze1x1 = nn.Conv2d(in_channels, squeeze, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, kernel_size=3, padding=1)
        self.bypass: nn.Module | None = None
        if bypass == "identity":
            assert in_channels == out_channels
            self.bypass = nn.Identity()
        elif bypass == "conv":
            self.bypass = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    @property
    def linear_shortcut(self) -> nn.Conv2d | None:
        """The convolution of the bypass, which is not followed by a ReLU."""
        return self.bypass if isinstance(self.bypass, nn.Conv2d) else None

    @property
    def rectified_ends(self) -> tuple[nn.Conv2d, ...]:
        """The last layers of the residual branch, which end in a ReLU; empty without a bypass."""
        return () if self.bypass is None else (self.expand1x1, self.expand3x3)

    def forward(self, x: Tensor) -> Tensor:
        s = F.relu(self.squeeze1x1(x))
        y = torch.cat([F.relu(self.expand1x1(s)), F.relu(self.expand3x3(s))], dim=1)
        return y if self.bypass is None else y + self.bypass(x)


class SqueezeNet(Classifier):
    """Eight fire modules between two convolutions. The last convolution has a map per class, which is averaged.

    Args:
        version: "1.0" or "1.1".
        bypass: "none", "simple" or "complex" (Figure 2).
        torchvision: use torchvision's initialisation.
        padded: pad conv10 as in the released v1.0 prototxt, which adds a border of biases to the average.
    """

    rectified_logits = True

    def __init__(
        self,
        version: str,
        bypass: str = "none",
        torchvision: bool = False,
        padded: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 227,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels, kernel_size, pooled = VERSIONS[version]
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size, stride=2)
        self.relu1 = nn.ReLU(inplace=True)
        self.pool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        for name, (squeeze, expand1x1, expand3x3) in FIRES.items():
            fire = Fire(channels, squeeze, expand1x1, expand3x3, BYPASS[bypass].get(name, ""))
            self.add_module(name, fire)
            channels = expand1x1 + expand3x3
            if name in pooled:
                self.add_module(name.replace("fire", "pool"), nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
        self.drop9 = nn.Dropout(0.5)
        self.conv10 = nn.Conv2d(channels, num_classes, kernel_size=1, padding=1 if padded else 0)
        self.relu10 = nn.ReLU(inplace=True)
        self.pool10 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        (initialise_as_torchvision if torchvision else initialise)(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 227, 227)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv1, relu1, pool1, fire2, ..., fire9, drop9, conv10, relu10, pool10, flatten
            x = layer(x)
        return x  # (N, K), logits; never negative, as the last layer has a ReLU too


def initialise(net: SqueezeNet) -> None:
    """As in the released solver: Caffe's "xavier", uniform in +-sqrt(3 / fan-in); conv10 Gaussian 0.01; biases 0."""
    draw_(net, caffe_xavier, None)
    nn.init.normal_(net.conv10.weight, std=0.01)


def initialise_as_torchvision(net: SqueezeNet) -> None:
    """He's rule, uniform; conv10 Gaussian 0.01; biases 0."""
    draw_(net, lambda conv: nn.init.kaiming_uniform_(conv.weight), None)
    nn.init.normal_(net.conv10.weight, std=0.01)


PAPER = Paper(
    authors=("Iandola", "Han", "Moskewicz", "Ashraf", "Dally", "Keutzer"),
    title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    venue="arXiv 2016",
    year=2016,
    arxiv="1602.07360",
    read="arXiv:1602.07360; forresti/SqueezeNet, songhan/SqueezeNet-Residual",
)
PROTOCOL = "ILSVRC-2012 val, centre crop"
README = "forresti/SqueezeNet README"
INPUT = Departure(
    "image size",
    paper="224 x 224 (Table 1)",
    here="227 x 227",
    why="7x7 with stride 2 gives the printed 111 x 111 from 227 and 109 from 224; the released prototxt crops 227",
)
CONV10 = Departure(
    "conv10",
    paper="13 x 13 maps (Table 1); the released v1.0 prototxt pads by 1, 15 x 15",
    here="no padding",
    why="the table; with the padding 28.7 M more multiply-adds",
)
RELEASED = Card(
    paper=PAPER,
    summary="version 1.0 as the authors released it in Caffe: conv10 padded by 1",
    initialisation='Caffe\'s "xavier", uniform in +-sqrt(3/fan-in); conv10 Gaussian 0.01; biases 0',
    departures=(
        INPUT,
        Departure(
            "conv10",
            paper="13 x 13 maps (Table 1)",
            here="15 x 15: a 1x1 convolution padded by 1, whose border has only biases",
            why="the released v1.0 prototxt, with which the published weights were trained",
        ),
    ),
)
FIGURES = {
    "1.0": (
        Figure("params", "1,248,424", where="Table 1"),
        Figure("params", "4.8", unit=262_144, where="Table 1", source=README),
        Figure("macs", "0.86", unit=1_000_000_000, source=f"{README}: 1.72 GFLOPS, two for a MAC", tolerance=0.03),
        *errors("42.5", "19.7", PROTOCOL, where="Table 2"),
    ),
    "1.1": (
        Figure(
            "macs",
            "0.36",
            unit=1_000_000_000,
            source=f"{README}: 0.72 GFLOPS, two for a MAC",
            tolerance=0.02,
            explanation="the released prototxt at 227 needs 0.388 G; at 224 it is 0.349 G",
        ),
        *errors("", "19.7", f"{PROTOCOL}, at most: no worse than 1.0", source=README),
    ),
    "simple": errors("39.6", "17.5", PROTOCOL, where="Table 3"),
    "complex": (
        Figure(
            "params",
            "7.7",
            unit=250_000,
            where="Table 3",
            tolerance=0.06,
            verified=False,
            explanation="four 1x1 bypass convolutions make 6.36 MB in all; 7.7 MB would be twice the addition",
        ),
        *errors("41.2", "18.0", PROTOCOL, where="Table 3"),
    ),
}


def card(key: str, summary: str, *departures: Departure) -> Card:
    return Card(
        paper=PAPER,
        summary=summary,
        initialisation='Caffe\'s "xavier", uniform in +-sqrt(3/fan-in); conv10 Gaussian 0.01; biases 0',
        figures=FIGURES[key],
        departures=departures,
        unstated=("the accuracies are printed; the errors here are 100 minus them",),
    )


def deployed(version: str) -> Network:
    name = f"squeezenet{version.replace('.', '_')}@torchvision"
    record = Card(
        paper=PAPER,
        summary=f"version {version} as torchvision deploys it, at 224 x 224",
        initialisation="He's rule, uniform; conv10 Gaussian 0.01; biases 0",
        departures=(
            Departure("image size", "227 x 227 (released prototxt)", "224 x 224", "torchvision's crop"),
            Departure("initialisation", 'Caffe\'s "xavier"', "He's rule, uniform", "torchvision's"),
        ),
    )
    return Network(name, partial(SqueezeNet, version, torchvision=True), record, smallest_size=SMALLEST[version])


SMALLEST = {"1.0": 21, "1.1": 17}
INPUT_SIZE = (3, 227, 227)
SIMPLE = "version 1.0 with identity bypasses around fire3, fire5, fire7 and fire9"
COMPLEX = "simple bypass, and 1x1 convolutions around fire2, fire4, fire6 and fire8"
NETWORKS = (
    Network(
        "squeezenet1_0",
        partial(SqueezeNet, "1.0"),
        card("1.0", "eight fire modules, 50 times smaller than AlexNet", INPUT, CONV10),
        INPUT_SIZE,
        smallest_size=SMALLEST["1.0"],
    ),
    Network(
        "squeezenet1_1",
        partial(SqueezeNet, "1.1"),
        card("1.1", "the authors' later release: smaller conv1, earlier pooling"),
        INPUT_SIZE,
        smallest_size=SMALLEST["1.1"],
    ),
    Network(
        "squeezenet_simple_bypass",
        partial(SqueezeNet, "1.0", "simple"),
        card("simple", SIMPLE, INPUT, CONV10),
        INPUT_SIZE,
        smallest_size=SMALLEST["1.0"],
    ),
    Network(
        "squeezenet_complex_bypass",
        partial(SqueezeNet, "1.0", "complex"),
        card("complex", COMPLEX, INPUT, CONV10),
        INPUT_SIZE,
        smallest_size=SMALLEST["1.0"],
    ),
    Network(
        "squeezenet1_0@caffe",
        partial(SqueezeNet, "1.0", padded=True),
        RELEASED,
        INPUT_SIZE,
        smallest_size=SMALLEST["1.0"],
    ),
    deployed("1.0"),
    deployed("1.1"),
)
