"""`compare_runs`: two runs side by side, the settings in which they differ and a paired test of their accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convatlas.errors import ConvAtlasError
from convatlas.evaluation.statistics import Difference, difference
from convatlas.message import Message
from convatlas.runs.evaluate import evaluate
from convatlas.runs.run import Run

# the tables of config.toml that decide what a training computes, and where
COMPARED = ("run", "data", "recipe", "options", "start", "machine")
NOT_SETTINGS = {"classes", "split", "why", "trial"}


@dataclass(frozen=True)
class RunsCompared:
    """Two runs side by side.

    Attributes:
        settings: ``recipe.lr`` -> (value of the first, value of the second), where they differ.
        results: the last lines of their journals; None for a run that is not finished.
        test: the paired test on the test images that both have, or None.
        why_no_test: the reason where there is none.
    """

    runs: tuple[Run, Run]
    settings: Mapping[str, tuple[Any, Any]]
    results: tuple[dict[str, Any] | None, dict[str, Any] | None]
    test: Difference | None
    why_no_test: Message | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``convatlas runs compare``."""
        return {
            "runs": [str(run.path) for run in self.runs],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "results": list(self.results),
            "difference": None if self.test is None else self.test.to_dict(),
            "why_no_test": self.why_no_test,
        }


def compare_runs(first: Run, second: Run) -> RunsCompared:
    """Compare two runs. Both are evaluated anew on their test set, if it is the same for both.

    Raises:
        DataError: a run that cannot be read.
    """
    results = tuple(run.result if run.finished else None for run in (first, second))
    test, why = _paired_test(first, second)
    return RunsCompared((first, second), different_settings(first, second), (results[0], results[1]), test, why)


def different_settings(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two runs differ, by ``table.name``."""
    of_both = [
        {
            f"{table}.{name}": value
            for table in COMPARED
            for name, value in run.config.get(table, {}).items()
            if name not in NOT_SETTINGS
        }
        for run in (first, second)
    ]
    names = [name for name in (of_both[0] | of_both[1]) if of_both[0].get(name) != of_both[1].get(name)]
    return {name: (of_both[0].get(name), of_both[1].get(name)) for name in names}


def _paired_test(first: Run, second: Run) -> tuple[Difference | None, Message | None]:
    for run in (first, second):
        if not run.finished:
            return None, Message("{run} is not finished", run=run.path)
    if first.config["data"]["fingerprint"] != second.config["data"]["fingerprint"]:
        return None, Message("the runs were trained on different data")
    try:
        evaluations = [evaluate(run) for run in (first, second)]
        dataset = first.dataset()
        if not np.array_equal(first.split(dataset).test, second.split(dataset).test):
            return None, Message("the runs have different test sets; train both with the split of one (--split)")
    except ConvAtlasError as error:
        return None, error.message
    hits = [each.hits[None] for each in evaluations]
    return difference(str(first.path), hits[0], str(second.path), hits[1]), None
