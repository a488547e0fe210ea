"""The resize and centre crop of a photo as ONNX operators, with the same bits as Pillow on the CPU.

Pillow resizes 8-bit images in two passes, one per axis. A pass is a weighted sum whose weights are rounded to 22 binary
places, and each pass rounds its result to 8 bits (Pillow, src/libImaging/Resample.c). Here a pass is a product with a
matrix of these weights:

    weight(x) = filter((x - centre + 0.5) / max(scale, 1)) / sum,    scale = in / out,  centre = (i + 0.5) * scale

Every step is arranged so that float32 is enough for it, because OpenVINO computes float64 nodes in float32: its values
are whole numbers below 2^24. A bilinear weight is a quotient of two such numbers, divided in two stages of 11 bits with
an exact remainder. For the sums the weights are split into their upper 15 and lower 7 bits, and each part has a product
of its own; its sums are below 2^24 for any upper part, and for lower parts of up to 600 pixels, whatever the pixels. So
ONNX Runtime and OpenVINO both give Pillow's bits. Bicubic weights are polynomials of a quotient: ONNX Runtime computes
them in float64, OpenVINO rounds them as float32, and some of them differ by one unit of 2^-22.

The horizontal pass comes first; since Pillow 13 the vertical pass comes first where the height shrinks by more than
twice as many pixels as the width. This order was inferred from Pillow's results: it explains all of 2,447 random sizes
in which the two orders give different pixels.

ONNX's own Resize is not used: on uint8 it differs from Pillow in 0.08 % of the pixels, and OpenVINO ignores its
``antialias``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from convatlas.data.preprocessing import Preprocessing
from convatlas.exports.description import INPUT, PREPARED, RESIZED_INSIDE
from convatlas.exports.graph import GraphBuilder

PRECISION_BITS = 22  # of Pillow's weights
LOW_BITS = 7  # of them are summed apart, so that the sums are exact in float32
STAGE_BITS = 11  # of a weight that are found by one division
LIMB = 64  # sides are split by it: the products of their parts and of coordinates are below 2^24
VERTICAL_FIRST_SINCE = 13  # Pillow's major version
BICUBIC = -0.5  # the parameter a of Keys' filter


@dataclass(frozen=True)
class Axis:
    """One axis of the resize. Each value names a float64 scalar in the graph: pixels."""

    length: str  # of the input
    resized: str  # of the whole resized image
    offset: str  # first row or column that the crop keeps
    kept: int  # rows or columns of the crop


def add_resize(graph: GraphBuilder, preprocessing: Preprocessing, pillow: str, image: str = INPUT) -> str:
    """Add the nodes from uint8 (1, H, W, C) of any size to the prepared uint8 (1, h, w, C).

    Args:
        pillow: the version of Pillow whose pixels are wanted.

    Returns: the name of the prepared pixels.
    """
    assert preprocessing.resize in RESIZED_INSIDE, "checked before the export"
    shape = graph.op("Shape", image)
    sides = [
        graph.cast(graph.op("Gather", shape, graph.constant(axis, np.int64), axis=0), TensorProto.DOUBLE)
        for axis in (1, 2)
    ]
    vertical, horizontal = _axes(graph, preprocessing, sides)
    planes = graph.op("Squeeze", image, graph.constant([0], np.int64))
    planes = graph.cast(graph.op("Transpose", planes, perm=[2, 0, 1]), TensorProto.FLOAT)  # (C, H, W)
    down = _weights(graph, vertical, preprocessing.interpolation)  # (h, H)
    across = _weights(graph, horizontal, preprocessing.interpolation)  # (w, W)
    if int(pillow.partition(".")[0]) >= VERTICAL_FIRST_SINCE:
        resized = _in_either_order(graph, planes, down, across, vertical, horizontal, preprocessing.channels)
    else:
        resized = _pass(graph, down, _pass(graph, across, planes, vertical=False), vertical=True)
    pixels = graph.cast(graph.op("Transpose", resized, perm=[1, 2, 0]), TensorProto.UINT8)
    name: str = graph.op("Unsqueeze", pixels, graph.constant([0], np.int64), name=PREPARED)
    return name


def _axes(graph: GraphBuilder, preprocessing: Preprocessing, sides: list[str]) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis: as `Preprocessing.apply`, followed by the centre crop of evaluation."""
    stored, size = preprocessing.store_size, preprocessing.size
    if preprocessing.resize == "squash":
        resized = [graph.constant(side) for side in stored]
    else:
        scale = graph.op(
            "Max", *(graph.op("Div", graph.constant(side), length) for side, length in zip(stored, sides, strict=True))
        )
        resized = [
            graph.op("Max", graph.constant(side), graph.op("Round", graph.op("Mul", length, scale)))
            for side, length in zip(stored, sides, strict=True)
        ]
    axes = []
    for length, whole, store, kept in zip(sides, resized, stored, size, strict=True):
        first_crop = graph.op("Floor", graph.op("Mul", graph.op("Sub", whole, graph.constant(store)), _half(graph)))
        offset = graph.op("Add", first_crop, graph.constant((store - kept) // 2))
        axes.append(Axis(length, whole, offset, kept))
    return axes[0], axes[1]


def _weights(graph: GraphBuilder, axis: Axis, interpolation: str) -> str:
    """Pillow's weights of one axis in units of 2^-22, as a float64 matrix (kept, length)."""
    columns = graph.op("Range", graph.constant(0), axis.length, graph.constant(1))  # (length,)
    rows = graph.op("Add", graph.constant(np.arange(axis.kept)[:, None]), axis.offset)  # (kept, 1)
    # from the middle of a pixel to the centre of a row, in pixels of the input: this over 2 axis.resized
    apart = graph.op("Abs", _difference_of_products(graph, _odd(graph, columns), axis.resized,
                                                    _odd(graph, rows), axis.length))  # fmt: skip
    return FILTERS[interpolation](graph, apart, _reach(graph, axis))


def _reach(graph: GraphBuilder, axis: Axis) -> str:
    """What ``apart`` is where the filter's argument is 1: the filter widens when the image shrinks."""
    name: str = graph.op("Mul", graph.constant(2), graph.op("Max", axis.length, axis.resized))
    return name


def _bilinear(graph: GraphBuilder, apart: str, reach: str) -> str:
    """A triangle, whose height ``reach - apart`` is a whole number."""
    return _share(graph, graph.op("Max", graph.op("Sub", reach, apart), graph.constant(0)))


def _bicubic(graph: GraphBuilder, apart: str, reach: str) -> str:
    value = _cubic(graph, graph.op("Div", apart, reach))
    share = graph.op("Div", value, _row_sums(graph, value))
    away = graph.op("Where", graph.op("Less", share, graph.constant(0)), graph.constant(-0.5), _half(graph))
    return _whole(graph, graph.op("Add", graph.op("Mul", share, graph.constant(1 << PRECISION_BITS)), away))


FILTERS = {"bilinear": _bilinear, "bicubic": _bicubic}


def _odd(graph: GraphBuilder, number: str) -> str:
    """2 n + 1"""
    name: str = graph.op("Add", graph.op("Mul", graph.constant(2), number), graph.constant(1))
    return name


def _difference_of_products(graph: GraphBuilder, a: str, b: str, c: str, d: str) -> str:
    """a b - c d of whole numbers, where the difference is below 2^24 and the products need not be."""
    (b_high, b_low), (d_high, d_low) = _split(graph, b, LIMB), _split(graph, d, LIMB)
    high, low = (
        graph.op("Sub", graph.op("Mul", a, left), graph.op("Mul", c, right))
        for left, right in ((b_high, d_high), (b_low, d_low))
    )
    name: str = graph.op("Add", graph.op("Mul", high, graph.constant(LIMB)), low)
    return name


def _split(graph: GraphBuilder, number: str, by: int, kind: Any = np.float64) -> tuple[str, str]:
    """A whole number as ``high * by + low``; ``by`` is a power of two."""
    high = graph.op("Floor", graph.op("Mul", number, graph.constant(1 / by, kind)))
    return high, graph.op("Sub", number, graph.op("Mul", high, graph.constant(by, kind)))


def _row_sums(graph: GraphBuilder, matrix: str) -> str:
    name: str = graph.op("ReduceSum", matrix, graph.constant([1], np.int64), keepdims=1)
    return name


def _share(graph: GraphBuilder, parts: str) -> str:
    """Each part, a whole number, as a share of the sum of its row: in units of 2^-22, rounded.

    A long division: the quotient of the first 11 bits, its exact remainder, and the quotient of the remainder.
    """
    total, stage = _row_sums(graph, parts), graph.constant(1 << STAGE_BITS)
    total_high, total_low = _split(graph, total, 1 << (STAGE_BITS + 1))
    scaled = graph.op("Mul", parts, stage)
    first = graph.op("Floor", graph.op("Div", scaled, total))
    taken = graph.op("Mul", graph.op("Mul", first, total_high), graph.constant(1 << (STAGE_BITS + 1)))
    rest = graph.op("Sub", graph.op("Sub", scaled, taken), graph.op("Mul", first, total_low))
    second = graph.op("Div", graph.op("Mul", rest, stage), total)
    second = graph.op("Floor", graph.op("Add", second, _half(graph)))
    name: str = graph.op("Add", graph.op("Mul", first, stage), second)
    return name


def _cubic(graph: GraphBuilder, x: str) -> str:
    """Keys' filter, in Pillow's order of operations."""
    constant, a = graph.constant, BICUBIC
    near = graph.op("Sub", graph.op("Mul", constant(a + 2), x), constant(a + 3))
    near = graph.op("Add", graph.op("Mul", graph.op("Mul", near, x), x), constant(1))
    far = graph.op("Add", graph.op("Mul", graph.op("Sub", x, constant(5)), x), constant(8))
    far = graph.op("Mul", graph.op("Sub", graph.op("Mul", far, x), constant(4)), constant(a))
    beyond = graph.op("Where", graph.op("Less", x, constant(2)), far, constant(0))
    name: str = graph.op("Where", graph.op("Less", x, constant(1)), near, beyond)
    return name


def _pass(graph: GraphBuilder, weights: str, pixels: str, *, vertical: bool) -> str:
    """One axis: weighted sums of pixels (C, H, W) in units of 2^-22, rounded to whole values and clipped to 0..255.

    Args:
        weights: (kept, H) or (kept, W).
    """
    part, single = 1 << LOW_BITS, np.float32
    high = graph.op("Floor", graph.op("Add", graph.op("Mul", weights, graph.constant(1 / part)), _half(graph)))
    low = graph.op("Sub", weights, graph.op("Mul", high, graph.constant(part)))
    sums = []
    for matrix in (high, low):
        matrix = graph.cast(matrix, TensorProto.FLOAT)
        if vertical:
            sums.append(graph.op("MatMul", matrix, pixels))
        else:
            sums.append(graph.op("MatMul", pixels, graph.op("Transpose", matrix, perm=[1, 0])))
    # 2^7 high + low + 1/2, over 2^22: first the whole numbers in high, then what is left together with low
    whole, rest = _split(graph, sums[0], 1 << (PRECISION_BITS - LOW_BITS), single)
    rest = graph.op("Add", graph.op("Mul", rest, graph.constant(part, single)), sums[1])
    rest = graph.op("Add", rest, graph.constant(1 << (PRECISION_BITS - 1), single))
    carried = graph.op("Floor", graph.op("Mul", rest, graph.constant(2.0**-PRECISION_BITS, single)))
    rounded = graph.op("Add", whole, carried)
    name: str = graph.op("Min", graph.op("Max", rounded, graph.constant(0, single)), graph.constant(255, single))
    return name


def _in_either_order(
    graph: GraphBuilder, planes: str, down: str, across: str, vertical: Axis, horizontal: Axis, channels: int
) -> str:
    lost_height = graph.op("Sub", vertical.length, vertical.resized)
    lost_width = graph.op("Sub", horizontal.length, horizontal.resized)
    much = graph.op("Greater", lost_height, graph.op("Mul", graph.constant(2), lost_width))
    condition = graph.op("And", much, graph.op("Greater", lost_height, graph.constant(0)))
    branches = {}
    for name, vertical_first in (("then_branch", True), ("else_branch", False)):
        branch = GraphBuilder(f"{graph.prefix}/{name}")
        result = planes
        for axis_is_vertical in (vertical_first, not vertical_first):
            result = _pass(branch, down if axis_is_vertical else across, result, vertical=axis_is_vertical)
        output = helper.make_tensor_value_info(result, TensorProto.FLOAT, [channels, vertical.kept, horizontal.kept])
        branches[name] = helper.make_graph(branch.nodes, name, [], [output], branch.initializers)
    result_name: str = graph.op("If", condition, **branches)
    return result_name


def _half(graph: GraphBuilder) -> str:
    return graph.constant(0.5)


def _whole(graph: GraphBuilder, value: str) -> str:
    """Towards zero, as a cast to ``int`` in C."""
    return graph.cast(graph.cast(value, TensorProto.INT64), TensorProto.DOUBLE)
