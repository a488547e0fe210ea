"""Exact receptive fields along one axis of the image: the pixels that a position of a map depends on. No torch.

The receptive field of position i of a map is an interval of pixels [lo(i), hi(i)]. In a chain of convolutions it moves
by a constant jump from one position to the next. With up-sampling the steps are unequal, and where paths of different
jumps join, the interval grows along the axis. An axis therefore has

    pieces     intervals on an infinite line, one per jump, in integers: lo(i + period) = lo(i) + advance. The receptive
               field is their union. Padding counts as pixels, as in published tables of receptive fields.
    support    the intervals inside an image of this size, for each position. They are what a gradient shows, also at
               the border.

A layer is described by ``Reads``: the positions of its input that position i reads. ``read`` applies it.

Receptive field arithmetic for chains: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural
networks", Distill 2019. Jumps are exact rationals: a layer that doubles the resolution halves the jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import floor, gcd

Interval = tuple[int, int]
NOTHING: Interval = (1 << 60, -(1 << 60))  # an empty interval; the union with it changes nothing


@dataclass(frozen=True)
class Piece:
    """Intervals on an infinite line: that of position i is ``spans[i % period]``, moved by ``advance`` per period."""

    period: int
    advance: int
    spans: tuple[Interval, ...]

    @cached_property
    def jump(self) -> Fraction:
        return Fraction(self.advance, self.period)

    def at(self, position: int) -> Interval:
        rounds, phase = divmod(position, self.period)
        low, high = self.spans[phase]
        return (low + rounds * self.advance, high + rounds * self.advance) if low <= high else NOTHING


@dataclass(frozen=True)
class Axis:
    """The receptive fields of the positions 0 .. size-1 of a map along one axis of the image."""

    size: int
    pieces: tuple[Piece, ...]
    support: tuple[Interval, ...]

    def __hash__(self) -> int:  # computed once, as every cache below uses it and it covers hundreds of intervals
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.size, self.pieces, self.support))

    def at(self, position: int) -> Interval:
        return _hull(piece.at(position) for piece in self.pieces)

    @cached_property
    def field(self) -> int:
        """The largest receptive field of any position in pixels, including padding; 0 for a constant."""
        rounds = self.size if len(self.pieces) > 1 else max((piece.period for piece in self.pieces), default=0)
        return max((high - low + 1 for low, high in map(self.at, range(rounds)) if low <= high), default=0)

    @property
    def jump(self) -> Fraction:
        """Pixels from one position to the next; where paths with different jumps join, the largest jump."""
        return max((piece.jump for piece in self.pieces), default=Fraction(0))

    @property
    def start(self) -> int:
        """First pixel of the receptive field of position 0; negative in the padding."""
        return self.at(0)[0] if self.pieces else 0


@dataclass(frozen=True)
class Reads:
    """The positions of a layer's input that an output reads.

    Output i reads ``taps[i % period]``, moved by ``advance`` per period. ``inside`` lists the positions for each output
    instead where the border is treated differently (mirrored padding, clamped interpolation).
    """

    period: int
    advance: int
    taps: tuple[tuple[int, ...], ...]
    inside: tuple[tuple[int, ...], ...] | None = None

    def at(self, position: int) -> tuple[int, ...]:
        rounds, phase = divmod(position, self.period)
        return tuple(tap + rounds * self.advance for tap in self.taps[phase])


@lru_cache(maxsize=1024)
def image_axis(size: int) -> Axis:
    """The image itself: the receptive field of pixel i is pixel i."""
    return Axis(size, (Piece(1, 1, ((0, 0),)),), tuple((i, i) for i in range(size)))


@lru_cache(maxsize=1024)
def nothing(size: int) -> Axis:
    """A constant, such as concatenated zeros."""
    return Axis(size, (), (NOTHING,) * size)


# ------------------------------------------------------------------ the layers


@lru_cache(maxsize=4096)
def window(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Reads:
    """A convolution or pooling."""
    return Reads(1, stride, (tuple(dilation * tap - padding for tap in range(kernel)),))


@lru_cache(maxsize=4096)
def transposed(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Reads:
    """A transposed convolution: i is written by j whenever i = stride j - padding + dilation tap."""
    taps = tuple(
        tuple(
            (phase + padding - dilation * tap) // stride
            for tap in range(kernel)
            if (phase + padding - dilation * tap) % stride == 0
        )
        for phase in range(stride)
    )
    return Reads(stride, 1, taps)


@lru_cache(maxsize=4096)
def adaptive(size: int, result: int) -> Reads:
    """Adaptive pooling of ``size`` to ``result`` positions: from floor(i n/m) up to ceil((i+1) n/m), exclusive."""
    common = gcd(size, result)
    period, advance = result // common, size // common
    taps = tuple(tuple(range(i * size // result, -(-(i + 1) * size // result))) for i in range(period))
    return Reads(period, advance, taps)


@lru_cache(maxsize=4096)
def shift(start: int, step: int = 1) -> Reads:
    """``x[start::step]``; a negative start is zero padding."""
    return Reads(1, step, ((start,),))


@lru_cache(maxsize=4096)
def mirrored(size: int, before: int, after: int, repeat_edge: bool) -> Reads:
    """Padding by reflection, or by repeating the edge."""

    def source(i: int) -> int:
        j = i - before
        if repeat_edge:
            return min(max(j, 0), size - 1)
        j = abs(j)
        return 2 * (size - 1) - j if j >= size else j

    inside = tuple((source(i),) for i in range(size + before + after))
    return Reads(1, 1, ((-before,),), inside)


@lru_cache(maxsize=4096)
def interpolation(size: int, result: int, reach: int, align_corners: bool = False, exact: bool = False) -> Reads:
    """Up- or down-sampling from ``size`` to ``result`` positions.

    Args:
        reach: 0 nearest neighbour, 1 linear (two neighbours), 2 cubic (four).
        exact: "nearest-exact", which measures from the centre of the pixel.
    """
    if align_corners and result > 1:
        ratio, offset = Fraction(size - 1, result - 1), Fraction(0)
    else:
        ratio = Fraction(size, result)
        offset = (ratio - 1) / 2 if reach else (ratio / 2 if exact else Fraction(0))

    def sources(i: int) -> tuple[int, ...]:
        position = i * ratio + offset
        below = floor(position)
        if reach == 0 or position == below:  # exactly on a pixel, so the other weights are zero
            return (below,)
        return tuple(range(below - reach + 1, below + reach + 1))

    def clamped(i: int) -> tuple[int, ...]:
        # linear interpolation clamps the position, cubic interpolation clamps the pixels it reads
        position = i * ratio + offset
        if reach == 1 and position < 0:
            return (0,)
        return tuple(sorted({min(max(j, 0), size - 1) for j in sources(i)}))

    period, advance = (ratio.denominator, ratio.numerator)
    return Reads(period, advance, tuple(map(sources, range(period))), tuple(map(clamped, range(result))))


@lru_cache(maxsize=1024)
def spread() -> Reads:
    """Broadcasting one position over many."""
    return Reads(1, 0, ((0,),))


# ------------------------------------------------------------------ composition


@lru_cache(maxsize=16384)
def read(axis: Axis, reads: Reads, size: int) -> Axis:
    """The receptive fields of the ``size`` positions of a layer, from those of its input."""
    pieces = [piece for piece in (_read_piece(piece, reads) for piece in axis.pieces) if piece is not None]
    support = []
    for i in range(size):
        taps = reads.inside[i] if reads.inside is not None else reads.at(i)
        support.append(_hull(axis.support[tap] for tap in taps if 0 <= tap < axis.size))
    return Axis(size, _joined(pieces), tuple(support))


def _read_piece(piece: Piece, reads: Reads) -> Piece | None:
    # the input repeats after piece.period positions, which the output reaches after this many rounds
    rounds = piece.period // gcd(piece.period, reads.advance)
    period, advance = reads.period * rounds, piece.advance * reads.advance * rounds // piece.period
    spans = tuple(_hull(map(piece.at, reads.at(i))) for i in range(period))
    return _shortest(Piece(period, advance, spans))


@lru_cache(maxsize=16384)
def union(first: Axis, second: Axis) -> Axis:
    """The receptive fields of positions that read two maps at the same position."""
    if first is second or first == second:
        return first
    assert first.size == second.size, (first.size, second.size)
    support = tuple(_hull(pair) for pair in zip(first.support, second.support, strict=True))
    return Axis(first.size, _joined([*first.pieces, *second.pieces]), support)


@lru_cache(maxsize=4096)
def gathered(axis: Axis) -> Axis:
    """The receptive field of a layer that reads all positions: global pooling, a fully connected layer."""
    all_positions = read(axis, Reads(1, 0, (tuple(range(axis.size)),)), 1)
    low, high = _hull(map(axis.at, range(axis.size)))
    pieces = (Piece(1, 0, ((low, high),)),) if low <= high else ()
    return Axis(1, pieces, all_positions.support)


def narrower(first: Axis, second: Axis) -> Axis:
    """The axis with the smaller receptive field; constants are ignored."""
    if not first.pieces or not second.pieces:
        return first if first.pieces else second
    return first if first.field <= second.field else second


def _hull(intervals: Iterable[Interval]) -> Interval:
    lows, highs = [], []
    for low, high in intervals:
        if low <= high:
            lows.append(low)
            highs.append(high)
    return (min(lows), max(highs)) if lows else NOTHING


def _joined(pieces: list[Piece]) -> tuple[Piece, ...]:
    """One piece per jump: the union of the pieces with that jump."""
    by_jump: dict[Fraction, list[Piece]] = {}
    for piece in pieces:
        by_jump.setdefault(piece.jump, []).append(piece)
    joined = []
    for jump, group in by_jump.items():
        if len(set(group)) == 1:
            joined.append(group[0])
            continue
        period = 1
        for piece in group:
            period = period * piece.period // gcd(period, piece.period)
        spans = tuple(_hull(piece.at(i) for piece in group) for i in range(period))
        joined.append(_shortest(Piece(period, int(jump * period), spans)))
    return tuple(sorted(joined, key=lambda piece: piece.jump))


def _shortest(piece: Piece) -> Piece:
    """The same intervals with the smallest period."""
    for period in range(1, piece.period):
        if piece.period % period or piece.advance * period % piece.period:
            continue
        shorter = Piece(period, piece.advance * period // piece.period, piece.spans[:period])
        if all(shorter.at(i) == piece.at(i) for i in range(piece.period)):
            return shorter
    return piece
