"""Comparisons of structures that lectures on CNNs discuss, with calculated numbers. No torch.

Each function compares alternatives for the same input. Biases are not counted, as in the papers: Simonyan and
Zisserman, section 2.3 (stacks); Szegedy et al. 2015, section 5 (reductions); He et al. 2016, section 4.1 (bottlenecks);
Krizhevsky et al. 2012, section 3.2 (groups); Chollet 2017 (separable convolutions).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from convatlas.arithmetic.formulas import Sides, reach
from convatlas.arithmetic.layer import WorkedLayer, convolution, fully_connected
from convatlas.arithmetic.protocol import Shape
from convatlas.errors import UnknownNameError
from convatlas.message import Message, joined


@dataclass(frozen=True)
class Alternative:
    """One structure from the input to the output. ``working`` is the calculation of its number of weights."""

    name: str
    layers: tuple[str, ...]
    output: Shape
    params: int
    macs: int
    receptive_field: tuple[int, ...]
    nonlinearities: int
    working: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {key: list(v) if isinstance(v, tuple) else v for key, v in self.__dict__.items()}


@dataclass(frozen=True)
class Ratio:
    """The number of weights of an alternative divided by that of a baseline: ``27*C^2 / 49*C^2 = 55.1 %``."""

    name: str
    baseline: str
    formula: str
    share: Fraction

    def to_dict(self) -> dict[str, Any]:
        return {"way": self.name, "against": self.baseline, "formula": self.formula, "share": float(self.share)}


@dataclass(frozen=True)
class StructureComparison:
    """Several structures for the same input; the first is the baseline of the others."""

    title: str
    input: Shape
    alternatives: tuple[Alternative, ...]
    ratios: tuple[Ratio, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "input": list(self.input),
            "ways": [alternative.to_dict() for alternative in self.alternatives],
            "ratios": [ratio.to_dict() for ratio in self.ratios],
        }


Conv = dict[str, Any]  # keyword arguments of layer.convolution, out_channels as "out"


def chain(name: str, input: Shape, layers: Sequence[Conv], bias: bool = False) -> Alternative:
    """Convolutions one after the other, each followed by a non-linearity. The default padding is "same"."""
    shape, params, macs, texts, products = tuple(input), 0, 0, [], []
    field, jump = [1] * (len(input) - 1), [1] * (len(input) - 1)
    for options in layers:
        worked = _conv(shape, options, bias)
        kernel = options["kernel"] if isinstance(options["kernel"], tuple) else (options["kernel"],) * (len(shape) - 1)
        stride = options.get("stride", 1)
        field = [r + (reach(k) - 1) * j for r, k, j in zip(field, kernel, jump, strict=True)]
        jump = [j * stride for j in jump]
        products.append(_product_of(shape[0], options["out"], kernel, options.get("groups", 1), bias))
        shape, params, macs = worked.output, params + worked.params, macs + worked.macs
        texts.append(
            Message(
                "{kernel}, {out}, groups {groups}" if options.get("groups", 1) > 1 else "{kernel}, {out}",
                kernel="x".join(map(str, kernel)),
                out=options["out"],
                groups=options.get("groups", 1),
            )
        )
    return Alternative(name, tuple(texts), shape, params, macs, tuple(field), len(layers), _summed(products))


def _product_of(channels: int, out: int, kernel: Sequence[int], groups: int, bias: bool) -> str:
    """``3*3*256*256``: the weights of one convolution."""
    depth = str(channels) if groups == 1 else f"({channels}/{groups})"
    return "*".join([*map(str, kernel), depth, str(out)]) + (f" + {out}" if bias else "")


def _summed(products: Sequence[str]) -> str:
    """The sum of the products as text; ``n`` equal ones in a row are written as ``n * (product)``."""
    counted = [(len(list(same)), product) for product, same in itertools.groupby(products)]
    return " + ".join(product if n == 1 else f"{n} * ({product})" for n, product in counted)


def _conv(shape: Shape, options: Conv, bias: bool) -> WorkedLayer:
    rest = {key: value for key, value in options.items() if key != "out"}
    rest.setdefault("padding", "same" if options.get("stride", 1) == 1 else 0)
    return convolution(shape, options["out"], bias=bias, **rest)


def concatenated(name: str, branches: Sequence[Alternative]) -> Alternative:
    """Parallel branches whose outputs are concatenated, as in an Inception module."""
    channels = sum(branch.output[0] for branch in branches)
    return Alternative(
        name,
        tuple(joined(branch.layers, " -> ") for branch in branches),
        (channels, *branches[0].output[1:]),
        sum(branch.params for branch in branches),
        sum(branch.macs for branch in branches),
        tuple(max(sides) for sides in zip(*(branch.receptive_field for branch in branches), strict=True)),
        max(branch.nonlinearities for branch in branches),
        " + ".join(branch.working for branch in branches if branch.working),
    )


def _sides(side: int | Sides) -> Sides:
    return (side, side) if isinstance(side, int) else tuple(side)


def stacks(channels: int = 256, side: int | Sides = 56) -> StructureComparison:
    """Two 3x3 against a 5x5, three against a 7x7: 18*C^2 weights against 25*C^2, 27*C^2 against 49*C^2."""
    shape, three = (channels, *_sides(side)), {"out": channels, "kernel": 3}
    alternatives = (
        chain("5x5", shape, [{"out": channels, "kernel": 5}]),
        chain(Message("two 3x3"), shape, [three] * 2),
        chain("7x7", shape, [{"out": channels, "kernel": 7}]),
        chain(Message("three 3x3"), shape, [three] * 3),
    )
    five, stack_of_two, seven, stack_of_three = alternatives
    ratios = tuple(
        Ratio(
            stack.name,
            single.name,
            f"{n}*3*3*C^2 / ({k}*{k}*C^2) = {9 * n}/{k * k}",
            Fraction(stack.params, single.params),
        )
        for n, stack, k, single in ((2, stack_of_two, 5, five), (3, stack_of_three, 7, seven))
    )
    title = Message("a stack of 3x3 convolutions against one larger kernel")
    return StructureComparison(title, shape, alternatives, ratios)


def reduction(channels: int = 192, reduce: int = 16, out: int = 32, side: int | Sides = 28) -> StructureComparison:
    """A 1x1 reduction before a 5x5. The defaults are those of GoogLeNet's inception 3a."""
    shape, five = (channels, *_sides(side)), {"out": out, "kernel": 5}
    reduced = chain(Message("1x1, then 5x5"), shape, [{"out": reduce, "kernel": 1}, five])
    title = Message("a 1x1 reduction before a 5x5 convolution")
    return StructureComparison(title, shape, (chain("5x5", shape, [five]), reduced))


def inception(
    config: Sequence[int] = (64, 96, 128, 16, 32, 32), channels: int = 192, side: int | Sides = 28
) -> StructureComparison:
    """The naive module against the one with reductions. ``config`` is a row of GoogLeNet's Table 1 (default: 3a)."""
    one, reduce3, three, reduce5, five, pool = config
    shape = (channels, *_sides(side))

    def conv(out: int, kernel: int) -> Conv:
        return {"out": out, "kernel": kernel}

    pooled = Alternative(Message("pooled input"), ("3x3 max",), shape, 0, 0, (3, 3), 0)
    projection = chain("pool", shape, [conv(pool, 1)])
    projected = Alternative(
        "pool",
        ("3x3 max", *projection.layers),
        projection.output,
        projection.params,
        projection.macs,
        (3, 3),
        1,
    )
    first = chain("1x1", shape, [conv(one, 1)])
    naive = [first, chain("3x3", shape, [conv(three, 3)]), chain("5x5", shape, [conv(five, 5)]), pooled]
    reduced = [
        first,
        chain("3x3", shape, [conv(reduce3, 1), conv(three, 3)]),
        chain("5x5", shape, [conv(reduce5, 1), conv(five, 5)]),
        projected,
    ]
    alternatives = (concatenated(Message("naive"), naive), concatenated(Message("with reductions"), reduced))
    title = Message("the naive Inception module against the one with 1x1 reductions")
    return StructureComparison(title, shape, alternatives)


def bottleneck(channels: int = 256, reduce: int | None = None, side: int | Sides = 56) -> StructureComparison:
    """A basic block on the full width, the bottleneck, and a basic block on the reduced width."""
    reduce = reduce or max(1, channels // 4)  # as in ResNet-50: 64 of 256
    three = {"out": channels, "kernel": 3}
    narrow, wide = (reduce, *_sides(side)), (channels, *_sides(side))
    squeezed = [{"out": reduce, "kernel": 1}, {"out": reduce, "kernel": 3}, {"out": channels, "kernel": 1}]
    alternatives = (
        chain(Message("basic block, {width} wide", width=channels), wide, [three] * 2),
        chain(Message("bottleneck, {width} wide", width=channels), wide, squeezed),
        chain(Message("basic block, {width} wide", width=reduce), narrow, [{"out": reduce, "kernel": 3}] * 2),
    )
    return StructureComparison(Message("the bottleneck against the basic block"), wide, alternatives)


def grouped(
    channels: int = 96, out: int = 256, kernel: int = 5, groups: int = 2, side: int | Sides = 27
) -> StructureComparison:
    """A convolution in groups against the full one. The defaults are those of AlexNet's conv2."""
    shape = (channels, *_sides(side))
    full = {"out": out, "kernel": kernel}
    alternatives = (
        chain(Message("full"), shape, [full]),
        chain(Message("{groups} groups", groups=groups), shape, [{**full, "groups": groups}]),
    )
    return StructureComparison(Message("a grouped convolution against a full one"), shape, alternatives)


def separable(
    channels: int = 728, out: int | None = None, kernel: int = 3, side: int | Sides = 19
) -> StructureComparison:
    """Depthwise and pointwise against a full convolution. The defaults are those of Xception's middle flow."""
    out, shape = out or channels, (channels, *_sides(side))
    depthwise = {"out": channels, "kernel": kernel, "groups": channels}
    alternatives = (
        chain(Message("full"), shape, [{"out": out, "kernel": kernel}]),
        chain(Message("depthwise, then 1x1"), shape, [depthwise, {"out": out, "kernel": 1}]),
    )
    return StructureComparison(Message("a depthwise separable convolution against a full one"), shape, alternatives)


def sharing(channels: int = 3, out: int = 10, kernel: int = 5, side: int | Sides = 32) -> StructureComparison:
    """A convolution against the fully connected layer with the same input and output."""
    shape = (channels, *_sides(side))
    conv = chain(Message("convolution"), shape, [{"out": out, "kernel": kernel}])
    dense = fully_connected((prod(shape),), prod(conv.output), bias=False)
    connected = Alternative(
        Message("fully connected"),
        ("fc",),
        conv.output,
        dense.params,
        dense.macs,
        shape[1:],
        1,
        _product_of(prod(shape), prod(conv.output), (), 1, False),
    )
    return StructureComparison(
        Message("a convolution against a fully connected layer of the same sizes"), shape, (connected, conv)
    )


COMPARISONS: dict[str, Callable[..., StructureComparison]] = {
    "stacks": stacks,
    "reduction": reduction,
    "inception": inception,
    "bottleneck": bottleneck,
    "grouped": grouped,
    "separable": separable,
    "sharing": sharing,
}


def comparison(name: str, input: Shape | None = None) -> StructureComparison:
    """The comparison of that name.

    Args:
        input: (C, H, W); the sizes of the paper where None.
    Raises:
        UnknownNameError: ``name`` is not in COMPARISONS.
        UsageError: the channels cannot be divided into the comparison's groups.
    """
    if name not in COMPARISONS:
        raise UnknownNameError("comparison", name, COMPARISONS)
    if input is None:
        return COMPARISONS[name]()
    channels, *sides = input
    return COMPARISONS[name](channels=channels, side=tuple(sides))
