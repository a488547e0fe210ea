"""`find_lr`: the learning-rate range test of a training that has not begun."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.atomic import written_atomically
from convatlas.data import Dataset
from convatlas.errors import UsageError
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs import directory
from convatlas.runs.options import RunOptions, apply
from convatlas.runs.prepare import build_learner, build_loss, prepare
from convatlas.runs.training_data import TrainingData
from convatlas.training.loop import EpochBatches
from convatlas.training.lr_range import RULE, LrRange, lr_range
from convatlas.visualization.lr_range import lr_range_png


@dataclass(frozen=True)
class FoundLr:
    """A range test and what it was made with; ``folder`` holds ``lr-range.json`` and ``lr-range.png``."""

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
) -> FoundLr:
    """Sweep the learning rate over ``updates`` updates of a copy of the network, as `train` would make them.

    No run is made; network and data are as they were. What the sweep cannot say: the rate for a training of another
    length, or with another batch size.

    Args:
        out: where the folder with the numbers and the picture is made; None writes nothing.
        download: whether published weights to start from may be fetched.
        settings: settings of the recipe or of the options to change.

    Raises:
        UsageError: as `train`; an optimizer that takes no such rate (sdlm).
        NonFiniteLossError: the loss is nan or inf before anything was learnt.
    """
    chosen = recipe_for(model, recipe) if isinstance(recipe, str) else recipe
    chosen, options = apply(chosen, options, settings)
    if chosen.optimizer == "sdlm":
        raise UsageError("the optimizer sdlm has a printed rate for each pass; a range test has nothing to find.")
    training_data = (
        data if isinstance(data, TrainingData) else TrainingData(data, validation_images=chosen.validation_images)
    )
    setup = prepare(model, training_data, chosen, seed, None, options=options, download=download)
    spent = replace(setup, net=copy.deepcopy(setup.net))
    seen = lr_range(
        build_learner(spent),
        endless(setup.rows_of(setup.batches)),
        build_loss(setup),
        low=low,
        high=high,
        updates=updates,
        seed=seed,
        autocast=setup.hardware.autocast,
        max_grad_norm=chosen.max_grad_norm,
        accumulate=chosen.accumulate,
    )
    found = FoundLr(seen, setup.entry.full_name, training_data.dataset.source, chosen, seed)
    return found if out is None else written(found, Path(out))


def endless(batches: EpochBatches) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, each in its own order."""
    epoch = 0
    while True:
        yield from batches.epoch(epoch)
        epoch += 1


def written(found: FoundLr, out: Path) -> FoundLr:
    folder = directory.make(out, f"lr-range-{found.model}", found.data)
    directory.write_json(folder / "lr-range.json", {"schema": 1, **found.to_dict()})
    seen = found.range
    title = f"{found.model}, {found.recipe.optimizer}, batch {found.recipe.batch_size}"
    picture = lr_range_png(seen.lrs, seen.losses, seen.smoothed, seen.suggestion, seen.diverged, title)
    with written_atomically(folder / "lr-range.png") as file:
        file.write(picture)
    return replace(found, folder=folder)
