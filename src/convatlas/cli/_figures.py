"""The figures and departures of a network, as text."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas import units
from convatlas.figures import VERDICTS, FigureComparison
from convatlas.i18n import _, translated
from convatlas.models import Card


def figure_lines(figures: Sequence[FigureComparison]) -> list[str]:
    """``params  printed 60 million   derived 60,965,224   agrees   Krizhevsky et al., NIPS 2012, section 5``."""
    compared = [figure for figure in figures if figure.derived is not None or figure.measured is not None]
    verdicts = [translated(VERDICTS[figure.verdict]) for figure in compared]
    columns = max(map(units.width, verdicts), default=0)
    width = units.width(_("derived")) + len(" 123,456,789,012")
    lines = [""] if compared else []
    for figure, verdict in zip(compared, verdicts, strict=True):
        if figure.derived is not None:
            kind, counterpart = _("derived"), units.exact(figure.derived)
        else:
            kind, counterpart = _("measured"), figure.measured_text
        lines.append(
            f"{figure.quantity:<12}  {_('printed')} {figure.printed.text:<16}  "
            f"{kind}{units.rjust(counterpart, width - units.width(kind))}  "
            f"{units.ljust(verdict, columns)}  {figure.source}"
        )
        if figure.measured is not None:
            protocols = _(
                "printed: {printed}; measured: {measured} ({source})",
                printed=figure.printed.protocol,
                measured=figure.measured.protocol,
                source=figure.measured.source,
            )
            lines.append(f"{'':<12}  {protocols}")
        if figure.explanation:
            lines.append(f"{'':<12}  {figure.explanation}")
    rest = len(figures) - len(compared)
    if rest:
        lines += ["", _("printed error rates that nobody has compared here: {n}", n=rest)]
    return lines


def departure_lines(card: Card) -> list[str]:
    """Where the network here differs from the paper, and why."""
    if not card.departures:
        return []
    return [
        "",
        _("departures from {citation}", citation=card.paper.citation),
        *(
            "  " + _("{topic}: {paper} there, {here} here; {why}", **departure.to_dict())
            for departure in card.departures
        ),
    ]
