"""Receptive fields: chains by hand, the figures others publish, and the input gradient on random graphs."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from gradients import RandomGraph, made_positive, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convatlas.arithmetic import receptive_box, summarize
from convatlas.arithmetic.network import field_of
from convatlas.arithmetic.receptive_field import Axis, Piece
from convatlas.errors import UnknownNameError, UsageError


def chain(*layers):
    """[[kernel, stride], ...] as a network."""
    return nn.Sequential(*(nn.Conv2d(1, 1, k, s) for k, s in layers))


@pytest.mark.parametrize(
    ("layers", "field", "jump"),
    [
        ([(3, 1), (3, 1)], 5, 1),
        ([(3, 1), (3, 1), (3, 1)], 7, 1),
        ([(3, 2), (3, 1), (3, 1)], 11, 2),
        ([(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)], 195, 32),  # AlexNet to pool5
        ([(3, 1), (3, 1), (2, 2)] * 2 + [(3, 1), (3, 1), (3, 1), (2, 2)] * 3, 212, 32),  # VGG-16 to pool5
    ],
)
def test_chains(layers, field, jump):
    last = summarize(chain(*layers), (1, 400, 400)).rows[-1]
    assert last.receptive_field == (field, field)
    assert last.jump == (jump, jump)


def test_start_is_the_first_pixel_and_negative_in_the_padding():
    net = nn.Sequential(nn.Conv2d(1, 1, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, padding=1))
    s = summarize(net, (1, 64, 64))
    assert s["0"].start == (-3, -3)
    assert s["1"].start == (-5, -5)
    assert receptive_box(net, (1, 64, 64), "1", (0, 3)).theoretical == ((-5, 5), (7, 17))
    assert receptive_box(net, (1, 64, 64), "1", (0, 3)).in_image == ((0, 5), (7, 17))


def test_up_sampling_halves_the_jump():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3))
    rows = summarize(net, (1, 16, 16)).rows
    assert [row.jump[0] for row in rows] == [1, Fraction(1, 2), Fraction(1, 2)]
    # three positions of the doubled map read two of the map below, or three of which two are the same
    assert [row.receptive_field[0] for row in rows] == [3, 3, 4]
    assert summarize(net, (1, 16, 16)).to_dict()["rows"][2]["jump"] == ["1/2", "1/2"]


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(2, 2, 1)
        self.five = nn.Conv2d(2, 2, 5, padding=2)
        self.wide = nn.Conv2d(2, 2, (1, 7), padding=(0, 3))
        self.after = nn.Conv2d(6, 2, 3)

    def forward(self, x):
        return self.after(torch.cat([self.one(x), self.five(x), self.wide(x)], dim=1))


def test_joins_keep_the_largest_and_the_smallest_path():
    s = summarize(Inception(), (2, 32, 32))
    assert s["wide"].receptive_field == (1, 7)
    assert s["concat"].receptive_field == (5, 7)
    assert s["concat"].smallest_field == (1, 1)
    assert s["after"].receptive_field == (7, 9)
    assert s["after"].smallest_field == (3, 3)


def test_channels_that_were_concatenated_can_be_taken_apart():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(2, 2, 5, padding=2)
            self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)

        def forward(self, x):
            return self.depthwise(torch.cat([x, self.wide(x)], dim=1)).chunk(2, dim=1)[0]

    s = summarize(Apart(), (2, 16, 16))
    assert s["depthwise"].receptive_field == (7, 7)
    assert s.rows[-1].receptive_field == (3, 3)


def test_global_pooling_and_full_connection_see_everything():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    s = summarize(net, (1, 20, 30))
    assert s["1"].receptive_field == s["3"].receptive_field == (22, 32)  # the padding too
    assert s["3"].jump is None
    assert receptive_box(net, (1, 20, 30), "3", (0, 0)).in_image == ((0, 19), (0, 29))


def test_a_strided_layer_may_leave_the_border_unseen():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.Flatten(), nn.Linear(25, 2))
    assert receptive_box(net, (1, 12, 12), "2", (0, 0)).in_image == ((0, 10), (0, 10))


def test_shuffled_channels_keep_their_own_fields():
    class Shuffles(nn.Module):
        def __init__(self, take):
            super().__init__()
            self.wide, self.take = nn.Conv2d(2, 2, 5, padding=2), take

        def forward(self, x):
            x = torch.cat([x, self.wide(x)], dim=1)  # channels see 1, 1, 5, 5 pixels
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)  # and now 1, 5, 1, 5
            return x[:, self.take : self.take + 1]

    fields = [summarize(Shuffles(take), (2, 16, 16)).rows[-1].receptive_field[0] for take in range(4)]
    assert fields == [1, 5, 1, 5]
    for take in range(4):
        at, _ = pixels(made_positive(Shuffles(take)), (2, 16, 16))
        assert at((8, 8)) == receptive_box(Shuffles(take), (2, 16, 16), "reshape", (8, 8)).in_image


def test_pooled_pyramids_are_known_again_once_they_are_read_as_a_whole():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, stride=2)
            self.head = nn.Linear(2 * (9 + 1), 3)

        def forward(self, x):
            x = self.conv(x)
            levels = [nn.functional.adaptive_avg_pool2d(x, bins).flatten(1) for bins in (3, 1)]
            return self.head(torch.cat(levels, dim=1))

    s = summarize(Pyramid(), (1, 14, 14))
    assert s["concat"].receptive_field is None  # its elements see different things
    assert s["head"].receptive_field == (13, 13)
    assert pixels(made_positive(Pyramid()), (1, 14, 14))[0](()) == ((0, 12), (0, 12))  # the last column is not read


def test_what_is_not_followed_is_not_guessed():
    class Rolls(nn.Module):
        def forward(self, x):
            return torch.roll(x, 1, dims=3)

    assert summarize(Rolls(), (1, 8, 8)).rows[-1].receptive_field is None
    with pytest.raises(UsageError, match="not known"):
        receptive_box(Rolls(), (1, 8, 8), "rolls", (0, 0))
    with pytest.raises(UnknownNameError):
        receptive_box(Rolls(), (1, 8, 8), "role", (0, 0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_random_graphs_agree_with_the_input_gradient(seed):
    net = made_positive(RandomGraph(seed))
    shape = (2, *net.side)
    field = field_of(net, shape)
    at, sides = pixels(net, shape)
    height, width = (*sides, 1, 1)[:2]
    for position in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (0, width - 1)}:
        expected = []
        for axis, place in zip(field.view.axes, position, strict=True):
            low, high = axis.support[place]
            expected.append((low, high) if low <= high else None)
        found = at(position)
        if None in expected:
            assert None in found
        else:
            assert list(found) == expected, position


spans = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 6)), min_size=1, max_size=3)
lines = st.builds(
    lambda advance, intervals: Piece(len(intervals), advance, tuple((low, low + width) for low, width in intervals)),
    st.integers(0, 5), spans,
)  # fmt: skip


@given(st.lists(lines, min_size=1, max_size=3), st.integers(1, 12))
def test_the_field_of_an_axis_is_the_largest_of_all_its_positions(pieces, size):
    """Of several pieces with different periods the largest field may come anywhere; of one, within a period."""
    axis = Axis(max(size, *(piece.period for piece in pieces)), tuple(pieces), ())
    fields = [high - low + 1 for low, high in map(axis.at, range(axis.size))]
    assert axis.field == max(fields)
