"""The totals that other tools print for a network, and the reasons why they differ from ours. No torch.

The rules follow the source of the tools (torchinfo 1.8 ``LayerInfo.calculate_macs``; fvcore 0.1.5 ``nn/flop_count.py``
and ``nn/jit_handles.py``; ptflops 0.7 ``aten_ops.py``; torch 2.13 ``utils/flop_counter.py``) for the operators of
classifiers. A tool that has no rule for a row counts it as 0.
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
        tool: its name.
        unit: the tool's word for the quantity.
        total: the tool's total.
        differences: the differences from our ``macs``; they add up to the difference of the totals.
    """

    tool: str
    unit: str
    total: int
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        lines = [{"reason": item.reason, "difference": item.difference} for item in self.differences]
        return {"tool": self.tool, "unit": self.unit, "total": self.total, "lines": lines}


Part = tuple[str, int]  # a reason, and the difference it makes for one row


def _stated(row: LayerRow) -> list[Part]:
    """Tools count the operators of a layer, not the counts that the layer states."""
    extra = (row.operator_macs or 0) - (row.macs or 0)
    return [(Message("layers that state their own counts, counted by their operators"), extra)]


def _bias(row: LayerRow) -> int:
    return prod(row.output) if row.bias else 0


def _input(row: LayerRow) -> int:
    return prod(row.input_shapes[0]) if row.input_shapes else 0


def torchinfo(row: LayerRow) -> list[Part]:
    """Parameters times output positions for a module whose class name has "Conv", parameters otherwise."""
    if not row.module:
        return [(Message("operators outside modules are not counted"), -(row.macs or 0))]
    if not row.own_params:
        return []
    counted = row.own_params * (prod(row.output[1:]) if "Conv" in row.module else 1)
    macs = row.macs or 0
    if row.kind in WEIGHTED and not row.stated:
        bias = _bias(row)
        return [(Message("biases"), bias), (Message("only one position of several counted"), counted - macs - bias)]
    if row.stated:
        return [(Message("layers that state their own counts, counted by their parameters"), counted - macs)]
    return [(Message("parameters of normalisation and other layers, once each"), counted - macs)]


def fvcore(row: LayerRow) -> list[Part]:
    """Products, plus 2 per value of batch normalisation, plus 1 per value read by adaptive pooling."""
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
    """torch's FlopCounterMode: a multiplication and an addition count as two."""
    return [*_stated(row), (Message("additions are counted as well as multiplications"), row.operator_macs or 0)]


RULES: dict[str, tuple[str, Callable[[LayerRow], list[Part]]]] = {
    "torchinfo": ("mult-adds", torchinfo),
    "fvcore": ("flops", fvcore),
    "ptflops (aten)": ("MACs", ptflops_aten),
    "torch FlopCounterMode": ("FLOPs", flop_counter),
}


def conventions(summary: Summary) -> tuple[Convention, ...]:
    """Every tool's total for this network, with the differences from our ``macs``."""
    results = []
    for tool, (unit, rule) in RULES.items():
        reasons: dict[str, int] = {}
        for row in summary.rows:
            for reason, extra in rule(row):
                reasons[reason] = reasons.get(reason, 0) + extra
        differences = tuple(Difference(reason, extra) for reason, extra in reasons.items() if extra)
        total = summary.totals.macs + sum(item.difference for item in differences)
        results.append(Convention(tool, unit, total, differences))
    return tuple(results)
