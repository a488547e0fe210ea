"""``convatlas show NAME``: the layer table, and the paper's figures beside the derived ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.arithmetic.summary import Summary
    from convatlas.models import Card


@click.command("show", short_help="The layer table of a network.")
@click.argument("name")
@click.option("--input", "input_", metavar="CxHxW", help="Image size to count for; the paper's where not given.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@json_option
@debug_option
def command(name: str, input_: str | None, as_csv: bool, as_json: bool) -> None:
    """The layer table of NAME: shapes, parameters, MACs, connections, memory, receptive field.

    Everything is for one image. A kind marked * states its own arithmetic, because the operators it runs do more than
    the layer means.
    """
    from convatlas.models import card, entry

    shape = None if input_ is None else parse_input(input_)
    summary = summary_of(name, shape)
    figures = compare_figures(card(name), summary) if shape in (None, entry(name).input) else []
    if as_csv:
        click.echo(summary.to_csv(), nl=False)
    elif as_json:
        document = summary.to_dict()
        document["model"], _, document["variant"] = name.partition("@")
        document["figures"] = figures
        document["departures"] = [departure_of(d) for d in card(name).departures]
        print_json(document)
    else:
        click.echo(summary)
        for line in figure_lines(figures):
            click.echo(line)


def parse_input(text: str) -> tuple[int, int, int]:
    """``3x224x224`` -> ``(3, 224, 224)``; ``1x28`` means a square."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts) or len(parts) not in (2, 3):
        raise UsageError(f"--input is CxHxW, such as 3x224x224; got {text!r}.")
    channels, height = int(parts[0]), int(parts[1])
    return channels, height, int(parts[-1])


def summary_of(name: str, shape: tuple[int, int, int] | None) -> Summary:
    """The summary of an atlas network; at the paper's input from the kept tables, else counted now, without weights."""
    from convatlas.models import entry
    from convatlas.models._tables import table

    if shape is None or shape == entry(name).input:
        kept = table(name)
        if kept is not None:
            return kept
    import torch

    from convatlas.arithmetic import summarize
    from convatlas.models import create_model

    shape = shape or entry(name).input
    with torch.device("meta"):
        net = create_model(name, in_channels=shape[0], image_size=shape[1])
    return summarize(net, shape, model=name)


def compare_figures(card: Card, summary: Summary) -> list[dict[str, Any]]:
    """The paper's figures beside the derived ones; what only a run can tell has no derived figure."""
    counted = {
        "params": summary.totals.params,
        "macs": summary.totals.macs,
        "connections": summary.totals.connections,
        "neurons": summary.neurons,
    }
    return [
        {
            "quantity": figure.quantity,
            "printed": figure.text,
            "derived": counted.get(figure.quantity),
            "measured": None,
            "agrees": figure.agrees(counted[figure.quantity]) if figure.quantity in counted else None,
            "source": ", ".join(part for part in (figure.source or card.paper.citation, figure.where) if part),
            "protocol": figure.protocol,
            "verified": figure.verified,
            "explanation": figure.explanation,
        }
        for figure in card.figures
    ]


def departure_of(departure: Any) -> dict[str, str]:
    return {key: getattr(departure, key) for key in ("topic", "paper", "here", "why")}


def figure_lines(figures: list[dict[str, Any]]) -> list[str]:
    """``printed  60 million   derived 60,965,224   agrees   Krizhevsky et al., NIPS 2012, section 5``."""
    lines = [""] if any(figure["derived"] is not None for figure in figures) else []
    for figure in figures:
        if figure["derived"] is None:
            continue
        verdict = "agrees" if figure["agrees"] else "DISAGREES"
        lines.append(
            f"{figure['quantity']:<12}  printed {figure['printed']:<16}  derived {units.exact(figure['derived']):>15}  "
            f"{verdict:<9}  {figure['source']}"
        )
        if figure["explanation"]:
            lines.append(f"{'':<12}  {figure['explanation']}")
        if not figure["verified"]:
            lines.append(f"{'':<12}  recalled: the source's text was not found")
    return lines
