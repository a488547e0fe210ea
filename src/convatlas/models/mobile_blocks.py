"""Layers that the mobile networks share: MobileNet, MnasNet, EfficientNet, and squeeze-and-excitation of other papers.

ConvNormAct          convolution without bias, batch norm, activation
SqueezeExcitation    a factor between 0 and 1 for each channel, from the averages of all channels
InvertedResidual     1x1 to expand, depthwise, (squeeze-and-excitation,) 1x1 to project; input and output are narrow
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.models.blocks import Residual

Activation = Callable[[], nn.Module]


class Deployment(NamedTuple):
    """What differs between the libraries that deploy a network."""

    same_padding: bool = True  # TensorFlow's: with stride 2 an even map is padded at its end only
    epsilon: float = 1e-3  # of batch norm


TENSORFLOW, TORCH = Deployment(), Deployment(same_padding=False, epsilon=1e-5)


class SameConv2d(nn.Conv2d):
    """TensorFlow's "same" convolution: sides are divided by the stride and rounded up.

    The padding is what this needs, and where it is odd there is one more pixel at the end.
    """

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, F, ceil(H / S), ceil(W / S))
        kernel, stride = self.kernel_size[0], self.stride[0]
        height = max((-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2], 0)
        width = max((-(-x.shape[3] // stride) - 1) * stride + kernel - x.shape[3], 0)
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm, activation; padded so that a map keeps its size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: Activation = nn.ReLU,
        deployment: Deployment = TENSORFLOW,
    ) -> None:
        super().__init__()
        same = deployment.same_padding and stride > 1
        conv: type[nn.Conv2d] = SameConv2d if same else nn.Conv2d
        padding = 0 if same else kernel // 2
        self.conv = conv(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=deployment.epsilon)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation (Hu, Shen and Sun, arXiv:1709.01507, Figure 1).

    Global average pooling, two fully connected layers (here 1x1 convolutions of one position) and a gate. Every output
    depends on the whole image.

    Args:
        squeezed: width of the first layer, C / r in the paper.
        activation: between the two layers.
        gate: of the factors; a sigmoid in the paper.
    """

    def __init__(
        self, channels: int, squeezed: int, activation: Activation = nn.ReLU, gate: Activation = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.act = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), the same shape out
        return x * self.gate(self.fc2(self.act(self.fc1(self.avgpool(x)))))


class InvertedResidual(Residual):
    """The block of MobileNetV2, V3, MnasNet and EfficientNet. Sandler et al., arXiv:1801.04381, Table 1.

    1x1 to ``expanded`` channels, depthwise convolution, squeeze-and-excitation where ``squeezed`` > 0, 1x1 to
    ``out_channels`` without activation. Where no channel is added the first 1x1 is left out. With stride 1 and the same
    number of channels the input is added.
    """

    __jit_unused_properties__ = ("branch_end",)

    def __init__(
        self,
        in_channels: int,
        expanded: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        squeezed: int = 0,
        activation: Activation = nn.ReLU6,
        squeeze: Callable[[int, int], nn.Module] = SqueezeExcitation,
        deployment: Deployment = TENSORFLOW,
    ) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand: nn.Module = nn.Identity()
        if expanded != in_channels:
            self.expand = ConvNormAct(in_channels, expanded, 1, activation=activation, deployment=deployment)
        self.depthwise = ConvNormAct(expanded, expanded, kernel, stride, expanded, activation, deployment)
        self.se: nn.Module = squeeze(expanded, squeezed) if squeezed else nn.Identity()
        self.project = ConvNormAct(expanded, out_channels, 1, activation=nn.Identity, deployment=deployment)

    @property
    def branch_end(self) -> nn.Module | None:
        """The last layer of the residual branch; a block without shortcut has none."""
        return self.project.bn if self.has_shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        if self.has_shortcut and self.skips_branch():
            return x
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + self.rescaled(y) if self.has_shortcut else y


def rounded(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to a scaled number of channels, and not more than 10 % below it.

    As the released code of MobileNetV2, V3, MnasNet and EfficientNet rounds.
    """
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
