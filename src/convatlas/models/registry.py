"""The records of the atlas's networks, by name. No torch.

They are read from ``catalogue.json``, which is generated from the declarations of the model files.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import json
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

from convatlas.errors import UnknownNameError, UsageError
from convatlas.message import Message
from convatlas.models import bridges, own
from convatlas.models.cards import Card, Modern, Network, Paper, Task

if TYPE_CHECKING:
    from torch import nn

CATALOGUE = "catalogue.json"
# names of torchvision, Keras, timm and of the papers' readers, for "did you mean"; case and punctuation aside
ALIASES = {
    **{f"vgg{depth}_bn": f"vgg{depth}@torchvision_bn" for depth in (11, 13, 16, 19)},
    **{f"cifar{classes}_resnet{depth}": f"resnet{depth}_cifar" for classes in (10, 100) for depth in (20, 32, 44, 56)},
    "inception_v1": "googlenet",
    "inception_v2": "bn_inception",
    "inceptionv1": "googlenet",
    "convnext": "convnext_tiny",
    "efficientnet": "efficientnet_b0",
    "lenet": "lenet5",
    "mnasnet1_0": "mnasnet_b1@torchvision",
    "mobilenet": "mobilenet_v1",
    "mobilenet_v3": "mobilenet_v3_large",
    "network_in_network": "nin_cifar",
    "perceptron": "mlp",
    "resnext50": "resnext50_32x4d",
    "semnasnet_100": "mnasnet_a1@timm",
    **{f"wrn_{size}": f"wide_resnet{size}_cifar" for size in ("16_8", "28_10", "40_4")},
}
# a network without batch norm and with so many layers that have weights trains only with small steps; AlexNet has 8
DEEP = 8


@dataclass(frozen=True)
class Entry:
    """The record of one network. The counts are derived, at the paper's input and number of classes.

    Attributes:
        family: the model file that declares it.
        task: "classify", or "reconstruct" for a network that returns images.
        batch_norm: whether it has batch normalisation.
        weight_layers: number of convolutions and fully connected layers.
        modern: "normalised", "shallow" or "deep": the modern recipe for the network.
        starts_from: other networks whose trained layers can initialise it -> the names of these layers.
        own: whether it is a network of the user's own, or of another library: its counts are not known beforehand.
        usual_input: whether ``input`` is known beforehand; that of a user's own network is not.
        full_name: NAME or NAME@VARIANT.
        num_classes: the paper's number of outputs.
        smallest_size: smallest side of the images, pixels.
        fixed_size: whether it accepts only the size that it is built for.
        params: trainable parameters.
        macs: multiply-adds for one image.
        connections: connections in the sense of LeCun et al. (1998).
        neurons: outputs of all layers.
        card: paper, printed figures and departures.
    """

    full_name: str
    family: str
    task: Task
    input: tuple[int, int, int]
    num_classes: int
    smallest_size: int
    fixed_size: bool
    params: int
    macs: int
    connections: int
    neurons: int
    batch_norm: bool
    weight_layers: int
    modern: Modern
    starts_from: dict[str, tuple[str, ...]]
    card: Card
    own: bool = False
    usual_input: bool = True

    @property
    def label(self) -> str:
        """The name in texts and directories: the class of a network of the user's own."""
        is_file = self.own and not bridges.is_bridged(self.full_name)
        return self.full_name.rpartition(".py:")[2].partition("(")[0] if is_file else self.full_name

    @property
    def name(self) -> str:
        """``resnet50`` of ``resnet50@torchvision``."""
        return self.full_name.partition("@")[0]

    @property
    def variant(self) -> str:
        """``torchvision`` of ``resnet50@torchvision``; the paper's own network has none."""
        return self.full_name.partition("@")[2]

    @property
    def reconstructs(self) -> bool:
        """Whether the network returns images instead of classes."""
        return self.task == "reconstruct"

    @property
    def year(self) -> int:
        return self.card.paper.year


def list_models(pattern: str = "*", variants: bool = True) -> list[str]:
    """Names of the atlas in the order of publication.

    Args:
        pattern: shell wildcards, matched with the full name and with the name before the ``@``.
        variants: whether variants (``NAME@VARIANT``) are included, such as the networks that libraries deploy.
    """
    return [
        entry.full_name
        for entry in _entries().values()
        if (variants or not entry.variant)
        and (fnmatch.fnmatchcase(entry.full_name, pattern) or fnmatch.fnmatchcase(entry.name, pattern))
    ]


def entry(name: str) -> Entry:
    """The record of a network.

    Args:
        name: a name of `list_models`, or of a network of your own.

    Raises:
        UnknownNameError: no such network; the message lists similar names.
    """
    entries = _entries()
    if not isinstance(name, str):
        raise UsageError(
            "the name of a network must be a string, such as 'lenet5'; got {kind}.", kind=type(name).__name__
        )
    if name in entries:
        return entries[name]
    if own.is_own(name):
        return named_entry(name)
    base, at, _ = name.partition("@")
    hint = Message("")
    if at and base in entries:
        known = [other for other in entries if other.startswith(f"{base}@")]
        hint = Message("{network} has no variants.", network=base)
        if known:
            hint = Message("{network} has the variants {names}.", network=base, names=", ".join(known))
    raise UnknownNameError("network", name, entries, hint, ALIASES)


def own_entry(net: nn.Module, full_name: str) -> Entry:
    """What stands in the place of a catalogue's line for a network of the user's own.

    ``input`` is not known before the data are; counts are those of the module as it is.
    """
    from torch import nn

    layers = sum(isinstance(m, nn.Linear | nn.modules.conv._ConvNd) for m in net.modules())
    batch_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())
    normalised = batch_norm or any(isinstance(m, nn.GroupNorm | nn.LayerNorm | nn.RMSNorm) for m in net.modules())
    paper = Paper(authors=("",), title="", venue="", year=0)
    return Entry(
        full_name=full_name,
        family="own",
        task="classify",
        input=(3, 224, 224),
        num_classes=0,
        smallest_size=1,
        fixed_size=False,
        params=sum(p.numel() for p in net.parameters() if not isinstance(p, nn.UninitializedParameter)),
        macs=0,
        connections=0,
        neurons=0,
        batch_norm=batch_norm,
        weight_layers=layers,
        modern="normalised" if normalised else "deep" if layers >= DEEP else "shallow",
        starts_from={},
        card=Card(paper=paper, summary="a network of your own", initialisation="as its class draws them"),
        own=True,
        usual_input=False,
    )


def named_entry(name: str) -> Entry:
    """The entry of ``FILE.py:Class``, ``timm:NAME`` or ``tv:NAME``; the network is built once for it."""
    if not bridges.is_bridged(name):
        return own_entry(own.build(name), own.parse(name).full_name)
    return _bridged_entry(name)


@functools.lru_cache(maxsize=64)
def _bridged_entry(name: str) -> Entry:
    import torch

    bridged = bridges.parse(name)
    try:
        with torch.device("meta"):
            net = bridges.build(name)
    except Exception:  # some constructors compute with their weights
        with torch.random.fork_rng(devices=()):
            net = bridges.build(name)
    found = own_entry(net, name)
    summary = f"a network of {bridged.package}"
    card = replace(found.card, summary=summary, initialisation="as its library draws them")
    return replace(found, input=bridges.usual_input(name), num_classes=1000, usual_input=True, card=card)


def card(name: str) -> Card:
    """The card of a network: paper, printed figures, departures, assumptions.

    Args:
        name: a name of `list_models`.
    """
    return entry(name).card


def declared(module: str) -> dict[str, Network]:
    """The networks that a model file declares, by name. Imports the file, and with it torch."""
    networks: tuple[Network, ...] = importlib.import_module(f"convatlas.models.{module}").NETWORKS
    return {network.name: network for network in networks}


@functools.cache
def _entries() -> dict[str, Entry]:
    text = resources.files("convatlas.models").joinpath(CATALOGUE).read_text(encoding="utf-8")
    return {record["name"]: _entry(record) for record in json.loads(text)["networks"]}


def _entry(record: dict[str, Any]) -> Entry:
    channels, height, width = record["input"]
    return Entry(
        full_name=record["name"],
        family=record["family"],
        task=record["task"],
        input=(channels, height, width),
        num_classes=record["classes"],
        smallest_size=record["smallest_size"],
        fixed_size=record["fixed_size"],
        params=record["params"],
        macs=record["macs"],
        connections=record["connections"],
        neurons=record["neurons"],
        batch_norm=record["batch_norm"],
        weight_layers=record["weight_layers"],
        modern=record["modern"],
        starts_from={name: tuple(layers) for name, layers in record["starts_from"].items()},
        card=Card.from_dict(record["card"]),
    )
