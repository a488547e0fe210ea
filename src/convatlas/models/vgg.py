"""VGG. Simonyan and Zisserman, ICLR 2015. Read: arXiv:1409.1556, Table 1, sections 2.1, 2.2, 3.1 and 4.

Configuration D on a 224 x 224 image; shapes are (C, H, W) after the pooling that ends the stage.
    stage   layers                output           params
    1       2 x conv3-64          64 x 112 x 112       38,720
    2       2 x conv3-128        128 x  56 x  56      221,440
    3       3 x conv3-256        256 x  28 x  28    1,475,328
    4       3 x conv3-512        512 x  14 x  14    5,899,776
    5       3 x conv3-512        512 x   7 x   7    7,079,424
    head    fc-4096, fc-4096, fc-1000      1000   123,642,856     total 138,357,544
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from convatlas.message import Message
from convatlas.models.blocks import Classifier, LocalResponseNorm
from convatlas.models.cards import Card, Departure, Figure, Network, Paper, errors
from convatlas.models.initialisation import draw_, gaussian, glorot_, he_by_fan_out

# Table 1, a column each: widths of the convolutions by stage; all are 3x3, but a width in brackets is 1x1
CONFIGURATIONS = {
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "A-LRN": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "C": ((64, 64), (128, 128), (256, 256, [256]), (512, 512, [512]), (512, 512, [512])),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "E": ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512)),
}


class VGG(Classifier):
    """A column of Table 1: the layers in sequence, with the paper's names.

    Args:
        batch_norm: add batch norm after every convolution, with biases (torchvision's ``_bn``; not in the paper).
        any_size: add torchvision's adaptive average pooling before fc6, which allows any image size.
    """

    def __init__(
        self,
        configuration: str,
        batch_norm: bool = False,
        any_size: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = in_channels
        for stage, widths in enumerate(CONFIGURATIONS[configuration], start=1):
            for number, width in enumerate(widths, start=1):
                kernel_size, width = (1, width[0]) if isinstance(width, list) else (3, width)
                conv = nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2)
                self.add_module(f"conv{stage}_{number}", conv)
                if batch_norm:
                    self.add_module(f"bn{stage}_{number}", nn.BatchNorm2d(width))
                self.add_module(f"relu{stage}_{number}", nn.ReLU(inplace=True))
                channels = width
            if configuration == "A-LRN" and stage == 1:
                self.lrn1 = LocalResponseNorm(n=5, k=2, alpha=1e-4, beta=0.75)  # section 2.1: AlexNet's parameters
            self.add_module(f"pool{stage}", nn.MaxPool2d(kernel_size=2, stride=2))

        side = image_size // 32  # five halvings
        if any_size:
            side = 7
            self.avgpool = nn.AdaptiveAvgPool2d(side)
        else:
            self.image_size = image_size
            self.fixed_by = Message("its first fully connected layer ({n:,} features)", n=channels * side * side)
        self.flatten = nn.Flatten()
        self.fc6 = nn.Linear(channels * side * side, 4096)  # 512 * 7 * 7
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = nn.Dropout(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = nn.Dropout(0.5)
        self.fc8 = nn.Linear(4096, num_classes)
        # section 3.1: with Glorot's rule the network need not start from net A
        (initialise_as_torchvision if any_size else glorot_)(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 224, 224)
        self.check(images)
        x = images
        for layer in self.children():  # conv1_1, relu1_1, ..., pool5, flatten, fc6, ..., fc8
            x = layer(x)
        return x  # (N, K), logits


def initialise_as_torchvision(net: VGG) -> None:
    """Convolutions Gaussian with standard deviation sqrt(2 / (k^2 out)), linear layers Gaussian 0.01, biases 0."""
    draw_(net, he_by_fan_out, gaussian(0.01))


# section 3.1: "we initialised the first four convolutional layers and the last three fully-connected layers with the
# layers of net A (the intermediate layers were initialised randomly)"; they have the same shapes in B, C, D and E
FIRST_FOUR_AND_LAST_THREE = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")


def layers_of_a(configuration: str, variant: str = "") -> dict[str, tuple[str, ...]]:
    """The layers of a trained net A that can initialise a deeper network (section 3.1).

    Args:
        variant: of a deployed network, which starts from the same variant of A.
    """
    return {f"vgg11{variant}": FIRST_FOUR_AND_LAST_THREE} if configuration in "BCDE" else {}


PAPER = Paper(
    authors=("Simonyan", "Zisserman"),
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    venue="ICLR 2015",
    year=2014,
    arxiv="1409.1556",
    read="arXiv:1409.1556, Tables 1 to 4, sections 2 to 4",
)
PARAMS = {"A": "133", "A-LRN": "133", "B": "133", "C": "134", "D": "138", "E": "144"}  # Table 2, millions
# Table 3, one scale, dense evaluation on the validation set: S of training, Q of test, top-1 and top-5 error
TABLE_3 = {
    "A": (("256", "256", "29.6", "10.4"),),
    "A-LRN": (("256", "256", "29.7", "10.5"),),
    "B": (("256", "256", "28.7", "9.9"),),
    "C": (
        ("256", "256", "28.1", "9.4"),
        ("384", "384", "28.1", "9.3"),
        ("[256;512]", "384", "27.3", "8.8"),
    ),
    "D": (
        ("256", "256", "27.0", "8.8"),
        ("384", "384", "26.8", "8.7"),
        ("[256;512]", "384", "25.6", "8.1"),
    ),
    "E": (
        ("256", "256", "27.3", "9.0"),
        ("384", "384", "26.9", "8.7"),
        ("[256;512]", "384", "25.5", "8.0"),
    ),
}
# Table 4, several scales: the same columns
TABLE_4 = {
    "B": (("256", "224,256,288", "28.2", "9.6"),),
    "C": (
        ("256", "224,256,288", "27.7", "9.2"),
        ("384", "352,384,416", "27.8", "9.2"),
        ("[256;512]", "256,384,512", "26.3", "8.2"),
    ),
    "D": (
        ("256", "224,256,288", "26.6", "8.6"),
        ("384", "352,384,416", "26.5", "8.6"),
        ("[256;512]", "256,384,512", "24.8", "7.5"),
    ),
    "E": (
        ("256", "224,256,288", "26.9", "8.7"),
        ("384", "352,384,416", "26.7", "8.6"),
        ("[256;512]", "256,384,512", "24.8", "7.5"),
    ),
}
MACS = {
    "D": Figure(
        "macs",
        "15.3",
        unit=1_000_000_000,
        where="Table 1",
        source="He et al., arXiv:1512.03385",
        tolerance=0.1,
        explanation="15.35 G are the convolutions alone; the fully connected layers add 0.12 G",
    ),
    "E": Figure(
        "macs", "19.6", unit=1_000_000_000, where="Table 1", source="He et al., arXiv:1512.03385", tolerance=0.1
    ),
}
MULTI_CROP = (
    *errors("24.4", "7.1", "ILSVRC-2012 val, dense and multi-crop", where="Table 5"),
    *errors("", "7.3", "ILSVRC-2012 test, several scales", where="section 4.5"),
    *errors("", "7.3", "ILSVRC-2014 test, 7 nets", where="Table 6"),
    *errors("", "7.0", "ILSVRC-2012 test, D and E, dense", where="Table 6"),
    *errors("", "6.8", "ILSVRC-2012 test, D and E, dense and multi-crop", where="Table 6"),
)
INITIALISATION = Departure(
    "initialisation",
    paper="net A Gaussian with variance 10^-2, deeper nets start from the trained A (3.1)",
    here="Glorot's uniform rule, with which 3.1 needs no net A; --start-from a trained vgg11 follows the paper",
    why="one run instead of two; and with standard deviation 0.1 the first logits of A are of the order 10^5",
)


def card(configuration: str, summary: str) -> Card:
    tables = [("Table 3", row) for row in TABLE_3[configuration]]
    tables += [("Table 4", row) for row in TABLE_4.get(configuration, ())]
    measured = tuple(
        figure
        for where, (s, q, top1, top5) in tables
        for figure in errors(top1, top5, f"ILSVRC-2012 val, dense, S={s}, Q={q}", where=where)
    )
    return Card(
        paper=PAPER,
        summary=summary,
        initialisation="Glorot, uniform in +-sqrt(6/(fan-in + fan-out)); biases 0 (section 3.1, last paragraph)",
        figures=(
            Figure("params", PARAMS[configuration], unit=1_000_000, where="Table 2"),
            *((MACS[configuration],) if configuration in MACS else ()),
            *measured,
            *(MULTI_CROP if configuration == "E" else ()),
        ),
        departures=(INITIALISATION,),
    )


def deployed(depth: int, batch_norm: bool) -> Card:
    extra = (Departure("batch norm", "none", "after every convolution, biases kept", "torchvision's _bn models"),)
    return Card(
        paper=PAPER,
        summary=f"VGG-{depth} as torchvision deploys it: any image size{', batch norm' if batch_norm else ''}",
        initialisation="convolutions Gaussian with standard deviation sqrt(2/(k^2 out)), linear layers Gaussian 0.01",
        departures=(
            Departure(
                "pool5",
                paper="7 x 7 maps of a 224 x 224 image",
                here="followed by adaptive average pooling to 7 x 7",
                why="any image size; the identity at 224",
            ),
            Departure(
                "initialisation",
                paper="Gaussian with variance 10^-2 and a start from net A (3.1)",
                here="He's rule by fan-out",
                why="torchvision's",
            ),
            *(extra if batch_norm else ()),
        ),
    )


def network(name: str, configuration: str, summary: str) -> Network:
    return Network(
        name,
        partial(VGG, configuration),
        card(configuration, summary),
        smallest_size=32,
        fixed_size=True,
        starts_from=layers_of_a(configuration),
    )


def torchvision(depth: int, configuration: str, batch_norm: bool) -> Network:
    variant = f"@torchvision{'_bn' if batch_norm else ''}"
    return Network(
        f"vgg{depth}{variant}",
        partial(VGG, configuration, batch_norm=batch_norm, any_size=True),
        deployed(depth, batch_norm),
        smallest_size=32,
        modern="deep" if batch_norm else None,  # their measurements were made with small learning rates
        starts_from=layers_of_a(configuration, variant),
    )


DEPTHS = {11: "A", 13: "B", 16: "D", 19: "E"}

NETWORKS = (
    network("vgg11", "A", "column A: 11 weight layers"),
    network("vgg11_lrn", "A-LRN", "column A-LRN: A with local response normalisation after conv1_1"),
    network("vgg13", "B", "column B: 13 weight layers"),
    network("vgg16_c", "C", "column C: 16 weight layers, three of them 1x1 convolutions"),
    network("vgg16", "D", "column D: 16 weight layers, all convolutions 3x3"),
    network("vgg19", "E", "column E: 19 weight layers"),
    *(torchvision(depth, configuration, batch_norm=False) for depth, configuration in DEPTHS.items()),
    *(torchvision(depth, configuration, batch_norm=True) for depth, configuration in DEPTHS.items()),
)
