"""``compare``: train several networks on the same images under the same budget, measure them, recommend one.

All networks have the same split, which is written to a file. The validation set chooses the weights of each run, and
the test set is evaluated once, after that. Every accuracy has its confidence interval and its protocol, and the machine
is named. No network is called the best if its difference from another is not significant.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from convatlas import arithmetic, evaluation, models, training, units
from convatlas.baselines.features import need_skimage
from convatlas.baselines.names import is_baseline
from convatlas.comparison import measure, pareto
from convatlas.comparison.budget import Budget
from convatlas.comparison.hand_made import HandMade
from convatlas.comparison.hand_made import fit as fit_hand_made
from convatlas.comparison.majority import majority_class, with_chance_level
from convatlas.comparison.recommend import recommend
from convatlas.comparison.report import Evidence, report
from convatlas.comparison.result import SORTED_BY, Comparison, ComparisonRow, Conditions, Failure
from convatlas.data import Dataset, ImageStore, Preprocessing, ReadingOptions, write_split
from convatlas.errors import (
    ConvAtlasError,
    DataError,
    Interrupted,
    LimitError,
    TrainingError,
    UnknownNameError,
    UsageError,
)
from convatlas.evaluation import Evaluation, statistics
from convatlas.message import Message, joined
from convatlas.models import own
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.directory import make as make_folder
from convatlas.runs.directory import write_json, write_text
from convatlas.runs.evaluation_images import EvaluationImages
from convatlas.runs.header import FEW_PHOTOS
from convatlas.runs.options import RunOptions, split_settings
from convatlas.runs.places import run_folders
from convatlas.runs.reconstruction import refuse_classifying
from convatlas.runs.resumption import reopened
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, described_source, resume, train
from convatlas.runs.training_data import TrainingData
from convatlas.runs.transfer import load_initial_weights, read_source

# compared if no network is named: from a baseline to the strongest network that trains in minutes on a laptop
FOR_SMALL_IMAGES = ("mlp", "lenet5@modern", "resnet20_cifar")
FOR_PHOTOS = ("lenet5@modern", "resnet20_cifar", "resnet18")
SMALL_SIDE = 64  # pixels; images up to this side count as small
# photos take a hundred times as long as digits, so each training has this time if the user sets no length
PHOTO_TIME_S = 120.0

LATENCY_LIMIT_S = 20.0
SCHEMA = 1
SETTINGS_FILE = "comparison-settings.json"  # in the folder of a comparison, from which it can be resumed


class ComparisonListener:
    """Is called as a comparison goes on. The command line overrides the methods to show progress."""

    def training(self, model: str, seed: int, place: int, total: int) -> RunListener:
        """Return the listener of the next training, which is number ``place`` (from 1) of ``total``."""
        return RunListener()

    def stage(self, text: str) -> None:
        """A step other than a training begins; ``text`` describes it."""

    def failed(self, failure: Failure) -> None:
        """The training of a network failed; the comparison goes on with the others."""

    def skipped(self, failure: Failure) -> None:
        """A network is not trained, because it cannot fit the budget."""


@dataclass(frozen=True)
class Candidate:
    """A network before its training: its recipe, parameters and MACs. ``label`` is its name in tables and texts."""

    model: str
    label: str
    recipe: Recipe
    params: int
    macs: int
    tensor_bytes: int  # of the weights; the file has a short header besides

    def costs(self) -> dict[str, float]:
        """What is known of its costs before the training; of the size, a lower bound."""
        return {"params": self.params, "macs": self.macs, "size": self.tensor_bytes}


@dataclass(frozen=True)
class Trained:
    """A run and its evaluation on the test set."""

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
    start_from: str | Sequence[str] = (),
    download: bool = False,
    continue_in: str | Path | None = None,
    listener: ComparisonListener | None = None,
    **settings: Any,
) -> Comparison:
    """Train and measure several networks on the same data; recommend one.

    Args:
        names: networks of the atlas; by default a few that suit the size of the images. Beside at least one network
            also hand-made features with a linear classifier: hog, lbp, sift.
        data: what `open_data` opens, or a data set.
        seeds: number of trainings of each network, with the seeds ``seed``, ``seed + 1`` ...; the split is that of
            ``seed``.
        epochs: of every training; by default those of the recipe. Not together with ``time_s``.
        time_s: duration of every training instead of epochs; two minutes by default for photos if ``names`` is None.
        budget: limits such as ``"latency<=20ms,size<=20MB"``; a network that exceeds one is not recommended, and
            a network whose parameters, multiply-adds or size must exceed one is not trained.
        start_from: weights to start from, as in `train`; each network takes the first that fits it.
        download: whether published weights may be downloaded.
        continue_in: folder of an interrupted comparison with the same arguments; trainings that are finished there are
            not run again. See `resume_comparison`.
        sort: the order of the rows, one of `SORTED_BY`: as the networks were named, the most accurate first, or the
            smallest cost first.
        settings: settings of the recipes and of the options (`RunOptions`) to change for all networks.

    Returns: the comparison. Its ``folder`` contains report.html, comparison.json, split.csv and the runs. If no network
        fits the budget, ``recommendation.model`` is None and ``recommendation.why`` states by how much it is exceeded.

    Raises:
        UsageError: a name is unknown or repeated, the budget cannot be read, or the images are too small for a network;
            always before the first training.
        LimitError: no network can fit the budget, whatever its training.
        DataError: the data cannot be used, or have no training, validation or test set.
        TrainingError: the training of every network failed. If only some failed, they are in ``failures``.
        Interrupted: Ctrl-C or SIGTERM during a training.
    """
    if isinstance(names, str):
        names = (names,)
    if names is not None and not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
        raise UsageError("names must be names of networks, see list_models(); got {names!r}.", names=names)
    if sort not in SORTED_BY:
        raise UnknownNameError("order of the rows", sort, SORTED_BY)
    limits, listener = Budget.parse(budget), listener or ComparisonListener()
    if seeds < 1:
        raise UsageError("seeds {seeds}: at least 1 is needed.", seeds=seeds)
    if epochs is not None and time_s is not None:
        raise UsageError("epochs and time both set the length of the trainings; give only one of them.")
    plan = {
        "seeds": seeds, "seed": seed, "epochs": epochs, "recipe": recipe,
        "budget": budget if isinstance(budget, str) else str(limits),
        "protocol": protocol, "on_bad": on_bad, "max_bad": max_bad, **settings,
    }  # fmt: skip
    weights = (start_from,) if isinstance(start_from, str) else tuple(start_from)
    if epochs is not None:
        settings = settings | {"epochs": epochs, "min_updates": 0}
    protocol = evaluation.get_protocol(protocol).name
    # every name and setting is checked before anything is read or trained
    of_recipe, of_options = split_settings(settings)
    options = RunOptions(**of_options)
    hand_made = [name for name in names or () if is_baseline(name)]
    networks = [name for name in names or () if not is_baseline(name)]
    if hand_made:
        need_skimage()
    if hand_made and not networks:
        raise UsageError("compare needs at least one network beside {features}.", features=", ".join(hand_made))
    recipes = {model: recipe_for(model, recipe).change(**of_recipe) for model in _distinct(networks)}

    for model in recipes:
        refuse_classifying(model, models.entry(model), Message("compare needs classifiers"))

    training_data = _open_data(data, seed, split, on_bad, max_bad, reading, recipes)
    if not recipes:
        chosen = default_networks(training_data.dataset)
        recipes = {model: recipe_for(model, recipe).change(**of_recipe) for model in chosen}
        if chosen == FOR_PHOTOS and epochs is None and time_s is None:
            time_s = PHOTO_TIME_S
    if time_s is None:
        _check_same_length(recipes)
    labels = own.short_names(list(recipes))
    candidates = [
        _candidate(model, labels[model], chosen, training_data, protocol, weights, download)
        for model, chosen in recipes.items()
    ]
    skipped = _over_budget(candidates, limits)
    for each in skipped:
        listener.skipped(each)
    candidates = [each for each in candidates if each.label not in {out.model for out in skipped}]
    if not candidates:
        told = joined((each.why for each in skipped), " ")
        raise LimitError("no network can fit {budget}. {told}", budget=limits, told=told)

    data, images = training_data.dataset, len(training_data.split.train)
    if not weights and data.channels == 3 and images < FEW_PHOTOS * len(data.classes):
        listener.stage(
            Message(
                "{per_class} training images per class are few: networks that start from trained weights are usually "
                "more accurate. Name weights with --start-from",
                per_class=f"{images / len(data.classes):.3g}",
            )
        )
    if continue_in is None:
        folder = make_folder(Path(out), "compare", training_data.dataset.source)
        write_split(folder / "split.csv", training_data.dataset, training_data.split)
        plan |= {"names": [*recipes, *hand_made], "data": described_source(training_data.dataset), "time_s": time_s,
                 "start_from": [str(Path(each).resolve()) if Path(each).exists() else each for each in weights],
                 "reading": reading.to_dict()}  # fmt: skip
        write_json(folder / SETTINGS_FILE, {"schema": SCHEMA, **plan})
    else:
        folder = Path(continue_in)
    all_seeds = tuple(range(seed, seed + seeds))
    trained, failures = _train_all(candidates, training_data, options, all_seeds, folder, time_s, protocol, listener)
    features = []
    for name in dict.fromkeys(hand_made):
        listener.stage(Message("fitting {name}", name=name))
        features.append(fit_hand_made(name, training_data, folder))
    rows = _measure_all(
        [c for c in candidates if c.model in trained], trained, features, training_data, all_seeds, limits, listener
    )
    rows = sorted(rows, key=SORTED_BY[sort])
    trained = {labels[model]: runs for model, runs in trained.items()}

    listener.stage(Message("writing the report"))
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
        **{f"start-from{' ' * n}": (each, None) for n, each in enumerate(weights)},
        **{name.replace("_", "-"): (value, None) for name, value in reading.to_dict().items()},
    }
    evaluation.common_protocol([trained_run.evaluation for runs in trained.values() for trained_run in runs])
    hits = {model: np.stack([trained_run.evaluation.hits for trained_run in runs]) for model, runs in trained.items()}
    hits |= {each.fitted.name: each.evaluation.hits[None] for each in features}
    majority = majority_class(training_data)
    rows = with_chance_level(rows, hits, majority)
    comparison = Comparison(
        rows=tuple(rows),
        recommendation=recommend(rows, hits, limits),
        budget=limits,
        conditions=_conditions(
            rows,
            trained,
            training_data,
            all_seeds,
            protocol,
            time_s,
            _command(training_data, [*map(own.short_name, recipes), *hand_made], flags, settings),
        ),
        failures=tuple(failures),
        folder=folder,
        majority=majority.row,
        skipped=tuple(skipped),
    )
    write_json(folder / "comparison.json", {"schema": SCHEMA, **comparison.to_dict()})
    write_text(comparison.report, report(comparison, _evidence(trained, features, training_data)))
    return comparison


def resume_comparison(
    folder: str | Path, data: str | Path | None = None, *, listener: ComparisonListener | None = None
) -> Comparison:
    """Continue a comparison that was interrupted, with the settings in its folder.

    Trainings that are finished are not run again. One that was interrupted continues from its newest checkpoint.

    Args:
        data: where the data are now, if they have moved.

    Raises:
        DataError: the folder holds no comparison, or the data have changed since it was started.
    """
    folder = Path(folder)
    try:
        plan = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            "{folder} holds no comparison that can be resumed: {file} is missing or cannot be read. Comparisons are "
            "made by  convatlas compare.",
            folder=folder,
            file=SETTINGS_FILE,
        ) from error
    del plan["schema"]
    reading = ReadingOptions(**plan.pop("reading"))
    if data is not None:
        plan["data"] = data
    return compare(**plan, reading=reading, split=folder / "split.csv", continue_in=folder, listener=listener)


# --- before the training ----------------------------------------------------------------------------------------------


def default_networks(data: Dataset) -> tuple[str, ...]:
    """Return the networks that are compared if none is named, by the size of the images."""
    return FOR_SMALL_IMAGES if int(np.median(data.sizes.min(axis=1))) <= SMALL_SIDE else FOR_PHOTOS


def _distinct(names: Sequence[str]) -> list[str]:
    full_names = [own.full_name(models.entry(name).full_name) for name in names]
    for name in full_names:
        if full_names.count(name) > 1:
            raise UsageError(
                "{name} is named {count} times. Name each network once; --seeds repeats it.",
                name=name,
                count=full_names.count(name),
            )
    return full_names


def _open_data(
    data: str | Path | Dataset,
    seed: int,
    split: str | Path | None,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    recipes: Mapping[str, Recipe],
) -> TrainingData:
    first = next(iter(recipes.values())) if recipes else Recipe()
    training_data = TrainingData(
        data,
        seed=seed,
        split=Path(split) if split else None,
        on_bad=on_bad,
        max_bad=max_bad,
        validation_images=first.validation_images,
        reading=reading,
    )
    for part, name in (("train", Message("training")), ("val", Message("validation")), ("test", Message("test"))):
        if not len(getattr(training_data.split, part)):
            raise DataError(
                "the {name} set of {source} is empty. Leave --split out to have one drawn, or name a split file that "
                "has one.",
                name=name,
                source=training_data.dataset.source,
            )
    return training_data


def _check_same_length(recipes: Mapping[str, Recipe]) -> None:
    """Raise UsageError if the recipes have different numbers of epochs."""
    lengths = {(recipe.epochs, recipe.min_updates, recipe.batch_size) for recipe in recipes.values()}
    if len({epochs for epochs, *_ in lengths}) > 1:
        epochs_of = ", ".join(f"{model} {recipe.epochs}" for model, recipe in recipes.items())
        raise UsageError(
            "the recipes have different numbers of epochs ({epochs_of}). Set one for all with --epochs.",
            epochs_of=epochs_of,
        )


def _candidate(
    model: str,
    label: str,
    recipe: Recipe,
    training_data: TrainingData,
    protocol: str,
    weights: Sequence[str] = (),
    download: bool = False,
) -> Candidate:
    """Build the network once before any training, to refuse one that the images, protocol or weights do not fit."""
    entry, data = models.entry(model), training_data.dataset
    side = training_data.side(entry, recipe)
    if weights:
        start_from, own_side = _weights_that_fit(model, recipe, training_data, weights, download)
        recipe, side = recipe.change(start_from=start_from), own_side
    network = models.create_model(model, num_classes=len(data.classes), in_channels=data.channels, image_size=side)
    if evaluation.get_protocol(protocol).needs_larger_images:
        evaluation.check_network(protocol, network, (side, side), data.channels)
    totals = arithmetic.summarize(network, (data.channels, side, side)).totals
    tensor_bytes = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    return Candidate(model, label, recipe, totals.params, totals.macs, tensor_bytes)


def _weights_that_fit(
    model: str, recipe: Recipe, training_data: TrainingData, weights: Sequence[str], download: bool
) -> tuple[str, int]:
    """Return the first of ``weights`` that the network can start from, and the side of its input with them.

    Raises:
        UsageError: none of them fits; the message says why.
    """
    data, reasons = training_data.dataset, []
    for each in weights:
        try:
            source = read_source(each, model, download, recipe.image_size)
            side = recipe.image_size or (
                source.preprocessing.size[0] if source.preprocessing else models.entry(model).input[1]
            )
            network = models.create_model(
                model, num_classes=len(data.classes), in_channels=data.channels, image_size=side
            )
            load_initial_weights(network, model, source, data.classes, side)
        except ConvAtlasError as error:
            reasons.append(error.message)
        else:
            return each, side
    raise UsageError(
        "{model} cannot start from the weights named: {reasons} Leave this network out, or name weights of it with "
        "another --start-from.",
        model=model,
        reasons=joined(reasons, " "),
    )


def _over_budget(candidates: Sequence[Candidate], budget: Budget) -> list[Failure]:
    """The networks that exceed the budget by figures that need no training, with these figures."""
    known = Budget(tuple(limit for limit in budget.limits if limit.quantity.name in ("params", "macs", "size")))
    return [
        Failure(
            candidate.label,
            Message(
                "{model} cannot fit {budget}: {costs}.", model=candidate.label, budget=budget, costs=joined(broken)
            ),
        )
        for candidate in candidates
        if (broken := known.broken_by(candidate.costs()))
    ]


# --- training ---------------------------------------------------------------------------------------------------------


def _train_all(
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
            trained[candidate.model].append(Trained(run, _evaluate(run, training_data, protocol)))
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


def _prepared(run: Run, training_data: TrainingData) -> tuple[Preprocessing, ImageStore]:
    """The images as the run prepared them."""
    like = run.preprocessing if run.recipe.start_from is not None else None
    return training_data.prepared(models.entry(run.model), run.recipe, like)


def _evaluate(run: Run, training_data: TrainingData, protocol: str) -> Evaluation:
    """Evaluate the chosen weights on the test set; images that are decoded already are reused if possible."""
    preprocessing, store = _prepared(run, training_data)
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


# --- measuring --------------------------------------------------------------------------------------------------------


def _measure_all(
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
        measured[model] = of_model[0].run.network(), _example(of_model[0].run, training_data)
    image = training_data.dataset.read(int(training_data.split.test[0]))
    for each in features:
        measured[each.fitted.name] = each.module(image), torch.empty(0)
    latencies = measure.latencies(measured, limit_s=LATENCY_LIMIT_S)
    rows = []
    for candidate in candidates:
        listener.stage(Message("measuring the memory of {model}", model=candidate.label))
        runs = [trained_run.run for trained_run in trained[candidate.model]]
        results = [run.result or {} for run in runs]
        channels, height, width = _example(runs[0], training_data).shape[1:]
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


def _example(run: Run, training_data: TrainingData) -> torch.Tensor:
    """Return the first test image as input of the network: (1, C, H, W)."""
    preprocessing, store = _prepared(run, training_data)
    return (
        training_data.batches("test", preprocessing, store, "cpu")
        .batch(torch.as_tensor(training_data.split.test[:1]))
        .images
    )


# --- conditions and evidence ------------------------------------------------------------------------------------------


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
    network = next(row for row in rows if row.model in trained)
    environment, run = training.environment(), trained[network.model][0].run
    machine, recipe = run.config["machine"], run.recipe
    if time_s is None:
        length = Message("{epochs} epochs each", epochs=f"{network.epochs[0]:g}")
    else:
        length = Message(
            "about {time} each; the time of a few updates determined the epochs", time=units.duration(time_s)
        )
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
            "processor": Message(
                "{cpu}, {threads} threads used", cpu=environment["cpu"], threads=network.latency.threads
            ),
            "training": f"{machine['device']}, {machine['precision']} ({machine['why']})",
            "inference": f"{network.latency.device}, fp32, PyTorch eager, batch 1",
            "software": f"convatlas {environment['convatlas']}, torch {environment['torch']}, "
            f"Python {environment['python']}, {environment['platform']}",
        },
        command=command,
    )


def _command(
    training_data: TrainingData,
    names: Sequence[str],
    flags: Mapping[str, tuple[object, object]],
    settings: Mapping[str, object],
) -> str:
    """Return the command that repeats the comparison; ``flags`` are (value, default), and defaults are left out."""
    words = ["convatlas", "compare", *names, "--data", str(training_data.dataset.source)]
    for name, (value, default) in flags.items():
        if value != default:
            words += [f"--{name}"] if value is True else [f"--{name.strip()}", str(value)]
    for name, value in settings.items():
        if name != "min_updates":  # it goes with --epochs
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _evidence(
    trained: Mapping[str, Sequence[Trained]], features: Sequence[HandMade], training_data: TrainingData
) -> Evidence:
    def image(index: int) -> np.ndarray:
        return training_data.dataset.read(int(training_data.split.test[index]))

    return Evidence(
        evaluations={model: [trained_run.evaluation for trained_run in runs] for model, runs in trained.items()}
        | {each.fitted.name: [each.evaluation] for each in features},
        epochs={model: [trained_run.run.epochs() for trained_run in runs] for model, runs in trained.items()},
        chosen={
            model: [(trained_run.run.result or {})["chosen_epoch"] for trained_run in runs]
            for model, runs in trained.items()
        },
        image=image,
    )
