"""Small networks that several claims train: a plain stack of stages, and residual or plain blocks of the same shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from convatlas.models.blocks import LocalResponseNorm

Pooling = Literal["max", "average", "overlapping", "stride", "none"]
Norm = Literal["none", "batch", "lrn"]


def small_cnn(
    classes: int,
    channels: int,
    side: int,
    *,
    widths: Sequence[int] = (32, 32, 64),
    kernels: Sequence[int] = (3,),
    nonlinearity: type[nn.Module] = nn.ReLU,
    pooling: Pooling = "max",
    norm: Norm = "none",
    dropout: float = 0.0,
    separable: bool = False,
    between: type[nn.Module] | None = None,
    head: Literal["fc", "average"] = "fc",
) -> nn.Module:
    """Stages of convolutions, each ended by a pooling that halves the map, and one fully connected layer.

    Args:
        widths: channels of each stage.
        kernels: of the convolutions of each stage.
        separable: each convolution is depthwise, then 1 x 1 (Xception); ``between`` is a nonlinearity between them.
        head: one fully connected layer over all positions, or over their average.
        dropout: before the fully connected layer.
    """
    layers: list[nn.Module] = []
    size = side
    for width in widths:
        halves = size >= 4
        for place, kernel in enumerate(kernels):
            last = place == len(kernels) - 1
            step = 2 if pooling == "stride" and last and halves else 1
            layers += convolution(channels, width, kernel, step, separable, between)
            if norm == "batch":
                layers.append(nn.BatchNorm2d(width))
            layers.append(nonlinearity())
            channels = width
        if norm == "lrn":
            layers.append(LocalResponseNorm())
        if halves and pooling != "none":
            layers += pooling_layer(pooling)
            size //= 2
    if head == "average":
        layers.append(nn.AdaptiveAvgPool2d(1))
        size = 1
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * size * size, classes))


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int, separable: bool, between: type[nn.Module] | None = None
) -> list[nn.Module]:
    """A convolution that keeps the size of the map where its stride is 1."""
    if not separable:
        return [nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)]
    return [
        nn.Conv2d(inputs, inputs, kernel, stride, padding=kernel // 2, groups=inputs, bias=False),
        *([between()] if between is not None else []),
        nn.Conv2d(inputs, outputs, 1),
    ]


def pooling_layer(pooling: Pooling) -> list[nn.Module]:
    """A pooling that halves an even map; none where the convolution has a stride."""
    if pooling == "max":
        return [nn.MaxPool2d(2)]
    if pooling == "average":
        return [nn.AvgPool2d(2)]
    return [nn.MaxPool2d(3, stride=2, padding=1)] if pooling == "overlapping" else []


def parameters(net: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def classifier(channels: int, classes: int) -> list[nn.Module]:
    """Global average pooling and one fully connected layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm; ``shortcut`` adds the input (He et al. 2016, Figure 2)."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch(x) + x if self.shortcut else self.branch(x))


def blocks(classes: int, channels: int, side: int, *, count: int, width: int = 16, shortcut: bool = True) -> nn.Module:
    """A convolution, ``count`` blocks of one width, global average pooling and a fully connected layer."""
    body = [ResidualBlock(width, shortcut) for _ in range(count)]
    return nn.Sequential(conv_norm(channels, width, 3), *body, *classifier(width, classes))


class DenseAutoencoder(nn.Module):
    """Fully connected layers with ReLU to a code, and the same in reverse back to the pixels."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.decoder = dense(widths), dense(widths[::-1])

    def forward(self, x: Tensor) -> Tensor:  # (N, D) -> (N, D)
        return self.decoder(self.encoder(x))


def dense(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train_autoencoder(net: nn.Module, images: Tensor, epochs: int, lr: float, seed: int) -> list[float | None]:
    """Train on the squared error by Adam, in batches of 100 in an order by the seed.

    Args:
        images: (N, D), from 0 to 1.

    Returns: the mean loss of each epoch.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr)
    generator = torch.Generator().manual_seed(seed)
    losses: list[float | None] = []
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(images), generator=generator).split(100):
            loss = nn.functional.mse_loss(net(images[batch]), images[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(images))
    return losses


def with_he_weights(net: nn.Module) -> nn.Module:
    """The network with He's initial weights in all convolutions, and biases of zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
