"""What a source of weights is: a record with the names, the preparation, the labels and the published files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from convatlas.models.blocks import Classifier
from convatlas.models.loaded import Labels, Preparation
from convatlas.models.registry import entry
from convatlas.models.weights.claims import Tensors


@dataclass(frozen=True)
class Target:
    """The network that weights are converted for.

    Attributes:
        family: the model file it stands in.
        shapes: of its state_dict.
        stem: the name of the weight of its first convolution; empty where it has none.
    """

    net: Classifier
    family: str
    shapes: Mapping[str, tuple[int, ...]]
    stem: str

    @classmethod
    def of(cls, net: Classifier) -> Target:
        shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
        stem = next((name for name, shape in shapes.items() if len(shape) == 4), "")
        return cls(net, entry(net.network).family, shapes, stem)


@dataclass(frozen=True)
class Published:
    """One file of weights: ``torchvision:IMAGENET1K_V1`` of one network.

    ``sha256_prefix`` is as much of the file's SHA-256 as its publisher prints; the errors are printed percentages on
    the ILSVRC-2012 validation set, one centre crop, prepared as ``preparation`` says.
    """

    network: str
    source: str
    name: str
    url: str
    sha256_prefix: str
    licence: str
    top1_error: float
    top5_error: float
    preparation: Preparation

    @property
    def full_name(self) -> str:
        return f"{self.source}:{self.name}"


@dataclass(frozen=True)
class Source:
    """Somebody whose files of weights are read.

    A file belongs to the source under which most of its tensors, converted, fit the network.

    Attributes:
        order: of two sources under which equally many tensors fit, the one with the lower number is taken.
        convert: the file's tensors -> under our names and in our shapes, as far as the source's rules go.
        families: the model files whose networks the source has; None: all.
        preparation: how the images of its weights are usually prepared; None where nothing is known. A published file
            has its own. One source's weights of one network may differ, as torchvision's V1 and V2 do, so for any
            other file this is an assumption.
        preparations: the networks, without their variant, for which another preparation is usual.
        labels: number of outputs -> their usual names.
        published: the files that can be fetched by name.
        bgr: the model files whose weights were trained on BGR and are turned to RGB by ``convert``.
    """

    name: str
    convert: Callable[[Tensors, Target], Tensors]
    order: int = 100
    families: frozenset[str] | None = None
    preparation: Preparation | None = None
    preparations: Mapping[str, Preparation] = field(default_factory=dict)
    labels: Mapping[int, Callable[[], Labels]] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    bgr: frozenset[str] = frozenset()

    def has(self, family: str) -> bool:
        """Whether the source has networks of this model file."""
        return self.families is None or family in self.families

    def usual_preparation(self, network: str) -> Preparation | None:
        """The preparation assumed for its weights of ``inception_resnet_v2@timm``; None where nothing is known."""
        return self.preparations.get(network.partition("@")[0], self.preparation)

    def usual_labels(self, outputs: int) -> Labels | None:
        """The class names of its weights with so many outputs; None where they could be anything."""
        return self.labels[outputs]() if outputs in self.labels else None


AUXILIARY = ("AuxLogits.", "auxiliary_")  # heads used in training only: a file may lack them, or have them to spare


def spare(name: str) -> bool:
    """Whether a file may lack the tensor or have it to spare: of an auxiliary head, or a counter."""
    return name.startswith(AUXILIARY) or name.endswith("num_batches_tracked")


# --- sources that differ from us by their names -----------------------------------------------------------------------

# (regular expression, replacement): tried in order, and all apply. The names on the right are the papers' layers; the
# parity tests prove every table with random weights
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
Rename = Callable[[str], str]


def renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def by_rules(rules: Rules, then: Callable[[str, nn.Module], str] | None = None) -> Callable[[nn.Module], Rename]:
    """For a network, the function from the source's names to ours.

    Args:
        then: applied to each name afterwards, with the network.
    """

    def for_network(net: nn.Module) -> Rename:
        return lambda name: renamed(name, rules) if then is None else then(renamed(name, rules), net)

    return for_network


def converter(families: Mapping[str, Callable[[nn.Module], Rename]]) -> Callable[[Tensors, Target], Tensors]:
    """The conversion of a source that differs from us by its names, one function for each of its model files."""

    def convert(tensors: Tensors, target: Target) -> Tensors:
        rename = families[target.family](target.net)
        ours = {rename(name): value for name, value in tensors.items()}
        for name, value in ours.items():  # timm runs VGG's fully connected layers as convolutions
            shape = target.shapes.get(name)
            if shape is not None and value.dim() == 4 and (value.shape[0], value[0].numel()) == shape:
                ours[name] = torch.flatten(value, start_dim=1)
            elif shape is not None and len(shape) == 1 and tuple(value.shape) == (*shape, 1, 1):
                ours[name] = value.flatten()  # torchvision's layer scale multiplies (C, H, W)
        return ours

    return convert
