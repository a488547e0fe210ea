"""Traces one forward pass of any ``nn.Module``: the operators that ran, their modules, inputs and outputs.

The pass runs on the meta device, whose tensors have shapes but no values, so it computes nothing and needs no memory. A
network on the CPU is traced without a copy: each of its tensors is replaced by a meta tensor when an operator reads it.
Operators are recorded below autograd by a ``TorchDispatchMode``, so functional calls, ``+``, ``torch.cat``, reshapes
and code with control flow are recorded like layers. Hooks on the modules, removed afterwards, only record which module
is running. The alternatives are discussed in docs/decisions/0001-tracer.md.

The network is not changed: mode, attributes, buffers and hooks are restored, also after an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from convatlas.arithmetic.field import Field
from convatlas.arithmetic.fields import Fields
from convatlas.arithmetic.operators import Work, describe, named_arguments
from convatlas.arithmetic.protocol import LayerCount, Shape, SupportsArithmetic
from convatlas.errors import ConvAtlasError, ShapeError, UsageError

_SCALARS = (bool, int, float, str, torch.dtype, torch.device, torch.memory_format, torch.layout)
INPUT = -1  # stands for the inputs of the network among the sources, which are otherwise numbers of operators


@dataclass(frozen=True)
class Origin:
    """The operators that computed a tensor or, where there are none, the parameters it is made of."""

    sources: tuple[int, ...] = ()
    params: tuple[str, ...] = ()

    @property
    def is_activation(self) -> bool:
        return bool(self.sources)


@dataclass
class Call:
    """One call of one module."""

    path: str
    module: nn.Module
    parent: int
    inputs: tuple[Shape, ...]
    output: Shape | None = None
    stated: LayerCount | None = None
    has_children: bool = False


@dataclass(frozen=True)
class Operation:
    """One operator that ran, inside the module call ``call``."""

    operator: str
    call: int
    work: Work
    sources: tuple[int, ...]
    params: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    new_bytes: int  # of newly allocated storage
    field: Field | None = None  # receptive field of the first output


@dataclass
class Trace:
    """The record of one forward pass.

    Attributes:
        failure: the exception that stopped the pass, else None.
        open_calls: the module calls that had not returned at the failure.
        dispatched: of a pass with values, the place in ``operations`` of each operator call, or None where the call is
            not an operation; in the order of the calls.
    """

    batch: int
    inputs: tuple[Tensor, ...] = ()
    calls: list[Call] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    outputs: tuple[Tensor, ...] = ()
    output_sources: tuple[int, ...] = ()
    failure: Exception | None = None
    open_calls: tuple[int, ...] = ()
    dispatched: list[int | None] = field(default_factory=list)


class DataDependentError(ConvAtlasError):
    """The forward pass read a value of a tensor, which the meta device does not have."""


def trace(
    net: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    batch: int,
    training: bool,
    *,
    values: bool = False,
) -> Trace:
    """Run ``net(*args, **kwargs)`` on meta tensors and record the operators.

    Args:
        values: run on the tensors themselves instead, so that each `Operation.outputs` has the computed values. A
            tensor that is later written in place is recorded with its values before. Gradients are recorded where the
            caller has enabled them; modules with ``inplace=True`` then run out of place.

    Raises:
        UsageError: a lazy module has no sizes yet.
    """
    for path, parameter in net.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise UsageError(
                "the lazy layer {layer!r} has no sizes yet. Run the network once on real input.",
                layer=path.rpartition(".")[0],
            )
    record = Trace(batch, tuple(_tensors_in((args, kwargs))))
    with restore_state(net):
        for module in net.modules():
            module.training = training
            if isinstance(module, nn.RNNBase) and not values:
                _recurrent_on_meta(module)
            if values and torch.is_grad_enabled() and getattr(module, "inplace", False):
                module.__dict__["inplace"] = False  # the gradient at the input of the module must not be overwritten
        recorder = (_ValueRecorder if values else _Recorder)(net, record)
        handles = recorder.hook(net)
        try:
            with nullcontext() if values else torch.no_grad(), _unchecked_distributions(), recorder:
                result = net(*args, **kwargs)
        except Exception as error:
            record.failure, record.open_calls = error, tuple(recorder.stack)
        else:
            record.outputs = tuple(_tensors_in(_plain(result)))
            record.output_sources = _merged(recorder.origin(t).sources for t in record.outputs)
            if not record.outputs:
                record.failure = UsageError(
                    "forward returned {kind}, which contains no tensor.", kind=type(result).__name__
                )
        finally:
            for handle in handles:
                handle.remove()
    return record


@contextmanager
def _unchecked_distributions() -> Iterator[None]:
    """Let ``torch.distributions`` not check its arguments: they would be checked by their values."""
    checks = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


@contextmanager
def restore_state(net: nn.Module) -> Iterator[None]:
    """Restore every attribute, buffer and mode of every module at the end, whatever the forward pass assigned."""
    saved = []
    for module in net.modules():
        attributes = dict(module.__dict__)
        tables = {name: dict(attributes[name]) for name in ("_parameters", "_buffers", "_modules")}
        saved.append((module, attributes, tables))
    try:
        yield
    finally:
        for module, attributes, tables in saved:
            for name, table in tables.items():
                attributes[name].clear()
                attributes[name].update(table)
            module.__dict__.clear()
            module.__dict__.update(attributes)


def _recurrent_on_meta(module: nn.RNNBase) -> None:
    """Move a recurrent layer's weights to the meta device, as it checks devices before it runs an operator."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    module._flat_weights = [getattr(module, name) if name else None for name in module._flat_weights_names]


class _Recorder(TorchDispatchMode):
    """Runs each operator on the meta device instead of its own backend, and records it."""

    def __init__(self, net: nn.Module, record: Trace) -> None:
        super().__init__()
        self.record = record
        self.stack: list[int] = []
        self.parameters = {id(p): path for path, p in net.named_parameters()}
        owners = Counter(p.untyped_storage()._cdata for p in net.parameters())
        self.weights = {
            storage: path for path, p in net.named_parameters() if owners[storage := p.untyped_storage()._cdata] == 1
        }
        self.state = {t.untyped_storage()._cdata for t in _tensors_of(net)}
        self.stand_ins: dict[int, Tensor] = {}  # meta tensors that replace tensors on other devices
        self.copies: dict[int, Tensor] = {}  # of the network's own tensors that the forward pass writes into
        self.origins: dict[int, Origin] = {id(t): Origin(sources=(INPUT,)) for t in record.inputs}
        self.storages = {t.untyped_storage()._cdata for t in record.inputs}
        self.written: dict[int, tuple[int, Origin]] = {}  # storage -> the last write into part of it
        self.created: dict[int, int] = {}  # tensor -> number of operators that had run when it was created
        self.fields = Fields(next((t for t in record.inputs if t.dim() > 2 and t.is_floating_point()), None))
        self.alive: list[Any] = list(record.inputs)  # references that keep ids from being reused

    # ------------------------------------------------------------------ modules

    def hook(self, net: nn.Module) -> list[Any]:
        paths = {module: path for path, module in net.named_modules()}
        handles: list[Any] = []
        for module, path in paths.items():
            handles.append(module.register_forward_pre_hook(self._entering(path), with_kwargs=True))
            handles.append(module.register_forward_hook(self._leaving, with_kwargs=True))
        return handles

    def _entering(self, path: str) -> Any:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            shapes = tuple(self.shape(t) for t in _tensors_in((args, kwargs)))
            parent = self.stack[-1] if self.stack else -1
            if parent >= 0:
                self.record.calls[parent].has_children = True
            self.stack.append(len(self.record.calls))
            self.record.calls.append(Call(path, module, parent, shapes))

        return enter

    def _leaving(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        while self.stack and self.record.calls[self.stack[-1]].module is not module:
            self.stack.pop()  # left by an exception that the forward caught
        index = self.stack.pop()
        call = self.record.calls[index]
        tensors = _tensors_in(_plain(result))
        if not tensors:
            return
        call.output = self.shape(tensors[0])
        if hasattr(type(module), "__arithmetic__"):
            layer: SupportsArithmetic = module  # type: ignore[assignment]
            call.stated = layer.__arithmetic__(call.inputs, call.output)
        idle = not any(operation.call == index for operation in self.record.operations[-3:])
        if idle and isinstance(module, nn.modules.dropout._DropoutNd):  # it returned its input; it still gets a row
            self._add_operation("dropout", index, Work("dropout"), (tensors[0],), (tensors[0],), 0)

    # ---------------------------------------------------------------- operators

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors_in((args, kwargs))
        if not any(t.is_meta or self.parameter_of(t) for t in tensors):
            return self._constant(func, args, kwargs)
        name = func._schema.name.partition("::")[2]
        if name in _NEEDS_VALUES:
            raise DataDependentError(
                "forward reads a value of a tensor ({name}), and the tensors of a trace have shapes but no values. "
                "Summarize the part of the network before it, or make the branch depend on shapes only.",
                name=name,
            )
        meta_args, meta_kwargs = args, kwargs
        if not all(t.is_meta for t in tensors):
            meta_args, meta_kwargs = tree_map_only(Tensor, self._on_meta, self._without_masks(name, args, kwargs))
        result = _shapes_alone(name, meta_args) if not meta_kwargs else None
        if result is None:
            result = func(*meta_args, **meta_kwargs)
        self._record_call(func, name, args, kwargs, tensors, result)
        return result

    def _constant(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator on constants (an index table, ``torch.arange``) with values; control flow may need them."""
        if func._schema.is_mutable:  # do not write into tensors of the network
            args, kwargs = tree_map_only(Tensor, self._own_copy, (args, kwargs))
        return func(*args, **kwargs)

    def _own_copy(self, t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in self.state:
            return t
        if id(t) not in self.copies:
            self.alive.append(t)
            self.copies[id(t)] = t.clone()
        return self.copies[id(t)]

    def _on_meta(self, t: Tensor) -> Tensor:
        if t.is_meta:
            return t
        if id(t) not in self.stand_ins:
            self.alive.append(t)
            self.stand_ins[id(t)] = _like(t)
        return self.stand_ins[id(t)]

    def _without_masks(self, name: str, args: Any, kwargs: Any) -> Any:
        """Replace ``x[mask]`` by ``x[i, j]`` where the values of the mask are known, so that the shape is known."""
        if name != "index" or not any(t is not None and t.dtype == torch.bool and not t.is_meta for t in args[1]):
            return args, kwargs
        indices: list[Tensor | None] = []
        for index in args[1]:
            known_mask = index is not None and index.dtype == torch.bool and not index.is_meta
            indices.extend(index.nonzero(as_tuple=True) if known_mask else [index])
        return (args[0], indices, *args[2:]), kwargs

    def _record_call(self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[Tensor], result: Any) -> None:
        outputs = tuple(_tensors_in(result))
        if not outputs:
            return
        origins = [self.origin(t) for t in tensors]
        sources = _merged(origin.sources for origin in origins)
        params = tuple(dict.fromkeys(p for origin in origins if not origin.is_activation for p in origin.params))
        self.alive.extend(outputs)
        if name in _PASSES_ON:
            self.origins[id(outputs[0])] = origins[0]
            self.fields.same(tensors[0], outputs[0])
            return
        work = describe(func, args, kwargs, outputs)
        if sources:
            _check(work, tensors, outputs[0])
        if not sources and not work.macs:  # an operator on weights only, without multiply-adds, is not a layer
            for t in outputs:
                self._set_origin(t, Origin(params=params), func._schema.is_mutable)
            return
        new = {t.untyped_storage()._cdata: t for t in outputs[: work.kept_outputs]}
        fresh = [t for storage, t in new.items() if storage not in self.storages]
        self.storages.update(t.untyped_storage()._cdata for t in outputs)
        read = tuple(t for t, origin in zip(tensors, origins, strict=True) if origin.is_activation)
        self.fields.follow(name, work, named_arguments(func, args, kwargs), outputs)
        self._add_operation(
            work.written_as or name.rstrip("_"),
            self.stack[-1] if self.stack else -1,
            work,
            read,
            outputs,
            sum(t.numel() * t.element_size() for t in fresh),
            sources,
            params,
            func._schema.is_mutable,
        )

    def _add_operation(
        self,
        operator: str,
        call: int,
        work: Work,
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        new_bytes: int,
        sources: tuple[int, ...] | None = None,
        params: tuple[str, ...] = (),
        mutates: bool = False,
    ) -> None:
        if sources is None:
            sources = _merged(self.origin(t).sources for t in inputs)
        index = len(self.record.operations)
        self.record.operations.append(
            Operation(operator, call, work, sources, params, inputs, outputs, new_bytes, self.fields.of(outputs[0]))
        )
        for t in outputs:
            self._set_origin(t, Origin(sources=(index,)), mutates)

    # ------------------------------------------------------------------ tensors

    def origin(self, t: Tensor) -> Origin:
        known = self.origins.get(id(t))
        if known is None:
            path = self.parameter_of(t)
            return Origin(params=(path,)) if path else Origin()
        later = self.written.get(t.untyped_storage()._cdata)
        if later is not None and later[0] > self.created.get(id(t), -1):
            # another view wrote into part of the memory of this tensor
            self.fields.forget(t)
            sources = _merged((known.sources, later[1].sources))
            return Origin(sources, tuple(dict.fromkeys((*known.params, *later[1].params))))
        return known

    def parameter_of(self, t: Tensor) -> str | None:
        """Path of the parameter that is this tensor, or shares its memory (``weight.data`` is another tensor)."""
        return self.parameters.get(id(t)) or self.weights.get(t.untyped_storage()._cdata)

    def _set_origin(self, t: Tensor, origin: Origin, written: bool) -> None:
        now = len(self.record.operations)
        self.origins[id(t)], self.created[id(t)] = origin, now
        if written:
            self.written[t.untyped_storage()._cdata] = (now, origin)

    def shape(self, t: Tensor) -> Shape:
        return without_batch(t, self.record.batch)


class _ValueRecorder(_Recorder):
    """Runs each operator on the tensors themselves, so that the recorded outputs have values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors_in((args, kwargs))
        if not any(id(t) in self.origins or self.parameter_of(t) for t in tensors):
            self.record.dispatched.append(None)
            return self._constant(func, args, kwargs)
        if func._schema.is_mutable:
            self._copy_recorded(args[0])
        result = func(*args, **kwargs)
        number = len(self.record.operations)
        self._record_call(func, func._schema.name.partition("::")[2], args, kwargs, tensors, result)
        self.record.dispatched.append(number if len(self.record.operations) > number else None)
        return result

    def _copy_recorded(self, written: Tensor) -> None:
        """Replace a recorded output by a copy before it is written in place."""
        for index in self.origin(written).sources:
            if index == INPUT:
                continue
            operation = self.record.operations[index]
            if any(t is written for t in operation.outputs):
                outputs = tuple(t.clone() if t is written else t for t in operation.outputs)
                self.record.operations[index] = replace(operation, outputs=outputs)


_PASSES_ON = frozenset({"detach", "alias", "lift_fresh", "lift"})  # operators that return their input
_NEEDS_VALUES = frozenset({"_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "equal"})


def _check(work: Work, tensors: list[Tensor], result: Tensor) -> None:
    """Raise the errors of a real pass that meta tensors do not raise."""
    if not result.numel():
        raise ShapeError(
            "its result would be empty ({shape}). Check the input for a size of 0.",
            shape=" x ".join(map(str, result.shape[1:])),
        )
    kinds = {t.dtype for t in tensors if t.dim()}
    if work.macs and len(kinds) > 1:
        names = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise UsageError(
            "it multiplies tensors of different types ({names}). Pass dtype=, or convert the network.", names=names
        )


def _shapes_alone(name: str, args: Any) -> Any:
    """The meta result of the most frequent operators, created here instead of by torch's meta kernels.

    In torch 2.13 the meta kernels of batch norm, convolution and addition are written in Python, and their checks take
    longer than all other parts of a trace: without them ResNet-152 is traced in less than half the time. None for all
    other cases, in which torch creates the result or raises the error. A test compares the two.
    """
    x = args[0]
    if name == "native_batch_norm" and not args[5]:
        return _like(x), x.new_empty(0), x.new_empty(0)
    if name == "relu":
        return _like(x)
    if name == "relu_":
        return x
    if name == "add" and len(args) == 2 and isinstance(args[1], Tensor):
        other = args[1]
        return _like(x) if x.shape == other.shape and x.dtype == other.dtype and x.stride() == other.stride() else None
    if name == "convolution":
        _, weight, bias, stride, padding, dilation, transposed, _, groups = args
        plain = x.dim() == weight.dim() > 2 and x.dtype == weight.dtype and not transposed
        if plain and x.shape[1] == weight.shape[1] * groups and (bias is None or bias.shape == weight.shape[:1]):
            columns = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=False)
            sides = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in columns]
            if len(sides) == x.dim() - 2 and min(sides) > 0 and weight.shape[0] % groups == 0:
                return torch.empty((x.shape[0], weight.shape[0], *sides), dtype=x.dtype, device="meta")
    return None


def _like(t: Tensor) -> Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")


def without_batch(t: Tensor, batch: int) -> Shape:
    """(N, C, H, W) -> (C, H, W); the whole shape of a tensor that does not begin with the batch."""
    shape = tuple(t.shape)
    return shape[1:] if shape and shape[0] == batch else shape


def image_bytes(t: Tensor, batch: int) -> int:
    return math.prod(without_batch(t, batch)) * t.element_size()


def _merged(sources: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(index for group in sources for index in group))


def _tensors_of(net: nn.Module) -> Iterator[Tensor]:
    yield from net.parameters()
    yield from net.buffers()
    for module in net.modules():
        yield from (value for value in module.__dict__.values() if isinstance(value, Tensor))


def _tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order; for other containers torch's own traversal.

    Arguments of operators are nearly always flat, and a deep network has thousands of operators.
    """
    if isinstance(value, Tensor):
        return [value]
    if value is None or isinstance(value, _SCALARS):
        return []
    if type(value) in (tuple, list):
        return [t for item in value for t in _tensors_in(item)]
    if type(value) is dict:
        return [t for item in value.values() for t in _tensors_in(item)]
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _plain(result: Any) -> Any:
    """An object that holds tensors as a list, which tree_leaves can open.

    Such are the dataclasses of the transformers library, and distributions, whose parameters are tensors.
    """
    if hasattr(result, "__dataclass_fields__") and not isinstance(result, dict):
        return [getattr(result, name) for name in result.__dataclass_fields__]
    if isinstance(result, Distribution):
        return [_plain(value) for value in vars(result).values()]
    return result
