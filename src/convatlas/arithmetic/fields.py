"""Receptive fields, followed through the operators of a trace.

A tensor's ``Field`` says for each of its dimensions what it is made of (batch, channels, an axis of the image), so that
reshapes, permutations and windows keep their bearings; and for runs of channels what their positions see, so that what
was concatenated can be taken apart again. Where an operator moves pixels in a way not described here, the field is not
known from there on (None), rather than guessed.

Statistics of normalisation layers are not counted as seeing: a group norm would make every field the whole image.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from math import prod
from typing import Any

from torch import Tensor

from convatlas.arithmetic import receptive_field as rf
from convatlas.arithmetic.operators import Window, Work
from convatlas.arithmetic.receptive_field import Axis, Reads

# tags of dimensions that are no axis of the image; axes are 0, 1, 2. Along a MIXED one (what was flattened and then
# concatenated) the elements see different things: only who reads all of them has a field.
OTHER, CHANNEL, MIXED = "n", "c", "m"
OUTER, INNER = "c0", "c1"  # channels that see differently, cut in two
Tag = str | int
Factor = tuple[Tag, int]
Layout = tuple[tuple[Factor, ...], ...]


@dataclass(frozen=True)
class View:
    """What a channel's positions see: per axis of the image everything, and along the path that sees least."""

    axes: tuple[Axis, ...]
    narrow: tuple[Axis, ...]

    def each(self, change: Callable[[Axis], Axis], axis: int) -> View:
        return View(
            tuple(change(a) if number == axis else a for number, a in enumerate(self.axes)),
            tuple(change(a) if number == axis else a for number, a in enumerate(self.narrow)),
        )


Run = tuple[int, View]  # so many channels that see alike


@dataclass(frozen=True)
class Field:
    """What the positions of a tensor see.

    ``layout`` factors every dimension, outermost first: a flattened (C, H, W) is one dimension of three factors. An
    axis that is in no dimension (after global pooling) has one position, seen by all.
    """

    layout: Layout
    runs: tuple[Run, ...]

    @cached_property
    def view(self) -> View:
        """What is seen by some channel."""
        return reduce(both, (view for _, view in self.runs))

    def has(self, axis: int) -> bool:
        return any(tag == axis for factors in self.layout for tag, _ in factors)

    @property
    def is_mixed(self) -> bool:
        """Whether the view is of all elements together, and not of each."""
        return any(tag == MIXED for factors in self.layout for tag, _ in factors)

    @property
    def figures(self) -> tuple[tuple[int, ...], tuple[Fraction, ...] | None, tuple[int, ...], tuple[int, ...]]:
        """Receptive field, jump, start and smallest field, per axis; no jump where a dimension is no longer a map."""
        view = self.view
        a_map = all(any(factors == ((axis, a.size),) for factors in self.layout) for axis, a in enumerate(view.axes))
        return (
            tuple(axis.field for axis in view.axes),
            tuple(axis.jump for axis in view.axes) if a_map else None,
            tuple(axis.start for axis in view.axes),
            tuple(axis.field for axis in view.narrow),
        )


def image_field(t: Tensor) -> Field | None:
    """The input (N, C, sides...) itself; None where it has no sides."""
    sides = tuple(t.shape[2:])
    if not sides:
        return None
    axes = tuple(rf.image_axis(side) for side in sides)
    maps: Layout = tuple(((axis, side),) for axis, side in enumerate(sides))
    layout: Layout = (((OTHER, t.shape[0]),), ((CHANNEL, t.shape[1]),), *maps)
    return Field(layout, ((t.shape[1], View(axes, axes)),))


def both(first: View, second: View) -> View:
    """The union where paths join, and the narrower of the two narrow paths."""
    if first is second:
        return first
    return View(
        tuple(rf.union(a, b) for a, b in zip(first.axes, second.axes, strict=True)),
        tuple(rf.narrower(a, b) for a, b in zip(first.narrow, second.narrow, strict=True)),
    )


class Unfollowed(Exception):
    """The operator moves pixels in a way that is not described here."""


class Fields:
    """The fields of all tensors of one pass; tensors that do not depend on the image have none."""

    def __init__(self, images: Tensor | None) -> None:
        self.known: dict[int, Field | None] = {}
        if images is not None:
            self.known[id(images)] = image_field(images)

    def of(self, t: Tensor) -> Field | None:
        return self.known.get(id(t))

    def same(self, source: Tensor, result: Tensor) -> None:
        if id(source) in self.known:
            self.known[id(result)] = self.known[id(source)]

    def forget(self, t: Tensor) -> None:
        self.known[id(t)] = None

    def follow(self, name: str, work: Work, named: dict[str, Any], outputs: tuple[Tensor, ...]) -> None:
        """Work out the fields of what an operator returned."""
        tensors = [t for value in named.values() for t in (value if isinstance(value, (list, tuple)) else [value])]
        read = [t for t in tensors if isinstance(t, Tensor) and id(t) in self.known]
        if not read or work.kind in ("fill", "random"):
            return
        results: Sequence[Field | None]
        try:
            if any(self.known[id(t)] is None for t in read):
                raise Unfollowed
            results = self._follow(name.rstrip("_"), work, named, read, outputs)
        except Unfollowed:
            results = [None] * len(outputs)
        for t, field in zip(outputs, results, strict=False):
            self.known[id(t)] = field

    # ------------------------------------------------------------------ one operator

    def _follow(
        self, name: str, work: Work, named: dict[str, Any], read: list[Tensor], outputs: tuple[Tensor, ...]
    ) -> list[Field]:
        shape = tuple(outputs[0].shape)
        if name in ("cat", "stack"):
            return [self._concatenated(name, named, shape)]
        if work.kind == "fc":
            return [self._product(named, shape)]
        if work.kind in ("matmul", "attention"):
            return [self._attention(read, shape)]
        if work.pointwise or work.kind in ("layer_norm", "group_norm", "rms_norm"):
            return [self._elementwise(read, shape)] * len(outputs)
        if name == "copy":
            return [self._elementwise([t for t in read if t is named["src"]], shape)]
        if len(read) > 1:
            raise Unfollowed
        field, old = self.known[id(read[0])], tuple(read[0].shape)
        assert field is not None
        if work.window is not None:
            return [_windowed(field, work, work.window, old, shape)] * len(outputs)
        if name in _REGROUPS or (name == "as_strided" and old == shape):
            return [_regrouped(field, shape)]
        if name in _FOLLOWERS:
            return _FOLLOWERS[name](field, named, old, outputs)
        raise Unfollowed

    def _elementwise(self, read: list[Tensor], shape: tuple[int, ...]) -> Field:
        fields = [_broadcast(f, tuple(t.shape), shape) for t in read if (f := self.known[id(t)]) is not None]
        if not fields:
            raise Unfollowed
        return reduce(_joined, fields)

    def _concatenated(self, name: str, named: dict[str, Any], shape: tuple[int, ...]) -> Field:
        tensors, dim = named["tensors"], named["dim"] % len(shape)
        known = [self.known.get(id(t)) for t in tensors]
        model = next(field for field in known if field is not None)
        if name == "stack":
            whole = reduce(_joined, (f for f in known if f is not None))
            alike = all(f is not None and f.runs == whole.runs for f in known)
            layout = (*whole.layout[:dim], ((OTHER if alike else MIXED, len(tensors)),), *whole.layout[dim:])
            return Field(layout, ((sum(c for c, _ in whole.runs), whole.view),))
        tags = [tag for tag, _ in model.layout[dim]]
        if tags != [CHANNEL]:
            return self._mixture([f for f in known if f is not None], dim, shape[dim])
        blank = View(*((tuple(rf.nothing(a.size) for a in model.view.axes),) * 2))
        runs: list[Run] = []
        for t, field in zip(tensors, known, strict=True):
            if field is None:
                runs.append((t.shape[dim], blank))
            elif [[tag for tag, _ in f] for f in field.layout] != [[tag for tag, _ in f] for f in model.layout]:
                raise Unfollowed
            else:
                runs.extend(field.runs)
        return Field(_replaced(model.layout, dim, ((CHANNEL, shape[dim]),)), _merged(runs))

    def _mixture(self, fields: list[Field], dim: int, size: int) -> Field:
        """Flattened maps one after the other: what all of them see, kept for whoever reads all of them."""
        summed = []
        for field in fields:
            rest = [factors for place, factors in enumerate(field.layout) if place != dim]
            if any(isinstance(tag, int) for factors in rest for tag, _ in factors):
                raise Unfollowed
            summed.append(_summed(field, [dim]))
        whole = reduce(_joined, map(_one_run, summed))
        return Field(_replaced(whole.layout, dim, ((MIXED, size),)), whole.runs)

    def _product(self, named: dict[str, Any], shape: tuple[int, ...]) -> Field:
        """Rows times a weight: the last dimension is summed over, and is channels afterwards."""
        left = next(named[key] for key in ("mat1", "input", "self") if key in named)
        right = next((named[key] for key in ("mat2", "weight", "vec") if key in named), None)
        if "mat1" not in named and "mat2" not in named and "weight" not in named:
            raise Unfollowed
        if id(left) in self.known and (right is None or id(right) not in self.known):
            field = self.known[id(left)]
            assert field is not None
            summed = _summed(field, [len(field.layout) - 1])
            return Field((*summed.layout[:-1], ((CHANNEL, shape[-1]),)), ((shape[-1], summed.view),))
        raise Unfollowed

    def _attention(self, read: list[Tensor], shape: tuple[int, ...]) -> Field:
        """A product of two activations: after the softmax every position has seen every other."""
        fields = [f for t in read if (f := self.known[id(t)]) is not None]
        everything = reduce(both, (_summed(f, range(len(f.layout))).view for f in fields))
        return Field(tuple(((OTHER, side),) for side in shape), ((shape[-1], everything),))


_REGROUPS = frozenset(
    {"view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze", "clone", "contiguous", "_to_copy"}
)


# ------------------------------------------------------------------ fields, rearranged


def _replaced(layout: Layout, dim: int, factors: tuple[Factor, ...]) -> Layout:
    return (*layout[:dim], factors, *layout[dim + 1 :])


def _merged(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Neighbours that see alike become one run."""
    merged: list[Run] = []
    for count, view in runs:
        if count and merged and (merged[-1][1] is view or merged[-1][1] == view):
            merged[-1] = (merged[-1][0] + count, view)
        elif count:
            merged.append((count, view))
    return tuple(merged)


def _one_run(field: Field) -> Field:
    return Field(field.layout, ((sum(count for count, _ in field.runs), field.view),))


def _resized(field: Field, dim: int, size: int) -> Field:
    tag = field.layout[dim][0][0] if field.layout[dim] else OTHER
    return Field(_replaced(field.layout, dim, ((tag, size),)), field.runs)


def _summed(field: Field, dims: Sequence[int]) -> Field:
    """Every dimension in ``dims`` is read as a whole and shrinks to one position."""
    tags = {tag for dim in dims for tag, _ in field.layout[dim]}
    if len(tags & {OUTER, INNER}) == 1:
        raise Unfollowed  # of channels cut in two, one half was summed: what is left sees differently
    if tags & {CHANNEL, OUTER}:
        field = _one_run(field)
    runs = field.runs
    for axis in sorted(tag for tag in tags if isinstance(tag, int)):
        runs = tuple((count, view.each(rf.gathered, axis)) for count, view in runs)
    layout = tuple(() if dim in dims else factors for dim, factors in enumerate(field.layout))
    for axis in (tag for tag in tags if isinstance(tag, int)):
        if any(tag == axis for factors in layout for tag, _ in factors):
            raise Unfollowed  # half of an axis was summed, the other half is still a dimension
    return Field(layout, runs)


def _broadcast(field: Field, old: tuple[int, ...], new: tuple[int, ...]) -> Field:
    layout: list[tuple[Factor, ...]] = [()] * (len(new) - len(old)) + list(field.layout)
    before = (1,) * (len(new) - len(old)) + old
    runs = field.runs
    for dim, (was, now) in enumerate(zip(before, new, strict=True)):
        if was == now:
            continue
        for tag, _ in layout[dim]:
            if isinstance(tag, int):  # one position, seen from many
                runs = tuple((count, view.each(rf.gathered, tag)) for count, view in runs)
        if [tag for tag, _ in layout[dim]] == [CHANNEL]:
            runs, layout[dim] = ((now, runs[0][1]),), ((CHANNEL, now),)
        else:
            layout[dim] = ()
    return Field(tuple(layout), runs)


def _joined(first: Field, second: Field) -> Field:
    """Two fields read at the same place; a dimension that one of them does not have is the other's."""
    layout: list[tuple[Factor, ...]] = []
    for a, b in zip(first.layout, second.layout, strict=True):
        if a == b or not b or (all(tag == OTHER for tag, _ in b) and a):
            layout.append(a)
        elif not a or all(tag == OTHER for tag, _ in a):
            layout.append(b)
        else:
            raise Unfollowed
    first, second = _spread_like(first, layout), _spread_like(second, layout)
    if len(first.runs) == len(second.runs) == 1:
        return Field(tuple(layout), ((first.runs[0][0], both(first.runs[0][1], second.runs[0][1])),))
    channels = max(sum(count for count, _ in field.runs) for field in (first, second))
    runs = [((channels, f.runs[0][1]),) if len(f.runs) == 1 else f.runs for f in (first, second)]
    if any(sum(count for count, _ in several) != channels for several in runs):
        raise Unfollowed
    return Field(tuple(layout), _merged(_zipped(*runs)))


def _spread_like(field: Field, layout: Sequence[tuple[Factor, ...]]) -> Field:
    """Give an axis of one position as many as the layout has."""
    sizes: dict[int, int] = {}
    for factors in layout:
        for tag, size in factors:
            if isinstance(tag, int):
                sizes[tag] = sizes.get(tag, 1) * size
    runs = field.runs
    for axis, size in sizes.items():
        if field.runs[0][1].axes[axis].size != size:
            if field.runs[0][1].axes[axis].size != 1:
                raise Unfollowed
            runs = _reading(runs, axis, rf.spread(), size)
    return Field(field.layout, runs)


def _zipped(first: Sequence[Run], second: Sequence[Run]) -> list[Run]:
    """Runs of two fields with the same channels, cut where either changes."""
    result: list[Run] = []
    ends = sorted({*_ends(first), *_ends(second)})
    for start, stop in itertools.pairwise([0, *ends]):
        (_, left), (_, right) = _channels_of(first, start, stop)[0], _channels_of(second, start, stop)[0]
        result.append((stop - start, both(left, right)))
    return result


def _ends(runs: Sequence[Run]) -> list[int]:
    return list(itertools.accumulate(count for count, _ in runs))


def _channels(field: Field, start: int, stop: int) -> tuple[Run, ...]:
    return _channels_of(field.runs, start, stop)


def _channels_of(runs: Sequence[Run], start: int, stop: int) -> tuple[Run, ...]:
    """The runs of channels ``start`` to ``stop``."""
    result: list[Run] = []
    place = 0
    for count, view in runs:
        overlap = min(stop, place + count) - max(start, place)
        if overlap > 0:
            result.append((overlap, view))
        place += count
    return tuple(result)


# ------------------------------------------------------------------ windows


def _windowed(field: Field, work: Work, window: Window, old: tuple[int, ...], new: tuple[int, ...]) -> Field:
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
                runs = ((sum(c for c, _ in runs), reduce(both, (v for _, v in runs))),)
            layout[dim] = tuple((tag, new[dim]) for tag in tags[:1])
            continue
        if len(tags) != 1:
            raise Unfollowed
        rule = rf.transposed if window.transposed else rf.window
        reads = rule(kernel, stride, padding, dilation)
        runs = _reading(runs, axes[0], reads, new[dim])
        layout[dim] = ((axes[0], new[dim]),)
    return Field(tuple(layout), _merged(runs))


def _reading(runs: tuple[Run, ...], axis: int, reads: Reads, size: int) -> tuple[Run, ...]:
    return tuple((count, view.each(lambda a: rf.read(a, reads, size), axis)) for count, view in runs)


def _mixed_channels(field: Field, window: Window, out_channels: int, dim: int) -> Field:
    """A convolution reads all channels of its group."""
    tags = [tag for tag, _ in field.layout[dim]]
    if any(isinstance(tag, int) or tag in (OUTER, INNER) for tag in tags) or (MIXED in tags and window.groups > 1):
        raise Unfollowed
    if len(field.runs) == 1 or window.groups == 1:
        return Field(field.layout, ((out_channels, field.view),))
    width = sum(count for count, _ in field.runs) // window.groups
    runs = []
    for group in range(window.groups):
        seen = [view for _, view in _channels(field, group * width, (group + 1) * width)]
        runs.append((out_channels // window.groups, reduce(both, seen)))
    return Field(field.layout, _merged(runs))


# ------------------------------------------------------------------ reshapes


def _regrouped(field: Field, shape: tuple[int, ...]) -> Field:
    """A reshape: the same factors in the same order, between other walls. Channels may be cut in two, and joined."""
    if tuple(prod(size for _, size in dims) for dims in field.layout) == shape:
        return field
    factors = [factor for dims in field.layout for factor in dims if factor[1] != 1]
    layout: list[tuple[Factor, ...]] = []
    for side in shape:
        room, dims = side, []
        while room > 1:
            if not factors:
                raise Unfollowed
            tag, size = factors.pop(0)
            if room % size == 0:
                dims.append((tag, size))
                room //= size
            elif size % room == 0 and tag in (CHANNEL, OTHER, MIXED):
                outer, inner = (OUTER, INNER) if tag == CHANNEL and len(field.runs) > 1 else (tag, tag)
                dims.append((outer, room))
                factors.insert(0, (inner, size // room))
                room = 1
            else:
                raise Unfollowed
        layout.append(tuple(dims))
    if factors:
        raise Unfollowed
    runs = field.runs
    for dim, factored in enumerate(layout):
        layout[dim] = _channels_joined(factored)
        if len(layout[dim]) < len(factored) and factored[0][0] == INNER:
            runs = _shuffled(runs, factored)
    return Field(tuple(layout), runs)


def _channels_joined(dims: tuple[Factor, ...]) -> tuple[Factor, ...]:
    """Channel factors that are alone in one dimension are channels again, in whatever order they stand there."""
    tags = [tag for tag, _ in dims]
    whole = len(tags) > 1 and (set(tags) == {CHANNEL} or sorted(map(str, tags)) == sorted((OUTER, INNER)))
    return ((CHANNEL, prod(size for _, size in dims)),) if whole else dims


def _shuffled(runs: tuple[Run, ...], dims: tuple[Factor, ...]) -> tuple[Run, ...]:
    """(groups, width) channels, read as (width, groups): the channel shuffle."""
    (_, width), (_, groups) = dims
    views = [view for count, view in runs for _ in range(count)]
    return _merged([(1, views[group * width + place]) for place in range(width) for group in range(groups)])


# ------------------------------------------------------------------ the other operators, one function each

Follower = Callable[[Field, dict[str, Any], tuple[int, ...], tuple[Tensor, ...]], list[Field]]


def _reduced(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dims = named.get("dim")
    chosen = range(len(old)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    chosen = sorted({dim % len(old) for dim in chosen})
    summed = _summed(field, chosen)
    if named.get("keepdim"):
        return [summed] * len(outputs)
    layout = tuple(factors for dim, factors in enumerate(summed.layout) if dim not in chosen)
    return [Field(layout, summed.runs)] * len(outputs)


def _softmax(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    """Every position along the dimension sees what all of them see."""
    dim = named["dim"] % len(old)
    runs = _summed(field, [dim]).runs
    return [_spread_like(Field(field.layout, runs), field.layout)]


def _permuted(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    order = list(range(len(old)))
    if "dims" in named:
        order = [dim % len(old) for dim in named["dims"]]
    else:
        a, b = (named.get("dim0", 0) % len(old), named.get("dim1", 1) % len(old)) if len(old) > 1 else (0, 0)
        order[a], order[b] = order[b], order[a]
    return [Field(tuple(field.layout[dim] for dim in order), field.runs)]


def _expanded(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    return [_broadcast(field, old, tuple(outputs[0].shape))]


def _cut(field: Field, dim: int, start: int, stop: int, step: int, side: int) -> Field:
    tags = [tag for tag, _ in field.layout[dim]]
    count = len(range(start, stop, step))
    if count == side:
        return field
    if not tags or tags == [OTHER]:
        return _resized(field, dim, count)
    if tags == [CHANNEL]:
        runs = _channels(field, start, stop) if step == 1 else ((count, field.view),)
        return Field(_replaced(field.layout, dim, ((CHANNEL, count),)), _merged(runs))
    if len(tags) == 1 and isinstance(tags[0], int):
        runs = _reading(field.runs, tags[0], rf.shift(start, step), count)
        return Field(_replaced(field.layout, dim, ((tags[0], count),)), runs)
    raise Unfollowed


def _sliced(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim = named["dim"] % len(old)
    start, stop, step = slice(named.get("start"), named.get("end"), named.get("step")).indices(old[dim])
    return [_cut(field, dim, start, stop, step, old[dim])]


def _selected(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    dim = named["dim"] % len(old)
    return [_without(_cut(field, dim, place, place + 1, 1, old[dim]), dim) for place in [named["index"] % old[dim]]]


def _without(field: Field, dim: int) -> Field:
    summed = _summed(field, [dim])
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
    """Zero padding, from the last dimension backwards; negative padding crops."""
    amounts = named["pad"]
    for place in range(len(amounts) // 2):
        before, after = amounts[2 * place], amounts[2 * place + 1]
        dim = len(old) - 1 - place
        size = old[dim] + before + after
        tags = [tag for tag, _ in field.layout[dim]]
        if not before and not after:
            continue
        if not tags or tags == [OTHER]:
            field = _resized(field, dim, size)
        elif tags == [CHANNEL]:
            blank = View(*((tuple(rf.nothing(a.size) for a in field.view.axes),) * 2))
            inner = _channels(field, max(0, -before), old[dim] + min(0, after))
            runs = _merged([(max(0, before), blank), *inner, (max(0, after), blank)])
            field = Field(_replaced(field.layout, dim, ((CHANNEL, size),)), runs)
        elif len(tags) == 1 and isinstance(tags[0], int):
            runs = _reading(field.runs, tags[0], rf.shift(-before), size)
            field = Field(_replaced(field.layout, dim, ((tags[0], size),)), runs)
        else:
            raise Unfollowed
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
            field = Field(_replaced(field.layout, dim, ((axis, size),)), _reading(field.runs, axis, reads, size))
        return [field]

    return follower


def _only_axis(field: Field, dim: int) -> int:
    factors = field.layout[dim]
    if len(factors) != 1 or not isinstance(factors[0][0], int):
        raise Unfollowed
    return factors[0][0]


def _resampled(reach: int, exact: bool = False) -> Follower:
    def follower(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
        shape = tuple(outputs[0].shape)
        scales = [value for key, value in named.items() if key.startswith("scale")]
        for place, dim in enumerate(range(2, len(old))):
            scale = scales[place] if place < len(scales) and not isinstance(scales[place], (list, tuple)) else None
            if scale is not None and old[dim] * scale != shape[dim] and not named.get("align_corners"):
                raise Unfollowed  # torch then samples by the scale given, not by the sizes
            if not field.layout[dim]:
                field = Field(_replaced(field.layout, dim, ((OTHER, shape[dim]),)), field.runs)
                continue
            axis = _only_axis(field, dim)
            reads = rf.interpolation(old[dim], shape[dim], reach, bool(named.get("align_corners")), exact)
            runs = _reading(field.runs, axis, reads, shape[dim])
            field = Field(_replaced(field.layout, dim, ((axis, shape[dim]),)), runs)
        return [field]

    return follower


def _adaptively(field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]) -> list[Field]:
    shape = tuple(outputs[0].shape)
    sides = len(named["output_size"])
    for dim in range(len(old) - sides, len(old)):
        if not field.layout[dim]:
            continue
        axis = _only_axis(field, dim)
        runs = _reading(field.runs, axis, rf.adaptive(old[dim], shape[dim]), shape[dim])
        field = Field(_replaced(field.layout, dim, ((axis, shape[dim]),)), runs)
    return [field] * len(outputs)


def _pixel_shuffled(
    field: Field, named: dict[str, Any], old: tuple[int, ...], outputs: tuple[Tensor, ...]
) -> list[Field]:
    factor, shape = named["upscale_factor"], tuple(outputs[0].shape)
    field = _one_run(field)
    runs: tuple[Run, ...] = ((shape[1], field.view),)
    for dim in (2, 3):
        axis = _only_axis(field, dim)
        runs = _reading(runs, axis, rf.interpolation(old[dim], shape[dim], 0), shape[dim])
        field = Field(_replaced(field.layout, dim, ((axis, shape[dim]),)), runs)
    assert factor * old[2] == shape[2]
    return [Field(_replaced(field.layout, 1, ((CHANNEL, shape[1]),)), runs)]


_FOLLOWERS: dict[str, Follower] = {
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
