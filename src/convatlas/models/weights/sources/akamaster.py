"""akamaster/pytorch_resnet_cifar10: the residual networks of CIFAR-10."""

from __future__ import annotations

from dataclasses import replace

from convatlas.models.weights.labels import cifar10
from convatlas.models.weights.source import Rules, Source, by_rules, converter
from convatlas.models.weights.sources.torchvision import TORCHVISION

RESNET_CIFAR: Rules = ((r"^layer([1-3])\.", r"stage\1."), (r"^linear\.", "fc."))
FAMILIES = {"resnet_cifar": by_rules(RESNET_CIFAR)}

SOURCE = Source(
    name="akamaster",
    order=3,
    convert=converter(FAMILIES),
    families=frozenset(FAMILIES),
    preparation=replace(TORCHVISION, resize=32, crop=32),  # its mean and std are ImageNet's
    labels={10: cifar10},
)
