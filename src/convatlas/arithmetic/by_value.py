"""One layer by value: every product and every sum of a small example, forward and backward. No torch.

    worked = convolution("1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0", "1 0 1 / 0 1 0 / 1 0 1")
    worked.output                  [[[4 3 4] [2 4 3] [2 3 4]]], exact numbers
    next(worked.arrays[0].working())       y[0,0] = 1*1 + 1*0 + 1*1 + 0*0 + ... = 4
    worked.backward()              dL/dx, dL/dw and dL/db for an L whose gradient at the output is 1 everywhere

Values are (channels, rows, columns), weights (filters, channels, rows, columns); `exact.array_of` says what may be
given for them. Letters: x input, w weights, b bias, y output, g the gradient of the loss L at the output. Whole numbers
and decimals are added and multiplied exactly; powers and exponentials are floats. Indices begin at 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from convatlas.arithmetic import formulas
from convatlas.arithmetic.exact import Array, Number, array_of, exact, factor, number, plain
from convatlas.arithmetic.formulas import Sides, per_axis
from convatlas.arithmetic.layer import Step
from convatlas.arithmetic.layer import convolution as counted_convolution
from convatlas.arithmetic.layer import pooling as counted_pooling
from convatlas.errors import ShapeError, UsageError
from convatlas.i18n import translated
from convatlas.message import Message

MOST_PRODUCTS = 200_000  # about a second; more is no exercise
MOST_TERMS = 32  # of one sum, printed in full

Index = tuple[int, ...]
Parts = dict[Any, list[tuple[Any, Any]]]  # index of an element -> the two factors of each product it is the sum of


@dataclass(frozen=True)
class Working:
    """One number and how it came about: ``y[0,1] = 1*1 + 1*0 + ... = 3``.

    Attributes:
        groups: the terms, gathered by what belongs together (the products of one channel).
        before, between, after: what stands around and between the terms.
    """

    label: str
    groups: tuple[tuple[str, ...], ...]
    result: Number
    before: str = ""
    between: str = " + "
    after: str = ""
    note: str = ""

    def text(self, most_terms: int | None = MOST_TERMS) -> str:
        """The line; of a sum with more than ``most_terms`` terms only the first and the last."""
        terms = [term for group in self.groups for term in group]
        if most_terms is not None and len(terms) > most_terms:
            middle = self.between.join((*terms[:4], "...", terms[-1]))
        elif len(self.groups) > 1 and any(len(group) > 1 for group in self.groups):
            joined = [self.between.join(group) for group in self.groups]
            middle = self.between.join(
                f"({text})" if len(group) > 1 else text for text, group in zip(joined, self.groups, strict=True)
            )
        else:
            middle = self.between.join(terms)
        told = translated(self.note)
        ending = f"   ({told})" if told else ""
        written = f"{self.before}{middle}{self.after}"
        result = number(self.result)
        return (
            f"{self.label} = {written} = {result}{ending}"
            if written not in ("", result)
            else (f"{self.label} = {result}{ending}")
        )

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class WorkedArray:
    """An array whose every element can show its working."""

    symbol: str
    name: str
    values: Array
    line: Callable[[Index], Working] = field(repr=False)

    def working(self) -> Iterator[Working]:
        for index in np.ndindex(*self.values.shape):
            yield self.line(index)


@dataclass(frozen=True)
class ByValue:
    """A layer worked out for given numbers.

    Attributes:
        kind: "conv", "maxpool", "avgpool", "lrn", "relu", "softmax" or "fc".
        given: what it was worked out for: "x", and "w" and "b" where the layer has them.
        settings: stride, padding ... as numbers or tuples.
        arrays: what was computed, in order; the last is the output.
        sizes: the working of the output size.
        notes: what a reader must know, one sentence each.
    """

    kind: str
    given: dict[str, Array]
    settings: dict[str, Any]
    arrays: tuple[WorkedArray, ...]
    gradients: Callable[[Array], tuple[WorkedArray, ...]] = field(repr=False)
    sizes: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def output(self) -> Array:
        return self.arrays[-1].values

    def backward(self, grad_output: Any = None) -> tuple[WorkedArray, ...]:
        """The gradients of the input, and of weights and bias where there are any.

        Args:
            grad_output: the gradient of the loss at the output, in the output's shape; ones where None.
        Raises:
            ShapeError: another shape than the output's.
        """
        return self.gradients(gradient_at(self.output, grad_output))

    def to_dict(self) -> dict[str, Any]:
        """The document of ``layer --values --json``, its working left to the caller."""
        return {
            "kind": self.kind,
            "input": list(self.given["x"].shape),
            "output": list(self.output.shape),
            "settings": {key: list(v) if isinstance(v, tuple) else v for key, v in self.settings.items()},
            "values": {name: plain(array) for name, array in self.given.items()},
            "result": plain(self.output),
            "notes": list(self.notes),
        }


def gradient_at(output: Array, grad_output: Any = None) -> Array:
    """The gradient at the output: ones, or what is given in its shape."""
    if grad_output is None:
        return np.full(output.shape, 1, dtype=object)
    given = array_of(grad_output, max(output.ndim, 1), "grad_output")
    if given.shape != output.shape:
        raise ShapeError(
            "the gradient at the output has the shape {given}, and the output {wanted}. Give one number for each "
            "output, or none for ones.",
            given=_times(given.shape),
            wanted=_times(output.shape),
        )
    return given


# ------------------------------------------------------------------ convolution


@dataclass(frozen=True)
class _Tap:
    """One product of a convolution: an input position (None in the padding) and a weight."""

    source: Index | None
    weight: Index


def convolution(
    values: Any,
    weights: Any,
    bias: Any = None,
    stride: int | Sides = 1,
    padding: int | Sides | str = 0,
    dilation: int | Sides = 1,
    groups: int = 1,
) -> ByValue:
    """A convolution (a cross-correlation, as in every framework: the kernel is not turned round).

    Args:
        values: (C, H, W), or (H, W) for one channel.
        weights: (F, C/groups, K, K), or (C, K, K) for one filter, or (K, K) for one filter on one channel.
        bias: (F,); none where None.
        padding: zeros at each end, or "same".
    Raises:
        ShapeError: the kernel is longer than the padded input, channels that do not fit, another number of biases.
        UsageError: no numbers, or too many products for an exercise.
    """
    x, w = array_of(values, 3, "values"), array_of(weights, 4, "weights")
    filters, depth, *kernel = w.shape
    channels, *sides = x.shape
    formulas.check_groups(channels, groups)
    formulas.check_groups(filters, groups)
    if depth != channels // groups:
        raise ShapeError(
            "each filter has {depth} channels, and the input gives it {wanted}. In weights, ; separates the channels "
            "of one filter and | separates filters.",
            depth=depth,
            wanted=channels // groups,
        )
    counted = counted_convolution(x.shape, filters, tuple(kernel), stride, padding, dilation, groups, bias is not None)
    _check_size(counted.macs)
    b = _bias(bias, filters)
    steps, spread = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    if padding == "same":
        before = tuple(formulas.same_padding(k, d)[0] for k, d in zip(kernel, spread, strict=True))
    else:
        assert not isinstance(padding, str)
        before = per_axis(padding, 2, "padding")

    def taps(index: Index) -> Iterator[tuple[_Tap, ...]]:
        """The products of one output, a tuple for each channel of its filter."""
        one, row, column = index
        first = one // (filters // groups) * depth
        for channel in range(depth):
            found = []
            for i, j in np.ndindex(*kernel):
                y = row * steps[0] - before[0] + i * spread[0]
                z = column * steps[1] - before[1] + j * spread[1]
                inside = 0 <= y < sides[0] and 0 <= z < sides[1]
                found.append(_Tap((first + channel, y, z) if inside else None, (one, channel, i, j)))
            yield tuple(found)

    def value(index: Index) -> Number:
        total = b[index[0]] if b is not None else 0
        return total + sum(x[tap.source] * w[tap.weight] for channel in taps(index) for tap in channel if tap.source)

    output = _filled(counted.output, value)

    def line(index: Index) -> Working:
        products = [
            tuple(_product(0 if tap.source is None else x[tap.source], w[tap.weight]) for tap in channel)
            for channel in taps(index)
        ]
        if b is not None:
            products.append((factor(b[index[0]]),))
        return Working(_label("y", index, output.shape), tuple(products), output[index])

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        of_input: Parts = defaultdict(list)
        of_weight: Parts = defaultdict(list)
        for index in np.ndindex(*output.shape):
            for channel in taps(index):
                for tap in channel:
                    of_weight[tap.weight].append((g[index], 0 if tap.source is None else x[tap.source]))
                    if tap.source is not None:
                        of_input[tap.source].append((g[index], w[tap.weight]))
        found = [_sums("dL/dx", Message("gradient of the input"), x.shape, of_input)]
        found.append(_sums("dL/dw", Message("gradient of the weights"), w.shape, of_weight))
        if b is not None:
            of_bias = {(one,): [(each, 1) for each in g[one].ravel()] for one in range(filters)}
            found.append(_sums("dL/db", Message("gradient of the bias"), b.shape, of_bias, _first))
        return tuple(found)

    return ByValue(
        "conv",
        {"x": x, "w": w} | ({} if b is None else {"b": b}),
        {"stride": steps, "padding": padding if padding == "same" else before, "dilation": spread, "groups": groups},
        (WorkedArray("y", Message("output"), output, line),),
        gradients,
        _size_steps(counted.steps),
    )


# ------------------------------------------------------------------ pooling


def pooling(
    values: Any,
    kernel: int | Sides,
    stride: int | Sides | None = None,
    padding: int | Sides = 0,
    mode: str = "max",
    dilation: int | Sides = 1,
    ceil_mode: bool = False,
) -> ByValue:
    """A max or an average pooling.

    Args:
        values: (C, H, W), or (H, W) for one channel.
        stride: the kernel's side where None.
        padding: of a max pooling minus infinity, so that it never wins; of an average pooling zeros, which are counted.
        mode: "max" or "avg".
        dilation: of a max pooling.
    Raises:
        ShapeError: the window is longer than the padded input, or the padding more than half of it.
        UsageError: another mode, a dilated average pooling, or no numbers.
    """
    if mode not in ("max", "avg"):
        raise UsageError("a pooling takes the maximum (max) or the average (avg); got {mode!r}.", mode=mode)
    x = array_of(values, 3, "values")
    counted = counted_pooling(x.shape, kernel, stride, padding, dilation, ceil_mode)
    size = per_axis(kernel, 2, "kernel")
    steps = size if stride is None else per_axis(stride, 2, "stride")
    pads, spread = per_axis(padding, 2, "padding"), per_axis(dilation, 2, "dilation")
    if mode == "avg" and spread != (1, 1):
        raise UsageError("an average pooling has no dilation; leave it out, or take the maximum.")
    _check_size(math.prod(counted.output) * math.prod(size))

    def window(index: Index) -> tuple[list[Index], int]:
        """The inputs under the window, and how many an average counts: padding too, but nothing beyond it."""
        channel, row, column = index
        starts = [place * s - p for place, s, p in zip((row, column), steps, pads, strict=True)]
        rows, columns = (
            [start + tap * d for tap in range(k)] for start, k, d in zip(starts, size, spread, strict=True)
        )
        inside: list[Index] = [
            (channel, y, z) for y in rows for z in columns if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]
        ]
        counted_rows = sum(y < x.shape[1] + pads[0] for y in rows)
        return inside, counted_rows * sum(z < x.shape[2] + pads[1] for z in columns)

    def winner(index: Index) -> Index:
        """The first of the largest, row by row, as PyTorch takes it."""
        return max(window(index)[0], key=lambda place: x[place])

    def value(index: Index) -> Number:
        inside, count = window(index)
        if mode == "max":
            return x[winner(index)]
        return exact(Fraction(sum(x[place] for place in inside)) / count)

    output = _filled(counted.output, value)

    def line(index: Index) -> Working:
        inside, count = window(index)
        terms = (tuple(factor(x[place]) for place in inside),)
        label = _label("y", index, output.shape)
        if mode == "max":
            return Working(label, terms, output[index], "max(", ", ", ")")
        padded = count - len(inside)
        note = Message("{n} zeros of the padding counted", n=padded) if padded else ""
        before, after = ("", f"/{count}") if len(inside) == 1 else ("(", f")/{count}")
        return Working(label, terms, output[index], before, " + ", after, note)

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        parts: Parts = defaultdict(list)
        for index in np.ndindex(*output.shape):
            if mode == "max":
                parts[winner(index)].append((g[index], 1))
            else:
                inside, count = window(index)
                for place in inside:
                    parts[place].append((g[index], exact(Fraction(1, count))))
        term = _quotient if mode == "avg" else _first
        return (_sums("dL/dx", Message("gradient of the input"), x.shape, parts, term),)

    ties = mode == "max" and any(
        [x[place] for place in window(index)[0]].count(output[index]) > 1 for index in np.ndindex(*output.shape)
    )
    note = Message("where a window holds its maximum twice, the gradient goes to the first one, as in PyTorch")
    return ByValue(
        f"{mode}pool",
        {"x": x},
        {"kernel": size, "stride": steps, "padding": pads, "dilation": spread, "ceil_mode": ceil_mode},
        (WorkedArray("y", Message("output"), output, line),),
        gradients,
        _size_steps(counted.steps),
        (note,) if ties else (),
    )


# ------------------------------------------------------------------ element by element, and across channels


def relu(values: Any) -> ByValue:
    """max(0, x), element by element; its gradient at 0 is 0, as in PyTorch."""
    x = array_of(values, 3, "values")
    output = _filled(x.shape, lambda index: max(0, x[index]))

    def line(index: Index) -> Working:
        return Working(_label("y", index, x.shape), (("0", number(x[index])),), output[index], "max(", ", ", ")")

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        parts = {index: [(g[index], int(x[index] > 0))] for index in np.ndindex(*x.shape)}
        return (_sums("dL/dx", Message("gradient of the input"), x.shape, parts),)

    zero = any(value == 0 for value in x.ravel())
    note = Message("at 0 the gradient is taken as 0, as in PyTorch")
    return ByValue(
        "relu", {"x": x}, {}, (WorkedArray("y", Message("output"), output, line),), gradients, (), (note,) * zero
    )


def local_response_norm(
    values: Any,
    k: Any = 2,
    n: int = 5,
    alpha: Any = "0.0001",
    beta: Any = "0.75",
    divide_alpha: bool = False,
) -> ByValue:
    """AlexNet's local response normalisation: x / (k + alpha * sum of x^2 over n neighbouring channels)^beta.

    Args:
        values: (C, H, W).
        n: how many channels the sum runs over, the channel itself in the middle; at the first and the last channel the
            sum is cut off.
        divide_alpha: alpha/n in place of alpha, as Caffe and ``torch.nn.LocalResponseNorm`` do.
    Raises:
        UsageError: n below 1, no numbers, or a base that is not positive.
    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3, whose k, n, alpha and beta are the defaults.
    """
    x = array_of(values, 3, "values")
    if n < 1:
        raise UsageError("n, the channels of the sum, is a whole number from 1 up; got {n}.", n=n)
    _check_size(math.prod(x.shape) * min(n, x.shape[0]))
    k, alpha, beta = exact(k, "k"), exact(alpha, "alpha"), exact(beta, "beta")
    weight = exact(Fraction(alpha) / n) if divide_alpha else alpha
    channels = x.shape[0]

    def neighbours(channel: int) -> range:
        return range(max(0, channel - n // 2), min(channels, channel + (n - 1) // 2 + 1))

    def base(index: Index) -> Number:
        squares = sum(x[(each, *index[1:])] ** 2 for each in neighbours(index[0]))
        return exact(Fraction(k + weight * squares))

    d = _filled(x.shape, base)
    lowest = min(d.ravel())
    if lowest <= 0:
        raise UsageError(
            "k + alpha * (sum of squares) is {lowest}, and only a positive number has a power of beta. "
            "Take a larger k or alpha.",
            lowest=number(lowest),
        )
    power = float(beta)
    output = _filled(x.shape, lambda index: float(x[index]) / float(d[index]) ** power)

    def base_line(index: Index) -> Working:
        squares = tuple(f"{factor(x[(each, *index[1:])])}^2" for each in neighbours(index[0]))
        before = f"{number(k)} + {factor(weight)}*("
        return Working(_label("d", index, x.shape), (squares,), d[index], before, " + ", ")")

    def line(index: Index) -> Working:
        text = f"{number(x[index])}/{number(d[index])}^{number(beta)}"
        return Working(_label("y", index, x.shape), ((text,),), output[index])

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        twice = exact(Fraction(2 * weight * beta))

        def readers(index: Index) -> list[Index]:
            """The outputs whose sum holds this input."""
            return [(each, *index[1:]) for each in range(channels) if index[0] in neighbours(each)]

        def gradient(index: Index) -> Number:
            direct = float(g[index]) / float(d[index]) ** power
            through = sum(float(g[each] * x[each]) / float(d[each]) ** (power + 1) for each in readers(index))
            return direct - float(twice * x[index]) * through

        found = _filled(x.shape, gradient)

        def gradient_line(index: Index) -> Working:
            direct = f"{factor(g[index])}/{number(d[index])}^{number(beta)} - {factor(twice)}*{factor(x[index])}*("
            exponent = number(exact(Fraction(beta + 1)))
            terms = tuple(f"{_product(g[each], x[each])}/{number(d[each])}^{exponent}" for each in readers(index))
            return Working(_label("dL/dx", index, x.shape), (terms,), found[index], direct, " + ", ")")

        return (WorkedArray("dL/dx", Message("gradient of the input"), found, gradient_line),)

    alone = channels == 1
    note = Message("one channel: each sum holds the square of the value itself alone; separate channels by ;")
    return ByValue(
        "lrn",
        {"x": x},
        {"k": float(k), "n": n, "alpha": float(alpha), "beta": power, "divide_alpha": divide_alpha},
        (
            WorkedArray("d", Message("k + alpha * (sum of squares over n channels)"), d, base_line),
            WorkedArray("y", Message("output, x/d^beta"), output, line),
        ),
        gradients,
        (),
        (note,) * alone,
    )


# ------------------------------------------------------------------ fully connected


def fully_connected(values: Any, weights: Any, bias: Any = None) -> ByValue:
    """A fully connected layer: y = w x + b.

    Args:
        values: (N,), or (C, H, W), which is read channel by channel and row by row, as ``torch.flatten`` does.
        weights: (F, N), a row for each output.
        bias: (F,); none where None.
    Raises:
        ShapeError: rows of the weights that are not as long as the input, another number of biases.
        UsageError: no numbers, or too many products for an exercise.
    """
    x, w = array_of(values, 3, "values").ravel(), array_of(weights, 2, "weights")
    outputs, inputs = w.shape
    if inputs != len(x):
        raise ShapeError(
            "each row of the weights has {inputs} numbers, and the input {wanted}. Give a row for each output (rows "
            "are separated by /), with as many numbers as there are inputs.",
            inputs=inputs,
            wanted=len(x),
        )
    _check_size(outputs * inputs)
    b = _bias(bias, outputs)

    def value(index: Index) -> Number:
        return (b[index] if b is not None else 0) + sum(x[i] * w[index[0], i] for i in range(inputs))

    output = _filled((outputs,), value)

    def line(index: Index) -> Working:
        products = [tuple(_product(x[i], w[index[0], i]) for i in range(inputs))]
        if b is not None:
            products.append((factor(b[index]),))
        return Working(_label("y", index, output.shape), tuple(products), output[index])

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        of_input = {(i,): [(g[f], w[f, i]) for f in range(outputs)] for i in range(inputs)}
        of_weight = {(f, i): [(g[f], x[i])] for f in range(outputs) for i in range(inputs)}
        found = [
            _sums("dL/dx", Message("gradient of the input"), x.shape, of_input),
            _sums("dL/dw", Message("gradient of the weights"), w.shape, of_weight),
        ]
        if b is not None:
            of_bias = {(f,): [(g[f], 1)] for f in range(outputs)}
            found.append(_sums("dL/db", Message("gradient of the bias"), b.shape, of_bias, _first))
        return tuple(found)

    given = {"x": x, "w": w} | ({} if b is None else {"b": b})
    return ByValue("fc", given, {}, (WorkedArray("y", Message("output"), output, line),), gradients)


# ------------------------------------------------------------------ softmax


@dataclass(frozen=True)
class Ranking:
    """The classes of one example by their scores, the highest first; equal scores keep their order.

    Attributes:
        label: the right class, None where it is not known.
        loss: the cross-entropy -ln p[label], in nats; None without a label.
    """

    order: tuple[int, ...]
    label: int | None = None
    loss: float | None = None

    @property
    def rank(self) -> int | None:
        """The place of the right class, from 1."""
        return None if self.label is None else self.order.index(self.label) + 1

    def hit(self, top: int) -> bool | None:
        """Whether the right class is among the first ``top``."""
        return None if self.rank is None else self.rank <= top

    def to_dict(self) -> dict[str, Any]:
        return {
            "top1": self.order[0],
            "top5": list(self.order[:5]),
            "label": self.label,
            "top1_correct": self.hit(1),
            "top5_correct": self.hit(5),
            "cross_entropy": self.loss,
        }


def softmax(scores: Any, labels: Any = None) -> ByValue:
    """p = e^z / (sum of e^z), each row of scores by itself; the largest score is subtracted first.

    Args:
        scores: (K,), or (N, K) for several examples, a row for each.
        labels: the right class of each example, from 0. With them the gradient is that of the mean cross-entropy.
    Raises:
        ShapeError: another number of labels than examples.
        UsageError: no numbers, or a label that is no class.
    """
    z = array_of(scores, 2, "scores")
    _check_size(z.size)
    right = _labels(labels, z)
    largest = [max(row) for row in z]
    e = _filled(z.shape, lambda index: math.exp(z[index] - largest[index[0]]))
    sums = [math.fsum(row) for row in e]
    p = _filled(z.shape, lambda index: e[index] / sums[index[0]])

    def exponential(index: Index) -> Working:
        text = f"e^({number(z[index])} - {factor(largest[index[0]])})"
        return Working(_label("e", index, z.shape), ((text,),), e[index])

    def line(index: Index) -> Working:
        terms = (tuple(number(each) for each in e[index[0]]),)
        return Working(_label("p", index, z.shape), terms, p[index], f"{number(e[index])}/(", " + ", ")")

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        weighted = [math.fsum(float(a * b) for a, b in zip(g[n], p[n], strict=True)) for n in range(len(z))]
        found = _filled(z.shape, lambda index: p[index] * (float(g[index]) - weighted[index[0]]))

        def gradient_line(index: Index) -> Working:
            products = tuple(_product(a, b) for a, b in zip(g[index[0]], p[index[0]], strict=True))
            before = f"{number(p[index])}*({factor(g[index])} - ("
            return Working(_label("dL/dz", index, z.shape), (products,), found[index], before, " + ", "))")

        return (WorkedArray("dL/dz", Message("gradient of the scores"), found, gradient_line),)

    def of_cross_entropy(g: Array) -> tuple[WorkedArray, ...]:
        n = len(z)
        assert right is not None
        target = [[int(index == label) for index in range(z.shape[1])] for label in right]
        found = _filled(z.shape, lambda index: (p[index] - target[index[0]][index[1]]) / n)

        def gradient_line(index: Index) -> Working:
            text = f"{number(p[index])} - {target[index[0]][index[1]]}"
            before, after = ("(", f")/{n}") if n > 1 else ("", "")
            return Working(_label("dL/dz", index, z.shape), ((text,),), found[index], before, "", after)

        name = Message("gradient of the scores, (p - y)/N for the mean cross-entropy of {n} examples", n=n)
        single = Message("gradient of the scores, p - y for the cross-entropy")
        return (WorkedArray("dL/dz", name if n > 1 else single, found, gradient_line),)

    return ByValue(
        "softmax",
        {"x": z},
        {} if right is None else {"labels": right},
        (
            WorkedArray("e", Message("exponentials, the largest score subtracted"), e, exponential),
            WorkedArray("p", Message("probabilities"), p, line),
        ),
        gradients if right is None else of_cross_entropy,
    )


def rankings(worked: ByValue) -> tuple[Ranking, ...]:
    """The classes of each example of a `softmax` by their scores; with labels, top-1, top-5 and cross-entropy."""
    z, p = worked.given["x"], worked.output
    labels = worked.settings.get("labels")
    found = []
    for row in range(len(z)):
        order = tuple(sorted(range(z.shape[1]), key=lambda index: -z[row, index]))
        if labels is None:
            found.append(Ranking(order))
        else:
            # from the scores, not from p: p may underflow to 0 where the loss is finite
            top = max(z[row])
            logsum = math.log(math.fsum(math.exp(score - top) for score in z[row]))
            found.append(Ranking(order, labels[row], logsum - float(z[row, labels[row]] - top)))
    assert p.shape == z.shape
    return tuple(found)


def _labels(given: Any, z: Array) -> tuple[int, ...] | None:
    if given is None:
        return None
    labels = [given] if isinstance(given, int) else list(array_of(given, 1, "labels"))
    examples, classes = z.shape
    if len(labels) != examples:
        raise ShapeError(
            "there are {labels} labels for {examples} rows of scores. Give one label for each row.",
            labels=len(labels),
            examples=examples,
        )
    for label in labels:
        if not isinstance(label, int) or not 0 <= label < classes:
            raise UsageError(
                "a label is the number of a class, 0 to {last}; got {label}.", last=classes - 1, label=number(label)
            )
    return tuple(labels)


# ------------------------------------------------------------------ shared


def _bias(given: Any, filters: int) -> Array | None:
    if given is None:
        return None
    b = array_of(given, 1, "bias")
    if len(b) != filters:
        raise ShapeError(
            "there are {n} biases for {filters} output channels. Give one bias for each filter, or none.",
            n=len(b),
            filters=filters,
        )
    return b


def _check_size(products: int) -> None:
    if products > MOST_PRODUCTS:
        raise UsageError(
            "{products:,} products are too many to be worked out one by one (at most {most:,}). Give a smaller "
            "example; for counts alone give the sizes (--input) in place of the values.",
            products=products,
            most=MOST_PRODUCTS,
        )


def _filled(shape: Sequence[int], value: Callable[[Index], Number]) -> Array:
    array = np.empty(tuple(shape), dtype=object)
    for index in np.ndindex(*array.shape):
        found = value(index)
        array[index] = exact(found) if isinstance(found, Fraction) else found
    return array


def _sums(
    symbol: str,
    name: str,
    shape: tuple[int, ...],
    parts: Parts,
    term: Callable[[Number, Number], str] | None = None,
) -> WorkedArray:
    """An array each of whose elements is a sum of products of two numbers; ``term`` writes one of them."""
    written = term or _product
    values = _filled(shape, lambda index: sum((a * b for a, b in parts.get(index, ())), start=0))

    def line(index: Index) -> Working:
        terms = tuple(written(a, b) for a, b in parts.get(index, ()))
        note = "" if terms else Message("it reaches no output")
        return Working(_label(symbol, index, shape), (terms,), values[index], note=note)

    return WorkedArray(symbol, name, values, line)


def _product(a: Number, b: Number) -> str:
    return f"{factor(a)}*{factor(b)}"


def _quotient(a: Number, b: Number) -> str:
    """Of a factor 1/n."""
    return f"{factor(a)}/{number(exact(1 / Fraction(b)))}"


def _first(a: Number, b: Number) -> str:
    """Of a factor 1."""
    return factor(a)


def _label(symbol: str, index: Index, shape: Sequence[int]) -> str:
    """``y[0,1]`` of a single channel, ``y[2,0,1]`` of several."""
    start = 0
    while len(index) - start > 2 and shape[start] == 1:
        start += 1
    if len(index) == 2 and symbol in ("e", "p", "dL/dz") and shape[0] == 1:
        start = 1
    return f"{symbol}[{','.join(map(str, index[start:]))}]"


def _size_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.quantity == "output")


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
