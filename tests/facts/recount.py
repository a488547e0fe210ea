"""Parameters and multiply-adds of a table of layers, counted without torch and without the networks here.

    python tests/facts/recount.py        the totals of every architecture in tests/facts/published.yaml

A table is read as ``dsl`` in that file says. Each row states the shape after it, which is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).with_name("published.yaml")
Row = dict[str, Any]


def facts() -> dict[str, Any]:
    return yaml.safe_load(FACTS.read_text(encoding="utf-8"))


@dataclass
class Count:
    """A network in the making: the shape (H, W, C) reached, and what it took."""

    height: int
    width: int
    channels: int
    defaults: Row
    params: int = 0
    macs: int = 0

    def conv(
        self,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: bool = True,
        valid: bool = False,
    ) -> None:
        """A convolution, padded so that the side is divided by the stride and rounded up, or not at all."""
        assert self.channels % groups == out % groups == 0
        if valid:
            self.height, self.width = ((side - kernel) // stride + 1 for side in (self.height, self.width))
        else:
            self.height, self.width = (-(-side // stride) for side in (self.height, self.width))
        weights = kernel * kernel * self.channels // groups * out
        self.params += weights + out * bias + 2 * out * norm
        self.macs += weights * self.height * self.width
        self.channels = out

    def depthwise(self, kernel: int, stride: int = 1, bias: bool = False, norm: bool = True) -> None:
        self.conv(self.channels, kernel, stride, self.channels, bias, norm)

    def excite(self, squeezed: int, bias: bool = True) -> None:
        """Squeeze-and-excitation: two fully connected layers on the average of each channel."""
        weights = 2 * self.channels * squeezed
        self.params += weights + (self.channels + squeezed) * bias
        self.macs += weights

    def attend(self, squeezed: int) -> None:
        """CBAM: the layers of squeeze-and-excitation, used twice; a 7x7 from two maps to one, with a norm."""
        self.excite(squeezed)
        self.macs += 2 * self.channels * squeezed
        self.params += 2 * 49 + 2
        self.macs += 2 * 49 * self.height * self.width

    def fc(self, out: int, bias: bool = True) -> None:
        inputs = self.height * self.width * self.channels
        self.params += inputs * out + out * bias
        self.macs += inputs * out
        self.height, self.width, self.channels = 1, 1, out

    def beside(self, out: int, stride: int, norm: bool = True) -> None:
        """A projected shortcut from the shape reached, which is not left."""
        branch = Count(self.height, self.width, self.channels, self.defaults)
        branch.conv(out, 1, stride, norm=norm)
        self.params += branch.params
        self.macs += branch.macs

    # rows

    def row(self, row: Row) -> None:
        for number in range(row.get("x", 1)):
            getattr(self, f"row_{row['op']}")(row, row.get("s", 1) if number == 0 else 1)
        if "hwc" in row:
            assert [self.height, self.width, self.channels] == row["hwc"], (row, self)

    def row_conv(self, row: Row, stride: int) -> None:
        self.conv(
            row["out"],
            row["k"],
            stride,
            row.get("g", 1),
            row.get("bias", False),
            row.get("norm", True),
            row.get("valid", False),
        )

    def row_pool(self, row: Row, stride: int) -> None:
        self.height, self.width = (-(-side // stride) for side in (self.height, self.width))

    def row_gap(self, row: Row, stride: int) -> None:
        self.height = self.width = 1

    def row_norm(self, row: Row, stride: int) -> None:
        self.params += 2 * self.channels

    def row_fc(self, row: Row, stride: int) -> None:
        self.fc(row["out"], row.get("bias", True))

    def row_separable(self, row: Row, stride: int) -> None:
        self.depthwise(3, stride)
        self.conv(row["out"], 1)

    def row_inverted(self, row: Row, stride: int) -> None:
        """MobileNetV2's block: ``t`` times as wide inside, or ``wide``; ``se`` channels between its two layers."""
        block_input = self.channels
        wide = row["wide"] if "wide" in row else block_input * row["t"]
        if wide != block_input:
            self.conv(wide, 1)
        self.depthwise(row.get("k", 3), stride)
        if "se" in row:  # EfficientNet squeezes to a share of the block's input, MobileNetV3 to a number
            self.excite(row["se"] if row["se"] >= 1 else max(1, int(block_input * row["se"])))
        self.conv(row["out"], 1)

    def row_fused(self, row: Row, stride: int) -> None:
        """EfficientNetV2's fused block: a 3x3 to ``t`` times the channels and a 1x1; without expansion one 3x3."""
        if row["t"] == 1:
            self.conv(row["out"], 3, stride)
        else:
            self.conv(self.channels * row["t"], 3, stride)
            self.conv(row["out"], 1)

    def row_shuffle_v1(self, row: Row, stride: int) -> None:
        """ShuffleNet's unit of a quarter of the output channels inside; at stride 2 the input is concatenated."""
        block_input = self.channels
        self.conv(row["out"] // 4, 1, groups=1 if row.get("first") and stride == 2 else row["g"])
        self.depthwise(3, stride)
        self.conv(row["out"] - block_input if stride == 2 else row["out"], 1, groups=row["g"])
        self.channels = row["out"]

    def row_inception(self, row: Row, stride: int) -> None:
        """Branches of convolutions [channels, kernel], the last with the stride; ``pool`` branches read a pooling."""
        out, shape = 0, (self.height, self.width)
        for branch in row["branches"]:
            part = Count(*shape, self.channels, self.defaults)
            for number, (channels, kernel) in enumerate(branch):
                part.conv(channels, kernel, stride if number == len(branch) - 1 else 1)
            self.params, self.macs, out = self.params + part.params, self.macs + part.macs, out + part.channels
        if stride > 1:
            self.height, self.width = (-(-side // stride) for side in shape)
            out += self.channels  # of the max pooling
        self.channels = out
        self.excite(row["se"])

    def row_fractal(self, row: Row, stride: int) -> None:
        """The columns of a fractal block: 1, 2, 4, ... 3x3 convolutions, the first of each from the block's input."""
        block_input = self.channels
        for column in range(row["columns"]):
            self.channels = block_input
            for _ in range(2**column):
                self.conv(row["out"], 3)

    def row_shuffle(self, row: Row, stride: int) -> None:
        """ShuffleNetV2's unit: at stride 1 one half of the channels passes, at stride 2 both branches are computed."""
        half = row["out"] // 2
        if stride == 2:
            other = Count(self.height, self.width, self.channels, self.defaults)
            other.depthwise(3, 2)
            other.conv(half, 1)
            self.params += other.params
            self.macs += other.macs
        else:
            self.channels = half
        self.conv(half, 1)
        self.depthwise(3, stride)
        self.conv(half, 1)
        self.channels = row["out"]

    def row_bottleneck(self, row: Row, stride: int) -> None:
        """1x1, 3x3 in ``g`` groups, 1x1; the stride is in the 3x3 unless ``at`` says 1x1. A shortcut may project."""
        if stride > 1 or self.channels != row["out"]:
            self.beside(row["out"], stride)
        block_input, first = self.channels, self.defaults.get("at") == "1x1"
        self.conv(row["mid"], 1, stride if first else 1)
        self.conv(row["mid"], 3, 1 if first else stride, row.get("g", 1))
        if "se_of_input" in row:
            self.excite(round(block_input * row["se_of_input"]))
        self.conv(row["out"], 1)
        if "se" in row:
            self.excite(row["se"])
        if "cbam" in row:
            self.attend(row["cbam"])

    def row_basic(self, row: Row, stride: int) -> None:
        """Two 3x3; the shortcut projects (B) where the shape changes."""
        if self.channels != row["out"]:
            self.beside(row["out"], stride)
        self.conv(row["out"], 3, stride)
        self.conv(row["out"], 3)

    def row_preactivated(self, row: Row, stride: int) -> None:
        """Norm and ReLU before each convolution of ``kernels``; a shortcut is a 1x1 without norm, or A: none."""
        if self.channels != row["out"] and self.defaults.get("shortcut") != "A":
            self.beside(row["out"], stride, norm=False)
        kernels = row["kernels"]
        mid = row.get("mid", row["out"])
        for number, kernel in enumerate(kernels):
            if not (row.get("activated") and number == 0):
                self.params += 2 * self.channels
            out = row["out"] if number == len(kernels) - 1 else mid
            self.conv(out, kernel, stride if number == 0 else 1, norm=False)

    def row_repvgg(self, row: Row, stride: int) -> None:
        """A 3x3 and a 1x1 side by side, and a norm alone where the shape stays."""
        if stride == 1 and self.channels == row["out"]:
            self.params += 2 * self.channels
        self.beside(row["out"], stride)
        self.conv(row["out"], 3, stride)

    def row_convnext(self, row: Row, stride: int) -> None:
        """Depthwise 7x7, layer norm, two fully connected layers of four times the width, layer scale."""
        self.depthwise(7, bias=True)  # with the scale and shift of the layer norm
        self.conv(4 * self.channels, 1, bias=True, norm=False)
        self.conv(self.channels // 4, 1, bias=True, norm=False)
        self.params += self.channels

    def row_downsample(self, row: Row, stride: int) -> None:
        """Layer norm and a 2x2 convolution with stride 2."""
        self.params += 2 * self.channels
        self.conv(row["out"], 2, 2, bias=True, norm=False, valid=True)


def recount(name: str, architectures: dict[str, Row] | None = None) -> dict[str, int]:
    """``params`` and ``macs`` of an architecture of the file."""
    entry = (architectures or facts()["architectures"])[name]
    height, width, channels = entry["input"]
    count = Count(height, width, channels, entry.get("defaults", {}))
    for row in entry["layers"]:
        count.row(row)
    assert (count.height, count.width, count.channels) == (1, 1, entry["classes"]), name
    return {"params": count.params, "macs": count.macs}


if __name__ == "__main__":
    architectures = facts()["architectures"]
    for name in architectures:
        print(name, recount(name, architectures))
