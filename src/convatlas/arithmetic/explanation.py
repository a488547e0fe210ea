"""The figures of a layer of a summary, with formulas and values. No torch.

The figures are calculated again from the layer's geometry (layer.py) and compared with the table. A difference is an
error of this package, and raises AssertionError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from convatlas import tables, units
from convatlas.arithmetic import layer as by_hand
from convatlas.arithmetic.layer import Step, WorkedLayer
from convatlas.arithmetic.records import INPUT, LayerRow, layer_names, times
from convatlas.arithmetic.summary import Summary
from convatlas.errors import UnknownNameError
from convatlas.i18n import translated
from convatlas.message import Message, joined


@dataclass(frozen=True)
class Explanation:
    """The calculation of the figures of a row, for ``print`` or as ``steps``.

    Attributes:
        row: the layer, or the sum of the layers of a block.
        heading: the first line of the text.
    """

    row: LayerRow
    heading: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        steps = tables.labelled(((step.quantity, step.text) for step in self.steps), indent=2)
        return f"{translated(self.heading)}\n{steps}" if steps else translated(self.heading)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.row.name,
            "kind": self.row.kind,
            "heading": self.heading,
            "steps": [step.to_dict() for step in self.steps],
        }


MOST_PARTS = 12  # the counts of a block with more parts are not written out as a sum


def explain(summary: Summary, name: str) -> Explanation:
    """Explain the figures of one row, or those of a module with several rows as the sum over its rows.

    Args:
        summary: the counted network.
        name: of a row, or what stands before a dot of such a name.

    Raises:
        UnknownNameError: no such layer.
    """
    if all(row.name != name for row in summary.rows):
        return _explain_block(summary, name)
    row = summary[name]
    worked = _work(row)
    steps: list[Step] = []
    if worked is not None:
        _check_agreement(row, worked)
        if worked.input != row.input_shapes[0]:
            before = times(row.input_shapes[0][1:])
            note = Message("the layer pads its input of {size}", size=before)
            steps.append(Step(Message("padded input"), "", "", times(worked.input[1:]), note))
        steps += worked.steps
        if row.shared:
            steps.append(
                Step(
                    Message("params"), "", "", units.exact(row.params), Message("its weights belong to an earlier row")
                )
            )
        elif row.params < worked.params:
            steps.append(
                Step(Message("params"), "", "", units.exact(row.params), Message("its other weights are fixed"))
            )
    else:
        steps += _plain_steps(row)
    steps += _field_steps(summary, row)
    inputs = " + ".join(row.inputs) or "-"
    heading = f"{row.name} ({row.kind}): {inputs} -> {times(row.output)}"
    return Explanation(row, heading, tuple(steps))


def _explain_block(summary: Summary, name: str) -> Explanation:
    rows = [row for row in summary.rows if row.name.startswith(f"{name}.")]
    if not rows:
        raise UnknownNameError("layer", name, layer_names(row.name for row in summary.rows))
    inside = {row.name for row in rows}
    last = rows[-1]
    block = LayerRow(
        name=name,
        path=name,
        kind="block",
        inputs=tuple(dict.fromkeys(source for row in rows for source in row.inputs if source not in inside)),
        output=last.output,
        params=sum(row.params for row in rows),
        macs=sum(row.macs or 0 for row in rows),
        connections=sum(row.connections or 0 for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        receptive_field=last.receptive_field,
        jump=last.jump,
        start=last.start,
    )
    unknown = Message("at least: the block has an unknown operator") if any(r.macs is None for r in rows) else ""
    steps = [
        _sum_step(Message("params"), name, rows, lambda row: row.params),
        _sum_step("macs", name, rows, lambda row: row.macs or 0, unknown),
        _sum_step(Message("connections"), name, rows, lambda row: row.connections or 0, unknown),
        Step(Message("memory"), "", "", units.bytes_(block.activation_bytes), Message("the outputs of all its rows")),
    ]
    if last.receptive_field is not None:
        note = Message("of {row}, its last row", row=last.name)
        steps.append(Step(Message("receptive field"), "", "", _size(last.receptive_field), note))
    if last.jump is not None:
        steps.append(Step(Message("jump"), "", "", str(last.jump[0]) if len(set(last.jump)) == 1 else times(last.jump)))
    heading = Message(
        "{name} (block of {n} rows): {inputs} -> {output}",
        name=name,
        n=len(rows),
        inputs=" + ".join(block.inputs) or "-",
        output=times(last.output),
    )
    return Explanation(block, heading, tuple(steps))


def _sum_step(
    quantity: str, name: str, rows: Sequence[LayerRow], count: Callable[[LayerRow], int], note: str = ""
) -> Step:
    """A count of a block as the sum over its direct parts, without the parts whose count is 0."""
    parts: dict[str, int] = {}
    for row in rows:
        part = row.name[len(name) + 1 :].split(".")[0]
        parts[part] = parts.get(part, 0) + count(row)
    counted = {part: n for part, n in parts.items() if n}
    total = units.exact(sum(counted.values()))
    if len(counted) < 2:
        return Step(quantity, "".join(f"{name}.{part}" for part in counted), "", total, note)
    if len(counted) > MOST_PARTS:
        return Step(quantity, Message("the sum over its {n} parts", n=len(counted)), "", total, note)
    names = " + ".join(f"{name}.{part}" if part.isdigit() else part for part in counted)
    return Step(quantity, names, " + ".join(map(units.exact, counted.values())), total, note)


def explain_all(summary: Summary) -> tuple[Explanation, ...]:
    """Explain every row that has weights, multiply-adds, a window, or stated counts."""
    chosen = [row.name for row in summary.rows if row.params or row.macs or row.kernel or row.stated]
    return tuple(explain(summary, name) for name in chosen)


def _work(row: LayerRow) -> WorkedLayer | None:
    """The row calculated from its geometry; None where there is no formula for its kind."""
    if row.stated or not row.input_shapes:
        return None
    shape = padded_input(row)
    kernel, stride, padding, dilation = row.kernel, row.stride, row.padding, row.dilation
    if kernel and stride and padding is not None and dilation and len(shape) == len(kernel) + 1:
        if row.kind == "conv":
            groups = row.groups or 1
            return by_hand.convolution(shape, row.output[0], kernel, stride, padding, dilation, groups, row.bias)
        if row.kind == "conv_transposed":
            plain = by_hand.transposed_convolution(shape, row.output[0], kernel, stride, padding, dilation)
            extra = tuple(there - here for there, here in zip(row.output[1:], plain.output[1:], strict=True))
            groups = row.groups or 1
            return by_hand.transposed_convolution(
                shape, row.output[0], kernel, stride, padding, dilation, groups, row.bias, extra
            )
        if row.kind in ("maxpool", "avgpool"):
            return by_hand.pooling(shape, kernel, stride, padding, dilation, row.ceil_mode, row.kind)
    if row.kind == "fc" and len(row.output) == len(shape) == 1 and row.macs == shape[0] * row.output[0]:
        return by_hand.fully_connected(shape, row.output[0], row.bias)
    return None


def padded_input(row: LayerRow) -> tuple[int, ...]:
    """The input that the window reads: larger than the layer's where the layer pads it (TensorFlow's same)."""
    shape = row.input_shapes[0]
    if "constant_pad_nd" not in row.operators or row.kind != "conv" or not (row.kernel and row.stride and row.dilation):
        return shape
    sides = zip(row.output[1:], row.kernel or (), row.stride or (), row.dilation or (), strict=True)
    return (shape[0], *((size - 1) * step + apart * (taps - 1) + 1 for size, taps, step, apart in sides))


def _check_agreement(row: LayerRow, worked: WorkedLayer) -> None:
    # the row may have fewer parameters than the formula gives: weights may be fixed, tied or computed
    traced = (row.output, row.macs, row.connections)
    calculated = (worked.output, worked.macs, worked.connections)
    if traced != calculated or (worked.params < row.params and not row.shared):
        raise AssertionError(
            f"{row.name}: the trace gives {traced}, {row.params} and the formula {calculated}, {worked.params}"
        )


def _plain_steps(row: LayerRow) -> list[Step]:
    steps = [Step(Message("stated by the layer"), "", line, "") for line in row.working]
    if row.kind == "batch_norm" and row.params:
        steps.append(
            Step(Message("params"), Message("a scale and a shift per channel"), f"2*{row.params // 2}", str(row.params))
        )
    elif row.params or row.stated:
        steps.append(Step(Message("params"), "", "", units.exact(row.params)))
    if row.stated and row.connections is not None:
        steps.append(Step(Message("connections"), "", "", units.exact(row.connections)))
        steps.append(Step("macs", "", "", units.exact(row.macs or 0)))
    elif row.macs is None:
        steps.append(Step("macs", "", "", "?", Message("unknown operator")))
    elif row.macs:
        steps.append(Step("macs", "", "", units.exact(row.macs)))
    if row.activation_bytes:
        count = prod(row.output)
        value_bytes = row.activation_bytes // count
        text = f"{'*'.join(map(str, (*row.output[1:], row.output[0])))} * {value_bytes}"
        formula = Message("outputs * bytes per value")
        steps.append(Step(Message("memory"), formula, text, units.bytes_(row.activation_bytes)))
    else:
        steps.append(Step(Message("memory"), "", "", "0 B", Message("a view, or computed in place")))
    return steps


def _field_steps(summary: Summary, row: LayerRow) -> list[Step]:
    """The receptive field: r + (K - 1)*j for a window with one input; for several inputs the union of their fields."""
    if row.receptive_field is None:
        return []
    before = [summary[name] for name in row.inputs if name != INPUT]
    axes = len(row.receptive_field)
    if row.kernel and len(row.kernel) == axes and len(row.inputs) == 1 and not row.transposed:
        fields = before[0].receptive_field if before else (1,) * axes
        jumps = before[0].jump if before else (Fraction(1),) * axes
        if fields is None or jumps is None:
            return []
        dilation = row.dilation or (1,) * axes
        by_text: dict[str, Step] = {}  # axes with equal calculations share one step
        for k, d, r, j, result in zip(row.kernel, dilation, fields, jumps, row.receptive_field, strict=True):
            step = by_hand.field_step(k, d, r, j)
            if step.result == str(result):
                by_text.setdefault(step.substitution, step)
        steps = list(by_text.values())
        if row.jump is not None and row.stride is not None:
            columns = {(j, s, result) for j, s, result in zip(jumps, row.stride, row.jump, strict=True)}
            steps += [Step(Message("jump"), "j*S", f"{j}*{s}", str(result)) for j, s, result in sorted(columns)]
        return steps
    text = _size(row.receptive_field)
    note = ""
    gates = [b.name for b in before if b.jump is None and b.receptive_field] if row.jump is not None else []
    if gates and len(before) > 1:  # a factor per channel from the average of a map, as in squeeze-and-excitation
        note = Message("the whole image and its padding: all of it is read by {row}", row=gates[0])
    elif len(before) > 1:
        fields_text = ", ".join(f"{b.name} {_size(b.receptive_field)}" for b in before if b.receptive_field)
        note = joined((Message("the union of"), fields_text), " ")
    elif row.kind.startswith("global") or row.kind == "fc":
        note = Message("all positions of its input")
    return [Step(Message("receptive field"), "", "", text, note)]


def _size(values: tuple[int, ...] | None) -> str:
    if values is None:
        return "?"
    return str(values[0]) if len(set(values)) == 1 else " x ".join(map(str, values))
