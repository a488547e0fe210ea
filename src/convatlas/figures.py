"""Figures printed in papers, compared with derived and with measured values. No torch.

Figure             one number as a paper prints it, with its unit, location and protocol
Measurement        a value measured here, with its protocol
FigureComparison   the printed figure of one network beside the derived and the measured value, and the verdict
coverage           a sentence with the number of comparisons by verdict
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from convatlas import units
from convatlas.message import Message

ERRORS = ("error", "top1_error", "top5_error")  # percentages; only a measurement can be compared with them

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

# every verdict, as tables print it
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
        protocol: data set, split, crops, number of runs.
        source: the folder of ``results/`` with the record; empty for the current run.
        explanation: why the value differs from the printed figure, as far as known.
    """

    value: float
    protocol: str
    source: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Figure:
    """A printed number.

    Args:
        quantity: ``params``, ``macs``, ``connections`` and ``neurons`` are compared with a derived value;
            ``top1_error``, ``top5_error`` and ``error`` are percentages and are compared with a measured value.
        printed: the digits exactly as printed. They determine the precision of the comparison.
        unit: factor of the printed number.
        where: table, figure or section.
        source: the publication, where it is not the network's own paper.
        protocol: of an error rate: data set, split, crops.
        tolerance: in printed units. The default is half of the last printed digit; pass more where the source says
            "about".
        verified: False where the figure is quoted from memory and the text was not found. Such a figure is shown but
            never compared.
        explanation: why the derived value differs, where it does.
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
        """The largest difference from the printed figure that counts as agreement, in printed units."""
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
    def text_with_source(self) -> str:
        """``params  138 million  (Table 2)``."""
        place = ", ".join(part for part in (self.protocol, self.source, self.where) if part)
        recalled = "; recalled, not checked against the text" if not self.verified else ""
        return f"{self.quantity:<12} {self.text}" + (f"  ({place}{recalled})" if place or recalled else "")


@dataclass(frozen=True)
class FigureComparison:
    """A printed figure of one network beside the derived and the measured value.

    Args:
        source: the publication, and the table, figure or section.
        derived: the exact count; None for an error rate, which cannot be derived.
        measured: None where it was not measured here.
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
        """Whether the derived value, or one measured by the same protocol, agrees; None where there is neither."""
        if self.derived is not None:
            value = Decimal(self.derived) / self.printed.unit
        elif self.measured is not None and self.measured.protocol == self.printed.protocol:
            value = Decimal(str(self.measured.value))
        else:
            return None
        return abs(value - self.printed.value) <= self.printed.allowed

    @property
    def verdict(self) -> str:
        """A key of `VERDICTS`. A figure quoted from memory is not compared, as its digits may be wrong."""
        if not self.printed.verified:
            return "recalled"
        if self.agrees is not None:
            return "agrees" if self.agrees else "explained" if self.explanation else "differs"
        return "not_compared" if self.measured is None else "other_protocol"

    @property
    def explanation(self) -> str:
        """Why the derived or measured value differs, as far as known."""
        return self.printed.explanation or (self.measured.explanation if self.measured else "")

    def to_dict(self) -> dict[str, Any]:
        """One of the ``figures`` of ``show --json``."""
        return {
            "quantity": self.quantity,
            "printed": self.printed.text,
            "derived": self.derived,
            "measured": None if self.measured is None else self.measured.value,
            "agrees": self.agrees,
            "verdict": self.verdict,
            "source": self.source,
            "protocol": self.printed.protocol,
            "measured_protocol": "" if self.measured is None else self.measured.protocol,
            "verified": self.printed.verified,
            "explanation": self.explanation,
        }

    @property
    def derived_text(self) -> str:
        """The derived count in the printed unit, and the exact count in brackets."""
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
    """Number of comparisons by verdict; every verdict is a key."""
    counts = Counter(comparison.verdict for comparison in comparisons)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def coverage(comparisons: Iterable[FigureComparison]) -> Message:
    """The number of figures compared with a derived value, compared with a measured value, and not compared."""
    rows = list(comparisons)
    derived = tally(row for row in rows if row.derived is not None)
    measured = tally(row for row in rows if row.derived is None)
    compared = ("agrees", "explained", "differs")
    return Message(
        "{printed} printed figures. Compared with the derived count: {derived}; {agree} agree, {explained} differ and "
        "the card explains why, {differ} differ without an explanation. Compared with a measurement made here: "
        "{measured}; {other_protocol} of them were measured under another protocol. Recalled, text not found: "
        "{recalled}. Not compared: {not_compared}, all of them error rates.",
        printed=len(rows),
        derived=sum(derived[verdict] for verdict in compared),
        agree=derived["agrees"],
        explained=derived["explained"],
        differ=derived["differs"],
        measured=sum(measured[verdict] for verdict in (*compared, "other_protocol")),
        other_protocol=measured["other_protocol"],
        recalled=derived["recalled"] + measured["recalled"],
        not_compared=measured["not_compared"],
    )
