"""The modules of the Inception papers as data: parallel branches, each a sequence of convolutions and poolings.

("64 1x1",)                       a 1x1 convolution to 64 maps; every convolution is followed by batch norm and ReLU
("48 1x1", "64 5x5")              two convolutions in sequence, padded so that the map keeps its size
("384 3x3 /2 V",)                 stride 2; V for "valid": no padding
("avgpool 3x3", "32 1x1")         a pooling; the default is stride 1 with padding
("384 1x1", (("384 1x3",), ("384 3x1",)))      a branch that splits again
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import SamePool

EPSILON = 1e-3  # of batch norm in the authors' released code

Spec = tuple[Any, ...]  # of str, or of further tuples where a branch splits


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = (norm or inception_norm)(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def inception_norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm without scale, as TF-slim and Keras build Inception: the convolution after the ReLU can scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class Style(NamedTuple):
    """The differences between the libraries that deploy a network."""

    norm: Callable[[int], nn.Module] = inception_norm
    count_padding: bool = False  # whether an average pooling divides by the padded pixels too


class Branches(nn.Module):
    """Parallel branches whose maps are concatenated; ``out_channels`` is their sum."""

    def __init__(self, in_channels: int, *branches: Spec, style: Style | None = None) -> None:
        super().__init__()
        self.out_channels = 0
        for number, steps in enumerate(branches, start=1):
            branch, channels = make_branch(in_channels, steps, style or Style())
            self.add_module(f"branch{number}", branch)
            self.out_channels += channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def make_branch(in_channels: int, steps: Spec, style: Style) -> tuple[nn.Sequential, int]:
    """The steps in sequence, named ``conv3x3``, ``conv3x3_2``, ``avgpool``; and the number of output channels."""
    branch, channels = nn.Sequential(), in_channels
    for step in steps:
        if isinstance(step, str):
            kind, layer, channels = make_step(channels, step, style)
        else:
            layer = Branches(channels, *step, style=style)
            kind, channels = "split", layer.out_channels
        again = sum(name == kind or name.startswith(f"{kind}_") for name, _ in branch.named_children())
        branch.add_module(f"{kind}_{again + 1}" if again else kind, layer)
    return branch, channels


def make_step(in_channels: int, step: str, style: Style) -> tuple[str, nn.Module, int]:
    """One string of the notation above: its name, its layer, its output channels."""
    operation, kernel, *options = step.split()
    height, width = (int(side) for side in kernel.split("x"))
    stride = next((int(option[1:]) for option in options if option.startswith("/")), 1)
    padding = (0, 0) if "V" in options else (height // 2, width // 2)
    if operation == "avgpool":
        pool = nn.AvgPool2d(height, stride, padding[0], count_include_pad=style.count_padding)
        return operation, pool, in_channels
    if operation == "maxpool" and stride == 2 and "V" not in options:
        return operation, SamePool(), in_channels
    if operation == "maxpool":
        return operation, nn.MaxPool2d(height, stride, padding[0]), in_channels
    layer = ConvNorm(in_channels, int(operation), (height, width), stride, padding, style.norm)
    return f"conv{kernel}", layer, int(operation)


class Outputs(NamedTuple):
    """The output of a network with auxiliary heads in training mode; in evaluation mode it returns only the logits.

    The loss is the loss of the logits, plus ``weight`` times the loss of each auxiliary head.
    """

    logits: Tensor  # (N, K)
    auxiliary: tuple[Tensor, ...]  # (N, K) each
    weight: float
