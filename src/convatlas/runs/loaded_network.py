"""What `evaluate` and `predict` take: a network that knows how its images are prepared and what its outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from convatlas import models
from convatlas.data import Preprocessing
from convatlas.errors import UsageError
from convatlas.message import Message, joined
from convatlas.models.weights import Labels, Loaded, Preparation
from convatlas.runs.reconstruction import refuse_classifying
from convatlas.runs.run import Run
from convatlas.runs.views import batch_size


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network ready for images.

    Attributes:
        name: the run's directory, or the network's name and its weights.
        rule: from an image file to the network's input.
        labels: the names of its outputs.
        prepared_from: where the rule is from, in words.
        run: None where the weights are other people's.
        remarks: what was undone in a file of weights, and what its user should know.
    """

    name: str
    net: nn.Module
    rule: Preprocessing
    labels: Labels
    prepared_from: str
    run: Run | None = None
    remarks: tuple[Message, ...] = ()

    @property
    def prepared(self) -> Message:
        """How its images are prepared, with the numbers, and where that is from."""
        rule, (height, width) = self.rule, self.rule.size
        kept = " x ".join(map(str, rule.store_size))
        fitted = {
            "squash": Message("squashed to {size}", size=kept),
            "shorter-crop": Message("shorter side to {side}", side=min(rule.store_size)),
            "pad": Message("centred on {size}", size=kept),
        }[rule.resize]
        return Message(
            "{fitted}, {interpolation}; centre {size}; {channels}, mean and std {values} ({origin})",
            fitted=fitted,
            interpolation=rule.interpolation,
            size=f"{height} x {width}",
            channels="RGB" if rule.channels == 3 else Message("grey"),
            values="  ".join(" ".join(f"{value:.4g}" for value in values) for values in (rule.mean, rule.std)),
            origin=self.prepared_from,
        )

    @property
    def batch_size(self) -> int:
        return batch_size(*self.rule.size)


def load_network(
    given: LoadedNetwork | Run | str | Path | nn.Module,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> LoadedNetwork:
    """A run, by itself or by its directory; or a network with other people's weights, as ``load_weights`` left it.

    Args:
        classes: the names of a network's outputs, where its weights do not say them or others are meant.
        preprocessing: how a network's images are prepared, where its weights do not say it or another way is meant.

    Raises:
        DataError: no run directory.
        CheckpointError: the run's weights are damaged or not there.
        UsageError: a network whose weights do not say how images are prepared, or what its outputs are.
    """
    if isinstance(given, LoadedNetwork):
        return given
    if isinstance(given, nn.Module):
        return of_network(given, classes, preprocessing)
    if isinstance(given, type) and issubclass(given, nn.Module):
        raise UsageError(
            "{network} is a class; give an instance of it: {network}(...).",
            network=given.__name__,
        )
    if not isinstance(given, Run | str | PathLike):
        raise UsageError(
            "expected a run, its directory or a network with weights; got {kind}.", kind=type(given).__name__
        )
    if classes is not None:
        raise UsageError("a run knows its classes; leave classes out.")
    if preprocessing is not None:
        raise UsageError("a run knows how its images are prepared; leave preprocessing out.")
    if isinstance(given, str) and given in models.list_models() and not Path(given).exists():
        raise UsageError(
            "{network} is a network, not a run: build it with weights (create_model({network!r}, weights=...)), or "
            "give the directory of a run of it.",
            network=given,
        )
    run = given if isinstance(given, Run) else Run(given)
    what = Message("it has no accuracy and no labels; what was measured of it is in its report.html")
    if "own" not in run.config:
        refuse_classifying(str(run.path), models.entry(run.model), what)
    return LoadedNetwork(
        str(run.path), run.network(), run.preprocessing, Labels(run.classes), Message("as the run's own"), run
    )


def of_network(
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
            "this network does not know how its images are prepared: its weights are untrained, or from a loop of "
            "your own. Say how: preprocessing=convatlas.data.Preprocessing(...), with classes=[...]; or load weights "
            "into it (create_model(..., weights=...), load_weights), or give a run."
        )
    if preprocessing is not None:
        return as_prepared(net, loaded, classes, preprocessing)
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
            "{name}: what its {outputs} outputs are called is unknown. Name them in their order: --classes FILE, one "
            "to a line (in Python: classes=[...]).",
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
    rule = rule_of(loaded.preparation)
    return LoadedNetwork(name, net.eval(), rule, labels, loaded.preparation_from, remarks=loaded.remarks)


def as_prepared(
    net: nn.Module, loaded: Loaded | None, classes: Sequence[str] | None, preprocessing: Preprocessing
) -> LoadedNetwork:
    """A network whose caller says how its images are prepared."""
    name = str(getattr(net, "network", type(net).__name__))
    labels = Labels(tuple(classes)) if classes is not None else loaded.labels if loaded is not None else None
    if labels is None:
        raise UsageError(
            "{name}: what its outputs are called is unknown. Name them in their order: classes=[...].", name=name
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
    return LoadedNetwork(name, net, preprocessing, labels, Message("as the caller says"))


def rule_of(preparation: Preparation) -> Preprocessing:
    """The data room's rule for a source's preparation."""
    return Preprocessing(
        size=(preparation.crop, preparation.crop),
        channels=len(preparation.mean),
        mean=preparation.mean,
        std=preparation.std,
        resize="squash" if preparation.squash else "shorter-crop",
        margin=preparation.resize / preparation.crop,
        interpolation=preparation.interpolation,
        why=preparation.said,
    )
