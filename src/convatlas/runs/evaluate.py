"""`evaluate` and `predict`: runs, or networks with other people's weights, on images prepared as they need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from convatlas import data as room
from convatlas import evaluation
from convatlas.data import Dataset, Preprocessing, ReadingOptions
from convatlas.errors import DataError, MissingDependencyError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.message import Message
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
    preprocessing: Preprocessing | None = None,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
) -> Evaluation:
    """Measure the accuracy of a finished run, or of a network with other people's weights; or of several together.

    Args:
        what: a run or its directory; or a network into which ``load_weights`` loaded a file: its images are prepared
            as those weights need it, and its classes are those they were trained on; or a module of your own, with
            ``preprocessing`` and ``classes``. A list of these is an ensemble:
            the mean of their probabilities is evaluated, each having its own preparation.
        data: None for the run's own; else a data set or what `open_data` opens, with class names the network knows: an
            ImageNet class may be called tench, n01440764 or Tinca tinca. All of its images are used, or those of its
            test part if it has one.
        part: "test", "val" or "train" of the run's own data.
        protocol: how an image is looked at, a name of `evaluation.PROTOCOLS`: "centre", "ten-crop", "dense@256,384".
        classes: names of the network's outputs, where its weights do not say them.
        preprocessing: how the network's images are prepared, where its weights do not say it.
        on_bad, max_bad, reading: how ``data`` is read, as in `open_data`.

    Returns: the evaluation; its ``notes`` state how many of the images named with ``data`` a run was trained on.

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
        members = [load_network(what, classes, preprocessing)]
    elif isinstance(what, Sequence):
        members = [load_network(each, classes, preprocessing) for each in what]
    else:
        if isinstance(what, type):
            load_network(what)  # raises: a class, not an instance
        raise UsageError(
            "expected a run, its directory, a network with weights, or a list of these; got {kind}.",
            kind=type(what).__name__,
        )
    if not members:
        raise UsageError("no run to evaluate was given; name one or several.")
    if data is None:
        views, part_name = own_images(members, part), part
    else:
        views, part_name = given_images(data, on_bad, max_bad, reading)
    notes = tuple(note for member in members for note in notes_on_overlap(member, views)) if data is not None else ()
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
    result = evaluation.ensemble(found) if several else found[0]
    return replace(result, notes=notes)


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


def notes_on_overlap(member: LoadedNetwork, views: Views) -> list[str]:
    """Sentences on images that are the same, by content, as some that the run was trained on or chosen by."""
    if member.run is None:
        return []
    try:
        dataset = member.run.dataset()
        split = member.run.split(dataset)
    except (DataError, MissingDependencyError) as error:
        return [
            Message(
                "whether {run} was trained on some of these images is not known, for its own data cannot be opened: "
                "{reason}",
                run=member.name,
                reason=error.message,
            )
        ]
    evaluated = set(views.indices.tolist())
    same = [own for own, given in room.overlap(dataset, views.dataset) if given in evaluated]
    notes: list[str] = []
    for indices, how in (
        (split.train, Message("trained on")),
        (split.val, Message("validated on, to choose its weights,")),
    ):
        count = int(np.isin(same, indices).sum())
        if count:
            notes.append(
                Message(
                    "{run} was {how} {count} of these {n} images (the same content, whatever the names): the accuracy "
                    "on new images may be lower.",
                    run=member.name,
                    how=how,
                    count=count,
                    n=len(views.indices),
                )
            )
    return notes


def given_images(
    data: str | Path | Dataset,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
) -> tuple[Views, str]:
    """The test set of the data named, or all of their images if they have none; and which of the two it is."""
    if isinstance(data, Dataset):
        dataset = data
    else:
        dataset = room.open_data(str(data), on_bad=on_bad, max_bad=max_bad, **reading.to_dict())
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
