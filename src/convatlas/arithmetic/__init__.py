"""Arithmetic of any ``nn.Module``: rows per layer and totals, with the calculations shown. Independent of our networks.

    summarize(net, (C, H, W))   trace one forward pass on the meta device and return a Summary
    receptive_box(net, shape, layer, position)   the pixels that one position of a layer depends on
    Summary, LayerRow, Totals   the layer table and graph, no torch
    explain(summary, layer)     the figures of a layer, with formulas and values, no torch
    layer, comparisons          one layer calculated by hand, and comparisons of structures, no torch
    formulas                    the arithmetic of one layer, no torch
    LayerCount                  what a module's own ``__arithmetic__`` returns (protocol.py)

Names that need torch are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.arithmetic.explanation import Explanation, explain
    from convatlas.arithmetic.network import ForwardError, ReceptiveBox, receptive_box, summarize
    from convatlas.arithmetic.protocol import LayerCount, SupportsArithmetic
    from convatlas.arithmetic.records import LayerRow, Totals
    from convatlas.arithmetic.summary import Summary
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "summarize",
    "explain",
    "Explanation",
    "receptive_box",
    "ReceptiveBox",
    "Summary",
    "LayerRow",
    "Totals",
    "ForwardError",
    "LayerCount",
    "SupportsArithmetic",
]
