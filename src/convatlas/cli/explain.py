"""``convatlas explain NAME [LAYER]``: the figures of ``show`` with the formula and the values put in."""

from __future__ import annotations

from typing import Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError

COMPARISONS = ("stacks", "reduction", "inception", "bottleneck", "grouped", "separable", "sharing")


@click.command("explain", short_help="The figures of a layer with the formula and the values put in.")
@click.argument("name", required=False)
@click.argument("layer", required=False)
@click.option("--input", "input_", metavar="CxHxW", help="Image size to count for; the paper's where not given.")
@click.option(
    "--comparison", type=click.Choice(COMPARISONS), help="Instead of a network, a comparison every lecture makes."
)
@json_option
@lang_option
@debug_option
def command(name: str | None, layer: str | None, input_: str | None, comparison: str | None, as_json: bool) -> None:
    """How the figures of LAYER in network NAME come about; of all layers where none is given.

    \b
    convatlas explain alexnet conv1
    convatlas explain --comparison stacks
    """
    if comparison is not None:
        _print_comparison(comparison, as_json)
        return
    if name is None:
        raise UsageError("explain what? Give a network (convatlas models lists them) or --comparison.")
    from convatlas.arithmetic.explanation import explain, explain_all
    from convatlas.cli.show import parse_input, summary_of

    summary = summary_of(name, None if input_ is None else parse_input(input_))
    explanations = explain_all(summary) if layer is None else (explain(summary, layer),)
    if as_json:
        print_json({"model": name, "layers": [explanation.to_dict() for explanation in explanations]})
        return
    click.echo("\n\n".join(str(explanation) for explanation in explanations))


def _print_comparison(name: str, as_json: bool) -> None:
    from convatlas.arithmetic.comparisons import comparison
    from convatlas.arithmetic.summary import times
    from convatlas.i18n import _

    found = comparison(name)
    if as_json:
        print_json({"comparison": name, **found.to_dict()})
        return
    click.echo(f"{found.title}, {times(found.input)}")
    headings = ("", _("weights"), "macs", _("receptive field"), _("non-linearities"), _("layers"))
    table: list[tuple[str, ...]] = [headings]
    first = found.ways[0]
    for way in found.ways:
        table.append(
            (
                way.name,
                f"{units.exact(way.params)} ({_share(way.params, first.params)})",
                f"{units.exact(way.macs)} ({_share(way.macs, first.macs)})",
                times(way.receptive_field),
                str(way.nonlinearities),
                " | ".join(way.layers),
            )
        )
    widths = [max(units.width(line[column]) for line in table) for column in range(len(headings))]
    for line in table:
        click.echo("  ".join(units.ljust(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _share(part: int, whole: int) -> Any:
    return f"{100 * part / whole:.3g} %"
