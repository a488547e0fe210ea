"""The settings of a run from all their sources: a flag overrides the environment, the file, the recipe, the default."""

from __future__ import annotations

import contextlib
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.errors import RecipeError, UnknownNameError
from convatlas.message import Message, joined
from convatlas.recipes.recipe import FIELDS, SETTINGS, Recipe
from convatlas.runs.directory import toml_value
from convatlas.runs.options import OPTIONS, RunOptions, apply
from convatlas.settings import ALIASES, Setting, with_current_names

ALL_SETTINGS: dict[str, Setting] = SETTINGS | OPTIONS


@dataclass(frozen=True)
class Configuration:
    """The settings of a run, and where each comes from.

    Attributes:
        origins: for each setting "flag", "environment", "file", "recipe" or "default".
        notices: one for each setting that was given by a former name.
    """

    recipe: Recipe
    options: RunOptions
    origins: Mapping[str, str]
    notices: tuple[Message, ...] = ()

    def to_toml(self) -> str:
        """The settings with their origins, as ``train --print-config`` prints them and ``--config`` reads them."""
        lines = [f"# {self.recipe.name}: {self.recipe.source}"]
        for table, record, settings in (
            ("recipe", self.recipe.to_dict(), SETTINGS),
            ("options", self.options.to_dict(), OPTIONS),
        ):
            lines += ["", f"[{table}]"]
            for name in settings:
                value = record[name]
                text = f"# {name} is not set" if value is None else f"{name} = {toml_value(value)}"
                lines.append(f"{text:<46}  # {self.origins[name]}")
        return "\n".join(lines)


def configure(
    recipe: Recipe,
    flags: Mapping[str, Any] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Configuration:
    """Combine a recipe with the settings of the user.

    Args:
        flags: by name; None is a flag that was not given.
        config: a TOML file of settings.

    Raises:
        RecipeError: a value out of range, or two that contradict each other; unless all of them are flags, the
            message says where each comes from.
        UnknownNameError: a setting that does not exist.
    """
    defaults = Recipe().to_dict() | RunOptions().to_dict()
    values_of_recipe = recipe.to_dict()
    origins = {
        name: "default" if values_of_recipe.get(name, defaults[name]) == defaults[name] else "recipe"
        for name in ALL_SETTINGS
    }
    given = given_settings(flags, config, environment)
    origins |= given.origins
    with given.places_in_errors():
        return Configuration(*apply(recipe, RunOptions(), given.values), origins, given.notices)


@dataclass(frozen=True)
class GivenSettings:
    """The settings that the user gave, whatever the recipe.

    Attributes:
        origins: of each of them "flag", "environment" or "file".
        config: the file.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    notices: tuple[Message, ...]
    config: Path | None

    @contextlib.contextmanager
    def places_in_errors(self) -> Iterator[None]:
        """Add to a RecipeError where the settings it is about come from, unless all of them are flags."""
        try:
            yield
        except RecipeError as error:
            named = [name for name in self.values if name in error.settings]
            if all(self.origins[name] == "flag" for name in named):
                raise
            places = joined(
                Message(
                    "{name} is set by {origin}",
                    name=name,
                    origin=written_origin(ALL_SETTINGS[name], self.origins[name], self.config),
                )
                for name in named
            )
            raise RecipeError(
                "{problem} ({places})", settings=error.settings, problem=error.message, places=places
            ) from error


def given_settings(
    flags: Mapping[str, Any] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> GivenSettings:
    """The settings of the file, of the environment and of the flags; see `configure` for the arguments.

    Raises:
        RecipeError: a file or a variable that cannot be read.
        UnknownNameError: a setting that does not exist.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    notices: tuple[Message, ...] = ()
    for origin, layer in (
        ("file", settings_of_file(config) if config else {}),
        ("environment", settings_of_environment(environment)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        layer, renamed = with_current_names(layer, ALL_SETTINGS.values())
        notices += renamed
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    return GivenSettings(values, origins, notices, config)


def settings_of_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the settings that environment variables give, such as ``CONVATLAS_LR=0.05``.

    Raises:
        UnknownNameError: a variable whose name is close to that of a setting. Any other may belong to another program.
    """
    variables = {each.variable: (name, each) for name, each in ALL_SETTINGS.items()}
    variables |= {
        f"CONVATLAS_{each.formerly.upper()}": (each.formerly, each)
        for each in ALL_SETTINGS.values()
        if each.formerly is not None
    }
    for variable in environment:
        name = variable.removeprefix("CONVATLAS_").lower()
        known = variable in variables or name == variable.lower()
        if not known and (name in ALIASES or difflib.get_close_matches(name, ALL_SETTINGS, 1, 0.75)):
            raise UnknownNameError(
                "setting", name, ALL_SETTINGS, aliases=ALIASES, hint=Message("({variable})", variable=variable)
            )
    return {
        name: each.from_text(environment[variable])
        for variable, (name, each) in variables.items()
        if variable in environment
    }


def settings_of_file(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file: those at its top level, or in its tables ``[recipe]`` and ``[options]``.

    The config.toml of a run is such a file; its other tables are ignored.

    Raises:
        RecipeError: the file cannot be read, or is not TOML.
        UnknownNameError: a setting that does not exist.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError("--config {path} cannot be read: {error}.", path=path, error=error) from error
    tables = [content[name] for name in ("recipe", "options") if isinstance(content.get(name), dict)] or [content]
    values = {name: value for table in tables for name, value in table.items()}
    known = FIELDS.keys() | OPTIONS.keys() | {each.formerly for each in ALL_SETTINGS.values()}
    for name in values:
        if name not in known:
            raise UnknownNameError(
                "setting", name, ALL_SETTINGS, aliases=ALIASES, hint=Message("(in {path})", path=path)
            )
    return {name: value for name, value in values.items() if name not in FIELDS or name in SETTINGS}


def written_origin(setting: Setting, origin: str, config: Path | None) -> str:
    """Return where the user set a setting, as it is written: ``--lr``, ``CONVATLAS_LR``, or the file."""
    return {"flag": setting.flag, "environment": setting.variable, "file": str(config)}[origin]
