"""Receptive fields through products: each against the same product as a 1x1 convolution, or the input gradient."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from gradients import made_positive, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.arithmetic.network import field_of


class Mixed(nn.Module):
    """Two 3x3 convolutions with a mixing of channels between them."""

    def __init__(self, mix):
        super().__init__()
        self.before = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(6, 8))
        self.after = nn.Conv2d(6, 4, 3, padding=1)
        self.mix = mix

    def forward(self, x):
        return self.after(self.mix(self.before(x), self.weight))


def as_batches(x, w):
    n, c, h, w_ = x.shape
    return torch.bmm(w.expand(n, 6, 8), x.reshape(n, c, h * w_)).reshape(n, 6, h, w_)


MIXES = {
    "conv": lambda x, w: F.conv2d(x, w[:, :, None, None]),
    "einsum": lambda x, w: torch.einsum("nchw,oc->nohw", x, w),
    "einsum from the left": lambda x, w: torch.einsum("oc,nchw->nohw", w, x),
    "tensordot": lambda x, w: torch.tensordot(x, w, dims=([1], [1])).permute(0, 3, 1, 2),
    "tensordot from the left": lambda x, w: torch.tensordot(w, x, dims=([1], [1])).transpose(0, 1),
    "matmul": lambda x, w: (x.permute(0, 2, 3, 1) @ w.t()).permute(0, 3, 1, 2),
    "matmul from the left": lambda x, w: (w @ x.flatten(2)).unflatten(2, x.shape[2:]),
    "linear": lambda x, w: F.linear(x.movedim(1, -1), w).movedim(-1, 1),
    "linear with a bias": lambda x, w: F.linear(x.movedim(1, -1), w, w[:, 0]).movedim(-1, 1),
    "bmm": as_batches,
    "baddbmm": lambda x, w: torch.baddbmm(w[:, :1].expand(1, 6, 1), w[None], x.flatten(2)).unflatten(2, x.shape[2:]),
    "a weight for each row": lambda x, w: torch.einsum("nchw,hoc->nohw", x, w.expand(x.shape[2], 6, 8)),
}


@pytest.mark.parametrize("form", MIXES)
def test_a_product_over_channels_sees_what_a_1x1_convolution_sees(form):
    rows = summarize(Mixed(MIXES[form]), (3, 16, 16)).rows
    assert rows[0].receptive_field == (3, 3)
    assert rows[-1].receptive_field == (5, 5)
    assert rows[-1].jump == (1, 1)


def test_groups_keep_to_their_channels():
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(2, 2, 5, padding=2)
            self.weight = nn.Parameter(torch.randn(2, 3, 2))

        def forward(self, x):
            x = torch.cat([x, self.wide(x)], dim=1)  # channels that see 1, 1, 5, 5 pixels
            x = torch.einsum("nghwc,goc->ngohw", x.unflatten(1, (2, 2)).movedim(2, -1), self.weight)
            return x[:, 0]

    # which half of unlike channels an operand is, is not kept through a product: never a number that is too small
    assert summarize(Grouped(), (2, 16, 16)).rows[-1].receptive_field in (None, (1, 1))


def test_a_product_of_two_activations_at_the_same_place_stays_there():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1)

        def forward(self, x):
            return torch.einsum("nchw,nchw->nhw", self.small(x), self.large(x))

    assert summarize(Inner(), (2, 12, 12)).rows[-1].receptive_field == (3, 3)
    at, _ = pixels(made_positive(AsMap(Inner())), (2, 12, 12))
    assert at((6, 6)) == ((5, 7), (5, 7))


class AsMap(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[:, None]


class Attends(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(2, 4, 1) for _ in range(3))
        self.form = form

    def forward(self, x):
        q, k, v = (layer(x).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.form == "fused":
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            scores = q @ k.transpose(1, 2)
            y = (scores if self.form == "linear" else scores.softmax(dim=-1)) @ v
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize("form", ["by hand", "linear", "fused"])
def test_attention_over_all_pixels_sees_all(form):
    assert summarize(Attends(form), (2, 6, 8)).rows[-1].receptive_field == (6, 8)


def test_scores_of_pairs_have_no_field_of_their_own():
    rows = {row.name: row for row in summarize(Attends("by hand"), (2, 6, 8)).rows}
    scores = next(row for row in rows.values() if row.output == (48, 48))
    assert scores.receptive_field is None


class Axial(nn.Module):
    """Attention along the rows alone."""

    def __init__(self, fused):
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(2, 4, 3, padding=1) for _ in range(3))
        self.fused = fused

    def forward(self, x):
        q, k, v = (layer(x).permute(0, 2, 3, 1) for layer in (self.q, self.k, self.v))  # n h w c
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v).permute(0, 3, 1, 2)
        return ((q @ k.transpose(2, 3)).softmax(-1) @ v).permute(0, 3, 1, 2)


@pytest.mark.parametrize("fused", [False, True])
def test_attention_along_rows_sees_whole_rows_only(fused):
    net = Axial(fused)
    field = field_of(net, (2, 6, 9))
    assert field.view.axes[0].field == 3
    assert [axis.support[0] for axis in field.view.axes][1] == (0, 8)
    at, _ = pixels(made_positive(net), (2, 6, 9))
    assert at((3, 4)) == ((2, 4), (0, 8))


def test_a_mask_makes_the_field_of_attention_unknown():
    class Causal(nn.Module):
        def forward(self, x):
            x = x.flatten(2).transpose(1, 2)[:, None]
            return F.scaled_dot_product_attention(x, x, x, is_causal=True)

    assert summarize(Causal(), (2, 4, 4)).rows[-1].receptive_field is None


def test_sums_over_pairs_of_positions_are_not_guessed():
    class Pairs(nn.Module):
        def forward(self, x):
            rows = x.mean(dim=(1, 3))
            return rows[:, :, None] + rows[:, None, :]

    assert summarize(Pairs(), (2, 8, 8)).rows[-1].receptive_field is None


class RandomEinsum(nn.Module):
    """Two branches of different fields, multiplied by an einsum drawn at random, or one and a weight."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.second = nn.Conv2d(2, 3, (1, 3), padding=(0, 1))
        self.sides = {"n": 1, "c": 3, "h": 7, "w": 9, "o": 2, "p": 2}
        letters = ["n", "c", "h", "w"]
        a = draw.sample(letters, 4)
        if draw.random() < 0.5:
            b = draw.sample(letters, 4)
            self.weight = None
        else:
            b = draw.sample(["c", "h", "w", "o", "p"], draw.randint(1, 4))
            self.weight = nn.Parameter(torch.rand([self.sides[letter] for letter in b]))
        both = [letter for letter in dict.fromkeys(a + b) if letter != "n"]
        kept = draw.sample(both, draw.randint(0, len(both)))
        self.places = [kept.index(letter) if letter in kept else None for letter in "hw"]
        self.form = f"{''.join(a)},{''.join(b)}->{''.join(['n', *kept])}"
        self.orders = [["nchw".index(letter) for letter in names] for names in (a, b) if set(names) == set("nchw")]

    def forward(self, x):
        first = self.first(x).permute(self.orders[0])
        second = self.second(x).permute(self.orders[1]) if self.weight is None else self.weight
        return torch.einsum(self.form, first, second)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9))
def test_random_einsum_forms_agree_with_the_input_gradient(seed):
    torch.manual_seed(0)
    net = made_positive(RandomEinsum(seed))
    field = field_of(net, (2, 7, 9))
    if field is None:
        return
    images = (0.5 + torch.rand(1, 2, 7, 9, dtype=torch.float64)).requires_grad_()
    result = net(images)
    for h, w in ((0, 0), (3, 4), (6, 8)):
        index = [slice(None)] * (result.dim() - 1)
        for place, position in zip(net.places, (h, w), strict=True):
            if place is not None:
                index[place] = position
        (gradient,) = torch.autograd.grad(result[(0, *index)].sum(), images, retain_graph=True)
        seen = gradient[0].abs().sum(dim=0)
        for axis, position, other in ((0, h, 1), (1, w, 0)):
            touched = seen.sum(dim=other).nonzero().flatten()
            place = position if field.view.axes[axis].size > 1 else 0
            assert field.view.axes[axis].support[place] == (touched[0].item(), touched[-1].item()), net.form


def test_most_random_einsum_forms_have_a_field():
    known = sum(field_of(RandomEinsum(seed), (2, 7, 9)) is not None for seed in range(100))
    assert known > 80, known
