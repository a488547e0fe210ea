"""The pixels of the image that the positions of one tensor depend on.

A ``Field`` describes each dimension of a tensor as batch, channels or an axis of the image, so that it can be followed
through reshapes, permutations and windows. It stores the receptive fields for runs of consecutive channels, so that
they are still known after a concatenation is split again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce

from torch import Tensor

from convatlas.arithmetic import receptive_field as rf
from convatlas.arithmetic.receptive_field import Axis, Reads

# Tags of dimensions; an axis of the image has the tag 0, 1 or 2. The elements of a MIXED dimension (maps that were
# flattened and then concatenated) have different fields, so a field is known only for an operator that reads all. The
# same holds for a PAIRED dimension, whose elements belong to pairs of positions of the image (attention scores).
OTHER, CHANNEL, MIXED, PAIRED = "n", "c", "m", "p"
OUTER, INNER = "c0", "c1"  # a channel dimension split in two, where the channels have different fields
Tag = str | int
Factor = tuple[Tag, int]
Layout = tuple[tuple[Factor, ...], ...]


@dataclass(frozen=True)
class View:
    """The receptive fields of a channel's positions, per axis of the image.

    Attributes:
        axes: over all paths from the image.
        narrow: over the path with the smallest field.
    """

    axes: tuple[Axis, ...]
    narrow: tuple[Axis, ...]

    def map_axis(self, change: Callable[[Axis], Axis], axis: int) -> View:
        """Apply ``change`` to one axis."""
        return View(
            tuple(change(a) if number == axis else a for number, a in enumerate(self.axes)),
            tuple(change(a) if number == axis else a for number, a in enumerate(self.narrow)),
        )


Run = tuple[int, View]  # a number of consecutive channels with the same view


@dataclass(frozen=True)
class Field:
    """The receptive fields of the positions of a tensor.

    Attributes:
        layout: the factors of every dimension, outermost first. A flattened (C, H, W) is one dimension of three
            factors. An axis of the image in no dimension (after global pooling) has a single position.
        runs: the views of the channels in order.
    """

    layout: Layout
    runs: tuple[Run, ...]

    @cached_property
    def view(self) -> View:
        """The union over all channels."""
        return reduce(united, (view for _, view in self.runs))

    def has(self, tag: Tag) -> bool:
        return any(factor_tag == tag for factors in self.layout for factor_tag, _ in factors)

    @property
    def is_mixed(self) -> bool:
        """Whether the view is that of all elements together, as the elements have different ones."""
        return any(tag in (MIXED, PAIRED) for factors in self.layout for tag, _ in factors)

    @property
    def figures(self) -> tuple[tuple[int, ...], tuple[Fraction, ...] | None, tuple[int, ...], tuple[int, ...]]:
        """Receptive field, jump, start and smallest field, per axis. The jump is None where the tensor is not a map."""
        view = self.view
        is_map = all(any(factors == ((axis, a.size),) for factors in self.layout) for axis, a in enumerate(view.axes))
        return (
            tuple(axis.field for axis in view.axes),
            tuple(axis.jump for axis in view.axes) if is_map else None,
            tuple(axis.start for axis in view.axes),
            tuple(axis.field for axis in view.narrow),
        )


def image_field(t: Tensor) -> Field | None:
    """The field of the input (N, C, sides...); None where it has no sides."""
    sides = tuple(t.shape[2:])
    if not sides:
        return None
    axes = tuple(rf.image_axis(side) for side in sides)
    maps: Layout = tuple(((axis, side),) for axis, side in enumerate(sides))
    layout: Layout = (((OTHER, t.shape[0]),), ((CHANNEL, t.shape[1]),), *maps)
    return Field(layout, ((t.shape[1], View(axes, axes)),))


def united(first: View, second: View) -> View:
    """The view where two paths join: the union of the fields, and the narrower of the two narrow paths."""
    if first is second:
        return first
    return View(
        tuple(rf.union(a, b) for a, b in zip(first.axes, second.axes, strict=True)),
        tuple(rf.narrower(a, b) for a, b in zip(first.narrow, second.narrow, strict=True)),
    )


class FieldUnknown(Exception):
    """The operator moves pixels in a way that is not supported, so that the field of its result is not known."""


def with_factors(layout: Layout, dim: int, factors: tuple[Factor, ...]) -> Layout:
    return (*layout[:dim], factors, *layout[dim + 1 :])


def merged_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Merge consecutive runs with equal views."""
    merged: list[Run] = []
    for count, view in runs:
        if count and merged and (merged[-1][1] is view or merged[-1][1] == view):
            merged[-1] = (merged[-1][0] + count, view)
        elif count:
            merged.append((count, view))
    return tuple(merged)


def as_one_run(field: Field) -> Field:
    return Field(field.layout, ((sum(count for count, _ in field.runs), field.view),))


def with_size(field: Field, dim: int, size: int) -> Field:
    tag = field.layout[dim][0][0] if field.layout[dim] else OTHER
    return Field(with_factors(field.layout, dim, ((tag, size),)), field.runs)


def summed_over(field: Field, dims: Sequence[int]) -> Field:
    """The field after a reduction over ``dims``, each of which becomes a single position."""
    tags = {tag for dim in dims for tag, _ in field.layout[dim]}
    if len(tags & {OUTER, INNER}) == 1:
        raise FieldUnknown  # only one of the two parts of a split channel dimension was reduced
    if tags & {CHANNEL, OUTER}:
        field = as_one_run(field)
    runs = field.runs
    for axis in sorted(tag for tag in tags if isinstance(tag, int)):
        runs = tuple((count, view.map_axis(rf.gathered, axis)) for count, view in runs)
    layout = tuple(() if dim in dims else factors for dim, factors in enumerate(field.layout))
    for axis in (tag for tag in tags if isinstance(tag, int)):
        if any(tag == axis for factors in layout for tag, _ in factors):
            raise FieldUnknown  # only a part of an axis was reduced
    return Field(layout, runs)


def broadcast_to(field: Field, old: tuple[int, ...], new: tuple[int, ...]) -> Field:
    layout: list[tuple[Factor, ...]] = [()] * (len(new) - len(old)) + list(field.layout)
    before = (1,) * (len(new) - len(old)) + old
    runs = field.runs
    for dim, (was, now) in enumerate(zip(before, new, strict=True)):
        if was == now:
            continue
        for tag, _ in layout[dim]:
            if isinstance(tag, int):  # one position is repeated along the axis
                runs = tuple((count, view.map_axis(rf.gathered, tag)) for count, view in runs)
        if [tag for tag, _ in layout[dim]] == [CHANNEL]:
            runs, layout[dim] = ((now, runs[0][1]),), ((CHANNEL, now),)
        else:
            layout[dim] = ()
    return Field(tuple(layout), runs)


def joined_fields(first: Field, second: Field) -> Field:
    """The field of an element-wise operator with two inputs. A dimension that one of them lacks is the other's."""
    layout: list[tuple[Factor, ...]] = []
    for a, b in zip(first.layout, second.layout, strict=True):
        if a == b or not b or (all(tag == OTHER for tag, _ in b) and a):
            layout.append(a)
        elif not a or all(tag == OTHER for tag, _ in a):
            layout.append(b)
        else:
            raise FieldUnknown
    axes = [tag for factors in layout for tag in {tag for tag, _ in factors} if isinstance(tag, int)]
    if len(axes) != len(set(axes)):
        raise FieldUnknown  # all pairs of positions of one axis, which a layout cannot describe
    if len(first.runs) > 1 or len(second.runs) > 1:
        dims = [_channel_dims(field) for field in (first, second)]
        if all(dims) and dims[0] != dims[1]:
            raise FieldUnknown  # all pairs of channels
    first, second = spread_like(first, layout), spread_like(second, layout)
    if len(first.runs) == len(second.runs) == 1:
        return Field(tuple(layout), ((first.runs[0][0], united(first.runs[0][1], second.runs[0][1])),))
    channels = max(sum(count for count, _ in field.runs) for field in (first, second))
    runs = [((channels, f.runs[0][1]),) if len(f.runs) == 1 else f.runs for f in (first, second)]
    if any(sum(count for count, _ in field_runs) != channels for field_runs in runs):
        raise FieldUnknown
    return Field(tuple(layout), merged_runs(_zipped(*runs)))


def _channel_dims(field: Field) -> list[int]:
    return [
        dim for dim, factors in enumerate(field.layout) if any(tag in (CHANNEL, OUTER, INNER) for tag, _ in factors)
    ]


def spread_like(field: Field, layout: Sequence[tuple[Factor, ...]]) -> Field:
    """Repeat an axis with one position to the size it has in the layout."""
    sizes: dict[int, int] = {}
    for factors in layout:
        for tag, size in factors:
            if isinstance(tag, int):
                sizes[tag] = sizes.get(tag, 1) * size
    runs = field.runs
    for axis, size in sizes.items():
        if field.runs[0][1].axes[axis].size != size:
            if field.runs[0][1].axes[axis].size != 1:
                raise FieldUnknown
            runs = runs_reading(runs, axis, rf.spread(), size)
    return Field(field.layout, runs)


def _zipped(first: Sequence[Run], second: Sequence[Run]) -> list[Run]:
    """Runs of two fields with the same channels, split wherever one of them changes."""
    result: list[Run] = []
    ends = sorted({*_ends(first), *_ends(second)})
    for start, stop in itertools.pairwise([0, *ends]):
        (_, left), (_, right) = _channels_of(first, start, stop)[0], _channels_of(second, start, stop)[0]
        result.append((stop - start, united(left, right)))
    return result


def _ends(runs: Sequence[Run]) -> list[int]:
    return list(itertools.accumulate(count for count, _ in runs))


def channels_between(field: Field, start: int, stop: int) -> tuple[Run, ...]:
    return _channels_of(field.runs, start, stop)


def _channels_of(runs: Sequence[Run], start: int, stop: int) -> tuple[Run, ...]:
    """The runs of channels ``start`` to ``stop`` (exclusive)."""
    result: list[Run] = []
    first = 0
    for count, view in runs:
        overlap = min(stop, first + count) - max(start, first)
        if overlap > 0:
            result.append((overlap, view))
        first += count
    return tuple(result)


def runs_reading(runs: tuple[Run, ...], axis: int, reads: Reads, size: int) -> tuple[Run, ...]:
    return tuple((count, view.map_axis(lambda a: rf.read(a, reads, size), axis)) for count, view in runs)
