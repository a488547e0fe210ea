"""Build a network of the atlas: the one model file that declares it is imported, and with it torch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import ShapeError, UsageError
from convatlas.models import own
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
    """Build a network of the atlas, initialised as its paper says, by the modern rule, or with published weights.

    Weights are drawn from torch's global generator: ``torch.manual_seed`` before the call makes them repeatable.

    Args:
        name: ``resnet50``, ``resnet50@torchvision``; see ``list_models``. Or ``FILE.py:Class``, a class of your own,
            which is given those of the three counts below that it takes.
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
    if own.is_own(name):
        if weights is not None or init != "printed":
            raise UsageError("{name} is a network of your own: it draws its weights itself.", name=name)
        return own.build(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    line = entry(name)
    if weights is not None and init != "printed":
        raise UsageError(
            "weights replace every first weight; leave init={init!r} out, or weights={weights!r}.",
            init=init,
            weights=weights,
        )
    if line.reconstructs and num_classes is not None:
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
    with drawing_context():
        net = network.build(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        if init != "printed":
            start(net, init)
    net.network, net.smallest_size = name, line.smallest_size  # so that its ShapeError can say them
    net.num_classes = num_classes
    if weights is not None:
        fill(net, weights, download)
    return net


def drawing_context() -> AbstractContextManager[object]:
    """Where weights are drawn; on the meta device there are none, and what only fills tensors is left out."""
    import torch

    from convatlas.models.initialisation import Undrawn

    return Undrawn() if torch.get_default_device().type == "meta" else nullcontext()


def start(net: nn.Module, name: str) -> None:
    """The weights drawn anew, by the rule called ``name``."""
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


def _positive(argument: str, given: int | None, default: int) -> int:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise UsageError("{argument} must be a whole number from 1 up; got {given!r}.", argument=argument, given=given)
    return given
