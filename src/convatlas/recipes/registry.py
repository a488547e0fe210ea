"""All recipes by name, and the recipes of each network."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import NamedTuple

from convatlas import models, recipes
from convatlas.errors import UnknownNameError
from convatlas.message import Message
from convatlas.recipes import modern
from convatlas.recipes.finetune import FINETUNE, FINETUNE_DEEP_UNNORMALISED, FINETUNE_UNNORMALISED
from convatlas.recipes.recipe import Recipe

OF_TODAY = (
    "modern",
    "finetune",
    "fast",
)  # first in docs/recipes.md; the modules of the papers follow by name
WITHOUT_RECIPES = {"recipe", "registry", "page"}


def _modules() -> dict[str, ModuleType]:
    """The modules of this package that declare recipes, by name.

    Each has ``RECIPES``, in the order of docs/recipes.md. ``PAPER_OF`` maps families of networks, or single networks,
    to the recipe of their paper. ``MADE_FOR`` maps a network to a recipe that suits only this network.
    """
    papers = {each.name for each in pkgutil.iter_modules(recipes.__path__)} - WITHOUT_RECIPES - set(OF_TODAY)
    return {name: importlib.import_module(f"convatlas.recipes.{name}") for name in (*OF_TODAY, *sorted(papers))}


_MODULES = _modules()
DECLARED: dict[str, tuple[Recipe, ...]] = {name: module.RECIPES for name, module in _MODULES.items()}
_PAPER = {
    network: recipe for module in _MODULES.values() for network, recipe in getattr(module, "PAPER_OF", {}).items()
}
MADE_FOR = {
    network: recipe for module in _MODULES.values() for network, recipe in getattr(module, "MADE_FOR", {}).items()
}
PAPER_RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for name, module in _MODULES.items() if name not in OF_TODAY for recipe in module.RECIPES
}


class Modern(NamedTuple):
    """The recipes of today for one kind of network."""

    modern: Recipe
    modern_long: Recipe
    finetune: Recipe


# by `Entry.modern`, which is derived from the layers of a network
_MODERN = {
    "normalised": Modern(modern.MODERN, modern.MODERN_LONG, FINETUNE),
    "shallow": Modern(modern.MODERN_UNNORMALISED, modern.MODERN_LONG_UNNORMALISED, FINETUNE_UNNORMALISED),
    "deep": Modern(modern.MODERN_DEEP_UNNORMALISED, modern.MODERN_LONG_DEEP_UNNORMALISED, FINETUNE_DEEP_UNNORMALISED),
}


def own_recipes(model: str | models.Entry) -> dict[str, Recipe]:
    """Return the recipes whose settings depend on the network: ``modern``, ``modern_long``, ``finetune`` and ``paper``.

    A network whose paper prints no training has no ``paper``. A network that reconstructs images has only ``modern``.
    """
    entry = models.entry(model) if isinstance(model, str) else model
    if entry.reconstructs:
        return {"modern": modern.RECONSTRUCTION}
    of_today = _MODERN[entry.modern]
    paper = _PAPER.get(entry.full_name) or _PAPER.get(entry.name) or _PAPER.get(entry.family)
    made_for = {recipe.name: recipe for name, recipe in MADE_FOR.items() if name == entry.full_name}
    return of_today._asdict() | made_for | ({"paper": paper} if paper else {})


def recipe_for(model: str | models.Entry, name: str = "modern") -> Recipe:
    """Return the recipe called ``name`` for a network or its entry: of `own_recipes`, or by its own name.

    Raises:
        UnknownNameError: there is no such recipe, or the network's paper prints no training.
    """
    known = own_recipes(model) | PAPER_RECIPES
    if name not in known:
        model = model if isinstance(model, str) else model.label
        hint = Message("(for {model})", model=model)
        if name == "paper":
            hint = Message("(for {model}) its paper prints no training.", model=model)
        raise UnknownNameError("recipe", name, known, hint=hint)
    return known[name]


def recipe_by_name(name: str) -> Recipe:
    """Return a recipe by its own name, without a network.

    Raises:
        UnknownNameError: there is no such recipe; ``paper`` needs a network.
    """
    known = {recipe.name: recipe for recipes in DECLARED.values() for recipe in recipes}
    if name not in known:
        raise UnknownNameError(
            "recipe", name, known, hint=Message("(for the recipe of a network's paper pass --model)")
        )
    return known[name]


class RecipeLine(NamedTuple):
    """A line of ``train --list-recipes`` and of docs/recipes.md."""

    recipe: str
    whose: str
    length: str
    update: str


def listing(model: str | None = None) -> list[RecipeLine]:
    """Return a line for every recipe, with the networks whose ``paper`` it is; or for every recipe of a network.

    Raises:
        UnknownNameError: there is no such network.
    """
    if model is not None:
        return [_line(name, recipe.name, recipe) for name, recipe in own_recipes(model).items()]
    return [
        _line(
            recipe.name,
            describe_networks(recipe),
            recipe,
        )
        for recipes in DECLARED.values()
        for recipe in recipes
    ]


def describe_networks(recipe: Recipe) -> str:
    """Return the networks that a recipe is for, in words."""
    if recipe.name in PAPER_RECIPES:
        return ", ".join(networks_of(recipe)) or Message("none: select it by its name")
    made_for = [name for name, each in MADE_FOR.items() if each is recipe]
    return Message("none: made for {network}", network=made_for[0]) if made_for else Message("any classifier")


def _line(name: str, whose: str, recipe: Recipe) -> RecipeLine:
    update = f"{recipe.optimizer}, lr {recipe.lr:g} {recipe.schedule}"
    return RecipeLine(
        name,
        whose,
        Message("{epochs} epochs of {batch_size}", epochs=recipe.epochs, batch_size=recipe.batch_size),
        update,
    )


def networks_of(recipe: Recipe) -> list[str]:
    """Return the networks whose ``paper`` is this recipe, without deployed variants."""
    classifiers = [name for name in models.list_models(variants=False) if not models.entry(name).reconstructs]
    return [name for name in classifiers if own_recipes(name).get("paper") is recipe]
