"""`RunOptions`: the settings of a run that do not change what its recipe trains: the machine, checkpoints, loggers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from convatlas.errors import UnknownNameError
from convatlas.recipes.recipe import FIELDS as RECIPE_FIELDS
from convatlas.recipes.recipe import Recipe
from convatlas.settings import ALIASES, Setting, check, setting, settings_of, values_of, with_current_names


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How and where a recipe is trained. Immutable: a change is new options (`change`).

    Raises:
        RecipeError: a value out of range.
    """

    device: str = setting(
        "auto", "Device: cpu, cuda, cuda:N, or auto (the GPU if there is one).", "machine", resumable=True
    )
    threads: int | None = setting(
        None, "Threads of the CPU; by default as many as there are physical cores.", "machine", resumable=True, least=1
    )
    precision: str = setting(
        "auto",
        "Precision of the computation: bf16 (mixed precision), fp32, or auto (fp32 if the recipe asks for it, "
        "otherwise bf16 if the processor has instructions for it).",
        "machine",
        ("auto", "bf16", "fp32"),
    )
    channels_last: bool | None = setting(
        None,
        "Use the channels_last memory format; by default yes, unless a trial shows that it is slower.",
        "machine",
    )
    trial: bool = setting(
        True,
        "Before a long run, time a few updates with each value of precision, channels_last and compile that is not "
        "set, and use the fastest; the result is stored for this machine.",
        "machine",
    )
    compile: str = setting(
        "auto",
        "Compile the network with torch.compile: on, off, or auto (if a trial shows that the run gets shorter).",
        "machine",
        ("auto", "on", "off"),
    )
    allocator: bool = setting(
        True,
        "Keep freed memory in the process instead of returning it to the system (glibc only).",
        "machine",
        resumable=True,
    )
    sync_batchnorm: bool = setting(
        False,
        "With torchrun: compute the statistics of batch norm over the global batch instead of each process's part.",
        "machine",
    )
    rank_timeout_s: float = setting(
        30.0,
        "With torchrun: seconds to wait for another process before the run fails.",
        "machine",
        resumable=True,
        above=0,
    )

    log: str = setting(
        "",
        "Loggers to write to, besides the run directory: tensorboard, wandb, mlflow; several are separated by commas. "
        "All of them write to this machine only.",
        "files",
        resumable=True,
    )
    gradient_norms: bool = setting(
        False,
        "Record the norm of the gradient of each layer's weights at each epoch, for the report and convatlas inspect.",
        "files",
    )
    checkpoint_every_s: float = setting(60.0, "Seconds between two checkpoints.", "files", resumable=True, above=0)
    checkpoint_every_steps: int | None = setting(
        None,
        "Updates between two checkpoints, in addition to checkpoint_every_s; by default only the time counts.",
        "files",
        resumable=True,
        least=1,
    )

    def __post_init__(self) -> None:
        check(self)

    def change(self, **changes: Any) -> RunOptions:
        """Return new options with other values.

        Raises:
            UnknownNameError: an option that does not exist; the message lists similar names.
        """
        for name in changes:
            if name not in OPTIONS:
                raise UnknownNameError("setting", name, OPTIONS, aliases=ALIASES)
        return replace(self, **changes)

    def for_recipe(self, recipe: Recipe) -> RunOptions:
        """Return these options, with the precision of the recipe if none is set."""
        return replace(self, precision="fp32") if self.precision == "auto" and recipe.full_precision else self

    def to_dict(self) -> dict[str, Any]:
        return values_of(self)


OPTIONS: dict[str, Setting] = settings_of(RunOptions)


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into those of the recipe and those of the options.

    Raises:
        UnknownNameError: a setting that does not exist; the message lists similar names.
    """
    known = RECIPE_FIELDS | OPTIONS
    settings, notices = with_current_names(settings, known.values())
    for notice in notices:
        warnings.warn(notice, FutureWarning, stacklevel=4)
    for name in settings:
        if name not in known and name != "augment":
            raise UnknownNameError("setting", name, known, aliases=ALIASES)
    of_options = {name: value for name, value in settings.items() if name in OPTIONS}
    return {name: value for name, value in settings.items() if name not in OPTIONS}, of_options


def apply(recipe: Recipe, options: RunOptions | None, settings: Mapping[str, Any]) -> tuple[Recipe, RunOptions]:
    """Return recipe and options with other values for some settings, given by name as keywords of `train`.

    Args:
        options: None stands for the defaults.

    Raises:
        UnknownNameError: a setting that does not exist; the message lists similar names.
        RecipeError: a value out of range, or two that contradict each other.
    """
    of_recipe, of_options = split_settings(settings)
    return recipe.change(**of_recipe), (options or RunOptions()).change(**of_options)
