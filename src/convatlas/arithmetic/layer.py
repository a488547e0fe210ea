"""The counts of one layer, each with its formula and values. No torch.

    convolution((3, 227, 227), 96, kernel=11, stride=4).steps
        output       (H - K + 2P)/S + 1 = (227 - 11 + 2*0)/4 + 1 = 55
        params       K*K*C*F + F = 11*11*3*96 + 96 = 34,944
        neurons      H*W*F = 55*55*96 = 290,400
        connections  neurons * (K*K*C + 1) = 290,400 * (363 + 1) = 105,705,600
        macs         neurons * K*K*C = 290,400 * 363 = 105,415,200

Letters: H, W sides; C input channels (maps); F filters, the output channels; K kernel; S stride; P padding at each end;
D dilation; G groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any

from convatlas import units
from convatlas.arithmetic import formulas
from convatlas.arithmetic.formulas import Sides, per_axis, reach
from convatlas.arithmetic.protocol import Shape
from convatlas.errors import ShapeError, UsageError
from convatlas.i18n import translated
from convatlas.message import Message, joined

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Step:
    """One number and its calculation: ``formula = substitution = result``, printed in the language in use."""

    quantity: str
    formula: str
    substitution: str
    result: str
    note: str = ""

    def __str__(self) -> str:
        return translated(self.text)

    @property
    def text(self) -> Message:
        """The calculation, without the quantity's name."""
        parts = joined((part for part in (self.formula, self.substitution, self.result) if part), " = ")
        return joined((parts, "   (", self.note, ")"), "") if self.note else parts

    def to_dict(self) -> dict[str, str]:
        return {key: getattr(self, key) for key in ("quantity", "formula", "substitution", "result", "note")}


@dataclass(frozen=True)
class WorkedLayer:
    """The counts of one layer for one image; ``steps`` are the calculations."""

    kind: str
    input: Shape
    output: Shape
    params: int
    macs: int
    connections: int
    neurons: int
    activation_bytes: int
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """The document of ``layer --json``."""
        return {
            "kind": self.kind,
            "input": list(self.input),
            "output": list(self.output),
            "params": self.params,
            "macs": self.macs,
            "connections": self.connections,
            "neurons": self.neurons,
            "activation_bytes": self.activation_bytes,
            "steps": [f"{step.quantity}: {step.text}" for step in self.steps],
        }


# ------------------------------------------------------------------ one side


@dataclass(frozen=True)
class Fit:
    """Whether the positions of a window divide a side evenly.

    Attributes:
        exact: number of positions, before rounding.
        paddings: paddings, equal at both ends, for which ``exact`` is an integer.
        totals: paddings of both ends together for which ``exact`` is an integer.
    """

    exact: Fraction
    paddings: tuple[int, ...]
    totals: tuple[int, ...]

    @property
    def fits(self) -> bool:
        return self.exact.denominator == 1

    @property
    def floor(self) -> int:
        return self.exact.__floor__()

    @property
    def ceil(self) -> int:
        return self.exact.__ceil__()


def fit(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Fit:
    """(N - K + 2P)/S + 1 as an exact fraction, and the paddings smaller than the kernel for which it is an integer.

    Raises:
        ShapeError: the kernel is longer than the padded input.
    """
    formulas.output_size(size, kernel, stride, padding, dilation)
    span = reach(kernel, dilation)
    even = tuple(p for p in range(span) if (size - span + 2 * p) % stride == 0 and size + 2 * p >= span)
    totals = tuple(t for t in range(2 * span - 1) if (size - span + t) % stride == 0 and size + t >= span)
    return Fit(Fraction(size - span + 2 * padding, stride) + 1, even, totals)


def _side_step(
    axis: str, size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil_mode: bool, result: int
) -> Step:
    span = reach(kernel, dilation)
    kernel_text = str(span) if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"
    letter = "K" if dilation == 1 else "(D*(K - 1) + 1)"
    exact = Fraction(size - span + before + after, stride) + 1
    note = ""
    if exact.denominator != 1:
        direction = Message("rounded up") if ceil_mode and result == exact.__ceil__() else Message("rounded down")
        note = joined((_decimal(exact), direction), " ")
    elif ceil_mode and result != exact:
        note = Message("a further window would begin in the padding and is left out")
    if before == after:
        return Step(
            Message("output"),
            f"({axis} - {letter} + 2P)/S + 1",
            f"({size} - {kernel_text} + 2*{before})/{stride} + 1",
            str(result),
            note,
        )
    return Step(
        Message("output"),
        f"({axis} - {letter} + P + P')/S + 1",
        f"({size} - {kernel_text} + {before} + {after})/{stride} + 1",
        str(result),
        note,
    )


def _decimal(value: Fraction) -> str:
    text = f"{float(value):.4f}".rstrip("0").rstrip(".")
    return text if Fraction(text) == value else f"{text}..."


# ------------------------------------------------------------------ layers


@dataclass(frozen=True)
class _Window:
    kernel: Sides
    stride: Sides
    before: Sides
    after: Sides
    dilation: Sides

    @classmethod
    def of(cls, axes: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> _Window:
        k, d = per_axis(kernel, axes, "kernel"), per_axis(dilation, axes, "dilation")
        s = per_axis(stride, axes, "stride")
        if padding == "same":
            if any(side != 1 for side in s):
                raise UsageError(
                    "padding 'same' needs a stride of 1. With a larger stride give the padding as a number."
                )
            pads = [formulas.same_padding(a, b) for a, b in zip(k, d, strict=True)]
            return cls(k, s, tuple(p[0] for p in pads), tuple(p[1] for p in pads), d)
        p = per_axis(padding, axes, "padding")
        return cls(k, s, p, p, d)

    def sizes(self, sides: Sides, ceil_mode: bool = False) -> Sides:
        return tuple(
            formulas.output_size(n, k, s, p, d, ceil_mode, q)
            for n, k, s, p, q, d in zip(
                sides, self.kernel, self.stride, self.before, self.after, self.dilation, strict=True
            )
        )

    def steps(self, sides: Sides, results: Sides, ceil_mode: bool = False) -> list[Step]:
        """One step per axis; axes with equal calculations share one step."""
        names = "HW" if len(sides) == 2 else "LHWD"
        steps: dict[tuple[Any, ...], Step] = {}
        columns = zip(sides, self.kernel, self.stride, self.before, self.after, self.dilation, results, strict=True)
        for name, (n, k, s, p, q, d, result) in zip(names, columns, strict=False):
            steps.setdefault((n, k, s, p, q, d), _side_step(name, n, k, s, p, q, d, ceil_mode, result))
        return list(steps.values())


def convolution(
    input: Shape,
    out_channels: int,
    kernel: int | Sides,
    stride: int | Sides = 1,
    padding: int | Sides | str = 0,
    dilation: int | Sides = 1,
    groups: int = 1,
    bias: bool = True,
) -> WorkedLayer:
    """A convolution over ``input``, (C, H, W) or with another number of sides.

    Raises:
        ShapeError: the kernel is longer than the padded input.
        UsageError: the channels cannot be divided into the groups, or a size is below 1.
    """
    channels, *sides = _checked(input)
    if out_channels < 1:
        raise UsageError("a convolution needs at least one filter; got {out_channels}.", out_channels=out_channels)
    window = _Window.of(len(sides), kernel, stride, padding, dilation)
    results = window.sizes(tuple(sides))
    steps = window.steps(tuple(sides), results)
    output = (out_channels, *results)
    formulas.check_groups(channels, groups)
    fan_in = formulas.fan_in(channels, window.kernel, groups)
    weights = "*".join(map(str, window.kernel)) + "*" + (str(channels) if groups == 1 else f"({channels}/{groups})")
    letters = "*".join("K" * len(sides)) + ("*C" if groups == 1 else "*(C/G)")
    params = formulas.conv_params(channels, out_channels, window.kernel, groups, bias)
    steps.append(_params_step(f"{letters}*F", f"{weights}*{out_channels}", out_channels, params, bias))
    macs = formulas.conv_macs(channels, out_channels, window.kernel, results, groups)
    steps += _work_steps(output, fan_in, letters, weights, macs, bias)
    return _worked("conv", input, output, params, macs, bias, steps)


def transposed_convolution(
    input: Shape,
    out_channels: int,
    kernel: int | Sides,
    stride: int | Sides = 1,
    padding: int | Sides = 0,
    dilation: int | Sides = 1,
    groups: int = 1,
    bias: bool = True,
    output_padding: int | Sides = 0,
) -> WorkedLayer:
    """A transposed convolution over ``input`` (C, H, W): every input position is multiplied by a whole kernel."""
    channels, *sides = _checked(input)
    window = _Window.of(len(sides), kernel, stride, padding, dilation)
    extra = per_axis(output_padding, len(sides), "output_padding")
    columns = list(zip(sides, window.kernel, window.stride, window.before, window.dilation, extra, strict=True))
    results = tuple(formulas.transposed_output_size(*column) for column in columns)
    steps = []
    for (n, k, s, p, d, o), result in dict(zip(columns, results, strict=True)).items():
        text = f"({n} - 1)*{s} - 2*{p} + {d}*({k} - 1) + 1 + {o}"
        steps.append(Step(Message("output"), "(H - 1)*S - 2P + D*(K - 1) + 1 + O", text, str(result)))
    formulas.check_groups(channels, groups)
    per_input = formulas.fan_in(out_channels, window.kernel, groups)
    kernel_text = "*".join(map(str, window.kernel))
    params = channels * per_input + (out_channels if bias else 0)
    filters = str(out_channels) if groups == 1 else f"({out_channels}/{groups})"
    steps.append(_params_step("K*K*C*F", f"{kernel_text}*{channels}*{filters}", out_channels, params, bias))
    macs = channels * prod(sides) * per_input
    inputs = "*".join(map(str, (*sides, channels)))
    steps.append(Step("macs", "H*W*C * K*K*F", f"{inputs} * {kernel_text}*{filters}", units.exact(macs)))
    output = (out_channels, *results)
    return _worked("conv_transposed", input, output, params, macs, bias, steps)


def pooling(
    input: Shape,
    kernel: int | Sides,
    stride: int | Sides | None = None,
    padding: int | Sides = 0,
    dilation: int | Sides = 1,
    ceil_mode: bool = False,
    kind: str = "pool",
) -> WorkedLayer:
    """A pooling over ``input`` (C, H, W). It has no parameters, and by convention no multiply-adds.

    Args:
        stride: the kernel's side where None.
    Raises:
        ShapeError: the window is longer than the padded input, or the padding is more than half of the window, which
            torch does not allow.
    """
    channels, *sides = _checked(input)
    window = _Window.of(len(sides), kernel, kernel if stride is None else stride, padding, dilation)
    if any(2 * p > k for p, k in zip(window.before, window.kernel, strict=True)):
        raise ShapeError(
            "the padding of a pooling must be at most half of its window; got padding {padding} with a window of "
            "{kernel}.",
            padding=padding,
            kernel=kernel,
        )
    results = window.sizes(tuple(sides), ceil_mode)
    steps = window.steps(tuple(sides), results, ceil_mode)
    steps.append(Step(Message("params"), "", "", "0", Message("a pooling has no parameters")))
    return _worked(kind, input, (channels, *results), 0, 0, False, steps, neurons=0)


def fully_connected(input: Shape, out_features: int, bias: bool = True) -> WorkedLayer:
    """A fully connected layer over all of ``input``, (C, H, W) or (K,)."""
    shape = _checked(input)
    if out_features < 1:
        raise UsageError(
            "a fully connected layer needs at least one output; got {out_features}.", out_features=out_features
        )
    inputs = prod(shape)
    product = "*".join(map(str, shape))
    letters = "*".join("CHW"[: len(shape)]) if len(shape) > 1 else "N"
    params = formulas.fc_params(inputs, out_features, bias)
    steps = [
        _params_step(f"{letters}*F", f"{product}*{out_features}", out_features, params, bias),
        *_work_steps((out_features,), inputs, letters, product, inputs * out_features, bias),
    ]
    return _worked("fc", input, (out_features,), params, inputs * out_features, bias, steps)


def equivalent_fully_connected(layer: WorkedLayer, bias: bool = True) -> WorkedLayer:
    """The fully connected layer with the same inputs and outputs, which shows what weight sharing saves."""
    dense = fully_connected((prod(layer.input),), prod(layer.output), bias)
    return replace(dense, kind="fc")


# ------------------------------------------------------------------ receptive field, one side


def field_step(kernel: int, dilation: int, field: int, jump: int | Fraction) -> Step:
    """The receptive field after a window, from the field and the jump of the window's input, both in pixels.

    Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
    """
    taps = f"({kernel} - 1)" if dilation == 1 else f"{dilation}*({kernel} - 1)"
    result = field + dilation * (kernel - 1) * jump
    return Step(Message("receptive field"), "r + (K - 1)*j", f"{field} + {taps}*{jump}", str(result))


def jump_step(jump: int | Fraction, stride: int) -> Step:
    """The distance in pixels between neighbours of a layer's output, from that of its input."""
    return Step(Message("jump"), "j*S", f"{jump}*{stride}", str(jump * stride))


# ------------------------------------------------------------------ shared working


def _params_step(letters: str, text: str, out: int, params: int, bias: bool) -> Step:
    ending = (" + F", f" + {out}") if bias else ("", "")
    note = "" if bias else Message("no bias")
    return Step(Message("params"), letters + ending[0], text + ending[1], units.exact(params), note)


def _work_steps(output: Shape, fan_in: int, letters: str, weights: str, macs: int, bias: bool) -> list[Step]:
    channels, *sides = output
    neurons = prod(output)
    places = "*".join(map(str, (*sides, channels)))
    count, inputs = units.exact(neurons), units.exact(fan_in)
    steps = [
        Step(Message("neurons"), "H*W*F" if sides else "F", places, units.exact(neurons)),
        Step(Message("inputs of one neuron"), letters, weights, inputs),
    ]
    if bias:
        text = f"{count} * ({inputs} + 1)"
        steps.append(
            Step(
                Message("connections"),
                Message("neurons * (inputs + 1)"),
                text,
                units.exact(macs + neurons),
                Message("1 for the bias"),
            )
        )
    else:
        steps.append(
            Step(Message("connections"), Message("neurons * inputs"), f"{count} * {inputs}", units.exact(macs))
        )
    steps.append(Step("macs", Message("neurons * inputs"), f"{count} * {inputs}", units.exact(macs)))
    return steps


def _worked(
    kind: str,
    input: Shape,
    output: Shape,
    params: int,
    macs: int,
    bias: bool,
    steps: list[Step],
    neurons: int | None = None,
) -> WorkedLayer:
    size = prod(output) * FLOAT_BYTES
    text = f"{'*'.join(map(str, (*output[1:], output[0])))} * {FLOAT_BYTES}"
    steps.append(Step(Message("memory"), Message("outputs * bytes per float"), text, units.bytes_(size)))
    neurons = prod(output) if neurons is None else neurons
    connections = formulas.connections(macs, prod(output), bias)
    return WorkedLayer(kind, tuple(input), output, params, macs, connections, neurons, size, tuple(steps))


def _checked(shape: Shape) -> list[int]:
    if not shape or any(not isinstance(side, int) or side < 1 for side in shape):
        raise UsageError(
            "the sizes of an input must be positive integers, such as (3, 224, 224); got {shape!r}.",
            shape=tuple(shape),
        )
    return list(shape)
