"""``summarize``: the door of this room. A module and a shape in, a Summary out, or an error that names the layer."""

from __future__ import annotations

import copy
import gc
import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from convatlas.arithmetic.field import Field, image_field
from convatlas.arithmetic.protocol import Shape
from convatlas.arithmetic.records import LayerRow, blocks_of, layer_names, times
from convatlas.arithmetic.rows import last_operations, rows_from
from convatlas.arithmetic.summary import Summary
from convatlas.arithmetic.trace import Trace, trace, without_batch
from convatlas.errors import ConvAtlasError, ShapeError, UnknownNameError, UsageError
from convatlas.i18n import _
from convatlas.message import Message, joined

InputShape = Sequence[int] | Sequence[Sequence[int]] | Tensor | Sequence[Tensor]


class ForwardError(ShapeError):
    """The forward stopped.

    Attributes:
        layer: path of the innermost module that was running; "" for the network itself.
        input_shapes: what that module was given, without the batch.
        summary: the rows up to there; what the failing layer had already run is among them.
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
    """Count every layer of a network in one pass without arithmetic.

    Args:
        net: any module, on any device, ours or not. It is neither copied nor changed.
        input_shape: ``(C, H, W)`` of one image, without the batch; a sequence of shapes for a network with several
            inputs; tensors with the batch in front, whose values are not looked at; or a dict from argument names to
            any of these, for a forward that wants keywords. A forward with one argument that is itself a dict gets
            the dict. Flags, numbers, texts and None among the arguments are passed as they are.
        dtype: of the inputs given as shapes; the network's own first floating-point parameter decides where None.
        training: count the network in training mode (auxiliary heads run, dropout drops) instead of evaluation mode.
        model: a name to be carried along.
    Returns:
        rows, totals and graph; ``print`` it for the table, ``to_dict()`` for JSON, ``to_csv()`` for a spreadsheet.
    Raises:
        ForwardError: the forward stopped; it names the layer, holds the rows up to there, and says what was expected.
        UsageError: the inputs cannot be shapes, or the forward wants arguments it was not given.
    """
    if isinstance(net, type):
        raise UsageError("{network} is a class; give an instance of it: {network}(...).", network=net.__name__)
    net = getattr(net, "_orig_mod", net)  # what torch.compile was given
    if any(isinstance(module, torch.jit.ScriptModule) for module in net.modules()):
        raise UsageError("a TorchScript module cannot be watched: give the Python module it was made from.")
    quantized = next((path for path, m in net.named_modules() if _is_quantized(m)), None)
    if quantized is not None:
        raise UsageError(
            "{layer} is quantized: its weights are packed, and a pass without values cannot read them. Summarize the "
            "network before its conversion, which has the same layers.",
            layer=quantized,
        )
    batch = 2 if training else 1  # one image; two where batch statistics need more than one value
    args, kwargs = _inputs(net, input_shape, dtype, batch)
    _check_arguments(net, args, kwargs)
    net, lazy = _with_sizes(net, args, kwargs)
    with _no_collection():
        seen = trace(net, args, kwargs, batch, training)
        summary = _summary(net, seen, model)
    if seen.failure is not None:
        raise _readable(seen, summary) from seen.failure
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
    """Many small records are made and none is garbage: a full collection in between takes longer than the pass."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class Seen:
    """The pixels one position of a layer sees, per axis of the image, both ends included.

    Attributes:
        theory: the receptive field, padding counted as pixels; it may reach outside the image.
        image: the pixels of this image that really reach the position; None where none does.
    """

    theory: tuple[tuple[int, int], ...]
    image: tuple[tuple[int, int] | None, ...]


def seen_by(net: nn.Module, input_shape: Sequence[int], layer: str, position: Sequence[int] | None) -> Seen:
    """Which pixels does one position of a layer see?

    Args:
        layer: a row's name, or a module's: of a module with parts, what its last row sees.
        position: (row, column) in the layer's map; anything for an axis the layer no longer has; None for
            all positions together.
    Raises:
        UnknownNameError: no such layer.
        UsageError: a position outside the map, or a layer whose receptive field is not known.
    """
    field = field_of(net, input_shape, layer)
    if field is None:
        raise UsageError(
            "the receptive field of {layer} is not known: it moves pixels in a way not described here.",
            layer=layer,
        )
    if position is None:
        return _seen_by_all(field)
    theory, image = [], []
    for axis, place in zip(field.view.axes, position, strict=True):
        place = place if axis.size > 1 else 0
        if not 0 <= place < axis.size:
            raise UsageError(
                "{layer} has positions 0 to {last} along this axis; got {place}.",
                layer=layer,
                last=axis.size - 1,
                place=place,
            )
        theory.append(axis.at(place))
        low, high = axis.support[place]
        image.append((low, high) if low <= high else None)
    return Seen(tuple(theory), tuple(image))


def _seen_by_all(field: Field) -> Seen:
    theory, image = [], []
    for axis in field.view.axes:
        spans = [axis.at(place) for place in range(axis.size)]
        theory.append((min(low for low, _ in spans), max(high for _, high in spans)))
        inside = [(low, high) for low, high in (axis.support[place] for place in range(axis.size)) if low <= high]
        image.append((min(low for low, _ in inside), max(high for _, high in inside)) if inside else None)
    return Seen(tuple(theory), tuple(image))


def field_of(net: nn.Module, input_shape: Sequence[int], layer: str | None = None) -> Field | None:
    """The Field of a layer's output, or of the network's; None where it is not known."""
    args, kwargs = _inputs(net, input_shape, None, 1)
    seen = trace(net, args, kwargs, 1, training=False)
    if seen.failure is not None:
        raise _readable(seen, _summary(net, seen, "")) from seen.failure
    if layer is None:
        last = [source for source in seen.output_sources if source >= 0]
        field = seen.operations[last[-1]].field if last else image_field(args[0])
    else:
        operations = last_operations(seen)
        field = operations[_last_row(layer, operations)].field
    return None if field is None or field.is_mixed else field


@dataclass(frozen=True)
class Place:
    """Where the output of a layer appears in a pass: as that of a module, or of the n-th function of torch."""

    module: str | None = None
    function: int | None = None


def place_of(net: nn.Module, input_shape: Sequence[int], layer: str) -> Place:
    """Where the output of a layer, named as a row or as a module, appears in a pass in evaluation mode.

    Raises:
        UnknownNameError: no such layer.
        UsageError: the output is that of no module and of no function of torch.
    """
    args, kwargs = _inputs(net, input_shape, None, 1)
    seen = trace(net, args, kwargs, 1, training=False)
    if seen.failure is not None:
        raise _readable(seen, _summary(net, seen, "")) from seen.failure
    if any(call.path == layer for call in seen.calls):
        return Place(module=layer)
    operations = last_operations(seen)
    last = operations[_last_row(layer, operations)]
    index = next(place for place, operation in enumerate(seen.operations) if operation is last)
    for number, ran in enumerate(seen.functions):
        if ran > index:
            return Place(function=number)
    raise UsageError("the output of {layer} cannot be caught; name the layer before it.", layer=layer)


def _last_row(layer: str, rows: Iterable[str]) -> str:
    """The row of that name, or the last row inside the module of that name."""
    rows = list(rows)
    if layer in rows:
        return layer
    inside = [name for name in rows if name.startswith(f"{layer}.")]
    if not inside:
        raise UnknownNameError("layer", layer, layer_names(rows))
    return inside[-1]


def _summary(net: nn.Module, seen: Trace, model: str) -> Summary:
    sizes = {path: parameter.numel() for path, parameter in net.named_parameters()}
    rows = rows_from(seen, sizes)
    used = {path for operation in seen.operations for path in operation.params}
    names = _output_names(seen, rows)
    return Summary(
        inputs=tuple(without_batch(t, seen.batch) for t in seen.inputs),
        rows=rows,
        outputs=names,
        blocks=blocks_of(net),
        aside=_aside(net, used) if seen.failure is None else {},
        buffers=sum(b.numel() for b in net.buffers() if b.is_floating_point()),
        frozen_params=sum(p.numel() for path, p in net.named_parameters() if path in used and not p.requires_grad),
        param_bytes=sum(p.numel() * p.element_size() for path, p in net.named_parameters() if path in used),
        model=model or type(net).__name__,
        notes=tuple(_notes(seen, rows)),
    )


def _output_names(seen: Trace, rows: tuple[LayerRow, ...]) -> tuple[str, ...]:
    if not seen.output_sources:
        return ()
    read = {source for row in rows for source in row.inputs}
    ends = [row.name for row in rows if row.name not in read]
    return tuple(ends[-len(seen.output_sources) :])


def _aside(net: nn.Module, used: set[str]) -> dict[str, int]:
    """Parameters that no operator read, gathered at the highest module of which nothing was read."""
    idle = {path: p.numel() for path, p in net.named_parameters() if path not in used}
    gathered: dict[str, int] = {}
    for path, count in idle.items():
        parts = path.split(".")
        prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        whole = next(p for p in prefixes if not any(u == p or u.startswith(f"{p}.") for u in used))
        gathered[whole] = gathered.get(whole, 0) + count
    return gathered


def _notes(seen: Trace, rows: tuple[LayerRow, ...]) -> list[Message]:
    notes = []
    unknown = sorted({op for row in rows if row.macs is None for op in row.operators})
    if unknown:
        notes.append(
            Message(
                "operators not known here, their work is missing from the totals: {operators}",
                operators=", ".join(unknown),
            )
        )
    odd = [t for t in seen.outputs if t.dim() and t.shape[0] != seen.batch]
    if odd:
        notes.append(
            Message(
                "one image went in and {n} results came out ({shape}): a reshape has moved pixels into the batch, so "
                "the input size is probably not the one the network was made for",
                n=odd[0].shape[0],
                shape=times(odd[0].shape),
            )
        )
    return notes


# ------------------------------------------------------------------ what goes in


def _inputs(
    net: nn.Module, given: InputShape | dict[str, Any], dtype: torch.dtype | None, batch: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    kind = dtype or next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())
    if isinstance(given, dict):
        made = {name: _argument(value, kind, batch) for name, value in given.items()}
        return ((made,), {}) if _takes_one_dict(net, made) else ((), made)
    if not isinstance(given, Sequence) or isinstance(given, str) or _is_shape(given):
        return (_one(given, kind, batch),), {}
    return tuple(_argument(value, kind, batch) for value in given), {}


def _is_shape(given: Any) -> bool:
    return isinstance(given, Sequence) and all(isinstance(side, int) and not isinstance(side, bool) for side in given)


def _argument(given: Any, dtype: torch.dtype, batch: int) -> Any:
    """One of several arguments: a shape, or what contains shapes, as tensors; a flag or a number as it is."""
    if given is None or isinstance(given, bool | int | float | str):
        return given
    if isinstance(given, dict):
        return {name: _argument(value, dtype, batch) for name, value in given.items()}
    if isinstance(given, list | tuple) and given and all(isinstance(each, list | tuple | Tensor) for each in given):
        return [_argument(each, dtype, batch) for each in given]
    return _one(given, dtype, batch)


def _takes_one_dict(net: nn.Module, given: dict[str, Any]) -> bool:
    """Whether the forward has no arguments of these names, and its first one can be the dict itself."""
    try:
        signature = inspect.signature(net.forward)
    except (TypeError, ValueError):
        return False
    for arguments, named, wanted in (((), given, False), ((given,), {}, True)):
        try:
            signature.bind(*arguments, **named)
        except TypeError:
            continue
        return wanted
    return False


def _one(given: Any, dtype: torch.dtype, batch: int) -> Tensor:
    if isinstance(given, Tensor):
        if given.dim() == 0:
            raise UsageError("an input tensor has no batch dimension: its shape is ().")
        return torch.empty((batch, *given.shape[1:]), dtype=given.dtype, device="meta")
    whole = isinstance(given, Sequence) and all(isinstance(s, int) and not isinstance(s, bool) for s in given)
    if not whole or not given or min(given) < 1:
        raise UsageError(
            "an input shape is a tuple of whole numbers from 1 up, such as (3, 224, 224); got {given!r}.",
            given=given,
        )
    return torch.empty((batch, *given), dtype=dtype, device="meta")


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


# ------------------------------------------------------------------ what went wrong


def _readable(seen: Trace, summary: Summary) -> ForwardError | UsageError:
    failure = seen.failure
    assert failure is not None
    if not seen.open_calls:
        return UsageError(failure.message if isinstance(failure, ConvAtlasError) else str(failure))
    call = seen.calls[seen.open_calls[-1]]
    where = f"{call.path} ({type(call.module).__name__})" if call.path else type(call.module).__name__
    got = joined(map(times, call.inputs), Message(" and ")) if call.inputs else Message("nothing")
    said = failure.message if isinstance(failure, ConvAtlasError) else str(failure).split("\n")[0].rstrip(".") + "."
    reason = _expectation(call.module, call.inputs) or said
    message = Message("{layer} was given {got} and stopped: {reason}", layer=where, got=got, reason=reason)
    if isinstance(failure, ConvAtlasError) and failure.__traceback__ and not _is_ours(failure):
        message = failure.message  # the network explains itself
    return ForwardError(message, call.path, call.inputs, summary)


def _is_ours(failure: Exception) -> bool:
    """Whether the tracer raised it, rather than the network."""
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals.get("__name__") == trace.__module__


def _expectation(module: nn.Module, inputs: tuple[Shape, ...]) -> Message:
    """What a common layer wanted, in the words of the person who must repair the network; "" if we cannot tell."""
    if not inputs:
        return Message("")
    shape = inputs[0]
    if isinstance(module, nn.Linear) and shape and shape[-1] != module.in_features:
        return Message(
            "it takes {wanted} features, and got {found}. Change the input size, or in_features."
            if len(shape) == 1
            else "it takes {wanted} features, and got {found} in the last axis of {shape}. "
            "Flatten first, or change in_features.",
            wanted=module.in_features,
            found=shape[-1],
            shape=times(shape),
        )
    if isinstance(module, nn.modules.conv._ConvNd) and not isinstance(module, nn.modules.conv._ConvTransposeNd):
        axes = len(module.kernel_size)
        if len(shape) != axes + 1:
            sides = ", ".join("side" for _ in range(axes))
            return Message(
                "it takes (channels, {sides}), {axes} axes; got {found}.", sides=sides, axes=axes + 1, found=len(shape)
            )
        if shape[0] != module.in_channels:
            return Message(
                "it takes {wanted} channels, and got {found}. Change the input, or in_channels.",
                wanted=module.in_channels,
                found=shape[0],
            )
        if isinstance(module.padding, tuple):
            for side, kernel, padding, dilation in zip(
                shape[1:], module.kernel_size, module.padding, module.dilation, strict=True
            ):
                if side + 2 * padding < dilation * (kernel - 1) + 1:
                    return Message(
                        "its kernel spans {reach} pixels, the padded input only {side}. The network is too deep for "
                        "this input: enlarge the image.",
                        reach=dilation * (kernel - 1) + 1,
                        side=side + 2 * padding,
                    )
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and shape and shape[0] != module.num_features:
        return Message(
            "it normalises {wanted} channels, and got {found}. Change num_features.",
            wanted=module.num_features,
            found=shape[0],
        )
    return Message("")
