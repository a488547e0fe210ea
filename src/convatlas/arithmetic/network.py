"""``summarize`` takes a module and an input shape and returns a Summary, or raises an error that names the layer."""

from __future__ import annotations

import copy
import gc
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from convatlas.arithmetic.field import Field, image_field
from convatlas.arithmetic.protocol import Shape
from convatlas.arithmetic.records import LayerRow, blocks_of, times
from convatlas.arithmetic.rows import last_operations, last_row, rows_from
from convatlas.arithmetic.summary import Summary
from convatlas.arithmetic.trace import Trace, trace, without_batch
from convatlas.errors import ConvAtlasError, ShapeError, UsageError
from convatlas.i18n import _
from convatlas.message import Message, joined

InputShape = Sequence[int] | Sequence[Sequence[int]] | Tensor | Sequence[Tensor]


class ForwardError(ShapeError):
    """The forward pass failed.

    Attributes:
        layer: path of the innermost module that was running; "" for the network itself.
        input_shapes: shapes of that module's inputs, without the batch.
        summary: the rows before the failure, including operators of the failing layer that had already run.
    """

    def __init__(self, message: str, layer: str, input_shapes: tuple[Shape, ...], summary: Summary) -> None:
        super().__init__(message)
        self.layer, self.input_shapes, self.summary = layer, input_shapes, summary
        if summary.rows:
            self.add_note(self.table)

    @property
    def table(self) -> str:
        """The rows up to the layer that failed, and that layer marked."""
        shapes = " + ".join(times(shape) for shape in self.input_shapes)
        return f"{self.summary}\n\n>>> " + _("{layer} stopped here, given {shapes}", layer=self.layer, shapes=shapes)


def summarize(
    net: nn.Module,
    input_shape: InputShape | dict[str, Any],
    *,
    dtype: torch.dtype | None = None,
    training: bool = False,
    model: str = "",
) -> Summary:
    """Count every layer of a network by tracing one forward pass without computing values.

    Args:
        net: any module on any device. It is neither copied nor changed.
        input_shape: ``(C, H, W)`` of one image, without the batch; a sequence of shapes for a network with several
            inputs; tensors with a batch dimension, whose values are not read; or a dict from argument names to any of
            these, for a forward with keyword arguments. A forward whose one argument is itself a dict gets the dict.
            Flags, numbers, texts and None among the arguments are passed as they are.
        dtype: of the inputs given as shapes; that of the network's first floating-point parameter where None.
        training: trace the network in training mode (with auxiliary heads and dropout) instead of evaluation mode.
        model: name of the network in the summary.
    Returns:
        rows, totals and graph; ``print`` it for the table, ``to_dict()`` for JSON, ``to_csv()`` for a spreadsheet.
    Raises:
        ForwardError: the forward pass failed. The error names the layer and what it expected, and has the rows before.
        UsageError: the inputs are not shapes, or the forward needs other arguments.
    """
    if isinstance(net, type):
        raise UsageError("{network} is a class; give an instance of it: {network}(...).", network=net.__name__)
    net = getattr(net, "_orig_mod", net)  # the original module of a compiled one
    if any(isinstance(module, torch.jit.ScriptModule) for module in net.modules()):
        raise UsageError("a TorchScript module cannot be traced. Give the Python module it was made from.")
    quantized = next((path for path, m in net.named_modules() if _is_quantized(m)), None)
    if quantized is not None:
        raise UsageError(
            "{layer} is quantized: its weights are packed, and a pass without values cannot read them. Summarize the "
            "network before its conversion, which has the same layers.",
            layer=quantized,
        )
    batch = 2 if training else 1  # in training mode two images, as batch statistics may need more than one value
    args, kwargs = _inputs(net, input_shape, dtype, batch)
    _check_arguments(net, args, kwargs)
    net, lazy = _with_sizes(net, args, kwargs)
    with _no_collection():
        traced = trace(net, args, kwargs, batch, training)
        summary = _summary(net, traced, model)
    if traced.failure is not None:
        raise _readable(traced, summary) from traced.failure
    if lazy:
        note = Message("the lazy layers got their sizes from this input, in a copy: {layers}", layers=", ".join(lazy))
        summary = replace(summary, notes=(*summary.notes, note))
    return summary


def _is_quantized(module: nn.Module) -> bool:
    return type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"))


def _with_sizes(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[nn.Module, list[str]]:
    """The network, or a copy of it in which the lazy layers have got their sizes; and the names of these."""
    lazy = [path.rpartition(".")[0] for path, p in net.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if not lazy:
        return net, []
    net = copy.deepcopy(net).eval()
    zeros = tree_map_only(Tensor, lambda t: torch.zeros(t.shape, dtype=t.dtype), (args, kwargs))
    with torch.no_grad(), torch.random.fork_rng(devices=()), suppress(Exception):  # the pass that follows explains it
        net(*zeros[0], **zeros[1])
    return net, list(dict.fromkeys(lazy))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Turn the garbage collector off: a trace makes many objects, and a collection takes longer than the trace."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class ReceptiveBox:
    """The pixels that one position of a layer depends on: first and last pixel per axis of the image.

    Attributes:
        theoretical: the receptive field with the padding; it may extend past the image.
        in_image: the pixels of the image that the position really depends on; None where there are none.
    """

    theoretical: tuple[tuple[int, int], ...]
    in_image: tuple[tuple[int, int] | None, ...]


def receptive_box(
    net: nn.Module, input_shape: Sequence[int], layer: str, position: Sequence[int] | None
) -> ReceptiveBox:
    """The pixels that one position of a layer depends on.

    Args:
        layer: name of a row, or of a module, which means its last row.
        position: (row, column) in the layer's map; ignored for an axis that the layer does not have; None for all
            positions together.
        net: any network; it is not changed.
        input_shape: (C, H, W) of one image.
    Raises:
        UnknownNameError: no such layer.
        UsageError: the position is outside the map, or the receptive field of the layer is not known.
    """
    field = field_of(net, input_shape, layer)
    if field is None:
        raise UsageError(
            "the receptive field of {layer} is not known, as an operator before it moves pixels in a way that is not "
            "supported.",
            layer=layer,
        )
    if position is None:
        return _box_of_all_positions(field)
    theoretical, in_image = [], []
    for axis, index in zip(field.view.axes, position, strict=True):
        index = index if axis.size > 1 else 0
        if not 0 <= index < axis.size:
            raise UsageError(
                "{layer} has positions 0 to {last} along this axis; got {position}.",
                layer=layer,
                last=axis.size - 1,
                position=index,
            )
        theoretical.append(axis.at(index))
        low, high = axis.support[index]
        in_image.append((low, high) if low <= high else None)
    return ReceptiveBox(tuple(theoretical), tuple(in_image))


def _box_of_all_positions(field: Field) -> ReceptiveBox:
    theoretical, in_image = [], []
    for axis in field.view.axes:
        spans = [axis.at(index) for index in range(axis.size)]
        theoretical.append((min(low for low, _ in spans), max(high for _, high in spans)))
        inside = [(low, high) for low, high in (axis.support[index] for index in range(axis.size)) if low <= high]
        in_image.append((min(low for low, _ in inside), max(high for _, high in inside)) if inside else None)
    return ReceptiveBox(tuple(theoretical), tuple(in_image))


def field_of(net: nn.Module, input_shape: Sequence[int], layer: str | None = None) -> Field | None:
    """The Field of a layer's output, or of the network's; None where it is not known."""
    args, kwargs = _inputs(net, input_shape, None, 1)
    traced = trace(net, args, kwargs, 1, training=False)
    if traced.failure is not None:
        raise _readable(traced, _summary(net, traced, "")) from traced.failure
    if layer is None:
        last = [source for source in traced.output_sources if source >= 0]
        field = traced.operations[last[-1]].field if last else image_field(args[0])
    else:
        operations = last_operations(traced)
        field = operations[last_row(layer, operations)].field
    return None if field is None or field.is_mixed else field


def _summary(net: nn.Module, traced: Trace, model: str) -> Summary:
    sizes = {path: parameter.numel() for path, parameter in net.named_parameters()}
    rows = rows_from(traced, sizes)
    used = {path for operation in traced.operations for path in operation.params}
    names = _output_names(traced, rows)
    return Summary(
        inputs=tuple(without_batch(t, traced.batch) for t in traced.inputs),
        rows=rows,
        outputs=names,
        blocks=blocks_of(net),
        unused_params=_unused_params(net, used) if traced.failure is None else {},
        buffers=sum(b.numel() for b in net.buffers() if b.is_floating_point()),
        frozen_params=sum(p.numel() for path, p in net.named_parameters() if path in used and not p.requires_grad),
        param_bytes=sum(p.numel() * p.element_size() for path, p in net.named_parameters() if path in used),
        model=model or type(net).__name__,
        notes=tuple(_notes(traced, rows)),
    )


def _output_names(traced: Trace, rows: tuple[LayerRow, ...]) -> tuple[str, ...]:
    if not traced.output_sources:
        return ()
    read = {source for row in rows for source in row.inputs}
    ends = [row.name for row in rows if row.name not in read]
    return tuple(ends[-len(traced.output_sources) :])


def _unused_params(net: nn.Module, used: set[str]) -> dict[str, int]:
    """Number of parameters that no operator read, by the outermost module of which no parameter was read."""
    unused = {path: p.numel() for path, p in net.named_parameters() if path not in used}
    counts: dict[str, int] = {}
    for path, count in unused.items():
        parts = path.split(".")
        prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        outermost = next(p for p in prefixes if not any(u == p or u.startswith(f"{p}.") for u in used))
        counts[outermost] = counts.get(outermost, 0) + count
    return counts


def _notes(traced: Trace, rows: tuple[LayerRow, ...]) -> list[Message]:
    notes = []
    unknown = sorted({op for row in rows if row.macs is None for op in row.operators})
    if unknown:
        notes.append(
            Message(
                "unknown operators, which the totals do not include: {operators}",
                operators=", ".join(unknown),
            )
        )
    odd = [t for t in traced.outputs if t.dim() and t.shape[0] != traced.batch]
    if odd:
        notes.append(
            Message(
                "for one image the network returned {n} results ({shape}). A reshape has moved pixels into the batch "
                "dimension, so the network was probably made for another input size",
                n=odd[0].shape[0],
                shape=times(odd[0].shape),
            )
        )
    return notes


# ------------------------------------------------------------------ inputs


def _inputs(
    net: nn.Module, shapes: InputShape | dict[str, Any], dtype: torch.dtype | None, batch: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of the forward, its tensors as meta tensors."""
    kind = dtype or next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())
    if isinstance(shapes, dict):
        arguments = {name: _argument(value, kind, batch) for name, value in shapes.items()}
        return ((arguments,), {}) if _takes_one_dict(net, arguments) else ((), arguments)
    if not isinstance(shapes, Sequence) or isinstance(shapes, str) or _is_shape(shapes):
        return (_meta_tensor(shapes, kind, batch),), {}
    return tuple(_argument(value, kind, batch) for value in shapes), {}


def _is_shape(value: Any) -> bool:
    """Whether numbers alone stand for one input: a shape, which `_meta_tensor` checks, as numbers are no images."""
    sides = value if isinstance(value, Sequence) else (None,)
    return all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides)


def _argument(value: Any, dtype: torch.dtype, batch: int) -> Any:
    """One of several arguments: shapes, alone or nested, become meta tensors; flags and numbers stay as they are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {name: _argument(each, dtype, batch) for name, each in value.items()}
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(each, list | tuple | dict | Tensor) for each in value)
    ):
        return [_argument(each, dtype, batch) for each in value]
    return _meta_tensor(value, dtype, batch)


def _takes_one_dict(net: nn.Module, arguments: dict[str, Any]) -> bool:
    """Whether the forward has no arguments of these names, and its first one can be the dict itself."""
    try:
        signature = inspect.signature(net.forward)
    except (TypeError, ValueError):
        return False
    for positional, keywords, as_dict in (((), arguments, False), ((arguments,), {}, True)):
        try:
            signature.bind(*positional, **keywords)
        except TypeError:
            continue
        return as_dict
    return False


def _meta_tensor(shape: Any, dtype: torch.dtype, batch: int) -> Tensor:
    """A meta tensor for a shape without the batch, or for a tensor with one."""
    if isinstance(shape, Tensor):
        if shape.dim() == 0:
            raise UsageError("an input tensor has no batch dimension: its shape is ().")
        return torch.empty((batch, *shape.shape[1:]), dtype=shape.dtype, device="meta")
    integers = isinstance(shape, Sequence) and all(isinstance(s, int) and not isinstance(s, bool) for s in shape)
    if not integers or not shape or min(shape) < 1:
        raise UsageError(
            "an input shape must be a tuple of positive integers, such as (3, 224, 224); got {shape!r}.",
            shape=shape,
        )
    return torch.empty((batch, *shape), dtype=dtype, device="meta")


def _check_arguments(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(net.forward)
    except (TypeError, ValueError):  # a compiled or scripted forward has none
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        count = len(args) + len(kwargs)
        raise UsageError(
            "{network}.forward{signature} cannot be called with {inputs}: {error}. Give a shape for each: "
            "a list of shapes, or a dict from argument name to shape.",
            network=type(net).__name__,
            signature=signature,
            inputs=Message("1 input") if count == 1 else Message("{n} inputs", n=count),
            error=error,
        ) from None


# ------------------------------------------------------------------ error messages


def _readable(traced: Trace, summary: Summary) -> ForwardError | UsageError:
    """An error that explains the failure of a trace."""
    failure = traced.failure
    assert failure is not None
    if not traced.open_calls:
        return UsageError(failure.message if isinstance(failure, ConvAtlasError) else str(failure))
    call = traced.calls[traced.open_calls[-1]]
    layer = f"{call.path} ({type(call.module).__name__})" if call.path else type(call.module).__name__
    shapes = joined(map(times, call.inputs), Message(" and ")) if call.inputs else Message("nothing")
    original = failure.message if isinstance(failure, ConvAtlasError) else str(failure).split("\n")[0].rstrip(".") + "."
    reason = _expectation(call.module, call.inputs) or original
    message = Message("{layer} failed with the input {shapes}: {reason}", layer=layer, shapes=shapes, reason=reason)
    if isinstance(failure, ConvAtlasError) and failure.__traceback__ and not _raised_by_tracer(failure):
        message = failure.message  # the network's own message is better
    return ForwardError(message, call.path, call.inputs, summary)


def _raised_by_tracer(failure: Exception) -> bool:
    """Whether the tracer raised the error, and not the network."""
    frame = failure.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__") == trace.__module__


def _expectation(module: nn.Module, inputs: tuple[Shape, ...]) -> Message:
    """What a common layer expected, and how to correct the network; "" for other layers and other failures."""
    if not inputs:
        return Message("")
    shape = inputs[0]
    if isinstance(module, nn.Linear) and shape and shape[-1] != module.in_features:
        return Message(
            "it expects {expected} features and got {actual}. Change the input size, or in_features."
            if len(shape) == 1
            else "it expects {expected} features and got {actual}, the last axis of {shape}. "
            "Flatten first, or change in_features.",
            expected=module.in_features,
            actual=shape[-1],
            shape=times(shape),
        )
    if isinstance(module, nn.modules.conv._ConvNd) and not isinstance(module, nn.modules.conv._ConvTransposeNd):
        axes = len(module.kernel_size)
        if len(shape) != axes + 1:
            sides = ", ".join("side" for _ in range(axes))
            return Message(
                "it expects {axes} axes, (channels, {sides}), and got {actual}.",
                sides=sides,
                axes=axes + 1,
                actual=len(shape),
            )
        if shape[0] != module.in_channels:
            return Message(
                "it expects {expected} channels and got {actual}. Change the input, or in_channels.",
                expected=module.in_channels,
                actual=shape[0],
            )
        if isinstance(module.padding, tuple):
            for side, kernel, padding, dilation in zip(
                shape[1:], module.kernel_size, module.padding, module.dilation, strict=True
            ):
                if side + 2 * padding < dilation * (kernel - 1) + 1:
                    return Message(
                        "its kernel spans {reach} pixels, and the padded input has only {side}. The network is too "
                        "deep for this input: use a larger image.",
                        reach=dilation * (kernel - 1) + 1,
                        side=side + 2 * padding,
                    )
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and shape and shape[0] != module.num_features:
        return Message(
            "it expects {expected} channels and got {actual}. Change num_features.",
            expected=module.num_features,
            actual=shape[0],
        )
    return Message("")
