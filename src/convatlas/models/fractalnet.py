"""FractalNet. Larsson, Maire and Shakhnarovich, ICLR 2017. Read: abstract and introduction of arXiv:1605.07648, the
authors' repository (gustavla/fractalnet); section 4 is recalled.

FractalNet-20 (5 blocks of 3 columns) on a 32 x 32 image; shapes are (C, H, W). A column has 1, 2 or 4 layers.
    stage     layers                                      output          params
    block1    7 convolutions conv3-64                64 x 32 x 32        153,536
    block2    7 convolutions conv3-128              128 x 16 x 16        812,800
    block3    7 convolutions conv3-256              256 x  8 x  8      3,247,616
    block4    7 convolutions conv3-512              512 x  4 x  4     12,983,296
    block5    7 convolutions conv3-512              512 x  2 x  2     16,522,240
    head      fc-10                                            10          5,130    total 33,724,618

The expansion rule (Figure 1): f_1(z) = conv(z), and f_{C+1}(z) is the mean of f_C(f_C(z)) and conv(z). A max pooling
ends each block. No input is passed on without a convolution.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Classifier
from convatlas.models.cards import Card, Departure, Figure, Network, Paper
from convatlas.models.initialisation import he_

# channels and dropout of the blocks (section 4)
CHANNELS = (64, 128, 256, 512, 512)
DROPOUT = (0.0, 0.1, 0.2, 0.3, 0.4)
COLUMNS = {20: 3, 40: 4}  # 5 * 2^(C - 1) layers on the longest path
LOCAL_DROP_PATH = 0.15
GLOBAL_SHARE = 0.5  # of the updates keep one column only


class ConvDropNorm(nn.Module):
    """3x3 convolution, dropout, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.dropout = nn.Dropout2d(dropout)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.dropout(self.conv(x))))


class Fractal(nn.Module):
    """The columns of one block, side by side. Column c of C has 2^c layers, and joins after 2^c, 2 * 2^c, ... of them.

    A join is the mean of its inputs. In training it drops each of them with probability 0.15 but keeps at least one
    (local drop-path, section 3), or the whole network uses one column (global drop-path): ``column`` is set then.
    """

    def __init__(self, columns: int, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.columns, self.depth = columns, 2 ** (columns - 1)
        for column in range(columns):
            layers = nn.Sequential()
            for number in range(2**column):
                layers.append(ConvDropNorm(out_channels if number else in_channels, out_channels, dropout))
            self.add_module(f"column{column + 1}", layers)

    def forward(self, x: Tensor, column: int = -1, drop: float = 0.0) -> Tensor:
        outputs = [x] * self.columns
        for step in range(1, self.depth + 1):
            # the last column has a layer at every step, the one before at every second, the first at the last
            ends = [c for c in range(self.columns) if step % (self.depth // 2**c) == 0]
            for c in ends:
                layers = self.get_submodule(f"column{c + 1}")
                outputs[c] = layers[step // (self.depth // 2**c) - 1](outputs[c])  # type: ignore[index]
            joined = self.join([outputs[c] for c in ends], ends, column, drop)
            for c in ends:
                outputs[c] = joined if column < 0 else outputs[c]
        return outputs[0] if column < 0 else outputs[column]

    @staticmethod
    def join(inputs: list[Tensor], ends: list[int], column: int, drop: float) -> Tensor:
        if column >= 0 or len(inputs) == 1:
            return inputs[ends.index(column)] if column in ends else inputs[-1]
        if drop > 0:
            kept = [x for x, survives in zip(inputs, torch.rand(len(inputs)) >= drop, strict=True) if survives]
            inputs = kept or [inputs[int(torch.randint(len(inputs), ()))]]
        total = inputs[0]
        for other in inputs[1:]:
            total = total + other
        return total / len(inputs)


class FractalNet(Classifier):
    """Five fractal blocks, each followed by 2x2 max pooling; one fully connected layer.

    Args:
        depth: of the longest path: 20 (3 columns) or 40 (4 columns).
    """

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.columns = COLUMNS[depth]
        channels = in_channels
        for number, (width, dropout) in enumerate(zip(CHANNELS, DROPOUT, strict=True), start=1):
            self.add_module(f"block{number}", Fractal(self.columns, channels, width, dropout))
            channels = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)  # of one pixel, for 32 x 32 images
        self.fc = nn.Linear(channels, num_classes)
        he_(self)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32)
        self.check(images)
        column, drop = -1, 0.0
        if self.training and not torch.jit.is_scripting():
            drop = LOCAL_DROP_PATH
            if float(torch.rand(())) < GLOBAL_SHARE:
                column = int(torch.randint(self.columns, ()))
        x = images
        for number in range(1, len(CHANNELS) + 1):
            block = self.get_submodule(f"block{number}")
            x = F.max_pool2d(block(x, column, drop), kernel_size=2)  # block5: (N, 512, 1, 1)
        x = torch.flatten(self.avgpool(x), start_dim=1)
        return self.fc(x)  # (N, K), logits


PAPER = Paper(
    authors=("Larsson", "Maire", "Shakhnarovich"),
    title="FractalNet: Ultra-Deep Neural Networks without Residuals",
    venue="ICLR 2017",
    year=2016,
    arxiv="1605.07648",
    read="abstract and introduction of arXiv:1605.07648; gustavla/fractalnet",
)
QUOTED = "quoted by a summary of results on CIFAR"
AUGMENTED = "CIFAR-10 test, flip and shift augmentation"
COUNTED = (
    "33.72 M by the channels 64 to 512 and 3 columns, as other people's implementations too; how the paper counted is "
    "not known"
)
ONE_COLUMN = Departure(
    "global drop-path",
    paper="a column is drawn for each update and image batch (section 3)",
    here="the same; it is drawn from torch's generator in the forward pass",
    why="the joins need no random numbers of their own",
)


def network(depth: int) -> Network:
    figures: tuple[Figure, ...] = ()
    if depth == 20:
        figures = (
            Figure("params", "38.6", unit=1_000_000, source=QUOTED, explanation=COUNTED),
            Figure("error", "5.22", protocol=f"{AUGMENTED}, no drop-path, no dropout", source=QUOTED),
            Figure("error", "4.60", protocol=f"{AUGMENTED}, drop-path and dropout", source=QUOTED),
        )
    record = Card(
        paper=PAPER,
        summary=f"{depth} layers on the longest path, {COLUMNS[depth]} columns without shortcuts, for 32 x 32 images",
        initialisation="He: Gaussian, standard deviation sqrt(2/n), n = k^2 c (assumed; section 4 was not read)",
        figures=figures,
        unstated=(
            "the channels of the 40-layer network: those of the 20-layer one"
            if depth == 40
            else "where dropout stands: between convolution and norm, as the authors' repository suggests",
            "biases of the convolutions: none, as batch norm follows",
        ),
    )
    return Network(f"fractalnet{depth}_cifar", partial(FractalNet, depth), record, (3, 32, 32), 10, 32)


NETWORKS = tuple(network(depth) for depth in COLUMNS)
