"""Recipes: the one place where a network, data and the loop meet.

Names are resolved on first use: the command line reads the settings of `Recipe` for its ``--help`` without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.recipes._evaluate import Prediction, evaluate, predict
    from convatlas.recipes._lr_range import FoundLr, find_lr
    from convatlas.recipes._material import Material
    from convatlas.recipes._names import PAPER_RECIPES, recipe_for
    from convatlas.recipes._recipe import Recipe
    from convatlas.recipes._run import Run
    from convatlas.recipes._subject import Subject, subject
    from convatlas.recipes._train import Watcher, resume, train

_FILES = {
    "PAPER_RECIPES": "._names",
    "recipe_for": "._names",
    "Recipe": "._recipe",
    "Prediction": "._evaluate",
    "evaluate": "._evaluate",
    "predict": "._evaluate",
    "FoundLr": "._lr_range",
    "find_lr": "._lr_range",
    "Material": "._material",
    "Run": "._run",
    "Subject": "._subject",
    "subject": "._subject",
    "Watcher": "._train",
    "resume": "._train",
    "train": "._train",
}

__all__ = [
    "PAPER_RECIPES",
    "FoundLr",
    "Material",
    "Prediction",
    "Recipe",
    "Run",
    "Subject",
    "Watcher",
    "evaluate",
    "find_lr",
    "predict",
    "recipe_for",
    "resume",
    "subject",
    "train",
]

__getattr__ = resolver(__name__, _FILES)
