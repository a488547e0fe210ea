"""Weights of a source into a network: read, rename, compare every name and shape, and only then load."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.message import Message, joined
from convatlas.models.blocks import Classifier
from convatlas.models.loaded import Loaded, Preparation
from convatlas.models.weights.claims import Tensors
from convatlas.models.weights.published import recognised
from convatlas.models.weights.read import read_tensors
from convatlas.models.weights.source import Published, Target
from convatlas.models.weights.sources import SOURCES

AUXILIARY = ("AuxLogits.", "auxiliary_")  # heads used in training only: a file may lack them, or have them to spare


def load_weights(net: nn.Module, path: str | Path, source: str | None = None) -> Loaded:
    """Load a file of weights into a network made by ``create_model``.

    The network is touched only after every name and shape has been checked: on an error it keeps its weights.
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
    ours = converted(net, tensors, source)
    state = net.state_dict()
    kept = tuple(name for name in state if name not in ours and spare(name))
    ignored = tuple(name for name in ours if name not in state and spare(name))
    complain(net, path, source, state, {name: value for name, value in ours.items() if name not in ignored})
    filled = {name: ours[name].to(state[name].dtype) for name in state if name in ours}
    net.load_state_dict(filled | {name: state[name] for name in kept})
    weights = line.full_name if line else str(path)
    prepared = preparation(line, source, net.network)
    net.loaded = Loaded(
        weights, source, len(filled), kept, ignored, *prepared, SOURCES[source].usual_labels(net.num_classes)
    )
    return net.loaded


def preparation(line: Published | None, source: str, network: str) -> tuple[Preparation | None, str]:
    """How the images are prepared, and where that is from."""
    if line is not None:
        return line.preparation, Message(
            "published with {name} of {network}", name=line.full_name, network=line.network
        )
    if (usual := SOURCES[source].usual_preparation(network)) is None:
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
    target = Target.of(net)
    best, fitting = "", -1
    for source in SOURCES.values():
        if not source.has(target.family):
            continue
        ours = source.convert(tensors, target)
        count = sum(target.shapes.get(name) == tuple(value.shape) for name, value in ours.items())
        if count > fitting:
            best, fitting = source.name, count
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
    """The file's tensors under our names and in our shapes, as far as the source's rules go.

    Raises:
        CheckpointError: the source has no network of this family.
    """
    target = Target.of(net)
    if not SOURCES[source].has(target.family):
        raise CheckpointError(
            "{source} has no {family} weights known here; for {network} there are: {known}.",
            source=source,
            family=target.family,
            network=net.network,
            known=", ".join(other.name for other in SOURCES.values() if other.has(target.family)),
        )
    return SOURCES[source].convert(tensors, target)


def spare(name: str) -> bool:
    return name.startswith(AUXILIARY) or name.endswith("num_batches_tracked")


def complain(net: Classifier, path: str | Path, source: str, state: dict[str, Tensor], ours: Tensors) -> None:
    """Raise CheckpointError where a name is missing, unknown, or of another shape; the message says which."""
    missing = [name for name in state if name not in ours and not spare(name)]
    unknown = [name for name in ours if name not in state]
    reshaped = [
        f"{name} {tuple(ours[name].shape)} for {tuple(state[name].shape)}"
        for name in state
        if name in ours and ours[name].shape != state[name].shape
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
