"""The ledger: every printed figure beside the derived one, every departure, everything a paper leaves unstated.

docs/ledger.md is written from it:  python -m convatlas.models.ledger > docs/ledger.md  (part of make catalogue).
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

from convatlas import units
from convatlas.message import Message
from convatlas.models.cards import Figure
from convatlas.models.registry import Entry, entry, list_models

DERIVED = ("params", "macs", "connections", "neurons")  # the quantities arithmetic can answer
WORDS = {
    "agree": Message("agree"),
    "explained": Message("disagree, with an explanation"),
    "unmet": Message("disagree, unexplained"),
    "recalled": Message("recalled, text not found"),
    "measured": Message("to be measured"),
}


@dataclass(frozen=True)
class Line:
    """One printed figure of one network, and what arithmetic says about it.

    ``verdict`` is "agree", "explained" (disagrees, and the card says why), "unmet", "recalled" (not verified against a
    text, so not judged) or "measured" (an error rate: only a run can answer).
    """

    network: str
    figure: Figure
    source: str
    derived: int | None
    verdict: str


def ledger(pattern: str = "*") -> list[Line]:
    """Every figure of every card, in the order of the atlas; no torch."""
    return [line for name in list_models(pattern) for line in lines(entry(name))]


def lines(subject: Entry) -> list[Line]:
    """The figures of one network's card."""
    found = []
    for figure in subject.card.figures:
        derived = derive(subject, figure.quantity)
        source = ", ".join(part for part in (figure.source or subject.card.paper.citation, figure.where) if part)
        found.append(Line(subject.full_name, figure, source, derived, verdict(figure, derived)))
    return found


def derive(subject: Entry, quantity: str) -> int | None:
    """The derived counterpart of a printed quantity; None where only a measurement can be one."""
    return getattr(subject, quantity) if quantity in DERIVED else None


def verdict(figure: Figure, derived: int | None) -> str:
    if not figure.verified:
        return "recalled"
    if derived is None:
        return "measured"
    if figure.agrees(derived):
        return "agree"
    return "explained" if figure.explanation else "unmet"


def tally(found: list[Line]) -> dict[str, int]:
    """How many figures have which verdict."""
    counts = Counter(line.verdict for line in found)
    return {word: counts[word] for word in WORDS}


def derived_text(line: Line) -> str:
    """The derived count in the printed unit, beside the exact one."""
    if line.derived is None:
        return ""
    if line.figure.unit == 1:
        return units.exact(line.derived)
    return f"{line.derived / line.figure.unit:.4g} {line.figure.unit_name} ({units.exact(line.derived)})"


def markdown() -> str:
    """The page."""
    found, names = ledger(), list_models()
    counts = tally(found)
    own = list_models(variants=False)
    text = [
        "# The ledger",
        "",
        "Written by `make catalogue` from the cards and the arithmetic; a test fails when it is stale.",
        "",
        f"{len(own)} networks and {len(names) - len(own)} variants; {len(found)} printed figures: "
        + "; ".join(f"{count} {WORDS[word]}" for word, count in counts.items())
        + ".",
        "",
    ]
    for name in names:
        text += section(entry(name))
    return "\n".join(text)


def section(subject: Entry) -> list[str]:
    """One network: its figures as a table, then departures, initialisation, what is unstated."""
    card = subject.card
    text = [
        f"## {subject.full_name}",
        "",
        f"{card.paper.citation}, *{card.paper.title}*. {card.summary[0].upper()}{card.summary[1:]}. "
        f"{'x'.join(map(str, subject.input))} input, {units.exact(subject.params)} parameters, "
        f"{units.exact(subject.macs)} multiply-adds.",
        "",
    ]
    if card.figures:
        text += ["| quantity | printed | derived | verdict | protocol | source |", "|---|---|---|---|---|---|"]
        for line in lines(subject):
            explained = f": {line.figure.explanation}" if line.figure.explanation else ""
            cells = (
                line.figure.quantity.replace("_", " "),
                line.figure.text,
                derived_text(line),
                WORDS[line.verdict] + explained,
                line.figure.protocol,
                line.source,
            )
            text.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        text.append("")
    text += [f"- **{d.topic}** differs. Paper: {d.paper}. Here: {d.here}. Why: {d.why}." for d in card.departures]
    text += [f"- **Initialisation.** {card.initialisation}."]
    text += [f"- **Unstated.** {assumption}." for assumption in card.unstated]
    return [*text, ""]


if __name__ == "__main__":
    sys.stdout.write(markdown())
