"""convatlas models [PATTERN]: what is in the atlas, from the catalogue alone; no torch."""

from __future__ import annotations

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._completion import network_names
from convatlas.cli._lang import lang_option
from convatlas.errors import UnknownNameError
from convatlas.figures import ERRORS, VERDICTS, FigureComparison, coverage, tally
from convatlas.i18n import _, translated
from convatlas.message import Message
from convatlas.models import Entry, Figure, entry, list_models
from convatlas.models.figures import compare_figures
from convatlas.tables import Column

# the verdicts of the JSON document that are not called as in `figures.VERDICTS`; its readers know them by these names
JSON_VERDICTS = {"agrees": "agree", "differs": "unmet", "not_compared": "measured"}


@click.command("models")
@click.argument("pattern", default="*", shell_complete=network_names)
@click.option("--no-variants", is_flag=True, help="Only the networks of the papers, without variants.")
@click.option("--ledger", "as_ledger", is_flag=True, help="Every printed figure beside the derived or measured one.")
@json_option
@lang_option
@debug_option
def command(pattern: str, no_variants: bool, as_ledger: bool, as_json: bool) -> None:
    """The networks of the atlas: paper, year, parameters, MACs, printed errors.

    PATTERN has shell wildcards: 'resnet*', '*_cifar', '*@torchvision'.
    """
    names = list_models(pattern, variants=not no_variants)
    if not names:
        raise UnknownNameError("network", pattern, list_models(), Message("PATTERN may hold the wildcards * and ?."))
    entries = [entry(name) for name in names]
    if as_ledger:
        print_ledger([each for subject in entries for each in compare_figures(subject)], as_json)
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


def print_ledger(comparisons: list[FigureComparison], as_json: bool) -> None:
    if as_json:
        counts = {JSON_VERDICTS.get(verdict, verdict): count for verdict, count in tally(comparisons).items()}
        print_json({"figures": [ledger_record(each) for each in comparisons], "counts": counts})
        return
    columns = (
        Column(_("network")),
        Column(_("quantity")),
        Column(_("printed")),
        Column(_("derived"), number=True),
        Column(_("measured"), number=True, drop=1),
        Column(_("verdict"), drop=2),
        Column(_("protocol"), drop=4, wraps=True),
        Column(_("source"), drop=3, wraps=True),
    )
    print_table(
        columns,
        (
            (
                each.network,
                each.quantity.replace("_", " "),
                each.printed.text,
                each.derived_text,
                each.measured_text,
                translated(VERDICTS[each.verdict]),
                each.explanation or each.printed.protocol,
                each.source,
            )
            for each in comparisons
        ),
    )
    click.echo()
    click.echo(translated(coverage(comparisons)))


def ledger_record(comparison: FigureComparison) -> dict[str, object]:
    figure = comparison.printed
    return {
        "network": comparison.network,
        "quantity": figure.quantity,
        "printed": figure.printed,
        "unit": figure.unit,
        "unit_name": figure.unit_name,
        "derived": comparison.derived,
        "measured": None if comparison.measured is None else comparison.measured.value,
        "verdict": JSON_VERDICTS.get(comparison.verdict, comparison.verdict),
        "explanation": comparison.explanation,
        "protocol": figure.protocol,
        "measured_protocol": "" if comparison.measured is None else comparison.measured.protocol,
        "source": comparison.source,
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
