"""Which recipes there are, and which are a network's own."""

from __future__ import annotations

from convatlas import models
from convatlas.errors import UnknownNameError, UsageError
from convatlas.recipes._recipe import Recipe
from convatlas.recipes.alexnet import ALEXNET_2012
from convatlas.recipes.lenet import LENET5_1998
from convatlas.recipes.modern import MODERN, MODERN_DEEP_UNNORMALISED, MODERN_UNNORMALISED
from convatlas.recipes.resnet import RESNET110_CIFAR_2015, RESNET_2015, RESNET_CIFAR_2015
from convatlas.recipes.vgg import VGG_2014

PAPER_RECIPES = {
    recipe.name: recipe
    for recipe in (LENET5_1998, ALEXNET_2012, VGG_2014, RESNET_2015, RESNET_CIFAR_2015, RESNET110_CIFAR_2015)
}

# family -> (its paper's recipe, its short recipe of today)
_OF_FAMILY = {
    "mlp": (None, MODERN_UNNORMALISED),
    "lenet": (LENET5_1998, MODERN_UNNORMALISED),
    "alexnet": (ALEXNET_2012, MODERN_DEEP_UNNORMALISED),
    "vgg": (VGG_2014, MODERN_DEEP_UNNORMALISED),
    "zfnet": (None, MODERN_DEEP_UNNORMALISED),
    "nin": (None, MODERN_DEEP_UNNORMALISED),
    "googlenet": (None, MODERN_DEEP_UNNORMALISED),
    "prelu_net": (None, MODERN_DEEP_UNNORMALISED),
    "squeezenet": (None, MODERN_DEEP_UNNORMALISED),
    "resnet": (RESNET_2015, MODERN),
    "resnet_cifar": (RESNET_CIFAR_2015, MODERN),
}
# networks that differ from their family
_OF_NETWORK = {
    "googlenet@torchvision": (None, MODERN),  # with batch norm
    "resnet110_cifar": (RESNET110_CIFAR_2015, MODERN),
    "resnet1202_cifar": (RESNET110_CIFAR_2015, MODERN),
}


def recipe_for(model: str, name: str = "modern") -> Recipe:
    """The recipe called ``name`` for a network: ``modern``, ``paper``, or a paper recipe by its own name.

    Raises:
        UnknownNameError: no such recipe, or the network's paper has none.
        UsageError: a network that is no classifier.
    """
    entry = models.entry(model)
    if entry.family == "autoencoder":
        raise UsageError(f"{model} gives back images, not classes: there is nothing to classify with. Choose another.")
    paper, modern = _OF_NETWORK.get(entry.full_name) or _OF_FAMILY.get(entry.family, (None, MODERN))
    known = {"modern": modern} | ({"paper": paper} if paper else {}) | PAPER_RECIPES
    if name not in known:
        raise UnknownNameError("recipe", name, known, hint=f"(for {model})")
    return known[name]


def named(name: str) -> Recipe:
    """A recipe by its own name, for no network in particular.

    Raises:
        UnknownNameError: no such recipe; ``paper`` is a network's own.
    """
    known = {"modern": MODERN} | PAPER_RECIPES
    if name not in known:
        raise UnknownNameError("recipe", name, known, hint="(a network's own with --model)")
    return known[name]
