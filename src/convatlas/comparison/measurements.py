"""The rows of a comparison: what was trained, with its latency and memory on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from convatlas.comparison import measure, pareto
from convatlas.comparison.budget import Budget
from convatlas.comparison.hand_made import HandMade
from convatlas.comparison.result import ComparisonRow
from convatlas.comparison.steps import Candidate, ComparisonListener, Trained
from convatlas.comparison.trainings import prepared
from convatlas.evaluation import statistics
from convatlas.message import Message
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData

LATENCY_LIMIT_S = 20.0


def measure_all(
    candidates: Sequence[Candidate],
    trained: Mapping[str, Sequence[Trained]],
    features: Sequence[HandMade],
    training_data: TrainingData,
    seeds: Sequence[int],
    budget: Budget,
    listener: ComparisonListener,
) -> list[ComparisonRow]:
    listener.stage(Message("measuring the latency of all networks in turn"))
    measured: dict[str, tuple[torch.nn.Module, torch.Tensor]] = {}
    for model, of_model in trained.items():
        measured[model] = of_model[0].run.network(), example(of_model[0].run, training_data)
    image = training_data.dataset.read(int(training_data.split.test[0]))
    for each in features:
        measured[each.fitted.name] = each.module(image), torch.empty(0)
    latencies = measure.latencies(measured, limit_s=LATENCY_LIMIT_S)
    rows = []
    for candidate in candidates:
        listener.stage(Message("measuring the memory of {model}", model=candidate.label))
        runs = [trained_run.run for trained_run in trained[candidate.model]]
        results = [run.result or {} for run in runs]
        channels, height, width = example(runs[0], training_data).shape[1:]
        row = ComparisonRow(
            model=candidate.label,
            seeds=tuple(seeds),
            runs=tuple(run.path for run in runs),
            accuracy=statistics.accuracy(
                np.stack([trained_run.evaluation.hits for trained_run in trained[candidate.model]])
            ),
            val_top1=float(np.mean([result["val_top1"] for result in results])),
            params=candidate.params,
            macs=candidate.macs,
            latency=latencies[candidate.model],
            memory=measure.peak_memory(runs[0].path, (channels, height, width), torch.get_num_threads()),
            size_bytes=runs[0].size_bytes,
            epochs=tuple(result["epochs"] for result in results),
            train_s=float(np.mean([result["train_s"] for result in results])),
        )
        rows.append(row)
    rows += [each.row(latencies[each.fitted.name]) for each in features]
    rows = [replace(row, over_budget=tuple(budget.broken_by(row.costs()))) for row in rows]
    on_front = pareto.front([row.test_top1 for row in rows], [row.latency.p50_s for row in rows])
    return [replace(row, pareto=on) for row, on in zip(rows, on_front, strict=True)]


def example(run: Run, training_data: TrainingData) -> torch.Tensor:
    """Return the first test image as input of the network: (1, C, H, W)."""
    preprocessing, store = prepared(run, training_data)
    return (
        training_data.batches("test", preprocessing, store, "cpu")
        .batch(torch.as_tensor(training_data.split.test[:1]))
        .images
    )
