"""The networks of a finished comparison, read back from its comparison.json, so that another budget can be tried."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.comparison.measure import Latency, Memory
from convatlas.comparison.result import ComparisonRow
from convatlas.errors import DataError
from convatlas.evaluation.metrics import Interval
from convatlas.evaluation.statistics import Accuracy
from convatlas.message import Message, system_reason

DOCUMENT = "comparison.json"


@dataclass(frozen=True)
class StoredLatency(Latency):
    """The percentiles of a stored comparison, in seconds; the single calls are not stored."""

    median_s: float = 0.0
    percentile95_s: float = 0.0

    @property
    def p50_s(self) -> float:
        return self.median_s

    @property
    def p95_s(self) -> float:
        return self.percentile95_s


def read_comparison(folder: Path) -> dict[str, Any]:
    """The document of a comparison, as ``convatlas compare --json`` printed it.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / DOCUMENT
    try:
        document = json.loads(path.read_text("utf-8"))
        document["rows"][0]["latency_ms"]["p50"]
    except OSError as error:
        raise DataError("{path} cannot be read: {error}.", path=path, error=system_reason(error)) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        reason = Message("it is not the document of a comparison")
        raise DataError("{path} cannot be read: {error}.", path=path, error=reason) from error
    return dict(document)


def rows_of(document: dict[str, Any], folder: Path) -> tuple[ComparisonRow, ...]:
    """The rows of a document. Runs are looked up in ``folder``, which may have been moved since.

    Raises:
        DataError: the document is damaged, or was written by another version.
    """
    try:
        return tuple(_row(record, folder) for record in document["rows"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "{path} cannot be read: {error}.",
            path=folder / DOCUMENT,
            error=Message("it is not the document of a comparison"),
        ) from error


def _row(record: dict[str, Any], folder: Path) -> ComparisonRow:
    latency = {name: value / 1e3 for name, value in record["latency_ms"].items()}
    by_seed = tuple(record["test_top1_by_seed"])
    return ComparisonRow(
        model=record["model"],
        seeds=tuple(record["seeds"]),
        runs=tuple(folder / Path(run).name for run in record["runs"]),
        accuracy=Accuracy(record["test_top1"], Interval(*record["ci95"]), record["test_n"], by_seed),
        val_top1=record["val_top1"],
        params=record["params"],
        macs=record["macs"],
        latency=StoredLatency((), 0, "", latency["p50"], latency["p95"]),
        memory=Memory(record["peak_memory_bytes"], ""),
        size_bytes=record["size_bytes"],
        epochs=tuple(record["epochs"]),
        train_s=record["train_s"],
        pareto=record["pareto"],
        at_chance=record["at_chance"],
    )
