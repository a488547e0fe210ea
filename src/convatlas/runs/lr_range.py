"""`find_lr`: the learning-rate range test of a training."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convatlas.atomic import written_atomically
from convatlas.batch import Batch, EpochBatches
from convatlas.data import Dataset
from convatlas.errors import UsageError
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs import directory
from convatlas.runs.options import RunOptions, apply
from convatlas.runs.prepare import prepare
from convatlas.runs.training_data import TrainingData
from convatlas.training.lr_range import RULE, LrRange, lr_range
from convatlas.visualization.lr_range import lr_range_png


@dataclass(frozen=True)
class LrRangeRun:
    """A learning-rate range test with its settings; ``folder`` contains ``lr-range.json`` and ``lr-range.png``."""

    range: LrRange
    model: str
    data: str
    recipe: Recipe
    seed: int
    folder: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "data": self.data,
            "recipe": self.recipe.name,
            "optimizer": self.recipe.optimizer,
            "batch_size": self.recipe.batch_size,
            "start_from": self.recipe.start_from,
            "seed": self.seed,
            "suggestion": self.range.suggestion,
            "rule": RULE,
            **asdict(self.range),
        }


def find_lr(
    model: str,
    data: str | Path | Dataset | TrainingData = "digits",
    recipe: str | Recipe = "modern",
    *,
    options: RunOptions | None = None,
    seed: int = 0,
    out: str | Path | None = "runs",
    low: float = 1e-5,
    high: float = 10.0,
    updates: int = 100,
    download: bool = False,
    **settings: Any,
) -> LrRangeRun:
    """Run the learning-rate range test: ``updates`` updates as `train` makes them, with a rising learning rate.

    The updates change a copy of the network, and no run directory is written. The suggestion does not hold for a
    training of another length or with another batch size.

    Args:
        out: parent of the folder for the numbers and the plot; None writes nothing.
        download: whether published weights to start from may be downloaded.
        settings: settings of the recipe or of the options to change.

    Raises:
        UsageError: as in `train`; or the optimizer is sdlm, which has no constant learning rate.
        NonFiniteLossError: the loss is nan or inf at the first update.
    """
    chosen = recipe_for(model, recipe) if isinstance(recipe, str) else recipe
    chosen, options = apply(chosen, options, settings)
    if chosen.optimizer == "sdlm":
        raise UsageError(
            "the optimizer sdlm has a printed learning rate for each pass, so a range test does not apply to it."
        )
    training_data = (
        data if isinstance(data, TrainingData) else TrainingData(data, validation_images=chosen.validation_images)
    )
    setup = prepare(model, training_data, chosen, seed, options=options, download=download)
    result = lr_range(
        setup.learner(copy.deepcopy(setup.net)),
        all_epochs(setup.of_this_rank(setup.batches)),
        setup.loss(),
        low=low,
        high=high,
        updates=updates,
        seed=seed,
        autocast=setup.hardware.autocast,
        max_grad_norm=chosen.max_grad_norm,
        accumulate=chosen.accumulate,
    )
    test = LrRangeRun(result, setup.entry.full_name, training_data.dataset.source, chosen, seed)
    return test if out is None else write_files(test, Path(out))


def all_epochs(batches: EpochBatches) -> Iterator[Batch]:
    """Yield the batches of epoch 0, 1, 2 ... without end."""
    for epoch in itertools.count():
        yield from batches.epoch(epoch)


def write_files(test: LrRangeRun, out: Path) -> LrRangeRun:
    """Write the numbers and the plot into a new folder below ``out``. Returns ``test`` with that folder."""
    folder = directory.make(out, f"lr-range-{test.model}", test.data)
    directory.write_json(folder / "lr-range.json", {"schema": 1, **test.to_dict()})
    curve = test.range
    title = f"{test.model}, {test.recipe.optimizer}, batch {test.recipe.batch_size}"
    picture = lr_range_png(curve.lrs, curve.losses, curve.smoothed, curve.suggestion, curve.diverged, title)
    with written_atomically(folder / "lr-range.png") as file:
        file.write(picture)
    return replace(test, folder=folder)
