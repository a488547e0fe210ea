"""Pillow's resize and the centre crop as standard ONNX operators, with the same bits as Pillow on the CPU.

Pillow resizes 8-bit images in two passes, one per axis. A pass is a weighted sum whose weights are rounded to 22 binary
places, and each pass rounds its result to 8 bits (Pillow, src/libImaging/Resample.c). Here a pass is a product with a
matrix of these weights in float64, in which all products and sums are exact integers:

    weight(x) = filter((x - centre + 0.5) / max(scale, 1)) / sum,    scale = in / out,  centre = (i + 0.5) * scale

The horizontal pass comes first; since Pillow 13 the vertical pass comes first where the height shrinks by more than
twice as many pixels as the width. This order was inferred from Pillow's results: it explains all of 2,447 random sizes
in which the two orders give different pixels.

ONNX's own Resize is not used: on uint8 it differs from Pillow in 0.08 % of the pixels, and OpenVINO ignores its
``antialias``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from convatlas.data.preprocessing import Preprocessing
from convatlas.exports.description import INPUT, PREPARED, RESIZED_INSIDE
from convatlas.exports.graph import GraphBuilder

PRECISION_BITS = 22  # of Pillow's weights
VERTICAL_FIRST_SINCE = 13  # Pillow's major version
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # half the width of the filter, input pixels
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
    planes = graph.cast(graph.op("Transpose", planes, perm=[2, 0, 1]), TensorProto.DOUBLE)  # (C, H, W)
    down = _weights(graph, vertical, preprocessing.interpolation)  # (h, H)
    across = graph.op("Transpose", _weights(graph, horizontal, preprocessing.interpolation), perm=[1, 0])  # (W, w)
    if int(pillow.partition(".")[0]) >= VERTICAL_FIRST_SINCE:
        resized = _in_either_order(graph, planes, down, across, vertical, horizontal, preprocessing.channels)
    else:
        resized = _pass(graph, down, _pass(graph, planes, across))
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
    half, one, zero = _half(graph), graph.constant(1), graph.constant(0)
    scale = graph.op("Div", axis.length, axis.resized)
    stretch = graph.op("Max", scale, one)  # the filter widens when the image shrinks
    support = graph.op("Mul", graph.constant(SUPPORT[interpolation]), stretch)
    rows = graph.op("Add", graph.constant(np.arange(axis.kept)[:, None]), axis.offset)  # (kept, 1)
    centre = graph.op("Mul", graph.op("Add", rows, half), scale)
    first = _whole(graph, graph.op("Max", graph.op("Add", graph.op("Sub", centre, support), half), zero))
    end = _whole(graph, graph.op("Min", graph.op("Add", graph.op("Add", centre, support), half), axis.length))
    columns = graph.op("Range", zero, axis.length, one)  # (length,)
    inside = graph.op("And", graph.op("GreaterOrEqual", columns, first), graph.op("Less", columns, end))
    # x - centre + 0.5 = ((2x + 1) out - (2i + 1) in) / (2 out): whole numbers up to the division, so that engines which
    # compute in float32, as OpenVINO does, lose little
    two = graph.constant(2)
    odd_column = graph.op("Mul", graph.op("Add", graph.op("Mul", two, columns), one), axis.resized)
    odd_row = graph.op("Mul", graph.op("Add", graph.op("Mul", two, rows), one), axis.length)
    distance = graph.op("Div", graph.op("Sub", odd_column, odd_row), graph.op("Mul", two, axis.resized))
    distance = graph.op("Abs", graph.op("Mul", distance, graph.op("Div", one, stretch)))
    value = (_triangle if interpolation == "bilinear" else _cubic)(graph, distance)
    value = graph.op("Where", inside, value, zero)
    share = graph.op("Div", value, graph.op("ReduceSum", value, graph.constant([1], np.int64), keepdims=1))
    scaled = graph.op("Mul", share, graph.constant(1 << PRECISION_BITS))
    away = graph.op("Where", graph.op("Less", share, zero), graph.constant(-0.5), half)
    return _whole(graph, graph.op("Add", scaled, away))


def _triangle(graph: GraphBuilder, x: str) -> str:
    name: str = graph.op("Max", graph.op("Sub", graph.constant(1), x), graph.constant(0))
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


def _pass(graph: GraphBuilder, left: str, right: str) -> str:
    """A product in units of 2^-22, rounded to whole pixel values and clipped to 0..255."""
    sums = graph.op("Add", graph.op("MatMul", left, right), graph.constant(1 << (PRECISION_BITS - 1)))
    rounded = graph.op("Floor", graph.op("Mul", sums, graph.constant(2.0**-PRECISION_BITS)))
    name: str = graph.op("Min", graph.op("Max", rounded, graph.constant(0)), graph.constant(255))
    return name


def _in_either_order(
    graph: GraphBuilder, planes: str, down: str, across: str, vertical: Axis, horizontal: Axis, channels: int
) -> str:
    lost_height = graph.op("Sub", vertical.length, vertical.resized)
    lost_width = graph.op("Sub", horizontal.length, horizontal.resized)
    much = graph.op("Greater", lost_height, graph.op("Mul", graph.constant(2), lost_width))
    vertical_first = graph.op("And", much, graph.op("Greater", lost_height, graph.constant(0)))
    branches = {}
    for name, first, last in (
        ("then_branch", (down, planes), lambda branch, first: (first, across)),
        ("else_branch", (planes, across), lambda branch, first: (down, first)),
    ):
        branch = GraphBuilder(f"{graph.prefix}/{name}")
        result = _pass(branch, *last(branch, _pass(branch, *first)))
        output = helper.make_tensor_value_info(result, TensorProto.DOUBLE, [channels, vertical.kept, horizontal.kept])
        branches[name] = helper.make_graph(branch.nodes, name, [], [output], branch.initializers)
    result_name: str = graph.op("If", vertical_first, **branches)
    return result_name


def _half(graph: GraphBuilder) -> str:
    return graph.constant(0.5)


def _whole(graph: GraphBuilder, value: str) -> str:
    """Towards zero, as a cast to ``int`` in C."""
    return graph.cast(graph.cast(value, TensorProto.INT64), TensorProto.DOUBLE)
