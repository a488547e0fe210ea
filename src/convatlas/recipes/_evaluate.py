"""`evaluate` and `predict`: a run's network, or one with other people's weights, on images prepared as it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from convatlas import data as room
from convatlas import evaluation
from convatlas.data.decode import is_image_name
from convatlas.errors import BadImageError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.recipes._run import Run
from convatlas.recipes._subject import Subject, subject

PARTS = ("train", "val", "test")


def evaluate(
    what: Run | str | Path | nn.Module | Subject,
    data: str | Path | None = None,
    part: str = "test",
    protocol: str = "centre",
    *,
    classes: Sequence[str] | None = None,
) -> Evaluation:
    """Judge a finished run, or a network with other people's weights.

    Args:
        what: a run or its directory; or a network into which ``load_weights`` loaded a file: its images are prepared
            as those weights need it, and its classes are those they were trained on.
        data: None for the run's own; else what `open_data` opens, with class names the network knows: an ImageNet
            class may be called tench, n01440764 or Tinca tinca. All of its images are used, or those of its test part
            if it has one.
        part: "test", "val" or "train" of the run's own data.
        classes: names of the network's outputs, where its weights do not say them.

    Raises:
        UsageError: an unknown part or protocol; a network that does not know how its images are prepared or what its
            outputs are called; a network without ``data``.
        DataError: classes the network does not know, or data that are no longer the run's.
        CheckpointError: weights that are damaged or not there.
    """
    judged = subject(what, classes)
    if part not in PARTS:
        raise UsageError(f"part {part!r} is not known. Known: {', '.join(PARTS)}.")
    if data is None:
        if judged.run is None:
            raise UsageError(f"{judged.name} was not trained here and has no data of its own: name some (--data).")
        dataset = judged.run.dataset()
        indices = getattr(judged.run.split(dataset), part)
        labels = dataset.labels
    else:
        dataset = room.open_data(str(data))
        labels = np.array(judged.labels.match(dataset.classes, str(data), judged.name))[dataset.labels]
        given = dataset.parts == "test"
        indices = np.flatnonzero(given) if given.any() else np.arange(len(dataset))
        part = "test" if given.any() else "all"
    batches = room.Batches(
        room.load_images(dataset, judged.rule),
        labels,
        indices,
        batch_size=judged.batch_size,
        rule=judged.rule,
        augment=None,
        shuffle=False,
    )
    names = tuple(dataset.names[int(i)] for i in indices)
    found = evaluation.evaluate(judged.net, batches.epoch(0), judged.labels.names, protocol, names=names)
    return replace(found, run=judged.name, data=str(data or dataset.source), part=part)


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
        raise UsageError(f"--top {top}: at least 1 is needed.")
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
