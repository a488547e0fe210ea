"""Which recipes there are, and which are a network's own."""

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

OF_TODAY = ("modern", "finetune", "fast")  # first in docs/recipes.md; the modules of papers follow by name
WITHOUT_RECIPES = {"recipe", "registry", "page"}


def _modules() -> dict[str, ModuleType]:
    """The modules of this package that declare recipes, by name.

    Each has ``RECIPES``, in the order of docs/recipes.md. It may have ``PAPER_OF``, families of networks (or networks
    that differ from their family) with the recipe of their paper, and ``MADE_FOR``, networks with a recipe that was
    written for this network and is of no use to another.
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


# by `Entry.modern`, which the layers of a network decide
_MODERN = {
    "normalised": Modern(modern.MODERN, modern.MODERN_LONG, FINETUNE),
    "shallow": Modern(modern.MODERN_UNNORMALISED, modern.MODERN_LONG_UNNORMALISED, FINETUNE_UNNORMALISED),
    "deep": Modern(modern.MODERN_DEEP_UNNORMALISED, modern.MODERN_LONG_DEEP_UNNORMALISED, FINETUNE_DEEP_UNNORMALISED),
}


def own_recipes(model: str | models.Entry) -> dict[str, Recipe]:
    """The recipes that the network decides: ``modern``, ``modern_long``, ``finetune``, and ``paper`` where it has one.

    A network that gives back images has ``modern`` alone.
    """
    entry = models.entry(model) if isinstance(model, str) else model
    if entry.reconstructs:
        return {"modern": modern.RECONSTRUCTION}
    of_today = _MODERN[entry.modern]
    paper = _PAPER.get(entry.full_name) or _PAPER.get(entry.name) or _PAPER.get(entry.family)
    made_for = {recipe.name: recipe for name, recipe in MADE_FOR.items() if name == entry.full_name}
    return of_today._asdict() | made_for | ({"paper": paper} if paper else {})


def recipe_for(model: str | models.Entry, name: str = "modern") -> Recipe:
    """The recipe called ``name`` for a network, by its name or its entry: one of `own_recipes`, or any by its own name.

    Raises:
        UnknownNameError: no such recipe, or the network's paper has none.
        UsageError: a network that is no classifier.
    """
    known = own_recipes(model) | PAPER_RECIPES
    if name not in known:
        model = model if isinstance(model, str) else model.label
        hint = Message("(for {model})", model=model)
        if name == "paper":
            hint = Message("(for {model}) its paper prints no training.", model=model)
        raise UnknownNameError("recipe", name, known, hint=hint)
    return known[name]


def named(name: str) -> Recipe:
    """A recipe by its own name, for no network in particular.

    Raises:
        UnknownNameError: no such recipe; ``paper`` is a network's own.
    """
    known = {recipe.name: recipe for recipes in DECLARED.values() for recipe in recipes}
    if name not in known:
        raise UnknownNameError("recipe", name, known, hint=Message("(a network's own with --model)"))
    return known[name]


class RecipeLine(NamedTuple):
    """A line of ``train --list-recipes`` and of docs/recipes.md."""

    recipe: str
    whose: str
    length: str
    update: str


def listing(model: str | None = None) -> list[RecipeLine]:
    """All recipes with the networks whose ``paper`` they are; or a network's own, with the names they go by.

    Raises:
        UnknownNameError, UsageError: no such network, or one that is no classifier.
    """
    if model is not None:
        return [_listed(name, recipe.name, recipe) for name, recipe in own_recipes(model).items()]
    return [
        _listed(
            recipe.name,
            whose(recipe),
            recipe,
        )
        for recipes in DECLARED.values()
        for recipe in recipes
    ]


def whose(recipe: Recipe) -> str:
    """Which networks a recipe is for, in words."""
    if recipe.name in PAPER_RECIPES:
        return ", ".join(networks_of(recipe)) or Message("none: by its name")
    made_for = [name for name, each in MADE_FOR.items() if each is recipe]
    return Message("none: made for {network}", network=made_for[0]) if made_for else Message("any classifier")


def _listed(name: str, whose: str, recipe: Recipe) -> RecipeLine:
    rule = f"{recipe.optimizer}, lr {recipe.lr:g} {recipe.schedule}"
    return RecipeLine(
        name,
        whose,
        Message("{epochs} epochs of {batch_size}", epochs=recipe.epochs, batch_size=recipe.batch_size),
        rule,
    )


def networks_of(recipe: Recipe) -> list[str]:
    """The networks of the atlas, deployed variants left out, whose ``paper`` this recipe is."""
    classifiers = [name for name in models.list_models(variants=False) if not models.entry(name).reconstructs]
    return [name for name in classifiers if own_recipes(name).get("paper") is recipe]
