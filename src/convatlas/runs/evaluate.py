"""`evaluate`: the accuracy of runs, or of networks with loaded weights, on images prepared as each needs them."""

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
from convatlas.runs.evaluation_images import EvaluationImages
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.mistakes import refuse_directory_with_files, write_mistakes
from convatlas.runs.run import Run

SET_NAMES = {"train": Message("training"), "val": Message("validation"), "test": Message("test")}

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
    mistakes: str | Path | None = None,
) -> Evaluation:
    """Measure the accuracy of a finished run, of a network with loaded weights, or of an ensemble of several.

    Args:
        what: a run or its directory; or a network into which ``load_weights`` loaded a file, with the preprocessing
            and the classes of these weights; or a module of your own, with ``preprocessing`` and ``classes``. A list of
            these is an ensemble, whose mean probability is evaluated; each member has its own preprocessing.
        data: None for the run's own data; else a data set, or what `open_data` opens, with class names that the network
            has: an ImageNet class may be called tench, n01440764 or Tinca tinca. The test set is used, or all images
            if there is none.
        part: "test", "val" or "train", of the run's own data.
        protocol: the evaluation protocol, a name of `evaluation.PROTOCOLS`: "centre", "ten-crop", "dense@256,384".
        classes: the class names of the network, if its weights do not name them.
        preprocessing: of the network's images, if its weights do not state it.
        on_bad, max_bad, reading: how ``data`` is read, as in `open_data`.
        mistakes: where to write the images that were classified wrongly: a file .csv, or a directory for copies of
            them. See `mistakes.write_mistakes`.

    Returns: the evaluation; its ``notes`` state how many images of ``data`` a run was trained on.

    Raises:
        UsageError: the part or protocol is not known, or the network's head does not allow it; the preprocessing or
            the class names of the network are not known; or a network without a run needs ``data``.
        DataError: the data have classes that the network does not have, the run's own data have changed, or the runs of
            an ensemble have different splits, so that one may have been trained on test images of another.
        CheckpointError: the weights are damaged or missing.
    """
    if part not in SET_NAMES:
        raise UsageError("part {part!r} is not known. Known: {known}.", part=part, known=", ".join(SET_NAMES))
    several = not isinstance(what, Run | str | Path | nn.Module | LoadedNetwork)
    if isinstance(what, Run | str | Path | nn.Module | LoadedNetwork):
        members = [load_network(what, classes, preprocessing)]
    elif isinstance(what, Sequence):
        members = [load_network(member, classes, preprocessing) for member in what]
    else:
        if isinstance(what, type):
            load_network(what)  # raises: a class, not an instance
        raise UsageError(
            "expected a run, its directory, a network with weights, or a list of these; got {kind}.",
            kind=type(what).__name__,
        )
    if not members:
        raise UsageError("there is no run to evaluate; give one or several.")
    if mistakes is not None:
        refuse_directory_with_files(Path(mistakes))
    if data is None:
        images, part_name = images_of_runs(members, part), part
    else:
        images, part_name = images_of_data(data, on_bad, max_bad, reading)
    notes = tuple(note for member in members for note in notes_on_overlap(member, images)) if data is not None else ()
    evaluations = [
        evaluation.evaluate(
            member.net,
            partial(images.batches, preprocessing=member.preprocessing, labels=labels_for(member, images, data)),
            member.labels.names,
            protocol,
            size=member.preprocessing.size,
            names=images.names,
            run=member.name,
            data=str(images.dataset.source if data is None or isinstance(data, Dataset) else data),
            part=part_name,
        )
        for member in members
    ]
    result = evaluation.ensemble(evaluations) if several else evaluations[0]
    if mistakes is not None:
        write_mistakes(result, images.dataset, images.indices, Path(mistakes))
    return replace(result, notes=notes)


def images_of_runs(members: Sequence[LoadedNetwork], part: str) -> EvaluationImages:
    """Return the images of one set of the runs' own data, which must be the same set for all members."""
    runs = []
    for member in members:
        if member.run is None:
            raise UsageError(
                "{name} is not a run, so it has no data of its own. Name a data set with --data.",
                name=member.name,
            )
        runs.append(member.run)
    first = runs[0]
    dataset = first.dataset()
    indices = getattr(first.split(dataset), part)
    for run in runs[1:]:
        if run.config["data"]["fingerprint"] != first.config["data"]["fingerprint"]:
            raise DataError(
                "{run_path} and {first} were trained on different data. Name one data set for both with --data.",
                run_path=run.path,
                first=first.path,
            )
        if not np.array_equal(getattr(run.split(dataset), part), indices):
            raise DataError(
                "the {name} sets of {first} and {run_path} differ, so one run may have been trained on {name} images "
                "of the other. Train all with one split (convatlas train NAME --split {split_path}), or name other "
                "data with --data.",
                name=SET_NAMES[part],
                first=first.path,
                run_path=run.path,
                split_path=first.split_path,
            )
    return EvaluationImages(dataset, indices)


def notes_on_overlap(member: LoadedNetwork, images: EvaluationImages) -> list[str]:
    """Return notes on images with the same content as training or validation images of the run."""
    if member.run is None:
        return []
    try:
        dataset = member.run.dataset()
        split = member.run.split(dataset)
    except (DataError, MissingDependencyError) as error:
        return [
            Message(
                "it is not known whether {run} was trained on some of these images, because its own data cannot be "
                "opened: {reason}",
                run=member.name,
                reason=error.message,
            )
        ]
    evaluated = set(images.indices.tolist())
    same = [own for own, other in room.overlap(dataset, images.dataset) if other in evaluated]
    notes: list[str] = []
    for indices, set_name in (
        (split.train, Message("training set")),
        (split.val, Message("validation set, which chose the weights,")),
    ):
        count = int(np.isin(same, indices).sum())
        if count:
            notes.append(
                Message(
                    "{count} of these {n} images are also in the {set_name} of {run} (the same content, whatever the "
                    "names). The accuracy on new images may be lower.",
                    run=member.name,
                    set_name=set_name,
                    count=count,
                    n=len(images.indices),
                )
            )
    return notes


def images_of_data(
    data: str | Path | Dataset,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
) -> tuple[EvaluationImages, str]:
    """Return the test set of a data set, or all images if it has none; and "test" or "all"."""
    if isinstance(data, Dataset):
        dataset = data
    else:
        dataset = room.open_data(str(data), on_bad=on_bad, max_bad=max_bad, **reading.to_dict())
    indices, part = dataset.evaluated()
    return EvaluationImages(dataset, indices), part


def labels_for(member: LoadedNetwork, images: EvaluationImages, data: str | Path | Dataset | None) -> np.ndarray:
    """Return the labels of the data set as indices of the member's classes; those of its own data are unchanged."""
    dataset = images.dataset
    if data is None:
        return dataset.labels
    return np.array(member.labels.match(dataset.classes, str(dataset.source), member.name))[dataset.labels]
