"""The evaluations of runs in one session: each run is measured once, on the test set of its own data."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from convatlas.data import Dataset
    from convatlas.evaluation import Evaluation
    from convatlas.runs.run import Run

MEASURED = 16  # evaluations that are kept


@dataclass(frozen=True, eq=False)
class Measured:
    """The evaluation of a run on its test set, with the images."""

    evaluation: Evaluation
    dataset: Dataset
    indices: np.ndarray


@dataclass(frozen=True, eq=False)
class Measurements:
    """The evaluations of this session, by the weights that were evaluated."""

    kept: OrderedDict[tuple[Path, float], Measured] = field(default_factory=OrderedDict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def of(self, run: Run) -> Measured:
        """Evaluate a run on its test set, unless it was already.

        Raises:
            CheckpointError: the run is not finished.
            DataError: its data cannot be read any more.
        """
        from convatlas.runs.evaluate import evaluate
        from convatlas.runs.run import WEIGHTS

        weights = run.path / WEIGHTS
        with self.lock:
            key = (run.path, weights.stat().st_mtime if weights.exists() else 0.0)
            if key not in self.kept:
                evaluation = evaluate(run)
                dataset = run.dataset()
                self.kept[key] = Measured(evaluation, dataset, run.split(dataset).test)
                while len(self.kept) > MEASURED:
                    self.kept.popitem(last=False)
            return self.kept[key]
