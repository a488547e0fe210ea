"""`LoadedNetwork`, for `evaluate` and `predict`: a network with its weights, preprocessing and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas import models
from convatlas.data import Preprocessing
from convatlas.errors import DataError, UsageError
from convatlas.message import Message, joined
from convatlas.models import own
from convatlas.models.create import fill
from convatlas.models.weights import Labels, Loaded, Preparation
from convatlas.models.weights.given import GivenPreparation
from convatlas.runs.evaluation_images import batch_size
from convatlas.runs.reconstruction import refuse_classifying
from convatlas.runs.run import Run


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network ready for images.

    Attributes:
        name: the run directory, or the name of the network and of its weights.
        preprocessing: from an image file to the input of the network.
        labels: the class names, in the order of the outputs.
        prepared_from: where the preprocessing comes from, in words.
        run: None if the weights are not those of a run.
        remarks: how a file of weights was converted, and what its user should know.
    """

    name: str
    net: nn.Module
    preprocessing: Preprocessing
    labels: Labels
    prepared_from: str
    run: Run | None = None
    remarks: tuple[Message, ...] = ()

    @property
    def prepared(self) -> Message:
        """The preprocessing of the images with its numbers, and where it comes from, in words."""
        return self.preprocessing.in_words(self.prepared_from)

    @property
    def batch_size(self) -> int:
        return batch_size(*self.preprocessing.size)


def load_network(
    network: LoadedNetwork | Run | str | Path | nn.Module,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> LoadedNetwork:
    """Load the network of a run, or prepare a module into which ``load_weights`` has loaded a file.

    Args:
        network: a run or its directory, or the module.
        classes: the class names of a module, if its weights do not name them, or to use other names.
        preprocessing: that of a module's images, if its weights do not name it, or to use another one.

    Raises:
        DataError: the directory is not a run directory.
        CheckpointError: the weights of the run are damaged or missing.
        UsageError: the preprocessing or the class names of a module are not known.
    """
    if isinstance(network, LoadedNetwork):
        return network
    if isinstance(network, nn.Module):
        return from_module(network, classes, preprocessing)
    if isinstance(network, type) and issubclass(network, nn.Module):
        raise UsageError("{network} is a class; give an instance of it: {network}(...).", network=network.__name__)
    if not isinstance(network, Run | str | PathLike):
        raise UsageError(
            "expected a run, its directory or a network with weights; got {kind}.", kind=type(network).__name__
        )
    if classes is not None:
        raise UsageError("a run has its own class names; leave classes out.")
    if preprocessing is not None:
        raise UsageError("a run has its own preprocessing; leave preprocessing out.")
    if not isinstance(network, Run) and Path(network).suffix in (".onnx", ".xml", ".pt2") and Path(network).is_file():
        raise UsageError(
            "{network} is an exported file: open it with convatlas.exports.open_exported({name!r}).",
            network=network,
            name=str(network),
        )
    if isinstance(network, str) and network in models.list_models() and not Path(network).exists():
        raise UsageError(
            "{network} is a network, not a run. Give the directory of a run, or build the network with weights: "
            "create_model({network!r}, weights=...).",
            network=network,
        )
    run = network if isinstance(network, Run) else Run(network)
    why = Message("it has no accuracy and no class names; see its report.html for its measurements")
    if "own" not in run.config:
        refuse_classifying(str(run.path), models.entry(run.model), why)
    return LoadedNetwork(
        str(run.path), run.network(), run.preprocessing, Labels(run.classes), Message("as stored in the run"), run
    )


def network_with_weights(
    name: str,
    weights: str,
    source: str | None = None,
    *,
    classes: Path | None = None,
    download: bool = False,
    rename: Path | None = None,
    preparation: Mapping[str, Any] | None = None,
) -> LoadedNetwork:
    """Build a network of the atlas with other people's weights.

    Args:
        weights: a file, or published ones by name, "torchvision:IMAGENET1K_V2".
        source: whose names the file has; detected where None.
        classes: a file with the names of the outputs, one to a line, where the weights do not say them.
        download: whether published weights that are not in the cache may be downloaded.
        rename: a file of names for weights that have their own.
        preparation: the texts of --mean, --std and so on, by the names of `GivenPreparation`.

    Raises:
        UnknownNameError: no such network.
        CheckpointError: the file is damaged, or of another network.
        DataError: the file of class names cannot be used.
        UsageError: the preparation or the class names are not known.
    """
    names = None if classes is None else class_names(classes)
    if own.is_own(name) and not own.is_file(name):
        return load_network(models.create_model(name, weights=weights, download=download), names)
    net = models.create_model(name, None if names is None else len(names))
    given = GivenPreparation.of_texts(**{"mean": None, "std": None, **(preparation or {})})
    fill(net, weights, download, source, rename=rename, preparation=given)
    return load_network(net, names)


def class_names(path: Path) -> tuple[str, ...]:
    """The lines of a file.

    Raises:
        DataError: it cannot be read, is empty, or names a class twice.
    """
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("the class names {path} cannot be read: {error}.", path=path, error=error) from error
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        name = min(twice, default="")
        raise DataError("{path} names {name} twice." if twice else "{path} names no class.", path=path, name=name)
    return names


def from_module(
    net: nn.Module, classes: Sequence[str] | None, preprocessing: Preprocessing | None = None
) -> LoadedNetwork:
    loaded: Loaded | None = getattr(net, "loaded", None)
    if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
        raise UsageError(
            "preprocessing is a convatlas.data.Preprocessing, such as Preprocessing(size=(224, 224), channels=3, "
            "mean=(...), std=(...)); got {kind}.",
            kind=type(preprocessing).__name__,
        )
    if loaded is None and preprocessing is None:
        raise UsageError(
            "the preprocessing of this network's images is not known: its weights are untrained, or were not loaded "
            "by convatlas. Pass preprocessing=convatlas.data.Preprocessing(...) and classes=[...]; or load weights "
            "with create_model(..., weights=...) or load_weights; or give a run."
        )
    if preprocessing is not None:
        return with_preprocessing(net, loaded, classes, preprocessing)
    assert loaded is not None
    name = Message("{network} with {weights}", network=net.network, weights=loaded.weights)
    if loaded.preparation is None:
        raise UsageError(
            "{name}: all {n} tensors fit{undone}, but how its images are prepared is {preparation_from}. Say how: "
            "--mean and --std (and --channels, --resize, --crop, --interpolation; in Python "
            "load_weights(..., preparation=...)). If these are a run's weights, give the run's directory instead.",
            name=name,
            n=loaded.tensors,
            undone=Message(" ({undone})", undone=joined(loaded.undone)) if loaded.undone else "",
            preparation_from=loaded.preparation_from,
        )
    labels = loaded.labels if classes is None else Labels(tuple(classes))
    outputs = int(str(net.num_classes))
    if labels is None:
        raise UsageError(
            "{name}: the names of its {outputs} classes are not known. Name them in the order of the outputs: "
            "--classes FILE with one name per line (in Python: classes=[...]).",
            name=name,
            outputs=outputs,
        )
    if len(labels) != outputs:
        raise UsageError(
            "{name} has {outputs} outputs, but {labels} class names were given.",
            name=name,
            outputs=outputs,
            labels=len(labels),
        )
    preprocessing = preprocessing_of(loaded.preparation)
    return LoadedNetwork(name, net.eval(), preprocessing, labels, loaded.preparation_from, remarks=loaded.remarks)


def with_preprocessing(
    net: nn.Module, loaded: Loaded | None, classes: Sequence[str] | None, preprocessing: Preprocessing
) -> LoadedNetwork:
    """A module whose preprocessing the caller passes."""
    name = str(getattr(net, "network", type(net).__name__))
    labels = Labels(tuple(classes)) if classes is not None else loaded.labels if loaded is not None else None
    if labels is None:
        raise UsageError(
            "the class names of {name} are not known. Pass them in the order of its outputs: classes=[...].", name=name
        )
    with torch.inference_mode(), torch.random.fork_rng(devices=()):
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        outputs = net.eval()(torch.zeros(1, preprocessing.channels, *preprocessing.size, device=device)).shape[-1]
    if len(labels) != outputs:
        raise UsageError(
            "{name} has {outputs} outputs, but {labels} class names were given.",
            name=name,
            outputs=outputs,
            labels=len(labels),
        )
    return LoadedNetwork(name, net, preprocessing, labels, Message("as passed by the caller"))


def preprocessing_of(preparation: Preparation) -> Preprocessing:
    """Convert the preparation of a source of weights into a `Preprocessing`."""
    return Preprocessing(
        size=(preparation.crop, preparation.crop),
        channels=len(preparation.mean),
        mean=preparation.mean,
        std=preparation.std,
        resize="squash" if preparation.squash else "shorter-crop",
        margin=preparation.resize / preparation.crop,
        interpolation=preparation.interpolation,
        why=preparation.description,
    )
