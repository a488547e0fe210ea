"""What a comparison has found: one row per network, each figure with its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.comparison.measure import Latency, Memory
from convatlas.comparison.statistics import Accuracy


@dataclass(frozen=True)
class Row:
    """One network. ``params`` and ``macs`` are derived from its layers, everything else is measured here.

    Args:
        model: full name, ``NAME`` or ``NAME@VARIANT``.
        seeds: one per run.
        runs: the run directories, in the order of the seeds.
        accuracy: on the test part, over all runs.
        val_top1: mean over the runs of the validation accuracy by which each chose its weights.
        latency, memory: of the first run.
        size_bytes: the weights' file.
        epochs: of each run.
        train_s: mean wall time of one training.
        pareto: no other network is at least as accurate and at least as fast, and better in one of the two.
        over_budget: the limits it exceeds, in words.
    """

    model: str
    seeds: tuple[int, ...]
    runs: tuple[Path, ...]
    accuracy: Accuracy
    val_top1: float | None
    params: int
    macs: int
    latency: Latency
    memory: Memory
    size_bytes: int
    epochs: tuple[float, ...]
    train_s: float
    pareto: bool = False
    over_budget: tuple[str, ...] = ()

    @property
    def test_top1(self) -> float:
        return self.accuracy.top1

    def costs(self) -> dict[str, float | None]:
        """What a budget can limit: seconds, bytes, counts."""
        return {
            "latency": self.latency.p95_s,
            "latency_p50": self.latency.p50_s,
            "size": self.size_bytes,
            "memory": self.memory.peak_bytes,
            "params": self.params,
            "macs": self.macs,
        }

    def to_dict(self) -> dict[str, Any]:
        """The keys of DESIGN section 2, ``compare``, and more beside them."""
        return {
            "model": self.model,
            "seeds": list(self.seeds),
            "test_top1": self.test_top1,
            "ci95": list(self.accuracy.ci95),
            "ci95_covers": self.accuracy.covers,
            "test_top1_by_seed": list(self.accuracy.by_seed),
            "test_n": self.accuracy.n,
            "val_top1": self.val_top1,
            "params": self.params,
            "macs": self.macs,
            "latency_ms": self.latency.to_dict(),
            "peak_memory_bytes": self.memory.peak_bytes,
            "size_bytes": self.size_bytes,
            "epochs": list(self.epochs),
            "train_s": self.train_s,
            "pareto": self.pareto,
            "over_budget": list(self.over_budget),
            "runs": [str(run) for run in self.runs],
        }


@dataclass(frozen=True)
class Failure:
    """A network that is not in the table, and why."""

    model: str
    why: str
