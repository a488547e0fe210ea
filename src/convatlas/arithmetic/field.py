"""What the positions of one tensor see of the image.

A tensor's ``Field`` says for each of its dimensions what it is made of (batch, channels, an axis of the image), so that
reshapes, permutations and windows keep their bearings; and for runs of channels what their positions see, so that what
was concatenated can be taken apart again.
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

# tags of dimensions that are no axis of the image; axes are 0, 1, 2. Along a MIXED one (what was flattened and then
# concatenated) the elements see different things: only who reads all of them has a field. Along a PAIRED one they are
# one position of the image with each other position, as the scores of attention are: the same holds.
OTHER, CHANNEL, MIXED, PAIRED = "n", "c", "m", "p"
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

    def has(self, wanted: Tag) -> bool:
        return any(tag == wanted for factors in self.layout for tag, _ in factors)

    @property
    def is_mixed(self) -> bool:
        """Whether the view is of all elements together, and not of each."""
        return any(tag in (MIXED, PAIRED) for factors in self.layout for tag, _ in factors)

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


def with_factors(layout: Layout, dim: int, factors: tuple[Factor, ...]) -> Layout:
    return (*layout[:dim], factors, *layout[dim + 1 :])


def merged_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Neighbours that see alike become one run."""
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
    """Every dimension in ``dims`` is read as a whole and shrinks to one position."""
    tags = {tag for dim in dims for tag, _ in field.layout[dim]}
    if len(tags & {OUTER, INNER}) == 1:
        raise Unfollowed  # of channels cut in two, one half was summed: what is left sees differently
    if tags & {CHANNEL, OUTER}:
        field = as_one_run(field)
    runs = field.runs
    for axis in sorted(tag for tag in tags if isinstance(tag, int)):
        runs = tuple((count, view.each(rf.gathered, axis)) for count, view in runs)
    layout = tuple(() if dim in dims else factors for dim, factors in enumerate(field.layout))
    for axis in (tag for tag in tags if isinstance(tag, int)):
        if any(tag == axis for factors in layout for tag, _ in factors):
            raise Unfollowed  # half of an axis was summed, the other half is still a dimension
    return Field(layout, runs)


def broadcast_to(field: Field, old: tuple[int, ...], new: tuple[int, ...]) -> Field:
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


def joined_fields(first: Field, second: Field) -> Field:
    """Two fields read at the same place; a dimension that one of them does not have is the other's."""
    layout: list[tuple[Factor, ...]] = []
    for a, b in zip(first.layout, second.layout, strict=True):
        if a == b or not b or (all(tag == OTHER for tag, _ in b) and a):
            layout.append(a)
        elif not a or all(tag == OTHER for tag, _ in a):
            layout.append(b)
        else:
            raise Unfollowed
    places = [tag for factors in layout for tag in {tag for tag, _ in factors} if isinstance(tag, int)]
    if len(places) != len(set(places)):
        raise Unfollowed  # every pair of two positions of one axis, which no layout holds
    if len(first.runs) > 1 or len(second.runs) > 1:
        dims = [_channel_dims(field) for field in (first, second)]
        if all(dims) and dims[0] != dims[1]:
            raise Unfollowed  # every pair of two channels
    first, second = spread_like(first, layout), spread_like(second, layout)
    if len(first.runs) == len(second.runs) == 1:
        return Field(tuple(layout), ((first.runs[0][0], both(first.runs[0][1], second.runs[0][1])),))
    channels = max(sum(count for count, _ in field.runs) for field in (first, second))
    runs = [((channels, f.runs[0][1]),) if len(f.runs) == 1 else f.runs for f in (first, second)]
    if any(sum(count for count, _ in several) != channels for several in runs):
        raise Unfollowed
    return Field(tuple(layout), merged_runs(_zipped(*runs)))


def _channel_dims(field: Field) -> list[int]:
    return [
        dim for dim, factors in enumerate(field.layout) if any(tag in (CHANNEL, OUTER, INNER) for tag, _ in factors)
    ]


def spread_like(field: Field, layout: Sequence[tuple[Factor, ...]]) -> Field:
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
            runs = runs_reading(runs, axis, rf.spread(), size)
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


def channels_between(field: Field, start: int, stop: int) -> tuple[Run, ...]:
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


def runs_reading(runs: tuple[Run, ...], axis: int, reads: Reads, size: int) -> tuple[Run, ...]:
    return tuple((count, view.each(lambda a: rf.read(a, reads, size), axis)) for count, view in runs)
