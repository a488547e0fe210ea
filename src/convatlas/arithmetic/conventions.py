"""Why other tools print other totals: each one's rule, applied to our rows, and the difference line by line. No torch.

The rules are written from the tools' definitions (torchinfo 1.8 ``LayerInfo.calculate_macs``; fvcore 0.1.5
``nn/flop_count.py`` and ``nn/jit_handles.py``; ptflops 0.7 ``aten_ops.py``; torch 2.13 ``utils/flop_counter.py``), for
the operators a classifier is made of. A row for which a rule says nothing counts nothing there, as in the tool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from convatlas.arithmetic.records import WEIGHTED, LayerRow
from convatlas.arithmetic.summary import Summary
from convatlas.message import Message


@dataclass(frozen=True)
class Difference:
    """One reason why a total differs from ours."""

    reason: str
    difference: int


@dataclass(frozen=True)
class Convention:
    """What a tool would print for a network, and why.

    Attributes:
        tool: its name; unit: what it calls the figure.
        total: its figure; lines: the steps from our ``macs`` to it, which add up to the difference.
    """

    tool: str
    unit: str
    total: int
    lines: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        lines = [{"reason": line.reason, "difference": line.difference} for line in self.lines]
        return {"tool": self.tool, "unit": self.unit, "total": self.total, "lines": lines}


Part = tuple[str, int]  # a reason, and what it adds for one row


def _stated(row: LayerRow) -> list[Part]:
    """Tools see the operators, not what a layer says of itself."""
    extra = (row.operator_macs or 0) - (row.macs or 0)
    return [(Message("the dense operators of layers that mean less"), extra)]


def _bias(row: LayerRow) -> int:
    return prod(row.output) if row.bias else 0


def _input(row: LayerRow) -> int:
    return prod(row.input_shapes[0]) if row.input_shapes else 0


def torchinfo(row: LayerRow) -> list[Part]:
    """Parameters times output positions for a module whose class name has "Conv", parameters otherwise."""
    if not row.module:
        return [(Message("operators outside modules are not seen"), -(row.macs or 0))]
    if not row.own_params:
        return []
    counted = row.own_params * (prod(row.output[1:]) if "Conv" in row.module else 1)
    macs = row.macs or 0
    if row.kind in WEIGHTED and not row.stated:
        bias = _bias(row)
        return [(Message("biases"), bias), (Message("one position of many counted"), counted - macs - bias)]
    if row.stated:
        return [(Message("layers with a rule of their own counted by their parameters"), counted - macs)]
    return [(Message("parameters of normalisation and other layers, once each"), counted - macs)]


def fvcore(row: LayerRow) -> list[Part]:
    """Products, plus normalisation at two per value, plus adaptive pooling at one per value read."""
    parts = _stated(row)
    if row.kind == "batch_norm":
        parts.append((Message("batch normalisation, 2 per value"), _input(row) * (2 if row.own_params else 1)))
    elif row.kind in ("layer_norm", "group_norm"):
        parts.append((Message("normalisation over one image, 5 per value"), _input(row) * (5 if row.own_params else 4)))
    elif any("adaptive_avg_pool" in operator for operator in row.operators):
        parts.append((Message("adaptive pooling, 1 per value read"), _input(row)))
    return parts


def ptflops_aten(row: LayerRow) -> list[Part]:
    """Products and their biases (the aten back end)."""
    return [*_stated(row), (Message("biases"), _bias(row))]


def flop_counter(row: LayerRow) -> list[Part]:
    """torch's FlopCounterMode: a multiplication and an addition are two."""
    return [*_stated(row), (Message("an addition counts beside its multiplication"), row.operator_macs or 0)]


RULES: dict[str, tuple[str, Callable[[LayerRow], list[Part]]]] = {
    "torchinfo": ("mult-adds", torchinfo),
    "fvcore": ("flops", fvcore),
    "ptflops (aten)": ("MACs", ptflops_aten),
    "torch FlopCounterMode": ("FLOPs", flop_counter),
}


def conventions(summary: Summary) -> tuple[Convention, ...]:
    """Every tool's figure for this network, each reached from our ``macs`` in steps."""
    found = []
    for tool, (unit, rule) in RULES.items():
        reasons: dict[str, int] = {}
        for row in summary.rows:
            for reason, extra in rule(row):
                reasons[reason] = reasons.get(reason, 0) + extra
        lines = tuple(Difference(reason, extra) for reason, extra in reasons.items() if extra)
        total = summary.totals.macs + sum(line.difference for line in lines)
        found.append(Convention(tool, unit, total, lines))
    return tuple(found)
