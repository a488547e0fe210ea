"""The trainings of a comparison, each evaluated once on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from convatlas import evaluation, models
from convatlas.comparison.result import Failure
from convatlas.comparison.steps import Candidate, ComparisonListener, Trained
from convatlas.data import ImageStore, Preprocessing
from convatlas.errors import Interrupted, TrainingError
from convatlas.evaluation import Evaluation
from convatlas.message import joined
from convatlas.runs.evaluation_images import EvaluationImages
from convatlas.runs.options import RunOptions
from convatlas.runs.places import run_folders
from convatlas.runs.resumption import reopened
from convatlas.runs.run import Run
from convatlas.runs.train import resume, train
from convatlas.runs.training_data import TrainingData


def train_all(
    candidates: Sequence[Candidate],
    training_data: TrainingData,
    options: RunOptions,
    seeds: Sequence[int],
    folder: Path,
    time_s: float | None,
    protocol: str,
    listener: ComparisonListener,
) -> tuple[dict[str, list[Trained]], list[Failure]]:
    """Train each network with each seed. The outer loop is over seeds, so an interruption leaves complete rounds."""
    trained: dict[str, list[Trained]] = {candidate.model: [] for candidate in candidates}
    failures: dict[str, Failure] = {}
    jobs = [(seed, candidate) for seed in seeds for candidate in candidates]
    started = _started_runs(folder, training_data)
    for place, (seed, candidate) in enumerate(jobs, start=1):
        if candidate.model in failures:
            continue
        run_listener = listener.training(candidate.label, seed, place, len(jobs))
        try:
            if (candidate.model, seed) in started:
                run = resume(started[candidate.model, seed].path, data=training_data, listener=run_listener)
            else:
                run = train(
                    candidate.model,
                    training_data,
                    candidate.recipe,
                    options=options,
                    seed=seed,
                    out=folder,
                    time_s=time_s,
                    listener=run_listener,
                )
            trained[candidate.model].append(Trained(run, evaluate_run(run, training_data, protocol)))
        except TrainingError as error:
            failures[candidate.model] = Failure(candidate.label, error.message)
            listener.failed(failures[candidate.model])
        except Interrupted as error:
            raise Interrupted(
                "stopped in the training of {model}, number {place} of {total}. Continue:  "
                "convatlas compare --resume {folder}",
                error.exit_code - 128,
                model=candidate.label,
                place=place,
                total=len(jobs),
                folder=folder,
            ) from error
    for model in failures:
        del trained[model]
    if not trained:
        reasons = [joined((failure.model, failure.why), ": ") for failure in failures.values()]
        raise TrainingError("no network could be trained. {reasons}", reasons=joined(reasons, " "))
    return trained, list(failures.values())


def _started_runs(folder: Path, training_data: TrainingData) -> dict[tuple[str, int], Run]:
    """The trainings in the folder of a comparison, finished or not, by network and seed.

    Raises:
        DataError: the data have changed since.
    """
    runs = [Run(path) for path in run_folders(folder) if path.parent == folder]
    for run in runs:
        reopened(run, training_data)
    return {(run.model, run.seed): run for run in sorted(runs, key=lambda run: run.finished)}


def prepared(run: Run, training_data: TrainingData) -> tuple[Preprocessing, ImageStore]:
    """The images as the run prepared them."""
    like = run.preprocessing if run.recipe.start_from is not None else None
    return training_data.prepared(models.entry(run.model), run.recipe, like)


def evaluate_run(run: Run, training_data: TrainingData, protocol: str) -> Evaluation:
    """Evaluate the chosen weights on the test set; images that are decoded already are reused if possible."""
    preprocessing, store = prepared(run, training_data)
    images = EvaluationImages(training_data.dataset, training_data.split.test, decoded=store)
    return evaluation.evaluate(
        run.network(),
        partial(images.batches, preprocessing=preprocessing, labels=training_data.labels),
        run.classes,
        protocol,
        size=preprocessing.size,
        names=images.names,
        run=str(run.path),
        data=str(training_data.dataset.source),
        part="test",
    )
