"""chenyaofo/pytorch-cifar-models: the residual networks of CIFAR with projected shortcuts."""

from __future__ import annotations

from convatlas.models.weights.labels import cifar10
from convatlas.models.weights.source import Rules, Source, by_rules, converter

RESNET_CIFAR: Rules = (
    (r"^layer([1-3])\.", r"stage\1."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.bn."),
)
FAMILIES = {"resnet_cifar": by_rules(RESNET_CIFAR)}

SOURCE = Source(
    name="chenyaofo",
    order=6,
    convert=converter(FAMILIES),
    families=frozenset(FAMILIES),
    labels={10: cifar10},
)
