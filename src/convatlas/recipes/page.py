"""docs/recipes.md, written from the recipes:  python -m convatlas.recipes.page > docs/recipes.md  (make catalogue)."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys

from convatlas.recipes.recipe import SETTINGS, Recipe
from convatlas.recipes.registry import DECLARED, listing


def markdown() -> str:
    """The whole page."""
    lines = [
        "# Recipes",
        "",
        "Written by `make catalogue` from the recipes; a test fails when it is stale.",
        "",
        "`convatlas train NAME --recipe RECIPE`: a recipe by its own name, `paper` for the one of the network's paper, "
        "or `modern`, which is the default. Every setting of a recipe can be changed by flag, environment variable or "
        "TOML file; `--print-config` prints all of them and where each comes from, in a form that `--config` reads. "
        "`--list-recipes` prints this table; the settings are listed at the end. A recipe of a paper has what the "
        "paper prints; what it leaves open is named below as assumed. All figures to expect are printed ones, with "
        "their source, unless they are called measured.",
        "",
        "| recipe | is `paper` for | length, images an update | update |",
        "|---|---|---|---|",
        *(f"| `{line.recipe}` | {line.whose} | {line.length} | {line.update} |" for line in listing()),
    ]
    for module, recipes in DECLARED.items():
        lines += ["", *section(module, recipes)]
    return "\n".join([*lines, "", *settings_table()]) + "\n"


def settings_table() -> list[str]:
    """Every setting of a recipe with its default and its help."""
    lines = [
        "## Settings",
        "",
        "As a flag `lr` is `--lr`, as an environment variable `CONVATLAS_LR`, in a TOML file `lr`.",
        "",
        "| setting | default | |",
        "|---|---|---|",
    ]
    for name, each in SETTINGS.items():
        default = "" if each.default in (None, "", {}) else f"`{json.dumps(each.default)}`"
        lines.append(f"| `{name}` | {default} | {each.help} |")
    return lines


def section(module: str, recipes: tuple[Recipe, ...]) -> list[str]:
    """A module's docstring as Markdown, and what its recipes set."""
    text = inspect.getdoc(importlib.import_module(f"convatlas.recipes.{module}"))
    assert text is not None
    title, _, body = text.partition("\n")
    body = re.sub(r"\n+(?=\*\*)", "\n\n", body)  # each part its own paragraph
    lines = [f"## {', '.join(f'`{recipe.name}`' for recipe in recipes)}", "", title, body]
    for recipe in recipes:
        lines += ["", f"`{recipe.name}`: {settings_in_words(recipe)}.", "", f"Source: {recipe.source}."]
    return lines


ALWAYS = ("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay")


def settings_in_words(recipe: Recipe) -> str:
    """The settings everybody asks for, and those that are not the defaults."""
    values, defaults = recipe.to_dict(), Recipe().to_dict()
    said = [name for name in SETTINGS if name in ALWAYS or values[name] != defaults[name]]
    return ", ".join(f"{name} {json.dumps(values[name])}" for name in said)


if __name__ == "__main__":
    sys.stdout.write(markdown())
