"""DenseNet for CIFAR. Huang, Liu, van der Maaten and Weinberger, CVPR 2017. Read: arXiv:1608.06993v5,
section 3, Table 2.

L = 40, k = 12, without bottleneck, on a 32 x 32 image; shapes are (C, H, W).
    stage         layers                           output           params
    conv0         3x3-16                        16 x 32 x 32           432
    block1        12 x 3x3-12                  160 x 32 x 32       108,240
    transition1   1x1, average pool 2x2        160 x 16 x 16        25,920
    block2        12 x 3x3-12                  304 x 16 x 16       297,264
    transition2   1x1, average pool 2x2        304 x  8 x  8        93,024
    block3        12 x 3x3-12                  448 x  8 x  8       489,456
    head          BN, average pool, fc-10               10           5,386    total 1,019,722
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.densenet import Transition, dense_block
from convatlas.models.initialisation import he_

# Table 2: name, depth L, growth rate k, bottleneck and compression ("BC"), parameters printed in millions,
# errors in percent on C10, C10+, C100, C100+ ("" where the table has none)
TABLE_2 = (
    ("densenet40_k12_cifar", 40, 12, False, "1.0", ("7.00", "5.24", "27.55", "24.42")),
    ("densenet100_k12_cifar", 100, 12, False, "7.0", ("5.77", "4.10", "23.79", "20.20")),
    ("densenet100_k24_cifar", 100, 24, False, "27.2", ("5.83", "3.74", "23.42", "19.25")),
    ("densenet_bc100_k12_cifar", 100, 12, True, "0.8", ("5.92", "4.51", "24.15", "22.27")),
    ("densenet_bc250_k24_cifar", 250, 24, True, "15.3", ("5.19", "3.62", "19.64", "17.60")),
    ("densenet_bc190_k40_cifar", 190, 40, True, "25.6", ("", "3.46", "", "17.18")),
)
PROTOCOLS = (
    "CIFAR-10 test, dropout 0.2, no augmentation",
    "CIFAR-10 test, shift and flip augmentation",
    "CIFAR-100 test, dropout 0.2, no augmentation",
    "CIFAR-100 test, shift and flip augmentation",
)


class CifarDenseNet(Classifier):
    """Three dense blocks of equal length on maps of 32, 16 and 8.

    Args:
        bc: DenseNet-BC: bottlenecks of 4k, and transitions that keep half of the channels.
        first: filters of the first convolution; as in section 3 where None: 2k with BC, 16 without.
        drop_rate: dropout after every convolution but the first; 0.2 in the paper where images are not augmented.
    """

    def __init__(
        self,
        depth: int,
        growth: int,
        bc: bool,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        drop_rate: float = 0.0,
        first: int | None = None,
    ) -> None:
        super().__init__()
        layers, rest = divmod(depth - 4, 6 if bc else 3)  # first convolution, two transitions, classifier: 4
        assert rest == 0, "the depth is 3n + 4, or 6n + 4 with bottlenecks"
        self.in_channels = in_channels
        channels = first or (2 * growth if bc else 16)
        self.conv0 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False)
        for number in (1, 2, 3):
            self.add_module(f"block{number}", dense_block(channels, layers, growth, bc, drop_rate))
            channels += layers * growth
            if number < 3:
                kept = channels // 2 if bc else channels
                self.add_module(f"transition{number}", Transition(channels, kept, drop_rate))
                channels = kept
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        x: Tensor = images
        for layer in self.children():  # conv0, block1, transition1, block2, transition2, block3, norm, ..., classifier
            x = layer(x)
        return x  # (N, K), logits


PAPER = Paper(
    authors=("Huang", "Liu", "van der Maaten", "Weinberger"),
    title="Densely Connected Convolutional Networks",
    venue="CVPR 2017",
    year=2016,
    arxiv="1608.06993",
    read="arXiv:1608.06993v5, sections 3 and 4, Table 2; liuzhuang13/DenseNet",
)
FIRST_CONV = Departure(
    "first convolution",
    paper="16 filters (section 3); the authors' Torch code has 2k",
    here="16",
    why="only 16 gives the printed parameter counts: 1,019,722 rounds to 1.0 M, 1,059,298 does not",
)


def card(depth: int, growth: int, bc: bool, params: str, printed: tuple[str, ...]) -> Card:
    measured = (
        Figure("error", error, where="Table 2", protocol=protocol)
        for error, protocol in zip(printed, PROTOCOLS, strict=True)
        if error
    )
    return Card(
        paper=PAPER,
        summary=f"L = {depth}, k = {growth}{', bottlenecks and compression 0.5' if bc else ''}, for 32 x 32 images",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
        figures=(
            # the table's last digit is rounded from counts for 10 or 100 classes
            Figure("params", params, unit=1_000_000, where="Table 2", tolerance=0.06),
            *measured,
        ),
        departures=() if bc else (FIRST_CONV,),
        unstated=("the initialisation of the last layer: He's rule like the others",),
    )


TORCH_CODE = Card(
    paper=PAPER,
    summary="L = 40, k = 12 as the authors' Torch code builds it: 2k filters in the first convolution",
    initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (section 4.2 refers to 1502.01852)",
    departures=(
        Departure(
            "first convolution",
            paper="16 filters (section 3)",
            here="24, that is 2k",
            why="the authors' released code; 1,059,298 parameters, which do not round to the printed 1.0 M",
        ),
    ),
    unstated=("the initialisation of the last layer: He's rule like the others",),
)


def network(name: str, depth: int, growth: int, bc: bool, record: Card, first: int | None = None) -> Network:
    build = partial(CifarDenseNet, depth, growth, bc, first=first)
    return Network(name, build, record, (3, 32, 32), num_classes=10, smallest_size=4)


NETWORKS = (
    *(
        network(name, depth, growth, bc, card(depth, growth, bc, params, printed))
        for name, depth, growth, bc, params, printed in TABLE_2
    ),
    network("densenet40_k12_cifar@torch", 40, 12, False, TORCH_CODE, first=24),
)
