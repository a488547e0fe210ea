"""``api/window``: one value of a layer's output, from the real values it is made of. Needs torch.

The products are summed here in double precision and compared with the value that the network computed. Where they do
not agree, because a layer does something else with its weights, the document says only the value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from convatlas.arithmetic.by_value import Working
from convatlas.arithmetic.exact import factor
from convatlas.arithmetic.records import INPUT, LayerRow
from convatlas.errors import UsageError
from convatlas.explorer.image_documents import row_of
from convatlas.explorer.images import Picture
from convatlas.explorer.networks import SCHEMA
from convatlas.explorer.ready import Ready, Workbench
from convatlas.explorer.subjects import Subject
from convatlas.i18n import _
from convatlas.inspection import ForwardPass

LISTED = 8  # input channels of a window
LISTED_VALUES = 64  # input channels of a 1x1 window, and inputs of a fully connected layer
LARGEST_WINDOW = 1024  # values of one channel
TOLERANCE = 1e-3  # of the sum, relative to the largest of its parts
DIGITS = 4  # significant ones of a value in the working


@dataclass(frozen=True)
class Part:
    """The share of one input channel in an output value.

    Attributes:
        values: (kh, kw), None in the padding.
        weights: (kh, kw); None for a pooling.
        total: the sum of the products, or the result of the pooling.
        top, left: of the window on the input map; negative in the padding.
    """

    channel: int
    values: list[list[float | None]]
    weights: list[list[float]] | None
    total: float
    top: int
    left: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "values": self.values,
            "weights": self.weights,
            "sum": self.total,
            "top": self.top,
            "left": self.left,
        }


@dataclass(frozen=True)
class Value:
    """One output value and its parts; ``rest`` is the sum over the channels that are not listed."""

    operator: str
    output: float
    bias: float | None = None
    parts: tuple[Part, ...] = ()
    rest: float = 0.0
    lines: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "operator": self.operator,
            "output": self.output,
            "bias": self.bias,
            "inputs": [part.to_dict() for part in self.parts],
            "rest": self.rest,
            "lines": list(self.lines),
        }


def window_document(
    bench: Workbench, subject: Subject, image: Picture, layer: str, place: tuple[int, int, int]
) -> dict[str, Any]:
    """One value of a row's output.

    Args:
        place: channel, y, x; of a vector the index, 0, 0.

    Raises:
        UnknownNameError: no such row.
        UsageError: the output has no such place.
    """
    forward = bench.forward(subject, image)
    name = row_of(forward, layer)
    row = subject.summary()[name]
    output = forward.output(name)[0].detach()
    flat = output[:, None, None] if output.dim() == 1 else output
    if flat.dim() != 3 or not all(0 <= at < side for at, side in zip(place, flat.shape, strict=True)):
        raise UsageError(
            "the output of {layer} has the shape {shape}; there is no value at {place}.",
            layer=name,
            shape=" x ".join(map(str, output.shape)),
            place=", ".join(map(str, place)),
        )
    result = float(flat[place])
    value = _value(bench.network(subject), forward, row, place, result)
    return (value if value is not None and _agrees(value) else _alone(row, place, result)).to_dict()


def _value(
    found: Ready, forward: ForwardPass, row: LayerRow, place: tuple[int, int, int], result: float
) -> Value | None:
    """The value with its parts; None for an operator whose parts are not shown."""
    source = _source(forward, row)
    if source is None or row.stated or len(row.operators) != 1:
        return None
    module = _module(found.net, row.path)
    if row.kind == "conv" and source.dim() == 3:
        return _convolved(row, module, source.double().numpy(), place, result)
    if row.kind == "fc" and source.dim() == 1:
        return _connected(module, source.double().numpy(), place, result)
    if row.kind in ("maxpool", "avgpool", "global_avgpool") and source.dim() == 3:
        return _pooled(row, module, source.double().numpy(), place, result)
    return None


def _source(forward: ForwardPass, row: LayerRow) -> Tensor | None:
    """What a row with one input reads, without the batch."""
    if len(row.inputs) != 1:
        return None
    name = row.inputs[0]
    tensor = forward.images if name == INPUT else forward.output(name)
    return tensor[0].detach()


def _module(net: nn.Module, path: str) -> nn.Module | None:
    try:
        return net.get_submodule(path) if path else None
    except AttributeError:
        return None


def _weight_and_bias(module: nn.Module | None, axes: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if not isinstance(weight, Tensor) or weight.dim() != axes:
        return None
    return weight.detach().double().numpy(), bias.detach().double().numpy() if isinstance(bias, Tensor) else None


def _convolved(
    row: LayerRow, module: nn.Module | None, x: np.ndarray, place: tuple[int, int, int], result: float
) -> Value | None:
    tensors = _weight_and_bias(module, 4)
    geometry = _geometry(row)
    if tensors is None or geometry is None or getattr(module, "padding_mode", "zeros") != "zeros":
        return None
    weights, biases = tensors
    filter_ = weights[place[0]] if place[0] < len(weights) else None
    groups = row.groups or 1
    if filter_ is None or filter_.shape[0] * groups != x.shape[0]:
        return None
    kernel, top, left, rows, columns = _window(geometry, place)
    if filter_.shape[1:] != kernel:
        return None
    first = place[0] // (len(weights) // groups) * filter_.shape[0]
    cut, inside = _cut(x[first : first + filter_.shape[0]], rows, columns)
    products = (cut * filter_).sum(axis=(1, 2))
    order = np.argsort(-np.abs(products), kind="stable")[: LISTED_VALUES if kernel == (1, 1) else LISTED]
    parts = tuple(
        Part(first + int(c), _shown(cut[c], inside), filter_[c].tolist(), float(products[c]), top, left) for c in order
    )
    bias = None if biases is None else float(biases[place[0]])
    return _summed("conv", place, result, bias, parts, float(np.delete(products, order).sum()))


def _connected(module: nn.Module | None, x: np.ndarray, place: tuple[int, int, int], result: float) -> Value | None:
    tensors = _weight_and_bias(module, 2)
    if tensors is None or tensors[0].shape[1] != len(x) or place[0] >= len(tensors[0]):
        return None
    weights, biases = tensors
    products = weights[place[0]] * x
    order = np.argsort(-np.abs(products), kind="stable")[:LISTED_VALUES]
    parts = tuple(
        Part(int(i), [[float(x[i])]], [[float(weights[place[0], i])]], float(products[i]), 0, 0) for i in order
    )
    bias = None if biases is None else float(biases[place[0]])
    return _summed("fc", place, result, bias, parts, float(np.delete(products, order).sum()))


def _summed(
    operator: str, place: tuple[int, int, int], result: float, bias: float | None, parts: tuple[Part, ...], rest: float
) -> Value:
    return Value(operator, result, bias, parts, rest, tuple(_lines(operator, place, result, bias, parts, rest)))


def _pooled(
    row: LayerRow, module: nn.Module | None, x: np.ndarray, place: tuple[int, int, int], result: float
) -> Value | None:
    if row.kind == "global_avgpool":
        height, width = x.shape[1:]
        top, left, rows, columns = 0, 0, list(range(height)), list(range(width))
    else:
        geometry = _geometry(row)
        if geometry is None:
            return None
        _kernel, top, left, rows, columns = _window(geometry, place)
    if len(rows) * len(columns) > LARGEST_WINDOW:
        return None
    cut, inside = _cut(x[place[0]][None], rows, columns)
    values = cut[0][inside]
    if row.kind == "maxpool":
        total, before, after, between = float(values.max()), "max(", ")", ", "
    else:
        counted = _counted(row, module, x.shape[1:], rows, columns, inside)
        total, before, after, between = float(values.sum() / counted), "(", f")/{counted}", " + "
    part = Part(place[0], _shown(cut[0], inside), None, total, top, left)
    terms = (tuple(factor(rounded(value)) for value in values),)
    line = Working(_name("y", place), terms, rounded(total), before, between, after).text()
    return Value("pool", result, None, (part,), 0.0, (line,))


def _counted(
    row: LayerRow,
    module: nn.Module | None,
    size: Sequence[int],
    rows: list[int],
    columns: list[int],
    inside: np.ndarray,
) -> int:
    """The divisor of an average: the values under the window, and the padding where the layer counts it."""
    if row.kind == "global_avgpool" or getattr(module, "count_include_pad", True) is False:
        return int(inside.sum())
    divisor = getattr(module, "divisor_override", None)
    padding = row.padding or (0, 0)
    tall = sum(y < size[0] + padding[0] for y in rows)
    wide = sum(x < size[1] + padding[1] for x in columns)
    return int(divisor) if divisor else tall * wide


@dataclass(frozen=True)
class _Geometry:
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def _geometry(row: LayerRow) -> _Geometry | None:
    sides = (row.kernel, row.stride, row.padding, row.dilation or (1, 1))
    if any(side is None or len(side) != 2 for side in sides):
        return None
    kernel, stride, padding, dilation = ((int(side[0]), int(side[1])) for side in sides if side is not None)
    return _Geometry(kernel, stride, padding, dilation)


def _window(geometry: _Geometry, place: tuple[int, int, int]) -> tuple[tuple[int, int], int, int, list[int], list[int]]:
    """The kernel, the top and left of its window, and the rows and columns of the input that it reads."""
    top = place[1] * geometry.stride[0] - geometry.padding[0]
    left = place[2] * geometry.stride[1] - geometry.padding[1]
    rows = [top + tap * geometry.dilation[0] for tap in range(geometry.kernel[0])]
    columns = [left + tap * geometry.dilation[1] for tap in range(geometry.kernel[1])]
    return geometry.kernel, top, left, rows, columns


def _cut(maps: np.ndarray, rows: list[int], columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The values (C, kh, kw) under a window, 0 in the padding; and where it is inside the map, (kh, kw)."""
    height, width = maps.shape[1:]
    y, x = np.array(rows)[:, None], np.array(columns)[None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    cut = maps[:, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.where(inside, cut, 0.0), inside


def _shown(values: np.ndarray, inside: np.ndarray) -> list[list[float | None]]:
    return [
        [float(value) if there else None for value, there in zip(row, row_inside, strict=True)]
        for row, row_inside in zip(values, inside, strict=True)
    ]


def _lines(
    operator: str, place: tuple[int, int, int], result: float, bias: float | None, parts: Sequence[Part], rest: float
) -> list[str]:
    """The working: the sum of each listed channel, then all sums together. Values are rounded for reading."""
    lines = []
    values = all(len(part.values) == len(part.values[0]) == 1 for part in parts)
    for part in parts if not values else ():
        assert part.weights is not None
        products = tuple(
            _product(0.0 if value is None else value, weight)
            for row, weight_row in zip(part.values, part.weights, strict=True)
            for value, weight in zip(row, weight_row, strict=True)
        )
        lines.append(Working(_("channel {channel}", channel=part.channel), (products,), rounded(part.total)).text())
    terms = [
        _product(part.values[0][0] or 0.0, part.weights[0][0]) if values and part.weights else _text(part.total)
        for part in parts
    ]
    if rest:
        terms.append(_text(rest))
    if bias is not None:
        terms.append(_text(bias))
    index = place[:1] if operator == "fc" else place
    notes = [_("{value} is the rest of the channels", value=_text(rest))] if rest and operator == "conv" else []
    notes += [_("{value} is the rest of the inputs", value=_text(rest))] if rest and operator == "fc" else []
    notes += [_("{value} is the bias", value=_text(bias))] if bias is not None else []
    lines.append(Working(_name("y", index), (tuple(terms),), rounded(result), note=", ".join(notes)).text())
    return lines


def _product(value: float, weight: float) -> str:
    return f"{factor(rounded(value))}*{factor(rounded(weight))}"


def rounded(value: float) -> float:
    """A value with four significant digits, for the working."""
    return float(f"{value:.{DIGITS}g}")


def _text(value: float) -> str:
    return factor(rounded(value))


def _name(symbol: str, place: Sequence[int]) -> str:
    return f"{symbol}[{','.join(map(str, place))}]"


def _agrees(value: Value) -> bool:
    """Whether the parts give the value that the network computed."""
    parts = [part.total for part in value.parts]
    total = sum(parts) + value.rest + (value.bias or 0.0)
    largest = max((abs(part) for part in (*parts, value.rest, value.output)), default=0.0)
    return math.isfinite(total) and abs(total - value.output) <= TOLERANCE * max(largest, 1e-6)


def _alone(row: LayerRow, place: tuple[int, int, int], result: float) -> Value:
    """A value without its parts."""
    index = place[:1] if len(row.output) == 1 else place
    return Value("other", result, lines=(f"{row.kind}: {_name('y', index)} = {_text(result)}",))
