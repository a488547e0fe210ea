"""`evaluate` and `predict`: a run's network on images, prepared as the run prepared them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convatlas import data as room
from convatlas import evaluation
from convatlas.data.decode import is_image_name
from convatlas.errors import BadImageError, DataError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.recipes._run import Run

PARTS = ("train", "val", "test")


def evaluate(
    run: Run | str | Path, data: str | Path | None = None, part: str = "test", protocol: str = "centre"
) -> Evaluation:
    """Judge a finished run on a part of its own data, or on all images of other data.

    Args:
        data: None for the run's own; else what `open_data` opens, with class names the run knows. All of its images
            are used, or those of its test part if it has one.
        part: "test", "val" or "train" of the run's own data.

    Raises:
        UsageError: an unknown part or protocol.
        DataError: classes the run does not know, or data that are no longer the run's.
        CheckpointError: weights that are damaged or not there.
    """
    run = run if isinstance(run, Run) else Run(run)
    if part not in PARTS:
        raise UsageError(f"part {part!r} is not known. Known: {', '.join(PARTS)}.")
    net = run.network()
    if data is None:
        dataset = run.dataset()
        indices = getattr(run.split(dataset), part)
        labels = dataset.labels
    else:
        dataset = room.open_data(str(data))
        unknown = [name for name in dataset.classes if name not in run.classes]
        if unknown:
            raise DataError(
                f"{data} has classes that {run.path} was not trained on: {', '.join(unknown[:5])}. "
                f"The run knows: {', '.join(run.classes[:20])}."
            )
        number = torch.tensor([run.classes.index(name) for name in dataset.classes]).numpy()
        labels = number[dataset.labels]
        given = dataset.parts == "test"
        indices = given.nonzero()[0] if given.any() else torch.arange(len(dataset)).numpy()
        part = "test" if given.any() else "all"
    store = room.load_images(dataset, run.preprocessing)
    batches = room.Batches(
        store, labels, indices, batch_size=256, seed=0, rule=run.preprocessing, augment=None, shuffle=False
    )
    found = evaluation.evaluate(
        net, batches.epoch(0), run.classes, protocol, names=tuple(dataset.names[int(i)] for i in indices)
    )
    return replace(found, run=str(run.path), data=str(data or dataset.source), part=part)


@dataclass(frozen=True)
class Prediction:
    """What a run says of one image: the likeliest classes with their probabilities, or the error it met."""

    file: str
    top: tuple[tuple[str, float], ...] = ()
    error: BadImageError | None = None

    def to_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": self.file, "error": self.error.reason}
        return {"file": self.file, "top": [list(pair) for pair in self.top]}


def predict(
    run: Run | str | Path, paths: Iterable[str | Path], top: int = 5, batch_size: int = 32
) -> Iterator[Prediction]:
    """Labels for image files, in the order given; folders stand for the images below them.

    A file that cannot be read gives a `Prediction` with its error, and the others are still answered.

    Raises:
        DataError: a path that does not exist.
        UsageError: ``top`` below 1.
    """
    run = run if isinstance(run, Run) else Run(run)
    if top < 1:
        raise UsageError(f"--top {top}: at least 1 is needed.")
    files = list(image_files(paths))
    net, rule = run.network(), run.preprocessing
    for start in range(0, len(files), batch_size):
        yield from _predict_batch(net, rule, run.classes, files[start : start + batch_size], top)


def _predict_batch(
    net: torch.nn.Module, rule: room.Preprocessing, classes: tuple[str, ...], files: list[Path], top: int
) -> Iterator[Prediction]:
    images: dict[Path, np.ndarray] = {}
    errors: dict[Path, BadImageError] = {}
    for path in files:
        try:
            images[path] = room.load_file(path, rule)
        except BadImageError as error:
            errors[path] = error
    answers: dict[Path, tuple[tuple[str, float], ...]] = {}
    if images:
        with torch.inference_mode():
            probabilities = net(room.prepare(list(images.values()), rule)).float().softmax(dim=1)
        values, places = probabilities.topk(min(top, len(classes)), dim=1)
        for path, row, indices in zip(images, values.tolist(), places.tolist(), strict=True):
            answers[path] = tuple((classes[i], value) for i, value in zip(indices, row, strict=True))
    for path in files:
        yield Prediction(str(path), answers.get(path, ()), errors.get(path))


def image_files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files named, and the image files below the folders named, sorted.

    Raises:
        DataError: a path that does not exist, or a folder without images.
    """
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if is_image_name(file.name))
            if not found:
                raise DataError(f"{path} holds no image files.")
            yield from found
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path} does not exist. Name an image file or a folder of them.")
