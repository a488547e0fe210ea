"""Weights of a source into a network: read, rename, compare every name and shape, and only then load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.message import Message, joined
from convatlas.models.blocks import Classifier
from convatlas.models.registry import entry
from convatlas.models.weights.caffe import from_caffe
from convatlas.models.weights.keras import from_keras
from convatlas.models.weights.labels import Labels, labels_of
from convatlas.models.weights.prepare import Preparation, assumed
from convatlas.models.weights.published import Published, recognised
from convatlas.models.weights.read import Tensors, read_tensors
from convatlas.models.weights.rename import renamer

SOURCES = ("convatlas", "torchvision", "timm", "akamaster", "keras", "caffe")
AUXILIARY = ("AuxLogits.", "auxiliary_")  # heads used in training only: a file may lack them, or have them to spare


@dataclass(frozen=True)
class Loaded:
    """What ``load_weights`` did. The network keeps it as ``net.loaded``, so that `evaluate` and `predict` are right.

    Attributes:
        weights: the published name, "torchvision:IMAGENET1K_V2", where the file is a published one; else its path.
        source: whose file it was.
        tensors: how many of the network's tensors it filled.
        kept: names of the network the file does not hold and that keep their values: auxiliary heads, counters.
        ignored: names of the file the network has no use for, of the same kinds.
        preparation: how the images are prepared: as the published line says where the file is a published one, else
            as is usual at its source; None where nothing is known.
        preparation_from: which of these it is, in words.
        labels: what the outputs are called; None where the source has no usual classes for that many of them.
    """

    weights: str
    source: str
    tensors: int
    kept: tuple[str, ...]
    ignored: tuple[str, ...]
    preparation: Preparation | None
    preparation_from: str
    labels: Labels | None


def load_weights(net: nn.Module, path: str | Path, source: str | None = None) -> Loaded:
    """Load a file of weights into a network made by ``create_model``.

    The network is touched only after every name and shape has been found right: on an error it keeps its weights.
    Afterwards ``net.loaded`` is what is returned: ``ca.evaluate(net, data)`` and ``ca.predict(net, images)`` prepare
    the images and name the classes as these weights need it.

    Args:
        path: .safetensors, .pth, .pt, .th, .npz, .caffemodel, or Keras's .h5, .weights.h5 and .keras.
        source: whose names the file has: convatlas, torchvision, timm, akamaster, keras or caffe; detected where None.
    Raises:
        UnknownNameError: no such source.
        CheckpointError: a damaged or foreign file, or one of another network; the message names what does not fit.
    """
    if source is not None and source not in SOURCES:
        raise UnknownNameError("source of weights", source, SOURCES)
    if not isinstance(net, Classifier) or net.network == Classifier.network:
        raise UsageError("load_weights needs a network made by create_model, whose layers it knows by name.")
    tensors = read_tensors(path)
    line = recognised(path)
    source = source or (line.source if line else detect(net, tensors))
    found = converted(net, tensors, source)
    state = net.state_dict()
    kept = tuple(name for name in state if name not in found and spare(name))
    ignored = tuple(name for name in found if name not in state and spare(name))
    complain(net, path, source, state, {name: value for name, value in found.items() if name not in ignored})
    filled = {name: found[name].to(state[name].dtype) for name in state if name in found}
    net.load_state_dict(filled | {name: state[name] for name in kept})
    weights = line.full_name if line else str(path)
    prepared = preparation(line, source, net.network)
    net.loaded = Loaded(weights, source, len(filled), kept, ignored, *prepared, labels_of(source, net.num_classes))
    return net.loaded


def preparation(line: Published | None, source: str, network: str) -> tuple[Preparation | None, str]:
    """How the images are prepared, and where that is from."""
    if line is not None:
        return line.preparation, Message(
            "published with {name} of {network}", name=line.full_name, network=line.network
        )
    if (usual := assumed(source, network)) is None:
        return None, Message("unknown: {source} files do not say how their images were prepared", source=source)
    return (
        usual,
        Message(
            "assumed: usual for {source} weights of {network}; this file is none of the published ones known here",
            source=source,
            network=network,
        ),
    )


def detect(net: Classifier, tensors: Tensors) -> str:
    """The source whose names, renamed, fit the network best.

    Raises:
        CheckpointError: under no source do half of the names fit.
    """
    state = net.state_dict()
    best, fitting = "", -1
    for source in SOURCES:
        if renamer(source, entry(net.network).family, net) is None and source not in ("keras", "caffe"):
            continue
        found = converted(net, tensors, source)
        count = sum(name in state and state[name].shape == value.shape for name, value in found.items())
        if count > fitting:
            best, fitting = source, count
    if 2 * fitting < len(tensors):
        raise CheckpointError(
            "these weights are of no source known for {network}: {names} "
            "fit none of {sources}. Is it the right network?",
            network=net.network,
            names=named(list(tensors)),
            sources=", ".join(SOURCES),
        )
    return best


def converted(net: Classifier, tensors: Tensors, source: str) -> Tensors:
    """The file's tensors under our names and in our shapes, as far as the source's rules go."""
    family, state = entry(net.network).family, net.state_dict()
    stem = next(name for name, value in state.items() if value.dim() == 4)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    if source == "caffe":
        blobs = all(name.rpartition(".")[2].isdigit() for name in tensors)
        return from_caffe(tensors, shapes, stem, family) if blobs else dict(tensors)
    if source == "keras":
        return from_keras(tensors, net, family, stem) if any("/" in name for name in tensors) else dict(tensors)
    rename = renamer(source, family, net)
    if rename is None:
        known = ", ".join(other for other in SOURCES if renamer(other, family, net)) or Message("none")
        raise CheckpointError(
            "{source} has no {family} weights known here; for {network} there are: {known}.",
            source=source,
            family=family,
            network=net.network,
            known=known,
        )
    found = {rename(name): value for name, value in tensors.items()}
    for name, value in found.items():  # timm runs VGG's fully connected layers as convolutions
        if name in shapes and value.dim() == 4 and (value.shape[0], value[0].numel()) == shapes[name]:
            found[name] = torch.flatten(value, start_dim=1)
    return found


def spare(name: str) -> bool:
    return name.startswith(AUXILIARY) or name.endswith("num_batches_tracked")


def complain(net: Classifier, path: str | Path, source: str, state: dict[str, Tensor], found: Tensors) -> None:
    """Raise CheckpointError where a name is missing, unknown, or of another shape; the message says which."""
    missing = [name for name in state if name not in found and not spare(name)]
    unknown = [name for name in found if name not in state]
    reshaped = [
        f"{name} {tuple(found[name].shape)} for {tuple(state[name].shape)}"
        for name in state
        if name in found and found[name].shape != state[name].shape
    ]
    if not (missing or unknown or reshaped):
        return
    faults = [
        Message("{n} {what} ({names})", n=len(names), what=what, names=named(names))
        for what, names in (
            (Message("missing"), missing),
            (Message("unknown"), unknown),
            (Message("of another shape"), reshaped),
        )
        if names
    ]
    way_out = Message("Is it the right network, and the right source?")
    if reshaped and not (missing or unknown):
        way_out = Message(
            "Build the network with the num_classes, in_channels and image_size the weights were trained with."
        )
    raise CheckpointError(
        "{path} ({source}) does not fit {network}: {faults}. {way_out}",
        path=path,
        source=source,
        network=net.network,
        faults=joined(faults),
        way_out=way_out,
    )


def named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
