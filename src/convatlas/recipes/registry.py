"""Which recipes there are, and which are a network's own."""

from __future__ import annotations

from typing import NamedTuple

from convatlas import models
from convatlas.errors import UnknownNameError
from convatlas.message import Message
from convatlas.recipes import modern
from convatlas.recipes.alexnet import ALEXNET_2012
from convatlas.recipes.bn_inception import BN_INCEPTION_2015_X5, BN_INCEPTION_2015_X30
from convatlas.recipes.densenet import DENSENET161_2016, DENSENET_2016, DENSENET_CIFAR_2016
from convatlas.recipes.fast import FAST
from convatlas.recipes.finetune import FINETUNE, FINETUNE_DEEP_UNNORMALISED, FINETUNE_UNNORMALISED
from convatlas.recipes.googlenet import GOOGLENET_2014
from convatlas.recipes.inception import INCEPTION_V3_2015, INCEPTION_V4_2016
from convatlas.recipes.lenet import LENET5_1998
from convatlas.recipes.nin import NIN_CIFAR_2013
from convatlas.recipes.prelu_net import PRELU_NET_2015
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.resnet import RESNET110_CIFAR_2015, RESNET_2015, RESNET_CIFAR_2015
from convatlas.recipes.squeezenet import SQUEEZENET_2016
from convatlas.recipes.vgg import VGG_2014, VGG_2014_S256, VGG_2014_S384
from convatlas.recipes.xception import XCEPTION_2016
from convatlas.recipes.zfnet import ZFNET_2013

# the modules of recipes in the order of docs/recipes.md, with what each declares
DECLARED: dict[str, tuple[Recipe, ...]] = {
    "modern": (modern.MODERN, modern.MODERN_LONG),
    "finetune": (FINETUNE,),
    "fast": (FAST,),
    "lenet": (LENET5_1998,),
    "alexnet": (ALEXNET_2012,),
    "zfnet": (ZFNET_2013,),
    "nin": (NIN_CIFAR_2013,),
    "vgg": (VGG_2014_S256, VGG_2014_S384, VGG_2014),
    "googlenet": (GOOGLENET_2014,),
    "prelu_net": (PRELU_NET_2015,),
    "bn_inception": (BN_INCEPTION_2015_X30, BN_INCEPTION_2015_X5),
    "inception": (INCEPTION_V3_2015, INCEPTION_V4_2016),
    "resnet": (RESNET_2015, RESNET_CIFAR_2015, RESNET110_CIFAR_2015),
    "squeezenet": (SQUEEZENET_2016,),
    "densenet": (DENSENET_2016, DENSENET161_2016, DENSENET_CIFAR_2016),
    "xception": (XCEPTION_2016,),
}
OF_TODAY = ("modern", "finetune", "fast")  # the modules whose recipes are no paper's own
MADE_FOR = {"speednet_cifar": FAST}  # recipes written for one network, and no use to another
PAPER_RECIPES = {
    recipe.name: recipe for module, recipes in DECLARED.items() if module not in OF_TODAY for recipe in recipes
}

# by family, or by the name of a network that differs from its family
_PAPER = {
    "lenet": LENET5_1998,
    "alexnet": ALEXNET_2012,
    "zfnet": ZFNET_2013,
    "nin_cifar": NIN_CIFAR_2013,
    "vgg": VGG_2014,
    "googlenet": GOOGLENET_2014,
    "prelu_net": PRELU_NET_2015,
    "bn_inception": BN_INCEPTION_2015_X30,
    "inception_v3": INCEPTION_V3_2015,
    "inception_v4": INCEPTION_V4_2016,
    "resnet": RESNET_2015,
    "resnet_cifar": RESNET_CIFAR_2015,
    "resnet110_cifar": RESNET110_CIFAR_2015,
    "resnet1202_cifar": RESNET110_CIFAR_2015,
    "squeezenet": SQUEEZENET_2016,
    "densenet": DENSENET_2016,
    "densenet161": DENSENET161_2016,
    "densenet_cifar": DENSENET_CIFAR_2016,
    "xception": XCEPTION_2016,
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


def own_recipes(model: str) -> dict[str, Recipe]:
    """The recipes that the network decides: ``modern``, ``modern_long``, ``finetune``, and ``paper`` where it has one.

    A network that gives back images has ``modern`` alone.
    """
    entry = models.entry(model)
    if entry.reconstructs:
        return {"modern": modern.RECONSTRUCTION}
    of_today = _MODERN[entry.modern]
    paper = _PAPER.get(entry.full_name) or _PAPER.get(entry.name) or _PAPER.get(entry.family)
    made_for = {recipe.name: recipe for name, recipe in MADE_FOR.items() if name == entry.full_name}
    return of_today._asdict() | made_for | ({"paper": paper} if paper else {})


def recipe_for(model: str, name: str = "modern") -> Recipe:
    """The recipe called ``name`` for a network: one of `own_recipes`, or any by its own name.

    Raises:
        UnknownNameError: no such recipe, or the network's paper has none.
        UsageError: a network that is no classifier.
    """
    known = own_recipes(model) | PAPER_RECIPES
    if name not in known:
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
