"""``compare``: train several networks on the same images under the same budget, measure them, recommend one.

All networks have the same split, which is written to a file. The validation set chooses the weights of each run, and
the test set is evaluated once, after that. Every accuracy has its confidence interval and its protocol, and the machine
is named. No network is called the best if its difference from another is not significant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from convatlas import arithmetic, evaluation, models
from convatlas.baselines.features import need_skimage
from convatlas.baselines.names import is_baseline
from convatlas.comparison.account import command_line, conditions_of, evidence_of
from convatlas.comparison.budget import Budget
from convatlas.comparison.deploy import Engines, deploy, engines_asked_for, recommend_deployment
from convatlas.comparison.hand_made import fit as fit_hand_made
from convatlas.comparison.majority import majority_class, with_chance_level
from convatlas.comparison.measurements import measure_all
from convatlas.comparison.proposal import Proposal
from convatlas.comparison.propose import propose_for
from convatlas.comparison.recommend import recommend
from convatlas.comparison.report import report
from convatlas.comparison.result import SORTED_BY, Comparison, Failure
from convatlas.comparison.start import NoWeightsFit, weights_that_fit
from convatlas.comparison.steps import Candidate, ComparisonListener
from convatlas.comparison.trainings import train_all
from convatlas.data import Dataset, ReadingOptions, write_split
from convatlas.errors import (
    DataError,
    LimitError,
    UnknownNameError,
    UsageError,
)
from convatlas.message import Message, joined
from convatlas.models import own
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.directory import make as make_folder
from convatlas.runs.directory import write_json, write_text
from convatlas.runs.header import FEW_PHOTOS
from convatlas.runs.options import RunOptions, split_settings
from convatlas.runs.reconstruction import refuse_classifying
from convatlas.runs.train import described_source
from convatlas.runs.training_data import TrainingData

# compared if no network is named: from a baseline to the strongest network that trains in minutes on a laptop
FOR_SMALL_IMAGES = ("mlp", "lenet5@modern", "resnet20_cifar")
FOR_PHOTOS = ("lenet5@modern", "resnet20_cifar", "resnet18")
SMALL_SIDE = 64  # pixels; images up to this side count as small
# photos take a hundred times as long as digits, so each training has this time if the user sets no length
PHOTO_TIME_S = 120.0

SCHEMA = 1
SETTINGS_FILE = "comparison-settings.json"  # in the folder of a comparison, from which it can be resumed


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
    engines: str | Sequence[str] = (),
    precisions: str | Sequence[str] | None = None,
    candidates: str | None = None,
    proposal: Proposal | None = None,
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
        start_from: weights to start from, as in `train`; each network takes the first that fits it. A network that none
            of them fits is in ``skipped`` if at least two others are compared and all weights are used.
        download: whether published weights may be downloaded.
        engines: "torch", "onnxruntime", "openvino": also export every network for these engines, check each file's
            contract, measure the files as they are deployed, and recommend one of them. Needs the extra ``export``.
        precisions: of the exported files: "fp32" (the default), "bf16", "fp16", "int8".
        candidates: ``auto`` or ``auto:N`` in the place of names: at most N networks (4) are proposed whose derived
            size and multiply-adds and whose predicted latency fit the budget; see `propose_for`.
        proposal: the networks that were proposed before, in the place of ``names`` and ``candidates``.
        continue_in: folder of an interrupted comparison with the same arguments; trainings that are finished there are
            not run again. See `resume_comparison`.
        sort: the order of the rows, one of `SORTED_BY`: as the networks were named, the most accurate first, or the
            smallest cost first.
        settings: settings of the recipes and of the options (`RunOptions`) to change for all networks.
        protocol: name of the evaluation protocol of the test images.
        on_bad: what to do with an image that cannot be read: "fail", or "skip" it and list it.
        max_bad: largest share of all images that may be skipped.
        reading: how the data are read: columns of a table, the source of the class, links, rare classes.
        out: parent of the directory of the comparison.
        listener: is told of the progress; None is silent.

    Returns: the comparison. Its ``folder`` contains report.html, comparison.json, split.csv and the runs. If no network
        fits the budget, ``recommendation.model`` is None and ``recommendation.why`` states by how much it is exceeded.

    Raises:
        UsageError: a name is unknown or repeated, the budget cannot be read, or the images are too small for a network;
            always before the first training.
        MissingDependencyError: the package of an engine is not installed; before the first training.
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
    if engines:
        plan |= {"engines": engines if isinstance(engines, str) else list(engines), "precisions": precisions}
    weights = (start_from,) if isinstance(start_from, str) else tuple(start_from)
    if candidates is not None:
        if names:
            raise UsageError("name networks, or pass candidates {candidates!r}; not both.", candidates=candidates)
        of_recipe, of_options = split_settings(settings)
        proposal = propose_for(
            data, candidates, budget=limits, recipe=recipe, changes=of_recipe, start_from=weights, download=download,
            threads=of_options.get("threads"), reading=reading, on_stage=listener.stage,
        )  # fmt: skip
    if proposal is not None:
        listener.proposed(proposal)
        names = proposal.names
    if epochs is not None:
        settings = settings | {"epochs": epochs, "min_updates": 0}
    protocol = evaluation.get_protocol(protocol).name
    deployed = engines_asked_for(engines, precisions, protocol)
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
    if proposal is not None and epochs is None and time_s is None:
        time_s = PHOTO_TIME_S  # the recipes of networks that were not named may differ in length
    if time_s is None:
        _check_same_length(recipes)
    labels = own.short_names(list(recipes))
    to_train, skipped = _candidates(recipes, labels, training_data, protocol, weights, download)
    skipped += _over_budget(to_train, limits, deployed)
    for each in skipped:
        listener.skipped(each)
    to_train = [each for each in to_train if each.label not in {out.model for out in skipped}]
    if not to_train:
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
        if proposal is not None:
            plan["proposal"] = proposal.to_dict()
        write_json(folder / SETTINGS_FILE, {"schema": SCHEMA, **plan})
    else:
        folder = Path(continue_in)
    all_seeds = tuple(range(seed, seed + seeds))
    trained, failures = train_all(to_train, training_data, options, all_seeds, folder, time_s, protocol, listener)
    features = []
    for name in dict.fromkeys(hand_made):
        listener.stage(Message("fitting {name}", name=name))
        features.append(fit_hand_made(name, training_data, folder))
    rows = measure_all(
        [candidate for candidate in to_train if candidate.model in trained],
        trained,
        features,
        training_data,
        all_seeds,
        Budget() if deployed else limits,  # which then is one of the exported files
        listener,
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
        "engines": (engines if isinstance(engines, str) else ",".join(engines), ""),
        "precisions": (precisions if isinstance(precisions, str | None) else ",".join(precisions), None),
        **{f"start-from{' ' * n}": (each, None) for n, each in enumerate(weights)},
        **{name.replace("_", "-"): (value, None) for name, value in reading.to_dict().items()},
    }
    evaluation.common_protocol([trained_run.evaluation for runs in trained.values() for trained_run in runs])
    hits = {model: np.stack([trained_run.evaluation.hits for trained_run in runs]) for model, runs in trained.items()}
    hits |= {each.fitted.name: each.evaluation.hits[None] for each in features}
    majority = majority_class(training_data)
    rows = with_chance_level(rows, hits, majority)
    if proposal is not None:
        rows = [replace(row, predicted_s=proposal.predicted_s(row.model)) for row in rows]
    deployments = None
    if deployed:
        threads = rows[0].latency.threads
        deployments, hits = deploy(deployed, rows, trained, training_data, threads, limits, sort, listener)
        deployments = replace(deployments, rows=tuple(with_chance_level(deployments.rows, hits, majority)))
        listener.stage(Message("writing the report"))
        advice = recommend_deployment(deployments, hits, limits)
    else:
        advice = recommend(rows, hits, limits)
    comparison = Comparison(
        rows=tuple(rows),
        recommendation=advice,
        budget=limits,
        conditions=conditions_of(
            rows,
            trained,
            training_data,
            all_seeds,
            protocol,
            time_s,
            command_line(training_data, [*map(own.short_name, recipes), *hand_made], flags, settings),
        ),
        failures=tuple(failures),
        folder=folder,
        majority=majority.row,
        skipped=tuple(skipped),
        deployments=deployments,
        proposal=proposal,
    )
    write_json(folder / "comparison.json", {"schema": SCHEMA, **comparison.to_dict()})
    write_text(comparison.report, report(comparison, evidence_of(trained, features, training_data)))
    return comparison


def resume_comparison(
    folder: str | Path, data: str | Path | None = None, *, listener: ComparisonListener | None = None
) -> Comparison:
    """Continue a comparison that was interrupted, with the settings in its folder.

    Trainings that are finished are not run again. One that was interrupted continues from its newest checkpoint.

    Args:
        data: where the data are now, if they have moved.
        folder: the directory of the comparison.
        listener: is told of the progress; None is silent.

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
    if "proposal" in plan:
        plan["proposal"] = Proposal.from_dict(plan["proposal"])
    return compare(**plan, reading=reading, split=folder / "split.csv", continue_in=folder, listener=listener)


# --- before the training ----------------------------------------------------------------------------------------------


def default_networks(data: Dataset) -> tuple[str, ...]:
    """Return the networks that are compared if none is named, by the size of the images.

    Args:
        data: the data set.
    """
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


def _candidates(
    recipes: Mapping[str, Recipe],
    labels: Mapping[str, str],
    training_data: TrainingData,
    protocol: str,
    weights: Sequence[str],
    download: bool,
) -> tuple[list[Candidate], list[Failure]]:
    """The networks, and those that none of the weights fits.

    Networks with weights and networks without are not compared: what they learned before would decide. Where two remain
    and every name of weights was of use, so that none of them is a slip, the others are left out; else all are refused.

    Raises:
        UsageError: a network does not fit the images, the protocol or the weights.
    """
    candidates: list[Candidate] = []
    without: list[tuple[str, NoWeightsFit]] = []
    for model, chosen in recipes.items():
        try:
            candidates.append(_candidate(model, labels[model], chosen, training_data, protocol, weights, download))
        except NoWeightsFit as error:
            without.append((labels[model], error))
    used = {candidate.recipe.start_from for candidate in candidates}
    if without and (len(candidates) < 2 or not used.issuperset(weights)):
        raise without[0][1]
    return candidates, [
        Failure(
            label,
            Message("{model} cannot start from the weights named: {reasons}", model=label, reasons=error.reasons),
        )
        for label, error in without
    ]


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
        start_from, own_side = weights_that_fit(model, recipe, data, weights, download)
        recipe, side = recipe.change(start_from=start_from), own_side
    network = models.create_model(model, num_classes=len(data.classes), in_channels=data.channels, image_size=side)
    if evaluation.get_protocol(protocol).needs_larger_images:
        evaluation.check_network(protocol, network, (side, side), data.channels)
    totals = arithmetic.summarize(network, (data.channels, side, side)).totals
    tensors = network.state_dict().values()
    tensor_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    matrix_values = sum(tensor.numel() for tensor in tensors if tensor.ndim > 1)
    return Candidate(model, label, recipe, totals.params, totals.macs, tensor_bytes, matrix_values)


def _over_budget(candidates: Sequence[Candidate], budget: Budget, deployed: Engines) -> list[Failure]:
    """The networks that exceed the budget by figures that need no training, with these figures.

    The size of an exported file is not known yet: at least its matrices are in it, in the narrowest precision.
    """
    known = Budget(tuple(limit for limit in budget.limits if limit.quantity.name in ("params", "macs", "size")))
    return [
        Failure(
            candidate.label,
            Message(
                "{model} cannot fit {budget}: {costs}.", model=candidate.label, budget=budget, costs=joined(broken)
            ),
        )
        for candidate in candidates
        if (broken := known.broken_by(candidate.costs(deployed.bytes_of_weight if deployed else None)))
    ]
