"""The ledger: every printed figure beside its counterparts, every departure, everything a paper leaves unstated.

docs/ledger.md is written from it:  python -m convatlas.models.ledger > docs/ledger.md  (part of make catalogue).
"""

from __future__ import annotations

import sys

from convatlas import units
from convatlas.figures import VERDICTS, FigureComparison, coverage
from convatlas.models.figures import all_figures, compare_figures
from convatlas.models.registry import Entry, entry, list_models


def markdown() -> str:
    """The page."""
    names = list_models()
    own = list_models(variants=False)
    text = [
        "# The ledger",
        "",
        "Written by `make catalogue` from the cards and the arithmetic; a test fails when it is stale.",
        "",
        f"{len(own)} networks and {len(names) - len(own)} variants. {coverage(all_figures())}",
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
        text += ["| quantity | printed | derived | measured | verdict | protocol | source |", "|---" * 7 + "|"]
        for each in compare_figures(subject):
            cells = (
                each.quantity.replace("_", " "),
                each.printed.text,
                each.derived_text,
                measured_text(each),
                VERDICTS[each.verdict] + (f": {each.explanation}" if each.explanation else ""),
                each.printed.protocol,
                each.source,
            )
            text.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        text.append("")
    text += [f"- **{d.topic}** differs. Paper: {d.paper}. Here: {d.here}. Why: {d.why}." for d in card.departures]
    text += [f"- **Initialisation.** {card.initialisation}."]
    text += [f"- **Unstated.** {assumption}." for assumption in card.unstated]
    return [*text, ""]


def measured_text(comparison: FigureComparison) -> str:
    """``1.51 % (MNIST test; results/main_job)``."""
    if comparison.measured is None:
        return ""
    return f"{comparison.measured_text} ({comparison.measured.protocol}; {comparison.measured.source})"


if __name__ == "__main__":
    sys.stdout.write(markdown())
