"""Settings given for a run that is resumed: which may differ from those it was started with, and the record of it.

Settings declared as resumable change how long, how fast or where the training goes on. Every other setting decided the
updates made so far, and a run with two values of it could not be repeated by its config.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas import training
from convatlas.data import Dataset, ReadingOptions
from convatlas.errors import DataError, RecipeError, UsageError
from convatlas.message import Message, joined
from convatlas.recipes.recipe import SETTINGS, Recipe
from convatlas.runs import directory
from convatlas.runs.configuration import ALL_SETTINGS
from convatlas.runs.options import OPTIONS, RunOptions, apply
from convatlas.runs.prepare import Setup
from convatlas.runs.run import CONFIG, METRICS, Run
from convatlas.runs.training_data import TrainingData
from convatlas.training.journal import Journal


@dataclass(frozen=True)
class Resumption:
    """The settings with which a run continues.

    Attributes:
        changed: setting -> (the value so far, the value from now on).
    """

    recipe: Recipe
    options: RunOptions
    changed: Mapping[str, tuple[Any, Any]]


def resumption(run: Run, settings: Mapping[str, Any]) -> Resumption:
    """Return the settings of ``run`` with those of ``settings`` that may change.

    Raises:
        RecipeError: settings that cannot change; all of them are named. A value that the run has already is accepted.
        UnknownNameError: a setting that does not exist.
    """
    recipe, options = apply(run.recipe, run.options, settings)
    before = run.recipe.to_dict() | run.options.to_dict()
    after = recipe.to_dict() | options.to_dict()
    changed = {name: (before[name], value) for name, value in after.items() if value != before[name]}
    fixed = [name for name in changed if not ALL_SETTINGS[name].resumable]
    if fixed:
        raise RecipeError(
            "{changes} cannot change when a run is resumed: the updates so far were made with the other value. Leave "
            "this out, or start a new run:  convatlas train {model}",
            settings=fixed,
            changes=joined(
                Message("{name} = {value!r} (in {run}: {before!r})", name=name, value=after[name], run=run.path,
                        before=before[name])
                for name in fixed
            ),
            model=run.model,
        )  # fmt: skip
    return Resumption(recipe, options, changed)


def reopened(run: Run, data: str | Path | Dataset | TrainingData | None, **about: Any) -> TrainingData:
    """Open the data of a run again, at ``data`` where they have moved, and check that they are the same.

    Args:
        about: other arguments of `TrainingData`.

    Raises:
        DataError: the data are not there, or names, labels or files differ from those the run was started with.
    """
    if isinstance(data, TrainingData):
        opened = data
    else:
        described = run.config["data"]
        source = described["source"] if data is None else data
        if data is None and Path(described["source"]).is_absolute() and not Path(described["source"]).exists():
            raise DataError(
                "the data of {run} are no longer at {source}. Name their new place:  "
                "convatlas train --resume {run} --data PATH",
                run=run.path,
                source=source,
            )
        opened = TrainingData(
            source,
            split=run.split_path,
            on_bad=described["on_bad"],
            max_bad=described["max_bad"],
            reading=ReadingOptions(**described.get("reading", {})),
            **about,
        )
    if opened.dataset.fingerprint != run.config["data"]["fingerprint"]:
        if data is None:
            raise DataError(
                "the data at {source} are no longer those of {run_path}: names, labels or files have changed. "
                "Start a new run, or put the old data back.",
                source=opened.dataset.source,
                run_path=run.path,
            )
        raise DataError(
            "the data at {source} are not those of {run_path}: names, labels or files differ. A run continues with the "
            "data it was started with: leave --data out, or start a new run.",
            source=opened.dataset.source,
            run_path=run.path,
        )
    return opened


def record(
    folder: Path,
    setup: Setup,
    learner: training.Learner,
    state: training.State,
    changed: Mapping[str, tuple[Any, Any]],
) -> None:
    """Write what changed to the journal, to a checkpoint that keeps this line, and to config.toml.

    Raises:
        UsageError: the run has already made more epochs than were asked for.
    """
    if state.step > setup.recipe.epochs * len(setup.batches):
        raise UsageError(
            "epochs = {epochs}: {run} has trained longer already ({done:.1f} epochs). Pass a larger --epochs.",
            epochs=setup.recipe.epochs,
            run=folder,
            done=state.step / len(setup.batches),
        )
    if not (changed and setup.process_group.is_main):
        return
    with Journal(folder / METRICS, state.journal_bytes) as lines:
        lines.write("resumed", step=state.step, changed={name: list(values) for name, values in changed.items()})
        lines.sync()
        state.journal_bytes = lines.length
    training.save_state(folder, learner, state)
    tables = dict(Run(folder).config)
    if "data" in changed:
        tables["data"] = tables["data"] | {"source": changed["data"][1]}
    of_recipe = {name: after for name, (_, after) in changed.items() if name in SETTINGS}
    tables["recipe"] = tables["recipe"] | of_recipe
    if "options" in tables:
        of_options = {name: values[1] for name, values in changed.items() if name in OPTIONS}
        tables["options"] = tables["options"] | of_options
    else:  # an earlier run: its options stand among the settings of the recipe
        tables["recipe"] = setup.recipe.to_dict()
        tables["options"] = setup.options.to_dict()
    directory.write_toml(folder / CONFIG, tables)


def changes_of(run: Run) -> list[dict[str, Any]]:
    """Return what the journal says about resuming: the update, and setting -> [before, after] of what changed."""
    return [{"step": line["step"], "changed": line["changed"]} for line in run.metrics() if line["event"] == "resumed"]
