"""`evaluate` and `predict`: runs, or networks with other people's weights, on images prepared as they need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from convatlas import data as room
from convatlas import evaluation
from convatlas.data.decode import is_image_name
from convatlas.errors import BadImageError, DataError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.recipes._run import Run
from convatlas.recipes._subject import Subject, subject
from convatlas.recipes._views import Views

PARTS = ("train", "val", "test")


Judged = Run | str | Path | nn.Module | Subject


def evaluate(
    what: Judged | list[Judged] | tuple[Judged, ...],
    data: str | Path | None = None,
    part: str = "test",
    protocol: str = "centre",
    *,
    classes: Sequence[str] | None = None,
) -> Evaluation:
    """Judge a finished run, or a network with other people's weights; or several of them together.

    Args:
        what: a run or its directory; or a network into which ``load_weights`` loaded a file: its images are prepared
            as those weights need it, and its classes are those they were trained on. A list of these is an ensemble:
            the mean of their probabilities is judged, each having its own preparation.
        data: None for the run's own; else what `open_data` opens, with class names the network knows: an ImageNet
            class may be called tench, n01440764 or Tinca tinca. All of its images are used, or those of its test part
            if it has one.
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
    together = what if isinstance(what, list | tuple) else [what]
    members = [subject(each, classes) for each in together]
    if not members:
        raise UsageError("no run to evaluate was given; name one or several.")
    if data is None:
        views, part_name = own_images(members, part), part
    else:
        views, part_name = given_images(str(data))
    found = [
        evaluation.evaluate(
            member.net,
            partial(views.batches, rule=member.rule, labels=labels_for(member, views, data)),
            member.labels.names,
            protocol,
            size=member.rule.size,
            names=views.names,
            run=member.name,
            data=str(data or views.dataset.source),
            part=part_name,
        )
        for member in members
    ]
    return evaluation.ensemble(found) if together is what else found[0]


def own_images(members: Sequence[Subject], part: str) -> Views:
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
                "the {part} parts of {first} and {run_path} differ: what one is judged on, the other may have "
                "been trained on. Train all with one split (--split {split_path}), or name new data (--data).",
                part=part,
                first=first.path,
                run_path=run.path,
                split_path=first.split_path,
            )
    return Views(dataset, indices)


def given_images(data: str) -> tuple[Views, str]:
    """The test part of the data named, or all of them where they have none; and which of the two it is."""
    dataset = room.open_data(data)
    given = dataset.parts == "test"
    if given.any():
        return Views(dataset, np.flatnonzero(given)), "test"
    return Views(dataset, np.arange(len(dataset))), "all"


def labels_for(member: Subject, views: Views, data: str | Path | None) -> np.ndarray:
    """The labels of the data set by the member's classes; its own data have them already."""
    dataset = views.dataset
    if data is None:
        return dataset.labels
    return np.array(member.labels.match(dataset.classes, str(data), member.name))[dataset.labels]


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image: the likeliest classes with their probabilities, or the error it met."""

    file: str
    top: tuple[tuple[str, float], ...] = ()
    error: BadImageError | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": self.file, "error": self.error.reason}
        return {"file": self.file, "top": [list(pair) for pair in self.top]}


def predict(
    what: Run | str | Path | nn.Module | Subject,
    paths: Iterable[str | Path],
    top: int = 5,
    batch_size: int | None = None,
    *,
    classes: Sequence[str] | None = None,
) -> Iterator[Prediction]:
    """Labels for image files, in the order given; folders stand for the images below them.

    A file that is missing or cannot be read gives a `Prediction` with its error, and the others are still answered.

    Args:
        what: a run or its directory, or a network with other people's weights: see `evaluate`.
        classes: names of the network's outputs, where its weights do not say them.

    Raises:
        UsageError: ``top`` below 1, or as `evaluate` does.
        CheckpointError: weights that are damaged or not there.
    """
    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    judged = subject(what, classes)
    files = list(image_files(paths))
    size = batch_size or min(32, judged.batch_size)
    return (
        prediction
        for start in range(0, len(files), size)
        for prediction in _predict_batch(judged, files[start : start + size], top)
    )


def _predict_batch(judged: Subject, files: Sequence[Path | BadImageError], top: int) -> Iterator[Prediction]:
    """One `Prediction` for each; what cannot be read leaves the batch and keeps its place in the answers."""
    read = [_read(file, judged.rule) for file in files]
    images = [image for image in read if isinstance(image, np.ndarray)]
    answers = iter(_labelled(judged, images, top) if images else ())
    for file, image in zip(files, read, strict=True):
        if isinstance(image, BadImageError):
            yield Prediction(image.path, error=image)
        else:
            yield Prediction(str(file), next(answers))


def _read(file: Path | BadImageError, rule: room.Preprocessing) -> np.ndarray | BadImageError:
    if isinstance(file, BadImageError):
        return file
    try:
        return room.load_file(file, rule)
    except BadImageError as error:
        return error


def _labelled(judged: Subject, images: Sequence[np.ndarray], top: int) -> list[tuple[tuple[str, float], ...]]:
    names = judged.labels.names
    with evaluation.eval_mode(judged.net), torch.inference_mode():
        device = next(judged.net.parameters()).device
        probabilities = judged.net(room.prepare(images, judged.rule).to(device)).float().softmax(dim=1)
    values, places = probabilities.topk(min(top, len(names)), dim=1)
    return [
        tuple((names[place], value) for place, value in zip(row_places, row, strict=True))
        for row_places, row in zip(places.tolist(), values.tolist(), strict=True)
    ]


def image_files(paths: Iterable[str | Path]) -> Iterator[Path | BadImageError]:
    """The files named, and the image files below the folders named, sorted; an error for a folder without images.

    A file that is not there is found out when it is read, so that the others are answered all the same.
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if is_image_name(file.name))
        if found:
            yield from found
        else:
            yield BadImageError(str(path), "the folder holds no image files")
