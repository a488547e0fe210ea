"""`evaluate` and `predict`: runs, or networks with other people's weights, on images prepared as they need them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from convatlas import data as room
from convatlas import evaluation
from convatlas.data import Dataset
from convatlas.errors import DataError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run
from convatlas.runs.views import Views

PARTS = ("train", "val", "test")


Evaluable = Run | str | Path | nn.Module | LoadedNetwork


def evaluate(
    what: Evaluable | Sequence[Evaluable],
    data: str | Path | Dataset | None = None,
    part: str = "test",
    protocol: str = "centre",
    *,
    classes: Sequence[str] | None = None,
) -> Evaluation:
    """Measure the accuracy of a finished run, or of a network with other people's weights; or of several together.

    Args:
        what: a run or its directory; or a network into which ``load_weights`` loaded a file: its images are prepared
            as those weights need it, and its classes are those they were trained on. A list of these is an ensemble:
            the mean of their probabilities is evaluated, each having its own preparation.
        data: None for the run's own; else a data set or what `open_data` opens, with class names the network knows: an
            ImageNet class may be called tench, n01440764 or Tinca tinca. All of its images are used, or those of its
            test part if it has one.
        part: "test", "val" or "train" of the run's own data.
        protocol: how an image is looked at, a name of `evaluation.PROTOCOLS`: "centre", "ten-crop", "dense@256,384".
        classes: names of the network's outputs, where its weights do not say them.

    Raises:
        UsageError: an unknown part or protocol, or one that the network's head does not allow; a network that does not
            know how its images are prepared or what its outputs are called; a network without ``data``.
        DataError: classes the network does not know, data that are no longer the run's, or an ensemble of runs whose
            parts differ: an image that one is tested on may be one that another was trained on.
        CheckpointError: weights that are damaged or not there.
    """
    if part not in PARTS:
        raise UsageError("part {part!r} is not known. Known: {known}.", part=part, known=", ".join(PARTS))
    several = not isinstance(what, Run | str | Path | nn.Module | LoadedNetwork)
    if isinstance(what, Run | str | Path | nn.Module | LoadedNetwork):
        members = [load_network(what, classes)]
    elif isinstance(what, Sequence):
        members = [load_network(each, classes) for each in what]
    else:
        raise UsageError(
            "expected a run, its directory, a network with weights, or a list of these; got {kind}.",
            kind=type(what).__name__,
        )
    if not members:
        raise UsageError("no run to evaluate was given; name one or several.")
    if data is None:
        views, part_name = own_images(members, part), part
    else:
        views, part_name = given_images(data)
    found = [
        evaluation.evaluate(
            member.net,
            partial(views.batches, rule=member.rule, labels=labels_for(member, views, data)),
            member.labels.names,
            protocol,
            size=member.rule.size,
            names=views.names,
            run=member.name,
            data=str(views.dataset.source if data is None or isinstance(data, Dataset) else data),
            part=part_name,
        )
        for member in members
    ]
    return evaluation.ensemble(found) if several else found[0]


def own_images(members: Sequence[LoadedNetwork], part: str) -> Views:
    """The images of a part of the data the members were trained on; it must be the same part for all."""
    runs = []
    for member in members:
        if member.run is None:
            raise UsageError(
                "{name} was not trained here and has no data of its own: name some (--data).",
                name=member.name,
            )
        runs.append(member.run)
    first = runs[0]
    dataset = first.dataset()
    indices = getattr(first.split(dataset), part)
    for run in runs[1:]:
        if run.config["data"]["fingerprint"] != first.config["data"]["fingerprint"]:
            raise DataError(
                "{run_path} was trained on other data than {first}; name data for both (--data).",
                run_path=run.path,
                first=first.path,
            )
        if not np.array_equal(getattr(run.split(dataset), part), indices):
            raise DataError(
                "the {part} parts of {first} and {run_path} differ: one may have been trained on what the other "
                "is tested on. Train all with one split (--split {split_path}), or name new data (--data).",
                part=part,
                first=first.path,
                run_path=run.path,
                split_path=first.split_path,
            )
    return Views(dataset, indices)


def given_images(data: str | Path | Dataset) -> tuple[Views, str]:
    """The test part of the data named, or all of them where they have none; and which of the two it is."""
    dataset = data if isinstance(data, Dataset) else room.open_data(str(data))
    given = dataset.parts == "test"
    if given.any():
        return Views(dataset, np.flatnonzero(given)), "test"
    return Views(dataset, np.arange(len(dataset))), "all"


def labels_for(member: LoadedNetwork, views: Views, data: str | Path | Dataset | None) -> np.ndarray:
    """The labels of the data set by the member's classes; its own data have them already."""
    dataset = views.dataset
    if data is None:
        return dataset.labels
    return np.array(member.labels.match(dataset.classes, str(dataset.source), member.name))[dataset.labels]
