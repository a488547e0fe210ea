"""Names to networks.

Listing and cards are answered from ``catalogue.json``, which is generated from the model files' own declarations, so
they need no torch; building a network imports the one file it stands in.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import ShapeError, UnknownNameError, UsageError
from convatlas.message import Message
from convatlas.models.cards import Card, Network

if TYPE_CHECKING:
    from torch import nn

    from convatlas.models.blocks import Classifier

# one file per paper, in the order of publication; the closed list of what may be imported
MODULES = (
    "lenet",
    "mlp",
    "alexnet",
    "zfnet",
    "nin",
    "vgg",
    "googlenet",
    "prelu_net",
    "bn_inception",
    "inception_v3",
    "resnet",
    "resnet_cifar",
    "inception_v4",
    "squeezenet",
    "densenet",
    "densenet_cifar",
    "xception",
    "autoencoder",
    "speednet",
)

CATALOGUE = "catalogue.json"


@dataclass(frozen=True)
class Entry:
    """One line of the atlas. The counts are derived, at the paper's input and number of classes."""

    full_name: str
    family: str
    input: tuple[int, int, int]
    num_classes: int
    smallest_size: int
    fixed_size: bool
    params: int
    macs: int
    connections: int
    neurons: int
    card: Card

    @property
    def name(self) -> str:
        """``resnet50`` of ``resnet50@torchvision``."""
        return self.full_name.partition("@")[0]

    @property
    def variant(self) -> str:
        """``torchvision`` of ``resnet50@torchvision``; the paper's own network has none."""
        return self.full_name.partition("@")[2]

    @property
    def year(self) -> int:
        return self.card.paper.year


def list_models(pattern: str = "*", variants: bool = True) -> list[str]:
    """Names of the atlas in the order of publication.

    Args:
        pattern: shell wildcards, matched with the full name and with the name before the ``@``.
        variants: whether the networks others deploy (``NAME@VARIANT``) are listed beside the papers' own.
    """
    return [
        entry.full_name
        for entry in _entries().values()
        if (variants or not entry.variant)
        and (fnmatch.fnmatchcase(entry.full_name, pattern) or fnmatch.fnmatchcase(entry.name, pattern))
    ]


def entry(name: str) -> Entry:
    """What the catalogue says about a network.

    Raises:
        UnknownNameError: no such network; the message lists the near names.
    """
    entries = _entries()
    if not isinstance(name, str):
        raise UsageError("a network is named by a text, such as 'lenet5'; got {kind}.", kind=type(name).__name__)
    if name in entries:
        return entries[name]
    base, at, _ = name.partition("@")
    hint = Message("")
    if at and base in entries:
        known = [other for other in entries if other.startswith(f"{base}@")]
        hint = Message("{network} has no variants.", network=base)
        if known:
            hint = Message("{network} has the variants {names}.", network=base, names=", ".join(known))
    raise UnknownNameError("network", name, entries, hint)


def card(name: str) -> Card:
    """Paper, printed figures, departures, and what the paper leaves unstated."""
    return entry(name).card


def create_model(
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    weights: str | None = None,
    *,
    init: str = "printed",
    download: bool = False,
) -> nn.Module:
    """Build a network of the atlas, initialised as its paper says, by the modern rule, or with published weights.

    Weights are drawn from torch's global generator: ``torch.manual_seed`` before the call makes them repeatable.

    Args:
        name: ``resnet50``, ``resnet50@torchvision``; see ``list_models``.
        num_classes: outputs K; the paper's where None.
        in_channels: channels C of the images; the paper's where None.
        image_size: side of the square images; the paper's where None. Parts whose size depends on it (the first
            fully connected layer of VGG) are built for it; a convolutional network takes any legal size anyway.
        weights: None for the paper's initialisation; the path of a file (see ``load_weights``); or published weights
            by name, "torchvision:IMAGENET1K_V1". The network remembers how their images are prepared and what their
            classes are called (``net.loaded``), for ``evaluate`` and ``predict``.
        init: "printed", as the paper says (``card(name).initialisation``), or "modern", one rule for every network
            (``models.initialisation``).
        download: whether published weights that are not in the cache may be fetched.
    Raises:
        UnknownNameError: no such network, no such published weights, or no such initialisation.
        CheckpointError: a weights file that is absent, damaged, or of another network.
        ShapeError: the images are too small for the network's depth.
        UsageError: a count that is not a positive whole number; both weights and an initialisation.
    """
    line = entry(name)
    if weights is not None and init != "printed":
        raise UsageError(
            "weights replace every first weight; leave init={init!r} out, or weights={weights!r}.",
            init=init,
            weights=weights,
        )
    if line.num_classes == 0 and num_classes is not None:
        raise UsageError(
            "{name} reconstructs its images and has no classes; leave num_classes={num_classes!r} out.",
            name=name,
            num_classes=num_classes,
        )
    num_classes = _positive("num_classes", num_classes, line.num_classes)
    in_channels = _positive("in_channels", in_channels, line.input[0])
    image_size = _positive("image_size", image_size, line.input[1])
    if image_size < line.smallest_size:
        raise ShapeError(
            "{name} is too deep for {image_size} x {image_size} images; its smallest is "
            "{smallest_size} x {smallest_size}. Enlarge the images, or choose a shallower network.",
            name=name,
            image_size=image_size,
            smallest_size=line.smallest_size,
        )
    network = declared(line.family)[name]
    with drawing():
        net = network.build(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        if init != "printed":
            start(net, init)
    net.network, net.smallest_size = name, line.smallest_size  # so that its ShapeError can say them
    net.num_classes = num_classes
    if weights is not None:
        fill(net, weights, download)
    return net


def drawing() -> AbstractContextManager[object]:
    """Where weights are drawn; on the meta device there are none, and what only fills tensors is left out."""
    import torch

    from convatlas.models.initialisation import Undrawn

    return Undrawn() if torch.get_default_device().type == "meta" else nullcontext()


def start(net: nn.Module, name: str) -> None:
    """The weights drawn anew, by the rule called ``name``."""
    from convatlas.models.initialisation import initialise

    initialise(net, name)


def fill(net: Classifier, weights: str, download: bool) -> None:
    """Load a file, or published weights by name, into a network just built."""
    from convatlas.models.weights import load_weights
    from convatlas.models.weights.published import fetched, published

    source, colon, _ = weights.partition(":")
    if colon and not Path(weights).exists():
        load_weights(net, fetched(published(net.network, weights), download), source)
    else:
        load_weights(net, weights)


def declared(module: str) -> dict[str, Network]:
    """The networks a model file declares, by name; imports that file, and with it torch."""
    assert module in MODULES
    networks: tuple[Network, ...] = importlib.import_module(f"convatlas.models.{module}").NETWORKS
    return {network.name: network for network in networks}


def _positive(argument: str, given: int | None, default: int) -> int:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise UsageError("{argument} must be a whole number from 1 up; got {given!r}.", argument=argument, given=given)
    return given


@functools.cache
def _entries() -> dict[str, Entry]:
    text = resources.files("convatlas.models").joinpath(CATALOGUE).read_text(encoding="utf-8")
    return {record["name"]: _entry(record) for record in json.loads(text)["networks"]}


def _entry(record: dict[str, Any]) -> Entry:
    channels, height, width = record["input"]
    return Entry(
        full_name=record["name"],
        family=record["family"],
        input=(channels, height, width),
        num_classes=record["classes"],
        smallest_size=record["smallest_size"],
        fixed_size=record["fixed_size"],
        params=record["params"],
        macs=record["macs"],
        connections=record["connections"],
        neurons=record["neurons"],
        card=Card.from_dict(record["card"]),
    )
