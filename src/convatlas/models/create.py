"""Builds a network of the atlas. Only the model file that declares it is imported, and with it torch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import ShapeError, UsageError
from convatlas.models import bridges, own
from convatlas.models.registry import declared, entry

if TYPE_CHECKING:
    from torch import nn


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
    """Build a network of the atlas, initialised as its paper states, by the modern rule, or with published weights.

    Weights are drawn from torch's global generator, so ``torch.manual_seed`` before the call makes them repeatable.

    Args:
        name: ``resnet50``, ``resnet50@torchvision``; see ``list_models``. Or ``FILE.py:Class``, a class of your own,
            which is given those of the three counts below that it takes. Or ``timm:NAME`` and ``tv:NAME``, a network of
            timm or torchvision; see `convatlas.models.bridges`.
        num_classes: outputs K; the paper's where None.
        in_channels: channels C of the images; the paper's where None.
        image_size: side of the square images; the paper's where None. Layers whose size depends on it (the first fully
            connected layer of VGG) are built for it. A fully convolutional network accepts other sizes as well.
        weights: None for the paper's initialisation; the path of a file (see ``load_weights``); or published weights by
            name, "torchvision:IMAGENET1K_V1". Their preprocessing and class names are stored in ``net.loaded``, for
            ``evaluate`` and ``predict``.
        init: "printed", as the paper states (``card(name).initialisation``), or "modern", one rule for all networks
            (``models.initialisation``).
        download: whether published weights that are not in the cache may be downloaded.
    Raises:
        UnknownNameError: no such network, no such published weights, or no such initialisation.
        CheckpointError: a weights file that is missing, damaged, or of another network.
        ShapeError: the images are too small for the network's depth.
        UsageError: a number that is not a positive integer; both ``weights`` and ``init``.
        MissingDependencyError: timm or torchvision is not installed, or cannot be imported.
    """
    if bridges.is_bridged(name):
        if init != "printed":
            raise UsageError("{name} draws its weights as its library does; leave init out.", name=name)
        return bridged(name, num_classes, in_channels, image_size, weights, download)
    if own.is_own(name):
        if weights is not None or init != "printed":
            raise UsageError("{name} is a network of your own: its constructor initialises its weights.", name=name)
        return own.build(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    record = entry(name)
    if weights is not None and init != "printed":
        raise UsageError(
            "weights replace the initialisation. Leave out init={init!r} or weights={weights!r}.",
            init=init,
            weights=weights,
        )
    if record.reconstructs and num_classes is not None:
        raise UsageError(
            "{name} reconstructs images and has no classes. Leave out num_classes={num_classes!r}.",
            name=name,
            num_classes=num_classes,
        )
    num_classes = _positive("num_classes", num_classes, record.num_classes)
    in_channels = _positive("in_channels", in_channels, record.input[0])
    image_size = _positive("image_size", image_size, record.input[1])
    if image_size < record.smallest_size:
        raise ShapeError(
            "{name} is too deep for {image_size} x {image_size} images; the smallest possible size is "
            "{smallest_size} x {smallest_size}. Enlarge the images, or choose a shallower network.",
            name=name,
            image_size=image_size,
            smallest_size=record.smallest_size,
        )
    network = declared(record.family)[name]
    with initialisation_context():
        net = network.build(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        if init != "printed":
            draw_weights(net, init)
    net.network, net.smallest_size = name, record.smallest_size  # for the messages of its ShapeErrors
    net.num_classes = num_classes
    if weights is not None:
        fill(net, weights, download)
    return net


def bridged(
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    weights: str | None = None,
    download: bool = False,
) -> nn.Module:
    """A network of timm or torchvision; see `convatlas.models.bridges.build`. Its weights bring their class names."""
    from convatlas.models.weights.labels import imagenet

    net = bridges.build(name, num_classes, in_channels, image_size, weights, download)
    if weights is not None and net.num_classes == 1000 and net.trained_on_imagenet:
        net.loaded = replace(net.loaded, labels=imagenet())  # type: ignore[type-var]
    return net


def initialisation_context() -> AbstractContextManager[object]:
    """The context in which weights are drawn. On the meta device nothing is drawn, so filling of tensors is skipped."""
    import torch

    from convatlas.models.initialisation import SkipFills

    return SkipFills() if torch.get_default_device().type == "meta" else nullcontext()


def draw_weights(net: nn.Module, name: str) -> None:
    """Draw the weights of a network by the rule ``name``."""
    from convatlas.models.initialisation import initialise

    initialise(net, name)


def fill(net: nn.Module, weights: str, download: bool = False, source: str | None = None, **origin: Any) -> None:
    """Load a file, or published weights by name, into a network just built.

    Args:
        source, origin: as ``load_weights`` has them.
    """
    from convatlas.models.weights import load_weights
    from convatlas.models.weights.published import fetched, published

    publisher, colon, _ = weights.partition(":")
    if colon and not Path(weights).exists():
        load_weights(net, fetched(published(str(net.network), weights), download), source or publisher, **origin)
    else:
        load_weights(net, weights, source, **origin)


def _positive(argument: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError("{argument} must be a positive integer; got {value!r}.", argument=argument, value=value)
    return value
