"""The budget of a comparison: upper limits for what a network may cost, such as ``latency<=20ms,size<=20MB``.

    Budget.parse("latency<=20ms, params<=1M").broken_by(row.costs())  ->  the exceeded limits in words, or []

``latency`` limits the 95th percentile; ``latency_p50`` limits the median.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from convatlas import units
from convatlas.errors import UnknownNameError, UsageError
from convatlas.message import Message, joined

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_BYTES = {
    "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3,
}  # fmt: skip
_COUNTS = {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Quantity:
    """A quantity that a budget can limit: its name, its units, and a function that writes its values."""

    name: str
    description: str
    units: Mapping[str, float]
    example: str
    write: Callable[[float], str]

    @property
    def measured(self) -> str:
        """The name beside a measured value: a table shows two latencies."""
        return {"latency": "p95 latency", "latency_p50": "p50 latency"}.get(self.name, self.name)


def _duration(value: float) -> str:
    """Seconds as text, for example ``20 ms``."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value * 1e6:.4g} µs"


def _file_size(value: float) -> str:
    """Bytes as text in powers of ten, as most budgets are written, for example ``1.08 MB``."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:g} B"


def _count(value: float) -> str:
    return units.short(value)


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("latency", "95th percentile of the latency at batch size 1", _SECONDS, "latency<=20ms", _duration),
        Quantity("latency_p50", "median latency at batch size 1", _SECONDS, "latency_p50<=20ms", _duration),
        Quantity("size", "size of the weights file", _BYTES, "size<=20MB", _file_size),
        Quantity("memory", "peak memory of inference at batch size 1", _BYTES, "memory<=200MB", _file_size),
        Quantity("params", "trainable parameters", _COUNTS, "params<=1M", _count),
        Quantity("macs", "multiply-adds of one image", _COUNTS, "macs<=300M", _count),
    )
}

# what other tools call these quantities, for "did you mean"
ALIASES = {
    "flops": "macs",
    "mac": "macs",
    "parameters": "params",
    "weights": "size",
    "time": "latency",
    "ram": "memory",
}

_LIMIT = re.compile(
    r"^(?P<name>\w+)\s*(?P<sign><=|≤|<|>=|≥|>|=+)\s*(?P<number>[\d._]+(?:e[+-]?\d+)?)\s*(?P<unit>[^\W\d]*)$"
)


@dataclass(frozen=True)
class Limit:
    """One upper limit: ``at_most`` in seconds, bytes or counts."""

    quantity: Quantity
    at_most: float

    def __str__(self) -> str:
        return f"{self.quantity.name} ≤ {self.quantity.write(self.at_most)}"


@dataclass(frozen=True)
class Budget:
    """All limits. Every network meets an empty budget.

    Attributes:
        limits: the limits, each with its quantity and its value.
    """

    limits: tuple[Limit, ...] = ()

    @classmethod
    def parse(cls, text: str | Budget | None) -> Budget:
        """Read a budget such as ``latency<=20ms,size<=20MB``.

        Raises:
            UnknownNameError: an unknown quantity.
            UsageError: the text is not a list of upper limits; the message shows a correct one.
        """
        if isinstance(text, Budget):
            return text
        limits = [_parse_limit(part.strip()) for part in (text or "").split(",") if part.strip()]
        for limit in limits:
            if sum(other.quantity.name == limit.quantity.name for other in limits) > 1:
                raise UsageError(
                    "the budget has more than one limit for {name}. Keep one of them.", name=limit.quantity.name
                )
        return cls(tuple(limits))

    def broken_by(self, costs: Mapping[str, float | None]) -> list[str]:
        """The limits that ``costs`` (quantity -> seconds, bytes or count) exceeds, in words; empty if none.

        A cost that could not be measured counts as exceeded, because it is not known to meet the limit.
        """
        broken: list[str] = []
        for limit in self.limits:
            value = costs.get(limit.quantity.name)
            if value is None:
                broken.append(Message("{quantity} could not be measured here", quantity=limit.quantity.name))
            elif value > limit.at_most:
                broken.append(f"{limit.quantity.measured} {limit.quantity.write(value)}")
        return broken

    def __bool__(self) -> bool:
        return bool(self.limits)

    def __str__(self) -> str:
        return ", ".join(map(str, self.limits))


def _parse_limit(text: str) -> Limit:
    match = _LIMIT.match(text)
    if match is None:
        raise UsageError(
            "{text!r} is not a budget. Write upper limits such as latency<=20ms,size<=20MB.",
            text=text,
        )
    name, sign, number, unit = match["name"].lower(), match["sign"], match["number"], match["unit"]
    if name not in QUANTITIES:
        raise UnknownNameError("budget quantity", name, QUANTITIES, aliases=ALIASES)
    quantity = QUANTITIES[name]
    if sign not in ("<=", "<", "≤"):
        raise UsageError(
            "the budget {text!r} is not an upper limit. Use <=, for example {example}.",
            text=text,
            example=quantity.example,
        )
    if unit not in quantity.units:
        known = joined(unit or Message("no unit") for unit in quantity.units)
        wrong = Message("has the unit {unit!r}", unit=unit) if unit else Message("has no unit")
        raise UsageError(
            "the budget {text!r} {wrong}. Units of {name}: {known}. Write, for example, {example}.",
            text=text,
            wrong=wrong,
            name=name,
            known=known,
            example=quantity.example,
        )
    try:
        value = float(number) * quantity.units[unit]
    except ValueError:
        raise UsageError(
            "the budget {text!r}: {number!r} is not a number. Write, for example, {example}.",
            text=text,
            number=number,
            example=quantity.example,
        ) from None
    if value <= 0:
        raise UsageError(
            "the limit of the budget {text!r} is not above zero. Write, for example, {example}.",
            text=text,
            example=quantity.example,
        )
    return Limit(quantity, value)
