"""convatlas models [PATTERN]: what is in the atlas, from the catalogue alone; no torch."""

from __future__ import annotations

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._lang import lang_option
from convatlas.errors import UnknownNameError
from convatlas.i18n import _
from convatlas.message import Message
from convatlas.models import Entry, Figure, entry, list_models
from convatlas.models.ledger import WORDS, Line, derived_text, lines, tally
from convatlas.tables import Column

ERRORS = ("top1_error", "top5_error", "error")


@click.command("models")
@click.argument("pattern", default="*")
@click.option("--no-variants", is_flag=True, help="Only the papers' own networks, not those others deploy.")
@click.option("--ledger", "as_ledger", is_flag=True, help="Every printed figure beside the derived one.")
@json_option
@lang_option
@debug_option
def command(pattern: str, no_variants: bool, as_ledger: bool, as_json: bool) -> None:
    """What is in the atlas: paper, year, parameters, MACs, printed errors.

    PATTERN has shell wildcards: 'resnet*', '*_cifar', '*@torchvision'.
    """
    names = list_models(pattern, variants=not no_variants)
    if not names:
        raise UnknownNameError("network", pattern, list_models(), Message("PATTERN may hold the wildcards * and ?."))
    entries = [entry(name) for name in names]
    if as_ledger:
        print_ledger([line for subject in entries for line in lines(subject)], as_json)
        return
    if as_json:
        print_json({"models": [as_record(line) for line in entries]})
        return
    columns = (
        Column(_("network")),
        Column(_("paper"), drop=2),
        Column(_("year"), number=True, drop=1),
        Column(_("input"), drop=4),
        Column(_("params"), number=True),
        Column("MACs", number=True),
        Column(_("printed error %, top-1 / top-5"), drop=3, wraps=True),
    )
    print_table(columns, (row(line) for line in entries))


def print_ledger(found: list[Line], as_json: bool) -> None:
    counts = tally(found)
    if as_json:
        print_json({"figures": [ledger_record(line) for line in found], "counts": counts})
        return
    columns = (
        Column(_("network")),
        Column(_("quantity")),
        Column(_("printed")),
        Column(_("derived"), number=True),
        Column(_("verdict"), drop=1),
        Column(_("protocol"), drop=3, wraps=True),
        Column(_("source"), drop=2, wraps=True),
    )
    print_table(
        columns,
        (
            (
                line.network,
                line.figure.quantity.replace("_", " "),
                line.figure.text,
                derived_text(line),
                line.verdict,
                line.figure.explanation or line.figure.protocol,
                line.source,
            )
            for line in found
        ),
    )
    click.echo()
    verdicts = "; ".join(_("{count} {verdict}", count=count, verdict=WORDS[word]) for word, count in counts.items())
    click.echo(_("{n} printed figures: {verdicts}", n=len(found), verdicts=verdicts))


def ledger_record(line: Line) -> dict[str, object]:
    figure = line.figure
    return {
        "network": line.network,
        "quantity": figure.quantity,
        "printed": figure.printed,
        "unit": figure.unit,
        "unit_name": figure.unit_name,
        "derived": line.derived,
        "verdict": line.verdict,
        "explanation": figure.explanation,
        "protocol": figure.protocol,
        "source": line.source,
    }


def row(line: Entry) -> tuple[str, ...]:
    return (
        line.full_name,
        line.card.paper.citation.partition(",")[0],
        str(line.year),
        "x".join(map(str, line.input)),
        units.short(line.params),
        units.short(line.macs),
        printed_error(line.card.figures),
    )


def printed_error(figures: tuple[Figure, ...]) -> str:
    """The first error of the card with its protocol; a recalled figure, whose text was not found, is marked."""
    measured = [figure for figure in figures if figure.quantity in ERRORS]
    if not measured:
        return ""
    first = measured[0]
    pair = [figure for figure in measured if (figure.protocol, figure.source) == (first.protocol, first.source)][:2]
    text = " / ".join(figure.printed for figure in pair)
    return f"{text}{'' if first.verified else _(' (recalled)')}  {first.protocol}"


def as_record(line: Entry) -> dict[str, object]:
    return {
        "model": line.name,
        "variant": line.variant,
        "name": line.full_name,
        "paper": line.card.paper.citation,
        "title": line.card.paper.title,
        "year": line.year,
        "summary": line.card.summary,
        "input": list(line.input),
        "classes": line.num_classes,
        "params": line.params,
        "macs": line.macs,
        "errors": [
            {
                "quantity": figure.quantity,
                "printed": figure.printed,
                "protocol": figure.protocol,
                "source": figure.source or line.card.paper.citation,
                "verified": figure.verified,
            }
            for figure in line.card.figures
            if figure.quantity in ERRORS
        ],
    }
