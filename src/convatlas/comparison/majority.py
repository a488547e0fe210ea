"""The majority class as a baseline: what a network must beat to have learned anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from convatlas.comparison.deployed import Deployment
from convatlas.comparison.result import ComparisonRow, Majority
from convatlas.evaluation.statistics import SIGNIFICANCE, Hits, accuracy, difference, holm
from convatlas.runs.training_data import TrainingData

Row = TypeVar("Row", ComparisonRow, Deployment)


@dataclass(frozen=True)
class MajorityHits:
    """The majority class, and on which test images it is right: (1, N) bool."""

    row: Majority
    hits: Hits


def majority_class(training_data: TrainingData) -> MajorityHits:
    """Return the class with the most training images (the first of several), evaluated on the test set."""
    labels, split, classes = training_data.labels, training_data.split, training_data.dataset.classes
    label = int(np.bincount(labels[split.train], minlength=len(classes)).argmax())
    hits: Hits = (labels[split.test] == label)[None]
    return MajorityHits(Majority(classes[label], accuracy(hits)), hits)


def with_chance_level(rows: Sequence[Row], hits: Mapping[str, Hits], majority: MajorityHits) -> list[Row]:
    """Return the rows, of networks or of deployments, with ``at_chance`` set.

    A row is at chance if it is not significantly better than the majority class.

    The tests are those between networks (`statistics.difference`), with Holm's correction over the networks.
    """
    tests = [difference(row.label, hits[row.label], majority.row.label, majority.hits) for row in rows]
    adjusted = holm([test.p for test in tests])
    return [
        replace(row, at_chance=test.difference <= 0 or p >= SIGNIFICANCE)
        for row, test, p in zip(rows, tests, adjusted, strict=True)
    ]
