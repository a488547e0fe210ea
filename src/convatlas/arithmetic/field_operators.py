"""The field of an operator's result: for windows, for reshapes, and a function per other operator (FOLLOWERS)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

from torch import Tensor

from convatlas.arithmetic import receptive_field as rf
from convatlas.arithmetic.field import (
    CHANNEL,
    INNER,
    MIXED,
    OTHER,
    OUTER,
    PAIRED,
    Factor,
    Field,
    FieldUnknown,
    Run,
    View,
    as_one_run,
    broadcast_to,
    channels_between,
    merged_runs,
    runs_reading,
    spread_like,
    summed_over,
    united,
    with_factors,
    with_size,
)
from convatlas.arithmetic.operators import Window, Work

REGROUPS = frozenset(
    {"view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze", "clone", "contiguous", "_to_copy"}
)


# ------------------------------------------------------------------ windows


def windowed(field: Field, work: Work, window: Window, old: tuple[int, ...], new: tuple[int, ...]) -> Field:
    sides = len(window.kernel)
    first = len(old) - sides
    convolution = work.kind.startswith("conv")
    layout = list(field.layout)
    if convolution:
        field = _mixed_channels(field, window, new[first - 1], first - 1)
        layout[first - 1] = ((CHANNEL, new[first - 1]),)
    runs = field.runs
    for place in range(sides):
        dim = first + place
        kernel, stride = window.kernel[place], window.stride[place]
        padding, dilation = window.padding[place], window.dilation[place]
        tags = [tag for tag, _ in field.layout[dim]]
        axes = [tag for tag in tags if isinstance(tag, int)]
        if not axes:
            if CHANNEL in tags and kernel > 1:
                runs = ((sum(c for c, _ in runs), reduce(united, (v for _, v in runs))),)
            layout[dim] = tuple((tag, new[dim]) for tag in tags[:1])
            continue
        if len(tags) != 1:
            raise FieldUnknown
        rule = rf.transposed if window.transposed else rf.window
        reads = rule(kernel, stride, padding, dilation)
        runs = runs_reading(runs, axes[0], reads, new[dim])
        layout[dim] = ((axes[0], new[dim]),)
    return Field(tuple(layout), merged_runs(runs))


def _mixed_channels(field: Field, window: Window, out_channels: int, dim: int) -> Field:
    """The field after a convolution over the channels: each output channel reads all channels of its group."""
    tags = [tag for tag, _ in field.layout[dim]]
    if any(isinstance(tag, int) or tag in (OUTER, INNER) for tag in tags) or (
        {MIXED, PAIRED} & set(tags) and window.groups > 1
    ):
        raise FieldUnknown
    if len(field.runs) == 1 or window.groups == 1:
        return Field(field.layout, ((out_channels, field.view),))
    width = sum(count for count, _ in field.runs) // window.groups
    runs = []
    for group in range(window.groups):
        views = [view for _, view in channels_between(field, group * width, (group + 1) * width)]
        runs.append((out_channels // window.groups, reduce(united, views)))
    return Field(field.layout, merged_runs(runs))


# ------------------------------------------------------------------ reshapes


def regrouped_as(field: Field, shape: tuple[int, ...]) -> Field:
    """The field after a reshape: the same factors in the same order, in other dimensions.

    Channels may be split in two, and joined again.
    """
    if tuple(prod(size for _, size in dims) for dims in field.layout) == shape:
        return field
    factors = [factor for dims in field.layout for factor in dims if factor[1] != 1]
    layout: list[tuple[Factor, ...]] = []
    for side in shape:
        remaining, dims = side, []
        while remaining > 1:
            if not factors:
                raise FieldUnknown
            tag, size = factors.pop(0)
            if remaining % size == 0:
                dims.append((tag, size))
                remaining //= size
            elif size % remaining == 0 and tag in (CHANNEL, OTHER, MIXED, PAIRED):
                outer, inner = (OUTER, INNER) if tag == CHANNEL and len(field.runs) > 1 else (tag, tag)
                dims.append((outer, remaining))
                factors.insert(0, (inner, size // remaining))
                remaining = 1
            else:
                raise FieldUnknown
        layout.append(tuple(dims))
    if factors:
        raise FieldUnknown
    runs = field.runs
    for dim, factored in enumerate(layout):
        layout[dim] = _channels_joined(factored)
        if len(layout[dim]) < len(factored) and factored[0][0] == INNER:
            runs = _shuffled(runs, factored)
    return Field(tuple(layout), runs)


def _channels_joined(dims: tuple[Factor, ...]) -> tuple[Factor, ...]:
    """Join the factors of a dimension that has only channel factors, in any order."""
    tags = [tag for tag, _ in dims]
    only_channels = len(tags) > 1 and (set(tags) == {CHANNEL} or sorted(map(str, tags)) == sorted((OUTER, INNER)))
    return ((CHANNEL, prod(size for _, size in dims)),) if only_channels else dims


def _shuffled(runs: tuple[Run, ...], dims: tuple[Factor, ...]) -> tuple[Run, ...]:
    """The channel shuffle: (groups, width) channels transposed to (width, groups)."""
    (_, width), (_, groups) = dims
    views = [view for count, view in runs for _ in range(count)]
    return merged_runs([(1, views[group * width + place]) for place in range(width) for group in range(groups)])


# ------------------------------------------------------------------ the other operators, one function each

Follower = Callable[[Field, dict[str, Any], tuple[int, ...], tuple[Tensor, ...]], list[Field]]


def _reduced(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dims = named.get("dim")
    chosen = range(len(old)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    chosen = sorted({dim % len(old) for dim in chosen})
    summed = summed_over(field, chosen)
    if named.get("keepdim"):
        return [summed] * len(outputs)
    layout = tuple(factors for dim, factors in enumerate(summed.layout) if dim not in chosen)
    return [Field(layout, summed.runs)] * len(outputs)


def _softmax(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    """Every position along the dimension depends on all of them."""
    dim = named["dim"] % len(old)
    runs = summed_over(field, [dim]).runs
    alike = tuple((OTHER if tag in (MIXED, PAIRED) else tag, size) for tag, size in field.layout[dim])
    layout = with_factors(field.layout, dim, alike)
    return [spread_like(Field(layout, runs), layout)]


def _permuted(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    order = list(range(len(old)))
    if "dims" in named:
        order = [dim % len(old) for dim in named["dims"]]
    else:
        a, b = (named.get("dim0", 0) % len(old), named.get("dim1", 1) % len(old)) if len(old) > 1 else (0, 0)
        order[a], order[b] = order[b], order[a]
    return [Field(tuple(field.layout[dim] for dim in order), field.runs)]


def _expanded(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    return [broadcast_to(field, old, tuple(outputs[0].shape))]


def _cut(field: Field, dim: int, start: int, stop: int, step: int, side: int) -> Field:
    tags = [tag for tag, _ in field.layout[dim]]
    count = len(range(start, stop, step))
    if count == side:
        return field
    if not tags or tags == [OTHER]:
        return with_size(field, dim, count)
    if tags == [CHANNEL]:
        runs = channels_between(field, start, stop) if step == 1 else ((count, field.view),)
        return Field(with_factors(field.layout, dim, ((CHANNEL, count),)), merged_runs(runs))
    if len(tags) == 1 and isinstance(tags[0], int):
        runs = runs_reading(field.runs, tags[0], rf.shift(start, step), count)
        return Field(with_factors(field.layout, dim, ((tags[0], count),)), runs)
    raise FieldUnknown


def _sliced(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim = named["dim"] % len(old)
    start, stop, step = slice(named.get("start"), named.get("end"), named.get("step")).indices(old[dim])
    return [_cut(field, dim, start, stop, step, old[dim])]


def _selected(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim = named["dim"] % len(old)
    return [_without(_cut(field, dim, place, place + 1, 1, old[dim]), dim) for place in [named["index"] % old[dim]]]


def _without(field: Field, dim: int) -> Field:
    summed = summed_over(field, [dim])
    return Field((*summed.layout[:dim], *summed.layout[dim + 1 :]), summed.runs)


def _split(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim, start, results = named["dim"] % len(old), 0, []
    for t in outputs:
        results.append(_cut(field, dim, start, start + t.shape[dim], 1, old[dim]))
        start += t.shape[dim]
    return results


def _unbound(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim = named["dim"] % len(old)
    return [_without(_cut(field, dim, place, place + 1, 1, old[dim]), dim) for place in range(old[dim])]


def _padded(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    """Zero padding; the amounts begin with the last dimension. Negative padding crops."""
    amounts = named["pad"]
    for place in range(len(amounts) // 2):
        before, after = amounts[2 * place], amounts[2 * place + 1]
        dim = len(old) - 1 - place
        size = old[dim] + before + after
        tags = [tag for tag, _ in field.layout[dim]]
        if not before and not after:
            continue
        if not tags or tags == [OTHER]:
            field = with_size(field, dim, size)
        elif tags == [CHANNEL]:
            blank = View(*((tuple(rf.nothing(a.size) for a in field.view.axes),) * 2))
            inner = channels_between(field, max(0, -before), old[dim] + min(0, after))
            runs = merged_runs([(max(0, before), blank), *inner, (max(0, after), blank)])
            field = Field(with_factors(field.layout, dim, ((CHANNEL, size),)), runs)
        elif len(tags) == 1 and isinstance(tags[0], int):
            runs = runs_reading(field.runs, tags[0], rf.shift(-before), size)
            field = Field(with_factors(field.layout, dim, ((tags[0], size),)), runs)
        else:
            raise FieldUnknown
    return [field]


def _mirror(repeat_edge: bool) -> Follower:
    def follower(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
        amounts = named["padding"]
        for place in range(len(amounts) // 2):
            before, after = amounts[2 * place], amounts[2 * place + 1]
            dim = len(old) - 1 - place
            axis = _only_axis(field, dim)
            reads = rf.mirrored(old[dim], before, after, repeat_edge)
            size = old[dim] + before + after
            field = Field(with_factors(field.layout, dim, ((axis, size),)), runs_reading(field.runs, axis, reads, size))
        return [field]

    return follower


def _only_axis(field: Field, dim: int) -> int:
    factors = field.layout[dim]
    if len(factors) != 1 or not isinstance(factors[0][0], int):
        raise FieldUnknown
    return factors[0][0]


def _resampled(reach: int, exact: bool = False) -> Follower:
    def follower(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
        shape = tuple(outputs[0].shape)
        scales = [value for key, value in named.items() if key.startswith("scale")]
        for place, dim in enumerate(range(2, len(old))):
            scale = scales[place] if place < len(scales) and not isinstance(scales[place], (list, tuple)) else None
            if scale is not None and old[dim] * scale != shape[dim] and not named.get("align_corners"):
                raise FieldUnknown  # torch then samples by the scale, not by the sizes
            if not field.layout[dim]:
                field = Field(with_factors(field.layout, dim, ((OTHER, shape[dim]),)), field.runs)
                continue
            axis = _only_axis(field, dim)
            reads = rf.interpolation(old[dim], shape[dim], reach, bool(named.get("align_corners")), exact)
            runs = runs_reading(field.runs, axis, reads, shape[dim])
            field = Field(with_factors(field.layout, dim, ((axis, shape[dim]),)), runs)
        return [field]

    return follower


def _adaptively(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    shape = tuple(outputs[0].shape)
    sides = len(named["output_size"])
    for dim in range(len(old) - sides, len(old)):
        if not field.layout[dim]:
            continue
        axis = _only_axis(field, dim)
        runs = runs_reading(field.runs, axis, rf.adaptive(old[dim], shape[dim]), shape[dim])
        field = Field(with_factors(field.layout, dim, ((axis, shape[dim]),)), runs)
    return [field] * len(outputs)


def _pixel_shuffled(
    field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]
) -> list[Field]:
    factor, shape = named["upscale_factor"], tuple(outputs[0].shape)
    field = as_one_run(field)
    runs: tuple[Run, ...] = ((shape[1], field.view),)
    for dim in (2, 3):
        axis = _only_axis(field, dim)
        runs = runs_reading(runs, axis, rf.interpolation(old[dim], shape[dim], 0), shape[dim])
        field = Field(with_factors(field.layout, dim, ((axis, shape[dim]),)), runs)
    assert factor * old[2] == shape[2]
    return [Field(with_factors(field.layout, 1, ((CHANNEL, shape[1]),)), runs)]


FOLLOWERS: dict[str, Follower] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "prod", "argmax", "logsumexp"), _reduced),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm", "any", "all"), _reduced),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("permute", "transpose", "t"), _permuted),
    "expand": _expanded,
    "slice": _sliced,
    "select": _selected,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk"), _split),
    "unbind": _unbound,
    "constant_pad_nd": _padded,
    **dict.fromkeys(("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"), _mirror(repeat_edge=False)),
    **dict.fromkeys(("replication_pad1d", "replication_pad2d", "replication_pad3d"), _mirror(repeat_edge=True)),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"), _resampled(0)),
    "_upsample_nearest_exact2d": _resampled(0, exact=True),
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), _resampled(1)),
    "upsample_bicubic2d": _resampled(2),
    **dict.fromkeys(("_adaptive_avg_pool2d", "_adaptive_avg_pool3d"), _adaptively),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool3d"), _adaptively),
    "pixel_shuffle": _pixel_shuffled,
}
