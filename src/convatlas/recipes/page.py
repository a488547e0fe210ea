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
    """Return the whole page."""
    lines = [
        "# Recipes",
        "",
        "Written by `make catalogue` from the recipes; a test fails when it is stale.",
        "",
        "`convatlas train NAME --recipe RECIPE` takes the name of a recipe, `paper` for the recipe of the network's "
        "paper, or `modern`, which is the default. Every setting of a recipe can be changed by flag, environment "
        "variable or TOML file; `--print-config` prints all of them with their origins, in a form that "
        "`--config` reads. "
        "`--list-recipes` prints this table; the settings are listed at the end. The recipe of a paper has the "
        "settings that the paper prints; settings that it leaves open are listed below as assumed. The results to "
        "expect are printed figures with their source, unless they are called measured.",
        "",
        "| recipe | is `paper` for | length, images per update | update |",
        "|---|---|---|---|",
        *(f"| `{line.recipe}` | {line.whose} | {line.length} | {line.update} |" for line in listing()),
    ]
    for module, recipes in DECLARED.items():
        lines += ["", *section(module, recipes)]
    return "\n".join([*lines, "", *settings_table()]) + "\n"


def settings_table() -> list[str]:
    """Return the table of all settings of a recipe, with default and help."""
    lines = [
        "## Settings",
        "",
        "The setting `lr` is the flag `--lr`, the environment variable `CONVATLAS_LR`, and `lr` in a TOML file.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for name, each in SETTINGS.items():
        default = "" if each.default in (None, "", {}) else f"`{json.dumps(each.default)}`"
        lines.append(f"| `{name}` | {default} | {each.help} |")
    return lines


def section(module: str, recipes: tuple[Recipe, ...]) -> list[str]:
    """Return the docstring of a module as Markdown, and the settings of its recipes."""
    text = inspect.getdoc(importlib.import_module(f"convatlas.recipes.{module}"))
    assert text is not None
    title, _, body = text.partition("\n")
    body = re.sub(r"\n+(?=\*\*)", "\n\n", body)  # each bold heading begins a paragraph
    lines = [f"## {', '.join(f'`{recipe.name}`' for recipe in recipes)}", "", title, body]
    for recipe in recipes:
        lines += ["", f"`{recipe.name}`: {describe_settings(recipe)}.", "", f"Source: {recipe.source}."]
    return lines


ALWAYS = ("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay")


def describe_settings(recipe: Recipe) -> str:
    """List the settings in `ALWAYS`, and all others that are not the defaults."""
    values, defaults = recipe.to_dict(), Recipe().to_dict()
    names = [name for name in SETTINGS if name in ALWAYS or values[name] != defaults[name]]
    return ", ".join(f"{name} {json.dumps(values[name])}" for name in names)


if __name__ == "__main__":
    sys.stdout.write(markdown())
