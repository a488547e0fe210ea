"""Weights of a source into a network: read, unwrap, rename, compare every name and shape, and only then load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.message import Message, joined
from convatlas.models.blocks import Classifier
from convatlas.models.loaded import Loaded, Preparation
from convatlas.models.registry import entry
from convatlas.models.weights.claims import Tensors
from convatlas.models.weights.given import GivenPreparation
from convatlas.models.weights.published import recognised
from convatlas.models.weights.read import WeightsFile, read_file
from convatlas.models.weights.rename import Renaming, applied, renaming_of
from convatlas.models.weights.shapes import built, twins
from convatlas.models.weights.source import Published, Source, Target, spare
from convatlas.models.weights.sources import SOURCES
from convatlas.models.weights.wrappings import unwrapped


def load_weights(
    net: nn.Module,
    path: str | Path,
    source: str | None = None,
    *,
    rename: Renaming | Mapping[str, str] | str | Path | None = None,
    preparation: GivenPreparation | None = None,
) -> Loaded:
    """Load a file of weights into a network made by ``create_model``.

    The network is touched only after every name and shape has been checked: on an error it keeps its weights.
    Afterwards ``net.loaded`` is what is returned: ``ca.evaluate(net, data)`` and ``ca.predict(net, images)`` prepare
    the images and name the classes as these weights need it.

    Args:
        path: a file of PyTorch, safetensors, numpy, Caffe or Keras, known by its content; the index of several files,
            or their folder. Dictionaries and prefixes that a training program wrapped the weights in are taken off.
        source: whose names the file has: convatlas, torchvision, timm, akamaster, keras or caffe; detected where None.
        rename: names of the file -> names of the network, for a file of no source known here: a mapping or a TOML file
            (see ``weights.rename``).
        preparation: how images are prepared for these weights, where that is known and the file does not say it.
    Raises:
        UnknownNameError: no such source.
        CheckpointError: a damaged or foreign file, or one of another network; the message names what does not fit.
        UsageError: names or a preparation that cannot be.
    """
    fit = fitted(net, path, source, rename)
    assert isinstance(net, Classifier)
    fit.complain()
    return filled(net, fit, preparation)


def filled(net: Classifier, fit: Fit, given: GivenPreparation | None) -> Loaded:
    """Load what fits, and keep in ``net.loaded`` what is known of it; the rest of the network keeps its values.

    Raises:
        CheckpointError: published weights of another network, or values that are no numbers.
        UsageError: a preparation that cannot be.
    """
    state = net.state_dict()
    usable = {name: fit.ours[name] for name in state if name in fit.ours and name not in fit.reshaped}
    refuse_other_variant(net, fit)
    refuse_not_finite(fit.path, usable)
    prepared, prepared_from = preparation_of(fit.line, fit.source, net.network)
    notes = (*fit.notes, *of_twins(net.network, fit))
    if given:
        side = net.image_size or entry(net.network).input[1]
        prepared, prepared_from = given.completed(prepared, prepared_from, side, net.in_channels)
        usable, turned = in_order(net, usable, given.channels, SOURCES[fit.source])
        notes += turned
    filled_names = {name: value.to(state[name].dtype) for name, value in usable.items()}
    kept = tuple(name for name in state if name not in usable)
    net.load_state_dict(filled_names | {name: state[name] for name in kept})
    net.loaded = Loaded(
        fit.line.full_name if fit.line else str(fit.path),
        fit.source,
        len(filled_names),
        kept,
        fit.ignored,
        prepared,
        prepared_from,
        SOURCES[fit.source].usual_labels(net.num_classes),
        fit.undone,
        notes,
    )
    return net.loaded


# --- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """A file held against a network.

    Attributes:
        ours: the file's tensors under our names and in our shapes.
        missing: names of the network that the file lacks ...
        unknown: ... names of the file that the network lacks ...
        reshaped: ... and names whose shapes differ.
        ignored: names that the network has no use for and that are no fault: auxiliary heads, counters, what stood
            beside the wrapped network.
        undone: the wrappings that were taken off, in words.
        shapes: of the network's state_dict.
    """

    network: str
    path: str | Path
    source: str
    line: Published | None
    file: WeightsFile
    ours: Tensors
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]
    ignored: tuple[str, ...]
    undone: tuple[Message, ...]
    notes: tuple[Message, ...]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def fitting(self) -> int:
        """How many of the network's tensors the file fills."""
        return sum(name in self.shapes for name in self.ours) - len(self.reshaped)

    @property
    def headless(self) -> bool:
        """Whether only the last layers are missing: the file is a backbone."""
        if not self.missing or self.reshaped:
            return False
        last = tail(self.network, self.shapes)
        layers = tuple(f"{name.rpartition('.')[0]}." for name in last)  # a projector may stand where the head was
        return set(self.missing) <= last and all(name.startswith(layers) for name in self.unknown)

    def other_head(self) -> int | None:
        """The file's number of classes where that alone is another; else None."""
        heads = per_class(self.network)
        if self.missing or self.unknown or not set(self.reshaped) <= heads or heads - {*self.reshaped} - {*self.ours}:
            return None
        classes = {self.ours[name].shape[0] for name in heads if not name.startswith("auxiliary_")}
        alike = all(self.ours[name].shape[1:] == self.shapes[name][1:] for name in self.reshaped)
        return classes.pop() if len(classes) == 1 and alike and self.reshaped else None

    def complain(self) -> None:
        """Raise CheckpointError where a name is missing, unknown, or of another shape; the message says which."""
        if not (self.missing or self.unknown or self.reshaped):
            return
        reshaped = [f"{name} {tuple(self.ours[name].shape)} for {self.shapes[name]}" for name in self.reshaped]
        faults = [
            Message("{n} {what} ({names})", n=len(names), what=what, names=named(names))
            for what, names in (
                (Message("missing"), list(self.missing)),
                (Message("unknown"), list(self.unknown)),
                (Message("of another shape"), reshaped),
            )
            if names
        ]
        raise CheckpointError(
            "{path} ({source}) does not fit {network}: {faults}. {way_out}",
            path=self.path,
            source=self.source,
            network=self.network,
            faults=joined(faults),
            way_out=self.way_out,
        )

    @property
    def way_out(self) -> Message:
        if self.line is not None and self.line.network != self.network:
            return Message(
                "The file is {weights} of {theirs}: name that network.",
                weights=self.line.full_name,
                theirs=self.line.network,
            )
        start = f"convatlas train {self.network} --start-from {self.path}"
        if (classes := self.other_head()) is not None:
            return Message(
                "Its head has {n} outputs. Name their classes in their order: --classes FILE, one to a line (in Python "
                "num_classes={n}); or train a head of your own:  {start}",
                n=classes,
                start=start,
            )
        if self.headless:
            return Message(
                "It is a backbone without a classification head, so it gives no class scores. Train a head for it:  "
                "{start}",
                start=start,
            )
        if self.reshaped and not (self.missing or self.unknown):
            return Message(
                "Build the network with the num_classes, in_channels and image_size the weights were trained with."
            )
        return Message(
            "Is it the right network, and the right source?  convatlas weights {path} --like {network}  lists what "
            "fits; --rename FILE.toml gives other names.",
            path=self.path,
            network=self.network,
        )

    @property
    def advice(self) -> Message:
        """What can be done with a file that does not fit as it is."""
        start = f"convatlas train {self.network} --start-from {self.path}"
        if (classes := self.other_head()) is not None:
            return Message(
                "Only the head is another, of {n} outputs:  convatlas predict {network} --weights {path} "
                "--classes FILE  names them,  {start}  trains a new head.",
                n=classes,
                network=self.network,
                path=self.path,
                start=start,
            )
        if self.headless:
            return Message("It is a backbone without a head:  {start}  trains one.", start=start)
        theirs = Counter(tuple(self.ours[name].shape) for name in self.unknown)
        alike = (theirs & Counter(self.shapes[name] for name in self.missing)).total()
        if 2 * alike > len(self.missing):
            return Message(
                "If only the names are others:  convatlas weights {path} --like {network} --write-rename names.toml  "
                "proposes them.",
                path=self.path,
                network=self.network,
            )
        return Message("It is of another network:  convatlas weights {path}  lists the nearest.", path=self.path)


def fitted(
    net: nn.Module,
    path: str | Path,
    source: str | None = None,
    rename: Renaming | Mapping[str, str] | str | Path | None = None,
    *,
    anything: bool = False,
) -> Fit:
    """Read a file and hold it against a network, which is not changed.

    Args:
        anything: whether a file that fits the network nowhere is answered too.

    Raises:
        As `load_weights` does, but for names and shapes, which `Fit.complain` checks.
    """
    if source is not None and source not in SOURCES:
        raise UnknownNameError("source of weights", source, SOURCES)
    if not isinstance(net, Classifier) or net.network == Classifier.network:
        raise UsageError("load_weights needs a network made by create_model, whose layers it knows by name.")
    renaming = renaming_of(rename)
    file = read_file(path)
    line = recognised(path) if Path(path).is_file() else None
    given, rest, said = applied(file.tensors, renaming) if renaming else ({}, file.tensors, ())
    target = Target.of(net)
    if source is not None and not SOURCES[source].has(target.family):
        raise no_such_weights(net, source)
    known = [SOURCES[source]] if source else [each for each in SOURCES.values() if each.has(target.family)]
    bare = unwrapped(rest, lambda tensors: max(fitting(each, tensors, target) for each in known))
    if source is None and line is not None and SOURCES[line.source].has(target.family):
        source = line.source
    if source is None:
        source, count = best(bare.tensors, target)
        count += sum(target.shapes.get(name) == tuple(value.shape) for name, value in given.items())
        inside = len(bare.tensors) - len(bare.outside) + len(given)
        if 2 * count < inside and not anything:
            raise no_source(net, list(file.tensors), path)
    ours = SOURCES[source].convert(bare.tensors, target) | given
    shapes = target.shapes
    outside = set(SOURCES[source].convert({name: bare.tensors[name] for name in bare.outside}, target))
    ignored = tuple(name for name in ours if name not in shapes and (spare(name) or name in outside))
    ours = {name: value for name, value in ours.items() if name not in ignored}
    notes = []
    if beside := [name for name in ignored if not spare(name)]:
        notes.append(Message("{n} tensors beside the network left out ({names})", n=len(beside), names=named(beside)))
    return Fit(
        network=net.network,
        path=path,
        source=source,
        line=line,
        file=file,
        ours=ours,
        missing=tuple(name for name in shapes if name not in ours and not spare(name)),
        unknown=tuple(name for name in ours if name not in shapes),
        reshaped=tuple(name for name in shapes if name in ours and tuple(ours[name].shape) != shapes[name]),
        ignored=ignored,
        undone=(*file.undone, *bare.undone, *said),
        notes=tuple(notes),
        shapes=shapes,
    )


def fitting(source: Source, tensors: Tensors, target: Target) -> int:
    """How many of the network's tensors are there under a source's names, in their shapes."""
    ours = source.convert(tensors, target)
    return sum(target.shapes.get(name) == tuple(value.shape) for name, value in ours.items())


def best(tensors: Tensors, target: Target) -> tuple[str, int]:
    """The source whose names, renamed, fit the network best, and how many of its tensors do."""
    name, most = "", -1
    for source in SOURCES.values():
        if source.has(target.family) and (count := fitting(source, tensors, target)) > most:
            name, most = source.name, count
    return name, most


def detect(net: Classifier, tensors: Tensors) -> str:
    """The source whose names, renamed, fit the network best.

    Raises:
        CheckpointError: under no source do half of the names fit.
    """
    source, count = best(tensors, Target.of(net))
    if 2 * count < len(tensors):
        raise no_source(net, list(tensors))
    return source


def no_source(net: Classifier, names: list[str], path: str | Path = "FILE") -> CheckpointError:
    return CheckpointError(
        "these weights are of no source known for {network}: {names} "
        "fit none of {sources}. Is it the right network?  convatlas weights {path} --like {network}  lists its names; "
        "train, evaluate and predict give others with --rename FILE.toml.",
        network=net.network,
        names=named(names),
        sources=", ".join(SOURCES),
        path=path,
    )


def no_such_weights(net: Classifier, source: str) -> CheckpointError:
    family = entry(net.network).family
    return CheckpointError(
        "{source} has no {family} weights known here; for {network} there are: {known}.",
        source=source,
        family=family,
        network=net.network,
        known=", ".join(other.name for other in SOURCES.values() if other.has(family)),
    )


def named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


# --- heads ------------------------------------------------------------------------------------------------------------


def per_class(model: str, in_channels: int | None = None, image_size: int | None = None) -> frozenset[str]:
    """The tensors of a network that have a row per class: those another class makes larger."""
    line = entry(model)
    if line.reconstructs:
        return frozenset()
    with torch.device("meta"):
        few, more = (
            built(model, classes, in_channels, image_size).state_dict()
            for classes in (line.num_classes, line.num_classes + 1)
        )
    return frozenset(name for name in few if few[name].shape != more[name].shape)


def tail(model: str, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """The tensors after the last convolution of the body: the head, and the fully connected layers before it."""
    names = set(per_class(model))
    layers: list[str] = []
    for name in shapes:
        layer = name.rpartition(".")[0]
        if not spare(name) and layer not in layers:
            layers.append(layer)
    for layer in reversed(layers):
        own = [name for name in shapes if name.rpartition(".")[0] == layer]
        if not any(name in names for name in own) and max(len(shapes[name]) for name in own) != 2:
            break
        names |= set(own)
    return frozenset(names)


# --- what is said of the weights --------------------------------------------------------------------------------------


def preparation_of(line: Published | None, source: str, network: str) -> tuple[Preparation | None, Message]:
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


def refuse_other_variant(net: Classifier, fit: Fit) -> None:
    """Raise CheckpointError where a published file is of another network that its tensors fit as well."""
    if fit.line is not None and fit.line.network in twins(net.network):
        raise CheckpointError(
            "{path} is {weights} of {theirs}. Its tensors fit {network} as well, but the two compute different "
            "outputs: name {theirs} in place of {network}.",
            path=fit.path,
            weights=fit.line.full_name,
            theirs=fit.line.network,
            network=net.network,
        )


def of_twins(network: str, fit: Fit) -> tuple[Message, ...]:
    """What to know where no published name tells the network from others that the file fits."""
    others = twins(network)
    if fit.line is not None or not others or entry(network).variant.startswith(fit.source):
        return ()
    return (
        Message(
            "the names and shapes of this file fit {network} and {others} alike, which compute different outputs, and "
            "the file does not say of which it is; taken as {network}{difference}",
            network=network,
            others=", ".join(others),
            difference=difference(network, others),
        ),
    )


def difference(network: str, others: tuple[str, ...]) -> Message:
    """The points in which the cards of the networks differ."""
    topics: dict[str, None] = {}
    own = {(each.topic, each.here) for each in entry(network).card.departures}
    for other in others:
        theirs = {(each.topic, each.here): None for each in entry(other).card.departures}
        topics |= {topic: None for topic, here in theirs if (topic, here) not in own}
        topics |= {topic: None for topic, here in own if (topic, here) not in theirs}
    topics.pop("initialisation", None)
    return Message(" (they differ in: {topics})", topics=", ".join(topics)) if topics else Message("")


def refuse_not_finite(path: str | Path, tensors: Tensors) -> None:
    """Raise CheckpointError where a tensor holds nan or inf: no answer of the network would mean anything."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                "{path}: {name} holds {n} values of {all} that are not finite (nan or inf): the training that made the "
                "weights diverged, or the file is damaged. Give weights from before that.",
                path=path,
                name=name,
                n=int((~torch.isfinite(value)).sum()),
                all=value.numel(),
            )


def in_order(
    net: Classifier, tensors: Tensors, channels: str | None, source: Source
) -> tuple[dict[str, Tensor], tuple[Message, ...]]:
    """The tensors with the first convolution turned, where the weights read another order of channels than given."""
    target = Target.of(net)
    if channels is None:
        return tensors, ()
    if net.in_channels != 3:
        raise UsageError(
            "channels = {channels}: the network reads {n} channel(s).", channels=channels, n=net.in_channels
        )
    turned_by_source = target.family in source.bgr
    if (channels == "bgr") == turned_by_source or target.stem not in tensors:
        return tensors, ()
    return (
        tensors | {target.stem: tensors[target.stem].flip(1)},
        (Message("the first convolution turned from BGR to RGB, with mean and std"),)
        if channels == "bgr"
        else (Message("the first convolution left as it is in the file, for RGB"),),
    )
