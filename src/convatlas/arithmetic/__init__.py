"""Arithmetic: any ``nn.Module`` -> rows -> totals, with the working shown. It knows no network of ours.

    summarize(net, (C, H, W))   one watched pass on the meta device -> Summary
    seen_by(net, shape, layer, position)   the pixels one position of a layer sees
    Summary, LayerRow, Totals        the layer table and graph, no torch
    explain(summary, layer)     its figures with the formula and the values put in, no torch
    layer, comparisons          one layer by hand, and the comparisons of the lecture, no torch
    formulas                    the arithmetic of one layer, no torch
    LayerCount                  what a module's own ``__arithmetic__`` returns (protocol.py)

Names that need torch are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.arithmetic.explanation import Explanation, explain
    from convatlas.arithmetic.network import ForwardError, Seen, seen_by, summarize
    from convatlas.arithmetic.protocol import LayerCount, StatesItsArithmetic
    from convatlas.arithmetic.records import LayerRow, Totals
    from convatlas.arithmetic.summary import Summary
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "summarize",
    "explain",
    "Explanation",
    "seen_by",
    "Seen",
    "Summary",
    "LayerRow",
    "Totals",
    "ForwardError",
    "LayerCount",
    "StatesItsArithmetic",
]
