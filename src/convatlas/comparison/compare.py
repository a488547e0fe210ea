"""``compare``: train several networks on the same images under the same budget, measure them, recommend one.

Honest means here: one split for all, written to a file; the validation part chooses each run's weights and the test
part is looked at once after that; every figure with its interval and its protocol; the machine named; and no winner
where the images cannot tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from convatlas import arithmetic, evaluation, models, training, units
from convatlas.comparison import measure, pareto, statistics
from convatlas.comparison.budget import Budget
from convatlas.comparison.recommend import recommend
from convatlas.comparison.report import Evidence, report
from convatlas.comparison.result import SORTED_BY, Comparison, ComparisonRow, Conditions, Failure
from convatlas.data import Dataset, ReadingOptions, write_split
from convatlas.errors import DataError, TrainingError, UnknownNameError, UsageError
from convatlas.evaluation import Evaluation
from convatlas.message import Message, joined
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.directory import make as make_folder
from convatlas.runs.directory import write_json, write_text
from convatlas.runs.options import RunOptions, divided
from convatlas.runs.reconstruction import refuse_classifying
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, train
from convatlas.runs.training_data import TrainingData
from convatlas.runs.views import Views

# what is compared when no network is named: from the baseline to the strongest that trains in minutes on a laptop
FOR_SMALL_IMAGES = ("mlp", "lenet5@modern", "resnet20_cifar")
FOR_PHOTOS = ("lenet5@modern", "resnet20_cifar", "resnet18")
SMALL_SIDE = 64  # pixels: up to here images are small
# photos cost a hundred times what digits do: where the user sets no budget, each training gets this time
PHOTO_TIME_S = 120.0

LATENCY_LIMIT_S = 20.0
SCHEMA = 1


class ComparisonListener:
    """Is called as a comparison goes on. The command line overrides the methods to show progress."""

    def training(self, model: str, seed: int, place: int, total: int) -> RunListener:
        """Return the listener of the next training, number ``place`` (from 1) of ``total``."""
        return RunListener()

    def stage(self, text: str) -> None:
        """A step other than a training starts; ``text`` describes it."""

    def failed(self, failure: Failure) -> None:
        """The training of a network failed. The others continue."""


@dataclass(frozen=True)
class Candidate:
    """A network before its training: its recipe, and what arithmetic says about it."""

    model: str
    recipe: Recipe
    params: int
    macs: int


@dataclass(frozen=True)
class Trained:
    """A run and its evaluation on the test part."""

    run: Run
    evaluation: Evaluation


def compare(
    names: str | Sequence[str] | None = None,
    data: str | Path | Dataset = "digits",
    *,
    seeds: int = 1,
    seed: int = 0,
    epochs: int | None = None,
    time_s: float | None = None,
    budget: str | Budget | None = None,
    recipe: str = "modern",
    protocol: str = "centre",
    split: str | Path | None = None,
    sort: str = "named",
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    out: str | Path = "runs",
    stages: ComparisonListener | None = None,
    **settings: Any,
) -> Comparison:
    """Train and measure several networks on the same data; recommend one.

    Args:
        names: networks of the atlas; by default a few that suit the size of the images.
        data: what `open_data` opens, or a data set.
        seeds: trainings of each network, with the seeds ``seed``, ``seed + 1`` ...; the split stays that of ``seed``.
        epochs: of every training; by default the recipe's. Not together with ``time_s``.
        time_s: wall time of every training instead of epochs; two minutes where photos are given and nothing else.
        budget: limits such as ``"latency<=20ms,size<=20MB"``; who exceeds one is not recommended.
        sort: the order of the rows, one of `SORTED_BY`: as the networks were named, the most accurate first, or the
            least of a cost first.
        settings: settings of the recipes and of the options (`RunOptions`) to change for all networks.

    Returns: the comparison; it is in ``folder`` too, as report.html, comparison.json and split.csv beside the runs.
        Where nothing fits the budget, ``recommendation.model`` is None and ``recommendation.why`` says by how much.

    Raises:
        UsageError: an unknown or repeated name, a budget that cannot be read, a network the images are too small for:
            all before the first training.
        DataError: data that cannot be used, or without a validation or test part.
        TrainingError: every single network failed; if some did, they are in ``failures``.
        Interrupted: Ctrl-C or SIGTERM during a training.
    """
    if isinstance(names, str):
        names = (names,)
    if names is not None and not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
        raise UsageError("names are those of networks, see list_models(); got {names!r}.", names=names)
    if sort not in SORTED_BY:
        raise UnknownNameError("order of the rows", sort, SORTED_BY)
    limits, stages = Budget.parse(budget), stages or ComparisonListener()
    if seeds < 1:
        raise UsageError("seeds {seeds}: at least 1 is needed.", seeds=seeds)
    if epochs is not None and time_s is not None:
        raise UsageError("epochs and time are two budgets of training; give one of them.")
    if epochs is not None:
        settings = settings | {"epochs": epochs, "min_updates": 0}
    protocol = evaluation.get_protocol(protocol).name
    # every name and setting is checked before anything is read or trained
    of_recipe, of_options = divided(settings)
    options = RunOptions(**of_options)
    recipes = {model: recipe_for(model, recipe).change(**of_recipe) for model in _distinct(names or ())}

    for model in recipes:
        refuse_classifying(model, models.entry(model), Message("there is nothing to compare it by"))

    training_data = _material(data, seed, split, on_bad, max_bad, reading, recipes)
    if not recipes:
        chosen = default_networks(training_data.dataset)
        recipes = {model: recipe_for(model, recipe).change(**of_recipe) for model in chosen}
        if chosen == FOR_PHOTOS and epochs is None and time_s is None:
            time_s = PHOTO_TIME_S
    if time_s is None:
        _check_same_length(recipes)
    candidates = [_candidate(model, chosen, training_data, protocol) for model, chosen in recipes.items()]

    folder = make_folder(Path(out), "compare", training_data.dataset.source)
    write_split(folder / "split.csv", training_data.dataset, training_data.split)
    all_seeds = tuple(range(seed, seed + seeds))
    trained, failures = _train_all(candidates, training_data, options, all_seeds, folder, time_s, protocol, stages)
    rows = _measure_all(
        [c for c in candidates if c.model in trained], trained, training_data, all_seeds, limits, stages
    )
    rows = sorted(rows, key=SORTED_BY[sort])

    stages.stage(Message("writing the report"))
    flags = {
        "seeds": (seeds, 1),
        "seed": (seed, 0),
        "time": (f"{time_s / 60:g}" if time_s else None, None),
        "budget": (str(limits), ""),
        "recipe": (recipe, "modern"),
        "protocol": (protocol, "centre"),
        "split": (split, None),
        "sort": (sort, "named"),
        "on-bad": (on_bad, "fail"),
        "max-bad": (max_bad, 0.05),
        **{name.replace("_", "-"): (value, None) for name, value in reading.to_dict().items()},
    }
    evaluation.common_protocol([one.evaluation for runs in trained.values() for one in runs])
    hits = {model: np.stack([one.evaluation.hits for one in runs]) for model, runs in trained.items()}
    comparison = Comparison(
        rows=tuple(rows),
        recommendation=recommend(rows, hits, limits),
        budget=limits,
        conditions=_conditions(
            rows, trained, training_data, all_seeds, protocol, time_s, _command(training_data, recipes, flags, settings)
        ),
        failures=tuple(failures),
        folder=folder,
    )
    write_json(folder / "comparison.json", {"schema": SCHEMA, **comparison.to_dict()})
    write_text(comparison.report, report(comparison, _evidence(trained, training_data)))
    return comparison


# --- before the training ----------------------------------------------------------------------------------------------


def default_networks(data: Dataset) -> tuple[str, ...]:
    """The networks compared when none is named: by the size of the images."""
    return FOR_SMALL_IMAGES if int(np.median(data.sizes.min(axis=1))) <= SMALL_SIDE else FOR_PHOTOS


def _distinct(names: Sequence[str]) -> list[str]:
    full = [models.entry(name).full_name for name in names]
    for name in full:
        if full.count(name) > 1:
            raise UsageError(
                "{name} is named {count} times. Name each network once; --seeds repeats it.",
                name=name,
                count=full.count(name),
            )
    return full


def _material(
    data: str | Path | Dataset,
    seed: int,
    split: str | Path | None,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    recipes: Mapping[str, Recipe],
) -> TrainingData:
    share = next(iter(recipes.values())) if recipes else Recipe()
    training_data = TrainingData(
        data,
        seed=seed,
        split=Path(split) if split else None,
        on_bad=on_bad,
        max_bad=max_bad,
        validation_images=share.validation_images,
        reading=reading,
    )
    for part, use in (
        ("train", Message("to train on")),
        ("val", Message("to choose by")),
        ("test", Message("to report on")),
    ):
        if not len(getattr(training_data.split, part)):
            raise DataError(
                "{source} has no image {use}: its {part} set is empty. Leave --split out to have one drawn, or name a "
                "split file that has one.",
                source=training_data.dataset.source,
                use=use,
                part=part,
            )
    return training_data


def _check_same_length(recipes: Mapping[str, Recipe]) -> None:
    """Raise UsageError if the recipes have different numbers of epochs: every network gets the same budget."""
    lengths = {(recipe.epochs, recipe.min_updates, recipe.batch_size) for recipe in recipes.values()}
    if len({epochs for epochs, *_ in lengths}) > 1:
        each = ", ".join(f"{model} {recipe.epochs}" for model, recipe in recipes.items())
        raise UsageError(
            "the recipes ask for different numbers of epochs ({each}). Give one for all with --epochs.",
            each=each,
        )


def _candidate(model: str, recipe: Recipe, training_data: TrainingData, protocol: str) -> Candidate:
    """Build the network once, so that one too deep for the images, or with a head that the protocol cannot read, is
    refused before an hour was spent on the others."""
    entry, data = models.entry(model), training_data.dataset
    side = training_data.side(entry, recipe)
    network = models.create_model(model, num_classes=len(data.classes), in_channels=data.channels, image_size=side)
    if evaluation.get_protocol(protocol).needs_larger_images:
        evaluation.check_network(protocol, network, (side, side), data.channels)
    totals = arithmetic.summarize(network, (data.channels, side, side)).totals
    return Candidate(model, recipe, totals.params, totals.macs)


# --- training ---------------------------------------------------------------------------------------------------------


def _train_all(
    candidates: Sequence[Candidate],
    training_data: TrainingData,
    options: RunOptions,
    seeds: Sequence[int],
    folder: Path,
    time_s: float | None,
    protocol: str,
    stages: ComparisonListener,
) -> tuple[dict[str, list[Trained]], list[Failure]]:
    """Each network with each seed, seeds outermost: should it be stopped, whole rounds are there."""
    trained: dict[str, list[Trained]] = {candidate.model: [] for candidate in candidates}
    failures: dict[str, Failure] = {}
    jobs = [(seed, candidate) for seed in seeds for candidate in candidates]
    for place, (seed, candidate) in enumerate(jobs, start=1):
        if candidate.model in failures:
            continue
        listener = stages.training(candidate.model, seed, place, len(jobs))
        try:
            run = train(
                candidate.model,
                training_data,
                candidate.recipe,
                options=options,
                seed=seed,
                out=folder,
                time_s=time_s,
                listener=listener,
            )
            trained[candidate.model].append(Trained(run, _evaluate(run, training_data, protocol)))
        except TrainingError as error:
            failures[candidate.model] = Failure(candidate.model, error.message)
            stages.failed(failures[candidate.model])
    for model in failures:
        del trained[model]
    if not trained:
        reasons = [joined((failure.model, failure.why), ": ") for failure in failures.values()]
        raise TrainingError("no network could be trained. {reasons}", reasons=joined(reasons, " "))
    return trained, list(failures.values())


def _evaluate(run: Run, training_data: TrainingData, protocol: str) -> Evaluation:
    """The chosen weights on the test part, in the images that are decoded already where the protocol takes these."""
    rule, store = training_data.prepared(models.entry(run.model), run.recipe)
    views = Views(training_data.dataset, training_data.split.test, decoded=store)
    return evaluation.evaluate(
        run.network(),
        partial(views.batches, rule=rule, labels=training_data.labels),
        run.classes,
        protocol,
        size=rule.size,
        names=views.names,
        run=str(run.path),
        data=str(training_data.dataset.source),
        part="test",
    )


# --- measuring --------------------------------------------------------------------------------------------------------


def _measure_all(
    candidates: Sequence[Candidate],
    trained: Mapping[str, Sequence[Trained]],
    training_data: TrainingData,
    seeds: Sequence[int],
    budget: Budget,
    stages: ComparisonListener,
) -> list[ComparisonRow]:
    stages.stage(Message("measuring latency, the networks taking turns"))
    first = {model: runs[0].run for model, runs in trained.items()}
    latencies = measure.latencies(
        {model: (run.network(), _example(run, training_data)) for model, run in first.items()}, limit_s=LATENCY_LIMIT_S
    )
    rows = []
    for candidate in candidates:
        stages.stage(Message("measuring the memory of {model}", model=candidate.model))
        runs = [one.run for one in trained[candidate.model]]
        results = [run.result or {} for run in runs]
        channels, height, width = _example(runs[0], training_data).shape[1:]
        row = ComparisonRow(
            model=candidate.model,
            seeds=tuple(seeds),
            runs=tuple(run.path for run in runs),
            accuracy=statistics.accuracy(np.stack([one.evaluation.hits for one in trained[candidate.model]])),
            val_top1=float(np.mean([result["val_top1"] for result in results])),
            params=candidate.params,
            macs=candidate.macs,
            latency=latencies[candidate.model],
            memory=measure.peak_memory(runs[0].path, (channels, height, width), torch.get_num_threads()),
            size_bytes=runs[0].size_bytes,
            epochs=tuple(result["epochs"] for result in results),
            train_s=float(np.mean([result["train_s"] for result in results])),
        )
        rows.append(replace(row, over_budget=tuple(budget.broken_by(row.costs()))))
    on_front = pareto.front([row.test_top1 for row in rows], [row.latency.p50_s for row in rows])
    return [replace(row, pareto=on) for row, on in zip(rows, on_front, strict=True)]


def _example(run: Run, training_data: TrainingData) -> torch.Tensor:
    """The first test image, as the network sees it: (1, C, H, W)."""
    rule, store = training_data.prepared(models.entry(run.model), run.recipe)
    return training_data.batches("test", rule, store, "cpu").batch(torch.as_tensor(training_data.split.test[:1])).images


# --- the record -----------------------------------------------------------------------------------------------------


def _conditions(
    rows: Sequence[ComparisonRow],
    trained: Mapping[str, Sequence[Trained]],
    training_data: TrainingData,
    seeds: tuple[int, ...],
    protocol: str,
    time_s: float | None,
    command: str,
) -> Conditions:
    data, split = training_data.dataset, training_data.split
    about, run = training.environment(), trained[rows[0].model][0].run
    machine, recipe = run.config["machine"], run.recipe
    if time_s is None:
        length = Message("{epochs} epochs each", epochs=f"{rows[0].epochs[0]:g}")
    else:
        length = Message("about {time} each; the epochs were set by timing a few updates", time=units.duration(time_s))
    return Conditions(
        data=str(data.source),
        classes=data.classes,
        parts={part: len(getattr(split, part)) for part in ("train", "val", "test")},
        split=split.rule,
        training=Message(
            "{length}, recipe {recipe}, batches of {batch}", length=length, recipe=recipe.name, batch=recipe.batch_size
        ),
        seeds=seeds,
        protocol=protocol,
        machine={
            "processor": Message("{cpu}, {threads} threads used", cpu=about["cpu"], threads=rows[0].latency.threads),
            "training": f"{machine['device']}, {machine['precision']} ({machine['why']})",
            "inference": f"{rows[0].latency.device}, fp32, PyTorch eager, batch 1",
            "software": f"convatlas {about['convatlas']}, torch {about['torch']}, Python {about['python']}, "
            f"{about['platform']}",
        },
        command=command,
    )


def _command(
    training_data: TrainingData,
    recipes: Mapping[str, Recipe],
    flags: Mapping[str, tuple[object, object]],
    settings: Mapping[str, object],
) -> str:
    """Return the command that repeats the comparison. ``flags`` are (value, default); defaults are left out."""
    words = ["convatlas", "compare", *recipes, "--data", str(training_data.dataset.source)]
    for name, (value, usual) in flags.items():
        if value != usual:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    for name, value in settings.items():
        if name != "min_updates":  # it goes with --epochs
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _evidence(trained: Mapping[str, Sequence[Trained]], training_data: TrainingData) -> Evidence:
    def image(index: int) -> np.ndarray:
        return training_data.dataset.read(int(training_data.split.test[index]))

    return Evidence(
        evaluations={model: [one.evaluation for one in runs] for model, runs in trained.items()},
        epochs={model: [one.run.epochs() for one in runs] for model, runs in trained.items()},
        chosen={model: [(one.run.result or {})["chosen_epoch"] for one in runs] for model, runs in trained.items()},
        image=image,
    )
