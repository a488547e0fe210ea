"""Groups the operators of a trace into rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from convatlas.arithmetic.operators import Work
from convatlas.arithmetic.protocol import Shape
from convatlas.arithmetic.records import INPUT, LayerRow, layer_names
from convatlas.arithmetic.trace import Operation, Trace, image_bytes, without_batch
from convatlas.errors import UnknownNameError

# kinds of operators that are layers; a module that runs two of them is not a single layer
_LAYERS = frozenset(
    {"conv", "conv_transposed", "fc", "matmul", "attention", "unknown", "embedding", "upsample"}
    | {"maxpool", "avgpool", "adaptive_avgpool", "adaptive_maxpool"}
    | {"batch_norm", "layer_norm", "group_norm", "rms_norm"}
)
# kind in the table of torch modules that run several operators
_MODULE_KINDS = {
    "LocalResponseNorm": "lrn",
    "Linear": "fc",
    "NonDynamicallyQuantizableLinear": "fc",
    "Bilinear": "fc",
    "Flatten": "flatten",
    "Unflatten": "reshape",
    "PReLU": "prelu",
    "Dropout": "dropout",
    "Dropout1d": "dropout",
    "Dropout2d": "dropout",
    "Dropout3d": "dropout",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}


@dataclass
class _Group:
    """Operators that belong to one row."""

    path: str
    name: str
    layer: int | None = None  # index of the call, where the row is a layer
    members: list[int] = field(default_factory=list)


def rows_from(trace: Trace, param_sizes: dict[str, int]) -> tuple[LayerRow, ...]:
    """One row per layer, and one per operator outside a layer. A chain of reshapes is one row."""
    groups = _groups(trace)
    named = _unique_names(trace, groups)
    names = {index: named[id(group)] for group in groups for index in group.members}
    counted: set[str] = set()
    return tuple(_row(trace, group, named[id(group)], names, param_sizes, counted) for group in groups)


def last_operations(trace: Trace) -> dict[str, Operation]:
    """Name of a row -> the operator that computed the row's output."""
    groups = _groups(trace)
    named = _unique_names(trace, groups)
    return {named[id(group)]: trace.operations[group.members[-1]] for group in groups}


def rows_of_operations(trace: Trace) -> dict[int, str]:
    """Place of an operation in the trace -> the name of its row."""
    groups = _groups(trace)
    named = _unique_names(trace, groups)
    return {index: named[id(group)] for group in groups for index in group.members}


def last_row(layer: str, rows: Iterable[str]) -> str:
    """The row of that name, or the last row inside the module of that name.

    Raises:
        UnknownNameError: no such layer.
    """
    rows = list(rows)
    if layer in rows:
        return layer
    inside = [name for name in rows if name.startswith(f"{layer}.")]
    if not inside:
        raise UnknownNameError("layer", layer, layer_names(rows))
    return inside[-1]


def _groups(trace: Trace) -> list[_Group]:
    layers = _layers(trace)
    groups: list[_Group] = []
    group_of_operation: dict[int, _Group] = {}
    group_of_layer: dict[int, _Group] = {}
    readers = Counter(source for operation in trace.operations for source in operation.sources)
    for index, operation in enumerate(trace.operations):
        layer = layers.get(operation.call)
        if layer is None:
            group = _continued_reshape(trace, operation, group_of_operation, readers)
        else:
            group = group_of_layer.get(layer)
        if group is None:
            group = _own_row(trace, operation)
            if layer is not None:
                path = trace.calls[layer].path
                group = group_of_layer[layer] = _Group(path, path or _root_name(trace, layer), layer)
            groups.append(group)
        group.members.append(index)
        group_of_operation[index] = group
    return groups


def row_names(trace: Trace, sources: Iterable[int], names: dict[int, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(INPUT if source < 0 else names[source] for source in sources))


# ------------------------------------------------------------------ grouping


def _layers(trace: Trace) -> dict[int, int]:
    """Call -> the call of its layer. A layer is a module without submodules, or one that defines ``__arithmetic__``."""
    heavy = Counter(operation.call for operation in trace.operations if operation.work.kind in _LAYERS)
    layers: dict[int, int] = {}
    for index, call in enumerate(trace.calls):
        above = layers.get(call.parent)
        if above is not None:
            layers[index] = above
        elif call.stated is not None:
            layers[index] = index
        elif not call.has_children and not any(True for _ in call.module.children()):
            is_layer = type(call.module).__module__.startswith("torch.nn") or heavy[index] <= 1
            if is_layer and (call.parent >= 0 or heavy[index] <= 1):
                layers[index] = index
    return layers


def _continued_reshape(
    trace: Trace, operation: Operation, group_of_operation: dict[int, _Group], readers: Counter[int]
) -> _Group | None:
    """The row of the reshape whose result this one reshapes, where no other operator reads that result."""
    if not operation.work.shape_only or len(operation.sources) != 1 or operation.params:
        return None
    source = operation.sources[0]
    if source < 0 or readers[source] != 1:
        return None
    before = trace.operations[source]
    group = group_of_operation[source]
    continues = before.work.shape_only and before.call == operation.call and group.layer is None
    return group if continues else None


def _own_row(trace: Trace, operation: Operation) -> _Group:
    """The row of a functional call: under the module that ran it, or the module whose weights it used."""
    path = trace.calls[operation.call].path if operation.call >= 0 else ""
    owners = {parameter.rpartition(".")[0] for parameter in operation.params}
    if len(owners) == 1:
        owner = owners.pop()
        if owner != path and owner.startswith(f"{path}." if path else ""):
            return _Group(owner, owner)
    return _Group(path, f"{path}." if path else "")


def _root_name(trace: Trace, layer: int) -> str:
    return re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(trace.calls[layer].module).__name__).lower()


def _unique_names(trace: Trace, groups: list[_Group]) -> dict[int, str]:
    used: Counter[str] = Counter()
    names = {}
    for group in groups:
        name = group.name
        if not name or name.endswith("."):
            name += _kind(trace, group)
        used[name] += 1
        names[id(group)] = name if used[name] == 1 else f"{name}:{used[name]}"
    return names


# ------------------------------------------------------------------ one row


def _row(
    trace: Trace, group: _Group, name: str, names: dict[int, str], param_sizes: dict[str, int], counted: set[str]
) -> LayerRow:
    operations = [trace.operations[index] for index in group.members]
    inside = set(group.members)
    sources = [s for operation in operations for s in operation.sources if s not in inside]
    params = list(dict.fromkeys(p for operation in operations for p in operation.params))
    first_use = [p for p in params if p not in counted]
    counted.update(first_use)
    main = _main(operations)
    window = main.work.window if main is not None and _shows_window(trace, group, operations) else None
    stated = trace.calls[group.layer].stated if group.layer is not None else None
    macs, connections, bias = _work(trace, operations)
    operator_macs = macs
    if stated is not None:
        macs, connections = stated.macs, stated.connections
    last = operations[-1]
    kept = last.outputs[: last.work.kept_outputs]
    known = last.field if last.field is not None and not last.field.is_mixed else None
    field, jump, start, smallest = known.figures if known is not None else (None, None, None, None)
    return LayerRow(
        name=name,
        path=group.path,
        kind=_kind(trace, group),
        inputs=row_names(trace, sources, names),
        output=without_batch(kept[0], trace.batch),
        kernel=(stated and stated.kernel) or (window.kernel if window else None),
        stride=(stated and stated.stride) or (window.stride if window else None),
        padding=(stated and stated.padding) or (window.padding if window else None),
        dilation=window.dilation if window else None,
        groups=(stated and stated.groups) or (window.groups if window and main and "conv" in main.work.kind else None),
        transposed=bool(window and window.transposed),
        ceil_mode=bool(window and window.ceil_mode),
        bias=bias,
        params=sum(param_sizes[p] for p in first_use),
        macs=macs,
        connections=connections,
        activation_bytes=_new_bytes(trace, operations, kept),
        receptive_field=field,
        jump=jump,
        start=start,
        smallest_field=smallest,
        input_shapes=_input_shapes(trace, operations, inside),
        operators=tuple(operation.operator for operation in operations),
        module=type(trace.calls[group.layer].module).__name__ if group.layer is not None else "",
        own_params=sum(param_sizes[p] for p in params),
        operator_macs=operator_macs,
        shared=len(first_use) < len(params),
        stated=stated is not None,
        working=stated.working if stated else (),
    )


def _main(operations: list[Operation]) -> Operation | None:
    """The operator that determines the row's kind: the first with a kind of _LAYERS, else the only one."""
    heavy = [operation for operation in operations if operation.work.kind in _LAYERS]
    return heavy[0] if heavy else (operations[0] if len(operations) == 1 else None)


def _shows_window(trace: Trace, group: _Group, operations: list[Operation]) -> bool:
    """Whether the window of the main operator is one on the image; the pooling inside an LRN is over channels."""
    if group.layer is None:
        return True
    return type(trace.calls[group.layer].module).__name__ != "LocalResponseNorm"


def _kind(trace: Trace, group: _Group) -> str:
    operations = [trace.operations[index] for index in group.members]
    if group.layer is not None:
        call = trace.calls[group.layer]
        if call.stated is not None:
            return call.stated.kind
        known = _MODULE_KINDS.get(type(call.module).__name__)
        if known and type(call.module).__module__.startswith("torch.nn"):
            return known
    if all(operation.work.shape_only for operation in operations):
        before, after = operations[0].inputs, operations[-1].outputs
        input_shape = without_batch(before[0], trace.batch) if before else ()
        if len(without_batch(after[0], trace.batch)) == 1 < len(input_shape):
            return "flatten"
        kinds = {operation.work.kind for operation in operations}
        return kinds.pop() if len(kinds) == 1 else "reshape"
    main = _main([operation for operation in operations if not operation.work.shape_only])
    if main is not None:
        return main.work.kind
    if group.layer is not None:
        name = type(trace.calls[group.layer].module).__name__
        return _MODULE_KINDS.get(name, name.lower())
    return operations[0].work.kind


def _work(trace: Trace, operations: list[Operation]) -> tuple[int | None, int | None, bool]:
    """Multiply-adds and connections for one image, and whether there is a bias."""
    works: list[Work] = [operation.work for operation in operations]
    if any(work.macs is None for work in works):
        return None, None, False
    macs = sum(work.macs or 0 for work in works)
    bias_uses = sum(work.bias_uses for work in works)
    if macs and not bias_uses:  # a fully connected layer over many positions adds its bias afterwards
        bias_uses = sum(
            operation.outputs[0].numel()
            for operation in operations
            if operation.work.kind == "add" and operation.params
        )
    macs, bias_uses = -(-macs // trace.batch), -(-bias_uses // trace.batch)
    return macs, macs + bias_uses if macs else 0, bias_uses > 0


def _new_bytes(trace: Trace, operations: list[Operation], kept: tuple[Tensor, ...]) -> int:
    """Bytes of the row's result; 0 if it is a view of existing memory, or written into it."""
    if not any(operation.new_bytes for operation in operations):
        return 0
    fresh = {t.untyped_storage()._cdata for o in operations if o.new_bytes for t in o.outputs}
    results = {t.untyped_storage()._cdata: t for t in kept if t.untyped_storage()._cdata in fresh}
    return sum(image_bytes(t, trace.batch) for t in results.values())


def _input_shapes(trace: Trace, operations: list[Operation], inside: set[int]) -> tuple[Shape, ...]:
    produced = {id(t) for operation in operations for t in operation.outputs}
    read = {id(t): t for operation in operations for t in operation.inputs if id(t) not in produced}
    return tuple(without_batch(t, trace.batch) for t in read.values())
