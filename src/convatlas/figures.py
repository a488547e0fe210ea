"""One figure as it is printed, derived and measured, and whether the three agree. No torch.

Figure             one number printed in a paper, as it is printed, with its unit, place and protocol
Measurement        a value measured here, with its protocol
FigureComparison   the figure of one network beside what arithmetic derives and what a run measured; the verdict
coverage           how many of many comparisons have which verdict, in one sentence
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from convatlas import units
from convatlas.message import Message

ERRORS = ("error", "top1_error", "top5_error")  # percentages that only a measurement can be compared with

# the name of the multiplier of a printed figure
UNIT_NAMES = {
    1: "",
    1_000: "thousand",
    1_000_000: "million",
    1_000_000_000: "billion",
    10_000_000_000: "x 10^10",
    250_000: "MB of float32",
    262_144: "MiB of float32",
    1_048_576: "x 2^20",
}

# every verdict, in the words of tables
VERDICTS = {
    "agrees": Message("agrees"),
    "explained": Message("differs, explained"),
    "differs": Message("differs, unexplained"),
    "other_protocol": Message("measured under another protocol"),
    "recalled": Message("recalled, text not found"),
    "not_compared": Message("not compared"),
}


@dataclass(frozen=True)
class Measurement:
    """A value measured here, in the printed unit of its quantity.

    Args:
        protocol: data set, part, crops, number of runs.
        source: the folder of ``results/`` that holds the record; empty for the run at hand.
        explanation: why it differs from the printed figure, as far as that is known.
    """

    value: float
    protocol: str
    source: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Figure:
    """A printed number.

    Args:
        quantity: ``params``, ``macs``, ``connections`` and ``neurons`` have a derived counterpart; ``top1_error``,
            ``top5_error`` and ``error`` are percentages whose counterpart is measured.
        printed: the digits as they stand in the source; they carry the precision.
        unit: what the printed number is to be multiplied by.
        where: table, figure or section.
        source: the publication, where it is not the network's own paper.
        protocol: for what was measured: data set, part, crops.
        tolerance: in printed units; half of the last printed digit unless the source itself is looser ("about").
        verified: False where the figure is recalled and its text was not found; such a figure is shown, never compared.
        explanation: why the derived figure differs, where it does.
        measured: the same quantity of this network, measured here.
    """

    quantity: str
    printed: str
    unit: int = 1
    where: str = ""
    source: str = ""
    protocol: str = ""
    tolerance: float | None = None
    verified: bool = True
    explanation: str = ""
    measured: Measurement | None = None

    @property
    def value(self) -> Decimal:
        return Decimal(self.printed.replace(",", ""))

    @property
    def allowed(self) -> Decimal:
        """How far a derived or measured figure may lie from the printed one, in printed units."""
        if self.tolerance is not None:
            return Decimal(str(self.tolerance))
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)
        return Decimal(5).scaleb(exponent - 1)

    @property
    def unit_name(self) -> str:
        return "%" if self.quantity in ERRORS else UNIT_NAMES.get(self.unit, f"x {self.unit:,}")

    @property
    def text(self) -> str:
        """``138 million``, ``7.3 %``."""
        return f"{self.printed} {self.unit_name}".rstrip()

    @property
    def line(self) -> str:
        """``params  138 million  (Table 2)``."""
        place = ", ".join(part for part in (self.protocol, self.source, self.where) if part)
        recalled = "; recalled, not checked against the text" if not self.verified else ""
        return f"{self.quantity:<12} {self.text}" + (f"  ({place}{recalled})" if place or recalled else "")


@dataclass(frozen=True)
class FigureComparison:
    """A printed figure of one network beside its derived and its measured counterpart.

    Args:
        source: the publication and the place in it.
        derived: the exact count; None for a quantity that only a measurement can answer.
        measured: None where nobody has measured it here.
    """

    network: str
    printed: Figure
    source: str
    derived: int | None = None
    measured: Measurement | None = None

    @property
    def quantity(self) -> str:
        return self.printed.quantity

    @property
    def agrees(self) -> bool | None:
        """Whether the counterpart lies within the printed precision; None where there is none of the same protocol."""
        if self.derived is not None:
            value = Decimal(self.derived) / self.printed.unit
        elif self.measured is not None and self.measured.protocol == self.printed.protocol:
            value = Decimal(str(self.measured.value))
        else:
            return None
        return abs(value - self.printed.value) <= self.printed.allowed

    @property
    def verdict(self) -> str:
        """A key of `VERDICTS`. A recalled figure is never compared: its digits may be wrong."""
        if not self.printed.verified:
            return "recalled"
        if self.agrees is not None:
            return "agrees" if self.agrees else "explained" if self.explanation else "differs"
        return "not_compared" if self.measured is None else "other_protocol"

    @property
    def explanation(self) -> str:
        """Why the counterpart differs, as far as that is known."""
        return self.printed.explanation or (self.measured.explanation if self.measured else "")

    @property
    def derived_text(self) -> str:
        """The derived count in the printed unit, with the exact one in brackets."""
        if self.derived is None:
            return ""
        if self.printed.unit == 1:
            return units.exact(self.derived)
        return f"{self.derived / self.printed.unit:.4g} {self.printed.unit_name} ({units.exact(self.derived)})"

    @property
    def measured_text(self) -> str:
        """``1.51 %``."""
        return "" if self.measured is None else f"{self.measured.value:.4g} {self.printed.unit_name}".rstrip()


def tally(comparisons: Iterable[FigureComparison]) -> dict[str, int]:
    """How many comparisons have which verdict; every verdict is a key."""
    counts = Counter(comparison.verdict for comparison in comparisons)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def coverage(comparisons: Iterable[FigureComparison]) -> Message:
    """How many figures were compared by derivation, how many by measurement and how many never, in one sentence."""
    known = list(comparisons)
    derived = tally(each for each in known if each.derived is not None)
    measured = tally(each for each in known if each.derived is None)
    compared = ("agrees", "explained", "differs")
    return Message(
        "{printed} printed figures. Compared with the derived count: {derived}, of which {agree} agree, {explained} "
        "differ and the card says why, {differ} differ unexplained. Beside a measurement made here: {measured}, of "
        "which {other_protocol} under another protocol. Recalled, their text not found: {recalled}. Never compared "
        "here: {not_compared}, all error rates.",
        printed=len(known),
        derived=sum(derived[verdict] for verdict in compared),
        agree=derived["agrees"],
        explained=derived["explained"],
        differ=derived["differs"],
        measured=sum(measured[verdict] for verdict in (*compared, "other_protocol")),
        other_protocol=measured["other_protocol"],
        recalled=derived["recalled"] + measured["recalled"],
        not_compared=measured["not_compared"],
    )
