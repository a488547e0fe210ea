"""Rows of networks that were never trained: only the figures that the test is about are set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convatlas.comparison import ComparisonRow
from convatlas.comparison.measure import Latency, Memory
from convatlas.evaluation.statistics import accuracy


def make_hits(n: int, wrong: range) -> np.ndarray:
    """One run on n images that is wrong about a range of them."""
    hits = np.ones((1, n), dtype=bool)
    hits[:, list(wrong)] = False
    return hits


def make_row(
    model: str,
    hits: np.ndarray,
    ms: float,
    *,
    p95_ms: float | None = None,
    size_bytes: int = 1_000_000,
    memory: int | None = 10_000_000,
    pareto: bool = False,
) -> ComparisonRow:
    return ComparisonRow(
        model=model,
        seeds=tuple(range(len(hits))),
        runs=tuple(Path(f"runs/{model}-{seed}") for seed in range(len(hits))),
        accuracy=accuracy(hits),
        val_top1=0.9,
        params=1000,
        macs=2000,
        latency=Latency((ms / 1e3,) * 90 + ((p95_ms or ms) / 1e3,) * 10, threads=2, device="cpu"),
        memory=Memory(memory, "as the test wants it"),
        size_bytes=size_bytes,
        epochs=(3,) * len(hits),
        train_s=12.5,
        pareto=pareto,
    )


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def one_run():
    return make_hits
