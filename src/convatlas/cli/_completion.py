"""Completion of names in the shell: networks, recipes, runs and protocols; no torch.

click asks these functions for the names that begin with what was typed. docs/en/how-to/completion.md says how to
switch it on.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

# spelt out, for completion does not wait for torch; a test compares them with evaluation.PROTOCOLS
PROTOCOLS = ("centre", "flip", "flip-shift", "ten-crop", "dense", "multi-scale", "150-crop", "144-crop")


def network_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The networks of the atlas, with their year and paper."""
    from convatlas.models.registry import entry, list_models

    return [
        CompletionItem(name, help=f"{entry(name).year}, {entry(name).card.paper.title}")
        for name in beginning(list_models(), incomplete)
    ]


def recipe_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The recipes of the network that was typed before, or all of them."""
    from convatlas.errors import UnknownNameError
    from convatlas.recipes.registry import DECLARED, PAPER_RECIPES, own_recipes

    try:
        known = [*own_recipes(ctx.params["model"]), *PAPER_RECIPES] if ctx.params.get("model") else []
    except UnknownNameError:
        known = []
    everything = [recipe.name for recipes in DECLARED.values() for recipe in recipes]
    return items(known or ["modern", "modern_long", "finetune", "paper", *everything], incomplete)


def run_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The runs by their names in --out, and latest; else directories."""
    from convatlas.runs.places import LATEST, names

    found = names(ctx.params.get("out") or "runs")
    return items([LATEST, *found] if found else [], incomplete) or directories(incomplete)


def run_or_network(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The paths of the runs in ``runs``, and the networks; else directories."""
    from convatlas.runs.places import run_folders

    runs = [folder.as_posix() for folder in run_folders(Path("runs"))]
    found = [*items(runs, incomplete), *network_names(ctx, parameter, incomplete)]
    return found or directories(incomplete)


def protocol_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The protocols of an evaluation."""
    return items(PROTOCOLS, incomplete)


def views(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What ``inspect`` can show."""
    from convatlas.cli._inspect_views import VIEWS

    return [CompletionItem(name, help=VIEWS[name].shows) for name in beginning(VIEWS, incomplete)]


def directories(incomplete: str) -> list[CompletionItem]:
    """What makes the shell complete directories; bash drops all other names where this is among them."""
    return [CompletionItem(incomplete, type="dir")]


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in beginning(names, incomplete)]
