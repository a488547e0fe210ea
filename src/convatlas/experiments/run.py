"""Run an experiment: its learning-rate sweep, then every arm with every seed; each finished job is kept.

Jobs are independent and go through joblib, on this machine or on any of joblib's backends. A job's result is a file,
written atomically, so that an interrupted experiment repeats nothing but the jobs that were in progress.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import stdev
from typing import Any

from convatlas.atomic import written_atomically
from convatlas.data import Dataset, open_data
from convatlas.errors import DataError, MissingDependencyError, UnknownNameError, UsageError
from convatlas.experiments.arms import in_folder
from convatlas.experiments.form import SCALES, Experiment, Outcome, Scale, ScaleName, Trial
from convatlas.experiments.registry import get_experiment
from convatlas.experiments.verdict import Decision, Result, decision, detectable_difference, results
from convatlas.message import Message

SCHEMA = 1
PLAN, RECORD, JOBS = "plan.json", "experiment.json", "jobs"
EMBEDDED = ("digits", "none")  # data that need no folder


@dataclass(frozen=True)
class Job:
    """One arm with one seed and one learning rate; a job of the sweep reports only its validation."""

    arm: str
    seed: int
    lr: float
    sweep: bool = False

    @property
    def file(self) -> str:
        return f"sweep-{self.arm}-{self.lr:g}-{self.seed}.json" if self.sweep else f"{self.arm}-{self.seed}.json"


@dataclass(frozen=True)
class Record:
    """A finished experiment.

    Attributes:
        lrs: the chosen learning rate of each arm.
        sweep: validation top-1 of each arm by learning rate, one value per pilot seed.
        detectable: before the run: the smallest difference of each contrast that the seeds can show, from the pilot
            seeds; None without at least two pilot seeds.
        outcomes: of each arm, in the order of the seeds.
        experiment: the claim and its arms.
        scale_name: the size at which it was run.
        data: name of the data set.
        fingerprint: of the data set.
        contrasts: the differences that were measured.
        decision: the verdict and its reason.
        folder: the directory of the run.
    """

    experiment: Experiment
    scale_name: ScaleName
    data: str
    fingerprint: str
    lrs: Mapping[str, float]
    sweep: Mapping[str, Mapping[str, list[float]]]
    detectable: tuple[float | None, ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]
    contrasts: tuple[Result, ...]
    decision: Decision
    folder: Path | None = None

    @property
    def scale(self) -> Scale:
        return self.experiment.scales[self.scale_name]

    @property
    def seconds(self) -> float:
        """The summed time of all arms."""
        return sum(outcome.seconds for outcomes in self.outcomes.values() for outcome in outcomes)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--json`` and of the record. Times are under ``seconds``; the rest repeats exactly."""
        experiment = self.experiment
        return {
            "schema": SCHEMA,
            "experiment": experiment.name,
            "claim": experiment.claim.en,
            "source": experiment.source,
            "printed": [
                {"figure": each.figure.en, "difference": each.difference, "source": each.source,
                 "verified": each.verified}
                for each in experiment.printed
            ],
            "criterion": experiment.criterion.en,
            "scale": self.scale_name,
            "settings": dict(self.scale.settings),
            "data": self.data,
            "fingerprint": self.fingerprint,
            "seeds": list(self.scale.seeds),
            "arms": {
                arm.name: {
                    "lr": self.lrs[arm.name],
                    "sweep": {lr: list(values) for lr, values in self.sweep.get(arm.name, {}).items()},
                    "metrics": [dict(outcome.metrics) for outcome in self.outcomes[arm.name]],
                    "curves": [dict(outcome.curves) for outcome in self.outcomes[arm.name]],
                }
                for arm in experiment.arms
            },
            "detectable_before": list(self.detectable),
            "contrasts": [each.to_dict() for each in self.contrasts],
            "decision": self.decision,
            "seconds": {arm.name: [outcome.seconds for outcome in self.outcomes[arm.name]] for arm in experiment.arms},
        }  # fmt: skip


class ExperimentListener:
    """Is called as an experiment goes on. The command line overrides the methods to show progress."""

    def on_plan(self, jobs: int, done: int, minutes: float) -> None:
        """``jobs`` of which ``done`` have results from an earlier start; ``minutes`` as the file expects."""

    def on_detectable(self, detectable: tuple[float | None, ...]) -> None:
        """The smallest differences that the design can show, known after the pilot seeds."""

    def on_job(self, job: Job, outcome: Outcome) -> None:
        """A job is finished."""


def run_experiment(
    name: str,
    scale: str = "quick",
    *,
    seeds: int | None = None,
    data: str | Path | None = None,
    jobs: int = 1,
    backend: str | None = None,
    scheduler: str | None = None,
    out: str | Path = "runs/experiments",
    listener: ExperimentListener | None = None,
) -> Record:
    """Run an experiment, or what is left of it, and decide.

    Args:
        scale: "quick" shows the mechanics within minutes, "standard" is declared per claim, "full" is the paper's.
        seeds: number of paired seeds instead of the scale's.
        data: folder of the data set that the scale names; not needed for embedded data.
        jobs: trainings side by side. Each runs on one thread, so the results do not depend on it.
        backend: of joblib, such as "loky" or "dask".
        scheduler: address of the scheduler, for the backend "dask".
        out: the folder ``OUT/NAME-SCALE`` holds the plan, the jobs' results and the record.
        name: a name of `experiment_names`.
        listener: is told of the progress; None is silent.

    Raises:
        UnknownNameError: no such experiment or scale.
        DataError: the data set is not there; or the folder holds results of another plan.
    """
    experiment, listener = get_experiment(name), listener or ExperimentListener()
    if scale not in experiment.scales:
        raise UnknownNameError("scale", scale, [each for each in SCALES if each in experiment.scales])
    chosen: ScaleName = scale  # type: ignore[assignment]
    design = experiment.scales[chosen]
    if seeds is not None:
        if seeds < 1:
            raise UsageError("seeds {seeds}: at least 1 is needed.", seeds=seeds)
        design = replace(design, seeds=tuple(range(seeds)))
        experiment = with_scale(experiment, chosen, design)
    _need(experiment)
    source, dataset = _opened(experiment, design, data)
    files = None if data is None else Path(data)
    folder = Path(out) / f"{name}-{scale}"
    _keep_plan(folder, experiment, chosen, dataset)

    def run_all(todo: Sequence[Job]) -> dict[Job, Outcome]:
        workers = 1 if experiment.sequential else jobs
        return _run_all(experiment, design, todo, source, files, folder, workers, backend, scheduler, listener)

    sweep_jobs = [
        Job(arm.name, seed, lr, sweep=True) for arm in experiment.arms for lr in arm.lrs for seed in design.pilot_seeds
    ]
    total = len(sweep_jobs) + len(experiment.arms) * len(design.seeds)
    done = len(list((folder / JOBS).glob("*.json")))
    listener.on_plan(total, done, design.minutes)
    swept = run_all(sweep_jobs)
    lrs, sweep = _chosen_lrs(experiment, design, swept)
    detectable = _detectable(experiment, design, swept, lrs)
    listener.on_detectable(detectable)
    ran = run_all([Job(arm.name, seed, lrs[arm.name]) for arm in experiment.arms for seed in design.seeds])
    outcomes = {
        arm.name: tuple(ran[Job(arm.name, seed, lrs[arm.name])] for seed in design.seeds) for arm in experiment.arms
    }
    found = results(experiment, outcomes)
    record = Record(
        experiment, chosen, design.data, dataset.fingerprint if dataset is not None else "", lrs, sweep, detectable,
        outcomes, found, decision(found), folder,
    )  # fmt: skip
    _write(folder / RECORD, record.to_dict())
    return record


def with_scale(experiment: Experiment, name: ScaleName, scale: Scale) -> Experiment:
    """The experiment with another scale of this name."""
    return replace(experiment, scales={**experiment.scales, name: scale})


# --- the plan ---------------------------------------------------------------------------------------------------------


def _opened(experiment: Experiment, scale: Scale, data: str | Path | None) -> tuple[str, Dataset | None]:
    """The address of the scale's data, and the data set; None for an experiment without data."""
    if scale.data == "none":
        return "none", None
    if scale.data == "digits":
        return "digits", open_data("digits")
    found = None if data is None else in_folder(Path(data), scale.data)
    if found is None:
        raise DataError(
            "{experiment} needs {data} at this scale, which is not in {folder}. Name the folder that holds it with "
            "--data, or run the quick scale, which needs no data: --scale quick.",
            experiment=experiment.name,
            data=scale.data,
            folder=data if data is not None else Message("the command: no --data was given"),
        )
    return str(found), open_data(str(found))


def _need(experiment: Experiment) -> None:
    """Raise UsageError for a claim about a device that is not there."""
    import torch

    if experiment.needs == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "{experiment} compares a GPU with a CPU, and PyTorch finds no GPU here. Run it on a machine with a CUDA "
            "device.",
            experiment=experiment.name,
        )


def plan_of(experiment: Experiment, scale: ScaleName, dataset: Dataset | None) -> dict[str, Any]:
    """What identifies the design: results of another design are never mixed in."""
    design = experiment.scales[scale]
    return {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "scale": scale,
        "seeds": list(design.seeds),
        "pilot_seeds": list(design.pilot_seeds),
        "data": design.data,
        "fingerprint": dataset.fingerprint if dataset is not None else "",
        "form": form_hash(experiment.name),
    }


def form_hash(name: str) -> str:
    """A hash of everything in a claim's file but its texts and comments."""
    module = importlib.import_module(f"convatlas.experiments.claims.{name.replace('-', '_')}")
    tree = ast.parse(Path(module.__file__ or "").read_text("utf-8"))

    class WithoutTexts(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.func, ast.Name) and node.func.id == "Text":
                node.args = []
            return node

        def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
            return None if isinstance(node.value, ast.Constant) else node  # a docstring

    return hashlib.sha256(ast.dump(WithoutTexts().visit(tree)).encode()).hexdigest()


def _keep_plan(folder: Path, experiment: Experiment, scale: ScaleName, dataset: Dataset | None) -> None:
    """Write the plan, or check that the folder's is the same but for the seeds, of which there may be more now.

    Raises:
        DataError: the folder holds results of another design.
    """
    plan, file = plan_of(experiment, scale, dataset), folder / PLAN
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        for key, value in plan.items():
            if key != "seeds" and kept.get(key) != value:
                raise DataError(
                    "{folder} holds results of another design: {key} differs. Remove the folder, or choose another "
                    "with --out. A criterion that is changed after a run makes its results void.",
                    folder=folder,
                    key=key,
                )
    _write(file, plan)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    with written_atomically(file) as opened:
        opened.write((json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())


# --- the jobs ---------------------------------------------------------------------------------------------------------


def _run_all(
    experiment: Experiment,
    scale: Scale,
    todo: Sequence[Job],
    source: str,
    files: Path | None,
    folder: Path,
    jobs: int,
    backend: str | None,
    scheduler: str | None,
    listener: ExperimentListener,
) -> dict[Job, Outcome]:
    """The outcomes of all jobs: those kept from an earlier start, and the others, run now and kept."""
    outcomes: dict[Job, Outcome] = {}
    missing = []
    for job in todo:
        kept = _kept(folder / JOBS / job.file, job)
        if kept is not None:
            outcomes[job] = kept
        else:
            missing.append(job)
    for job, outcome in _computed(experiment, scale, missing, source, files, jobs, backend, scheduler):
        # the process that started the experiment writes all files: workers may be on other machines
        _write(folder / JOBS / job.file, {"lr": job.lr, **outcome.to_dict()})
        outcomes[job] = outcome
        listener.on_job(job, outcome)
    return outcomes


def _computed(
    experiment: Experiment, scale: Scale, missing: Sequence[Job], source: str, files: Path | None, jobs: int,
    backend: str | None, scheduler: str | None,
) -> Iterator[tuple[Job, Outcome]]:  # fmt: skip
    if not missing:
        return
    if jobs == 1 and backend is None:
        for job in missing:
            yield run_job(experiment.name, scale, job, source, files)
        return
    import joblib

    with _backend(backend, scheduler):
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        yield from parallel(joblib.delayed(run_job)(experiment.name, scale, job, source, files) for job in missing)


@contextmanager
def _backend(backend: str | None, scheduler: str | None) -> Iterator[None]:
    import joblib

    if backend == "dask":
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise MissingDependencyError("dask.distributed", "dask", Message("the backend dask")) from error
        with Client(scheduler), joblib.parallel_config(backend="dask"):
            yield
    elif backend is not None:
        with joblib.parallel_config(backend=backend):
            yield
    else:
        yield


def run_job(name: str, scale: Scale, job: Job, source: str, files: Path | None = None) -> tuple[Job, Outcome]:
    """Run one job in this process, on one thread. Called by joblib's workers."""
    import torch

    torch.set_num_threads(1)
    experiment = get_experiment(name)
    dataset = None if source == "none" else open_data(source)
    began = time.perf_counter()
    outcome = experiment.arm(job.arm).run(Trial(dataset, job.seed, job.lr, scale, files))  # type: ignore[arg-type]
    return job, Outcome(outcome.metrics, outcome.curves, time.perf_counter() - began)


def _kept(file: Path, job: Job) -> Outcome | None:
    """The outcome of a job from its file; None where there is none, or of another learning rate."""
    try:
        content = json.loads(file.read_text("utf-8"))
        if content.pop("lr") != job.lr:
            return None
        return Outcome(**content)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("{file} is damaged. Remove it; its job alone is run again.", file=file) from error


# --- after the sweep --------------------------------------------------------------------------------------------------


def _chosen_lrs(
    experiment: Experiment, scale: Scale, swept: Mapping[Job, Outcome]
) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """The learning rate of each arm with the highest mean validation top-1, and all values of the sweep."""
    lrs, sweep = {}, {}
    for arm in experiment.arms:
        values = {
            lr: [swept[Job(arm.name, seed, lr, sweep=True)].metrics["val_top1"] for seed in scale.pilot_seeds]
            for lr in arm.lrs
            if scale.pilot_seeds
        }
        lrs[arm.name] = max(values, key=lambda lr: sum(values[lr])) if values else arm.lrs[0]
        if values:
            sweep[arm.name] = {f"{lr:g}": found for lr, found in values.items()}
    return lrs, sweep


def _detectable(
    experiment: Experiment, scale: Scale, swept: Mapping[Job, Outcome], lrs: Mapping[str, float]
) -> tuple[float | None, ...]:
    """The smallest difference of each contrast that the seeds can show, from the spread over the pilot seeds."""
    found: list[float | None] = []
    for contrast in experiment.contrasts:
        factor = experiment.metric(contrast.metric).scale
        differences = [
            factor * (
                swept[Job(contrast.higher, seed, lrs[contrast.higher], sweep=True)].metrics[contrast.metric]
                - swept[Job(contrast.lower, seed, lrs[contrast.lower], sweep=True)].metrics[contrast.metric]
            )
            for seed in scale.pilot_seeds
        ]  # fmt: skip
        known = len(differences) > 1 and math.isfinite(stdev(differences))
        found.append(detectable_difference(stdev(differences), len(scale.seeds)) if known else None)
    return tuple(found)
