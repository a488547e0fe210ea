"""Hand-made features in a comparison: fitted on the training set, C chosen on validation, measured like a network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn

from convatlas.atomic import written_atomically
from convatlas.baselines import FittedBaseline, baseline
from convatlas.comparison.measure import Latency, Memory
from convatlas.comparison.result import ComparisonRow
from convatlas.data import Dataset
from convatlas.evaluation import Evaluation, statistics
from convatlas.message import Message
from convatlas.runs.training_data import TrainingData


@dataclass(frozen=True)
class HandMade:
    """A fitted baseline and its evaluation on the test set.

    Attributes:
        file: of its weights, in the folder of the comparison.
        train_s: seconds of the features of the training and validation sets, and of all classifiers.
    """

    fitted: FittedBaseline
    evaluation: Evaluation
    file: Path
    train_s: float

    def module(self, image: NDArray[np.uint8]) -> nn.Module:
        """A module whose forward pass begins with the pixels of ``image``, so that its latency is measured."""
        return _OneImage(self.fitted, image)

    def row(self, latency: Latency) -> ComparisonRow:
        return ComparisonRow(
            model=self.fitted.name,
            seeds=(0,),
            runs=(),
            accuracy=statistics.accuracy(self.evaluation.hits[None]),
            val_top1=self.fitted.val_top1,
            params=self.fitted.params,
            macs=None,
            latency=latency,
            memory=Memory(None, Message("not measured for hand-made features")),
            size_bytes=self.file.stat().st_size,
            epochs=(),
            train_s=self.train_s,
        )


class _OneImage(nn.Module):
    def __init__(self, fitted: FittedBaseline, image: NDArray[np.uint8]) -> None:
        super().__init__()
        self.fitted, self.image = fitted, image

    def forward(self, _: Tensor) -> Tensor:
        return torch.from_numpy(self.fitted.logits([self.image]))


def fit(name: str, training_data: TrainingData, folder: Path) -> HandMade:
    """Fit a baseline, write its weights to ``folder/NAME.safetensors``, and evaluate it on the test set."""
    data, split = training_data.dataset, training_data.split
    began = time.perf_counter()
    fitted = baseline(name).fit(
        _images(data, split.train),
        data.labels[split.train],
        len(data.classes),
        (_images(data, split.val), data.labels[split.val]),
    )
    seconds = time.perf_counter() - began
    file = folder / f"{name}.safetensors"
    with written_atomically(file) as opened:
        opened.write(save(fitted.arrays()))
    evaluation = Evaluation(
        classes=data.classes,
        labels=data.labels[split.test],
        logits=fitted.logits(_images(data, split.test)),
        protocol="centre",
        names=tuple(data.names[int(index)] for index in split.test),
        data=str(data.source),
        part="test",
    )
    return HandMade(fitted, evaluation, file, seconds)


def _images(data: Dataset, indices: NDArray[np.int64]) -> Sequence[NDArray[np.uint8]]:
    return [data.read(int(index)) for index in indices]
