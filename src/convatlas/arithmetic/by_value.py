"""Worked examples of one layer: every product and every sum of a small input, forward and backward. No torch.

    worked = convolution("1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0", "1 0 1 / 0 1 0 / 1 0 1")
    worked.output                  [[[4 3 4] [2 4 3] [2 3 4]]], exact numbers
    next(worked.arrays[0].working())       y[0,0] = 1*1 + 1*0 + 1*1 + 0*0 + ... = 4
    worked.backward()              dL/dx, dL/dw and dL/db for an L whose gradient at the output is 1 everywhere

Values are (channels, rows, columns), weights (filters, channels, rows, columns); see `exact.array_of` for the accepted
types. Letters: x input, w weights, b bias, y output, g the gradient of the loss L at the output. Sums and products of
integers and decimals are exact; powers and exponentials are floats. Indices begin at 0.
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

MOST_PRODUCTS = 200_000  # takes about a second
MOST_TERMS = 32  # a sum with more terms is abbreviated

Index = tuple[int, ...]
Parts = dict[Any, list[tuple[Any, Any]]]  # index of an element -> the factors of the products whose sum it is


@dataclass(frozen=True)
class Working:
    """One number and its calculation: ``y[0,1] = 1*1 + 1*0 + ... = 3``.

    Attributes:
        groups: the terms, in groups such as the products of one channel.
        before, between, after: text before, between and after the terms.
    """

    label: str
    groups: tuple[tuple[str, ...], ...]
    result: Number
    before: str = ""
    between: str = " + "
    after: str = ""
    note: str = ""

    def text(self, most_terms: int | None = MOST_TERMS) -> str:
        """The calculation as one line. Of more than ``most_terms`` terms only the first four and the last are shown."""
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
        note = translated(self.note)
        ending = f"   ({note})" if note else ""
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
    """An array with the calculation of every element."""

    symbol: str
    name: str
    values: Array
    working_at: Callable[[Index], Working] = field(repr=False)

    def working(self) -> Iterator[Working]:
        """The calculation of each element, in order."""
        for index in np.ndindex(*self.values.shape):
            yield self.working_at(index)


@dataclass(frozen=True)
class WorkedExample:
    """The output of a layer for an input given as numbers, with every calculation.

    Attributes:
        kind: "conv", "maxpool", "avgpool", "lrn", "relu", "softmax" or "fc".
        operands: the input "x", and the weights "w" and the bias "b" where the layer has them.
        settings: stride, padding ... as numbers or tuples.
        arrays: the computed arrays in order; the last is the output.
        gradients: function from the gradient at the output to the gradients of the operands.
        sizes: the calculation of the output size.
        notes: remarks for the reader, one sentence each.
    """

    kind: str
    operands: dict[str, Array]
    settings: dict[str, Any]
    arrays: tuple[WorkedArray, ...]
    gradients: Callable[[Array], tuple[WorkedArray, ...]] = field(repr=False)
    sizes: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def output(self) -> Array:
        return self.arrays[-1].values

    def backward(self, grad_output: Any = None) -> tuple[WorkedArray, ...]:
        """The gradients of the input, and of weights and bias where the layer has them.

        Args:
            grad_output: the gradient of the loss at the output, in the output's shape; ones where None.
        Raises:
            ShapeError: ``grad_output`` does not have the output's shape.
        """
        return self.gradients(gradient_at(self.output, grad_output))

    def to_dict(self) -> dict[str, Any]:
        """The document of ``layer --values --json``, without the calculations, which the caller adds."""
        return {
            "kind": self.kind,
            "input": list(self.operands["x"].shape),
            "output": list(self.output.shape),
            "settings": {key: list(v) if isinstance(v, tuple) else v for key, v in self.settings.items()},
            "values": {name: plain(array) for name, array in self.operands.items()},
            "result": plain(self.output),
            "notes": list(self.notes),
        }


def gradient_at(output: Array, grad_output: Any = None) -> Array:
    """The gradient at the output as an array: ``grad_output``, or ones where None."""
    if grad_output is None:
        return np.full(output.shape, 1, dtype=object)
    gradient = array_of(grad_output, max(output.ndim, 1), "grad_output")
    if gradient.shape != output.shape:
        raise ShapeError(
            "the gradient at the output has the shape {shape}, and the output has the shape {expected}. Give one "
            "number for each output, or leave the gradient out for ones.",
            shape=_times(gradient.shape),
            expected=_times(output.shape),
        )
    return gradient


# ------------------------------------------------------------------ convolution


@dataclass(frozen=True)
class _Tap:
    """One product of a convolution: the index of an input (None in the padding) and the index of a weight."""

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
) -> WorkedExample:
    """A convolution (a cross-correlation, as in every framework: the kernel is not flipped).

    Args:
        values: (C, H, W), or (H, W) for one channel.
        weights: (F, C/groups, K, K), or (C, K, K) for one filter, or (K, K) for one filter on one channel.
        bias: (F,); no bias where None.
        padding: number of zeros at each end, or "same".
    Raises:
        ShapeError: the kernel is longer than the padded input, or the number of channels or biases is wrong.
        UsageError: not numbers, or too many products.
    """
    x, w = array_of(values, 3, "values"), array_of(weights, 4, "weights")
    filters, depth, *kernel = w.shape
    channels, *sides = x.shape
    formulas.check_groups(channels, groups)
    formulas.check_groups(filters, groups)
    if depth != channels // groups:
        raise ShapeError(
            "each filter has {depth} channels, and {expected} were expected (channels of the input / groups). In "
            "weights, ; separates the channels of one filter and | separates filters.",
            depth=depth,
            expected=channels // groups,
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
        filter_, row, column = index
        first = filter_ // (filters // groups) * depth
        for channel in range(depth):
            products = []
            for i, j in np.ndindex(*kernel):
                y = row * steps[0] - before[0] + i * spread[0]
                z = column * steps[1] - before[1] + j * spread[1]
                inside = 0 <= y < sides[0] and 0 <= z < sides[1]
                products.append(_Tap((first + channel, y, z) if inside else None, (filter_, channel, i, j)))
            yield tuple(products)

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
        arrays = [_sums("dL/dx", Message("gradient of the input"), x.shape, of_input)]
        arrays.append(_sums("dL/dw", Message("gradient of the weights"), w.shape, of_weight))
        if b is not None:
            of_bias = {(filter_,): [(value, 1) for value in g[filter_].ravel()] for filter_ in range(filters)}
            arrays.append(_sums("dL/db", Message("gradient of the bias"), b.shape, of_bias, _first))
        return tuple(arrays)

    return WorkedExample(
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
) -> WorkedExample:
    """Max or average pooling.

    Args:
        values: (C, H, W), or (H, W) for one channel.
        stride: the kernel's side where None.
        padding: padded values are minus infinity in max pooling; in average pooling they are zeros and are counted.
        mode: "max" or "avg".
        dilation: for max pooling only.
    Raises:
        ShapeError: the window is longer than the padded input, or the padding is more than half of the window.
        UsageError: an unknown mode, a dilated average pooling, or not numbers.
    """
    if mode not in ("max", "avg"):
        raise UsageError("the mode of a pooling is max or avg; got {mode!r}.", mode=mode)
    x = array_of(values, 3, "values")
    counted = counted_pooling(x.shape, kernel, stride, padding, dilation, ceil_mode)
    size = per_axis(kernel, 2, "kernel")
    steps = size if stride is None else per_axis(stride, 2, "stride")
    pads, spread = per_axis(padding, 2, "padding"), per_axis(dilation, 2, "dilation")
    if mode == "avg" and spread != (1, 1):
        raise UsageError("average pooling has no dilation. Leave the dilation out, or use max pooling.")
    _check_size(math.prod(counted.output) * math.prod(size))

    def window(index: Index) -> tuple[list[Index], int]:
        """The inputs under the window, and the divisor of an average: the inputs and the padding under the window."""
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
        """The first of the largest inputs, row by row, as in PyTorch."""
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
        note = Message("includes {n} zeros of the padding", n=padded) if padded else ""
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
    note = Message(
        "where the maximum of a window occurs more than once, its first occurrence gets the gradient, as in PyTorch"
    )
    return WorkedExample(
        f"{mode}pool",
        {"x": x},
        {"kernel": size, "stride": steps, "padding": pads, "dilation": spread, "ceil_mode": ceil_mode},
        (WorkedArray("y", Message("output"), output, line),),
        gradients,
        _size_steps(counted.steps),
        (note,) if ties else (),
    )


# ------------------------------------------------------------------ element by element, and across channels


def relu(values: Any) -> WorkedExample:
    """max(0, x), element by element. The gradient at 0 is 0, as in PyTorch."""
    x = array_of(values, 3, "values")
    output = _filled(x.shape, lambda index: max(0, x[index]))

    def line(index: Index) -> Working:
        return Working(_label("y", index, x.shape), (("0", number(x[index])),), output[index], "max(", ", ", ")")

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        parts = {index: [(g[index], int(x[index] > 0))] for index in np.ndindex(*x.shape)}
        return (_sums("dL/dx", Message("gradient of the input"), x.shape, parts),)

    zero = any(value == 0 for value in x.ravel())
    note = Message("the gradient at 0 is 0, as in PyTorch")
    return WorkedExample(
        "relu", {"x": x}, {}, (WorkedArray("y", Message("output"), output, line),), gradients, (), (note,) * zero
    )


def local_response_norm(
    values: Any,
    k: Any = 2,
    n: int = 5,
    alpha: Any = "0.0001",
    beta: Any = "0.75",
    divide_alpha: bool = False,
) -> WorkedExample:
    """AlexNet's local response normalisation: x / (k + alpha * sum of x^2 over n neighbouring channels)^beta.

    Args:
        values: (C, H, W).
        n: number of channels in the sum, with the channel itself in the middle. Near the first and the last channel
            there are fewer.
        divide_alpha: use alpha/n instead of alpha, as Caffe and ``torch.nn.LocalResponseNorm`` do.
    Raises:
        UsageError: n below 1, not numbers, or a base that is not positive.
    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3, whose k, n, alpha and beta are the defaults.
    """
    x = array_of(values, 3, "values")
    if n < 1:
        raise UsageError("n, the number of channels in the sum, must be 1 or more; got {n}.", n=n)
    _check_size(math.prod(x.shape) * min(n, x.shape[0]))
    k, alpha, beta = exact(k, "k"), exact(alpha, "alpha"), exact(beta, "beta")
    weight = exact(Fraction(alpha) / n) if divide_alpha else alpha
    channels = x.shape[0]

    def neighbours(channel: int) -> range:
        return range(max(0, channel - n // 2), min(channels, channel + (n - 1) // 2 + 1))

    def base(index: Index) -> Number:
        squares = sum(x[(channel, *index[1:])] ** 2 for channel in neighbours(index[0]))
        return exact(Fraction(k + weight * squares))

    d = _filled(x.shape, base)
    lowest = min(d.ravel())
    if lowest <= 0:
        raise UsageError(
            "k + alpha * (sum of squares) is {lowest}, and must be positive to be raised to the power beta. "
            "Choose a larger k or alpha.",
            lowest=number(lowest),
        )
    power = float(beta)
    output = _filled(x.shape, lambda index: float(x[index]) / float(d[index]) ** power)

    def base_line(index: Index) -> Working:
        squares = tuple(f"{factor(x[(channel, *index[1:])])}^2" for channel in neighbours(index[0]))
        before = f"{number(k)} + {factor(weight)}*("
        return Working(_label("d", index, x.shape), (squares,), d[index], before, " + ", ")")

    def line(index: Index) -> Working:
        text = f"{number(x[index])}/{number(d[index])}^{number(beta)}"
        return Working(_label("y", index, x.shape), ((text,),), output[index])

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        twice = exact(Fraction(2 * weight * beta))

        def readers(index: Index) -> list[Index]:
            """The outputs whose sum contains this input."""
            return [(channel, *index[1:]) for channel in range(channels) if index[0] in neighbours(channel)]

        def gradient(index: Index) -> Number:
            direct = float(g[index]) / float(d[index]) ** power
            through = sum(float(g[each] * x[each]) / float(d[each]) ** (power + 1) for each in readers(index))
            return direct - float(twice * x[index]) * through

        values = _filled(x.shape, gradient)

        def gradient_line(index: Index) -> Working:
            direct = f"{factor(g[index])}/{number(d[index])}^{number(beta)} - {factor(twice)}*{factor(x[index])}*("
            exponent = number(exact(Fraction(beta + 1)))
            terms = tuple(f"{_product(g[each], x[each])}/{number(d[each])}^{exponent}" for each in readers(index))
            return Working(_label("dL/dx", index, x.shape), (terms,), values[index], direct, " + ", ")")

        return (WorkedArray("dL/dx", Message("gradient of the input"), values, gradient_line),)

    alone = channels == 1
    note = Message("with one channel each sum has only the square of the value itself; separate channels with ;")
    return WorkedExample(
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


def fully_connected(values: Any, weights: Any, bias: Any = None) -> WorkedExample:
    """A fully connected layer: y = w x + b.

    Args:
        values: (N,), or (C, H, W), which is flattened as by ``torch.flatten``.
        weights: (F, N), a row for each output.
        bias: (F,); no bias where None.
    Raises:
        ShapeError: the rows of the weights are not as long as the input, or the number of biases is wrong.
        UsageError: not numbers, or too many products.
    """
    x, w = array_of(values, 3, "values").ravel(), array_of(weights, 2, "weights")
    outputs, inputs = w.shape
    if inputs != len(x):
        raise ShapeError(
            "each row of the weights has {inputs} numbers, and the input has {expected}. Give one row per output "
            "(separate rows with /), with one number per input.",
            inputs=inputs,
            expected=len(x),
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
        arrays = [
            _sums("dL/dx", Message("gradient of the input"), x.shape, of_input),
            _sums("dL/dw", Message("gradient of the weights"), w.shape, of_weight),
        ]
        if b is not None:
            of_bias = {(f,): [(g[f], 1)] for f in range(outputs)}
            arrays.append(_sums("dL/db", Message("gradient of the bias"), b.shape, of_bias, _first))
        return tuple(arrays)

    operands = {"x": x, "w": w} | ({} if b is None else {"b": b})
    return WorkedExample("fc", operands, {}, (WorkedArray("y", Message("output"), output, line),), gradients)


# ------------------------------------------------------------------ softmax


@dataclass(frozen=True)
class Ranking:
    """The classes of one example by score, the highest first. Equal scores keep their order.

    Attributes:
        label: the true class; None where it is not known.
        loss: the cross-entropy -ln p[label], in nats; None without a label.
    """

    order: tuple[int, ...]
    label: int | None = None
    loss: float | None = None

    @property
    def rank(self) -> int | None:
        """The rank of the true class, from 1."""
        return None if self.label is None else self.order.index(self.label) + 1

    def hit(self, top: int) -> bool | None:
        """Whether the true class is among the first ``top``."""
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


def softmax(scores: Any, labels: Any = None) -> WorkedExample:
    """p = e^z / (sum of e^z) for each row of scores. The largest score of the row is subtracted first.

    Args:
        scores: (K,), or (N, K) for several examples, a row for each.
        labels: the true class of each example, from 0. With labels the gradient is that of the mean cross-entropy.
    Raises:
        ShapeError: the number of labels is not the number of examples.
        UsageError: not numbers, or a label that is not a class.
    """
    z = array_of(scores, 2, "scores")
    _check_size(z.size)
    true = _labels(labels, z)
    largest = [max(row) for row in z]
    e = _filled(z.shape, lambda index: math.exp(z[index] - largest[index[0]]))
    sums = [math.fsum(row) for row in e]
    p = _filled(z.shape, lambda index: e[index] / sums[index[0]])

    def exponential(index: Index) -> Working:
        text = f"e^({number(z[index])} - {factor(largest[index[0]])})"
        return Working(_label("e", index, z.shape), ((text,),), e[index])

    def line(index: Index) -> Working:
        terms = (tuple(number(term) for term in e[index[0]]),)
        return Working(_label("p", index, z.shape), terms, p[index], f"{number(e[index])}/(", " + ", ")")

    def gradients(g: Array) -> tuple[WorkedArray, ...]:
        weighted = [math.fsum(float(a * b) for a, b in zip(g[n], p[n], strict=True)) for n in range(len(z))]
        values = _filled(z.shape, lambda index: p[index] * (float(g[index]) - weighted[index[0]]))

        def gradient_line(index: Index) -> Working:
            products = tuple(_product(a, b) for a, b in zip(g[index[0]], p[index[0]], strict=True))
            before = f"{number(p[index])}*({factor(g[index])} - ("
            return Working(_label("dL/dz", index, z.shape), (products,), values[index], before, " + ", "))")

        return (WorkedArray("dL/dz", Message("gradient of the scores"), values, gradient_line),)

    def cross_entropy_gradients(g: Array) -> tuple[WorkedArray, ...]:
        n = len(z)
        assert true is not None
        target = [[int(index == label) for index in range(z.shape[1])] for label in true]
        values = _filled(z.shape, lambda index: (p[index] - target[index[0]][index[1]]) / n)

        def gradient_line(index: Index) -> Working:
            text = f"{number(p[index])} - {target[index[0]][index[1]]}"
            before, after = ("(", f")/{n}") if n > 1 else ("", "")
            return Working(_label("dL/dz", index, z.shape), ((text,),), values[index], before, "", after)

        name = Message("gradient of the scores, (p - y)/N for the mean cross-entropy of {n} examples", n=n)
        single = Message("gradient of the scores, p - y for the cross-entropy")
        return (WorkedArray("dL/dz", name if n > 1 else single, values, gradient_line),)

    return WorkedExample(
        "softmax",
        {"x": z},
        {} if true is None else {"labels": true},
        (
            WorkedArray("e", Message("exponentials, after subtracting the largest score"), e, exponential),
            WorkedArray("p", Message("probabilities"), p, line),
        ),
        gradients if true is None else cross_entropy_gradients,
    )


def rankings(worked: WorkedExample) -> tuple[Ranking, ...]:
    """The classes of each example of a `softmax` by score; with labels also top-1, top-5 and cross-entropy."""
    z, p = worked.operands["x"], worked.output
    labels = worked.settings.get("labels")
    rankings = []
    for row in range(len(z)):
        order = tuple(sorted(range(z.shape[1]), key=lambda index: -z[row, index]))
        if labels is None:
            rankings.append(Ranking(order))
        else:
            # from the scores, not from p: p may underflow to 0 where the loss is finite
            top = max(z[row])
            logsum = math.log(math.fsum(math.exp(score - top) for score in z[row]))
            rankings.append(Ranking(order, labels[row], logsum - float(z[row, labels[row]] - top)))
    assert p.shape == z.shape
    return tuple(rankings)


def _labels(numbers: Any, z: Array) -> tuple[int, ...] | None:
    if numbers is None:
        return None
    labels = [numbers] if isinstance(numbers, int) else list(array_of(numbers, 1, "labels"))
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


def _bias(numbers: Any, filters: int) -> Array | None:
    if numbers is None:
        return None
    b = array_of(numbers, 1, "bias")
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
            "{products:,} products are too many to compute one by one (at most {most:,}). Give a smaller example. "
            "If you need only the counts, give the sizes (--input) instead of the values.",
            products=products,
            most=MOST_PRODUCTS,
        )


def _filled(shape: Sequence[int], value: Callable[[Index], Number]) -> Array:
    array = np.empty(tuple(shape), dtype=object)
    for index in np.ndindex(*array.shape):
        result = value(index)
        array[index] = exact(result) if isinstance(result, Fraction) else result
    return array


def _sums(
    symbol: str,
    name: str,
    shape: tuple[int, ...],
    parts: Parts,
    term: Callable[[Number, Number], str] | None = None,
) -> WorkedArray:
    """An array of sums of products of two numbers; ``term`` writes one product as text."""
    write = term or _product
    values = _filled(shape, lambda index: sum((a * b for a, b in parts.get(index, ())), start=0))

    def line(index: Index) -> Working:
        terms = tuple(write(a, b) for a, b in parts.get(index, ()))
        note = "" if terms else Message("no output depends on it")
        return Working(_label(symbol, index, shape), (terms,), values[index], note=note)

    return WorkedArray(symbol, name, values, line)


def _product(a: Number, b: Number) -> str:
    return f"{factor(a)}*{factor(b)}"


def _quotient(a: Number, b: Number) -> str:
    """``a/n``, for a product whose second factor is 1/n."""
    return f"{factor(a)}/{number(exact(1 / Fraction(b)))}"


def _first(a: Number, b: Number) -> str:
    """``a``, for a product whose second factor is 1."""
    return factor(a)


def _label(symbol: str, index: Index, shape: Sequence[int]) -> str:
    """``y[0,1]`` for a single channel, ``y[2,0,1]`` for several."""
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
