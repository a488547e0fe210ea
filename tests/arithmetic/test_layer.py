"""One layer by hand: the exercises of the lectures, torch's own sizes, and the text of the working."""

from __future__ import annotations

import itertools
from math import prod

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import SHARED
from torch import nn

from convatlas.arithmetic import comparisons, formulas, summarize
from convatlas.arithmetic.explanation import explain, explain_all
from convatlas.arithmetic.layer import (
    convolution,
    equivalent_fully_connected,
    fit,
    fully_connected,
    pooling,
    transposed_convolution,
)
from convatlas.errors import ShapeError, UsageError

PUBLISHED = SHARED / "facts" / "published.yaml"
EXERCISES = yaml.safe_load(PUBLISHED.read_text())["layer_exercises"] if PUBLISHED.exists() else []


def chw(sides):
    height, width, channels = sides
    return (channels, height, width)


def found_of(worked, bias):
    channels, *sides = worked.output
    found = {"hwc": [*sides, channels], "params": worked.params, "neurons": worked.neurons, "macs": worked.macs}
    found["connections"] = worked.connections
    if worked.kind != "pool":
        dense = equivalent_fully_connected(worked)
        found["fc_equivalent_weights"], found["fc_equivalent_params"] = dense.macs, dense.params
        found["weights"] = worked.params - (channels if bias else 0)
        found["fan_in_with_bias"] = worked.connections // worked.neurons
    return found


def answer_conv(given, bias):
    keys = {"kernel": given["k"], "stride": given["s"], "padding": given["p"], "groups": given.get("g", 1)}
    return found_of(convolution(chw(given["hwc"]), given["out"], bias=bias, **keys), bias)


def answer_pool(given, bias):
    return found_of(pooling(chw(given["hwc"]), given["k"], given["s"], given.get("p", 0)), False)


def answer_fc(given, bias):
    return found_of(fully_connected(chw(given["hwc"]), given["out"]), bias)


def answer_fit(given, bias):
    result = fit(given["n"], given["k"], given["s"], given.get("p", 0))
    exact = round(float(result.exact), 4)
    return {"fits": result.fits, "exact": exact, "floor": result.floor, "ceil": result.ceil}


def answer_same_pad(given, bias):
    before, after = formulas.same_padding(given["k"])
    assert before == after
    return {"p": before, "out": formulas.output_size(given["n"], given["k"], padding=before)}


def answer_rf(given, bias):
    side = 1 + sum(k * s for k, s in given["layers"]) * 8
    last = summarize(nn.Sequential(*(nn.Conv2d(1, 1, k, s) for k, s in given["layers"])), (1, side, side)).rows[-1]
    return {"rf": last.receptive_field[0], "jump": last.jump[0]}


def answer_chain(given, bias):
    layers = []
    for text in given["ops"]:
        _, out, kernel = text.split()
        layers.append({"out": int(out), "kernel": tuple(map(int, kernel.split("x")))})
    way = comparisons.chain("", chw(given["hwc"]), layers)
    channels, *sides = way.output
    return {"hwc": [*sides, channels], "weights": way.params, "macs": way.macs}


def answer_row(given, bias):
    """Rows of several layers, built as modules and counted."""
    channels, height, width = chw(given["hwc"])
    row = given["row"]
    s = summarize(BUILDERS[row["op"]](channels, row, bias), (channels, height, width))
    out = s.rows[-1].output
    hwc = [*out[1:], out[0]] if len(out) == 3 else [1, 1, out[0]]
    found = {"hwc": hwc, "params": s.totals.params, "macs": s.totals.macs, "connections": s.totals.connections}
    found["weights"] = sum(r.params - (r.output[0] if r.bias else 0) for r in s.rows if r.kind == "conv")
    return found


class Beside(nn.Module):
    """Branches, concatenated."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Pyramid(nn.Module):
    def __init__(self, bins):
        super().__init__()
        self.bins = bins

    def forward(self, x):
        return torch.cat([nn.functional.adaptive_max_pool2d(x, b).flatten(1) for b in self.bins], dim=1)


class Subsample(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.kernel = kernel
        self.coefficient = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        return nn.functional.avg_pool2d(x, self.kernel, divisor_override=1) * self.coefficient + self.bias

    def __arithmetic__(self, inputs, output):
        from convatlas.arithmetic import LayerCount

        return LayerCount("subsample", macs=0, connections=prod(output) * (prod(self.kernel) + 1))


def inception_v1(channels, row, bias):
    one, reduce3, three, reduce5, five, pool = row["cfg"]
    return Beside(
        nn.Conv2d(channels, one, 1, bias=bias),
        nn.Sequential(nn.Conv2d(channels, reduce3, 1, bias=bias), nn.Conv2d(reduce3, three, 3, padding=1, bias=bias)),
        nn.Sequential(nn.Conv2d(channels, reduce5, 1, bias=bias), nn.Conv2d(reduce5, five, 5, padding=2, bias=bias)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(channels, pool, 1, bias=bias)),
    )


def fire(channels, row, bias):
    squeeze, one, three = row["cfg"]
    expand = Beside(nn.Conv2d(squeeze, one, 1, bias=bias), nn.Conv2d(squeeze, three, 3, padding=1, bias=bias))
    return nn.Sequential(nn.Conv2d(channels, squeeze, 1, bias=bias), nn.ReLU(), expand)


def normed(channels, out, kernel):
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), conv)


def dense(channels, row, bias):
    growth = row["growth"]
    layer = nn.Sequential(normed(channels, 4 * growth, 1), normed(4 * growth, growth, 3))
    return Beside(nn.Identity(), layer)


BUILDERS = {
    "inception_v1": inception_v1,
    "fire": fire,
    "dense": dense,
    "transition": lambda c, row, bias: nn.Sequential(normed(c, int(c * row["theta"]), 1), nn.AvgPool2d(2)),
    "spp": lambda c, row, bias: Pyramid(row["bins"]),
    "subsample": lambda c, row, bias: Subsample(c, row["k"]),
}


def answer_arith(given, bias):
    """Sums with their answers: the file is read only for what they say, and evaluated with plain arithmetic."""
    return {key: eval(str(text), {"__builtins__": {}}) for key, text in given["expr"].items()}


@pytest.mark.skipif(not EXERCISES, reason="../shared/facts/published.yaml is absent")
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e["id"])
def test_layer_exercises(exercise):
    answer = globals()[f"answer_{exercise['kind']}"](exercise["in"], exercise.get("bias", True))
    assert {key: answer[key] for key in exercise["answer"]} == exercise["answer"]


# ------------------------------------------------------------------ the working, as text


def test_the_working_of_alexnet_conv1():
    lines = [str(step) for step in convolution((3, 227, 227), 96, kernel=11, stride=4).steps]
    assert lines[0] == "(H - K + 2P)/S + 1 = (227 - 11 + 2*0)/4 + 1 = 55"
    assert lines[1] == "K*K*C*F + F = 11*11*3*96 + 96 = 34,944"
    assert lines[2] == "H*W*F = 55*55*96 = 290,400"
    assert lines[3] == "K*K*C = 11*11*3 = 363"
    assert lines[4] == "neurons * (inputs + 1) = 290,400 * (363 + 1) = 105,705,600   (1 for the bias)"
    assert lines[5] == "neurons * inputs = 290,400 * 363 = 105,415,200"


def test_a_stride_that_does_not_fit_and_the_paddings_that_do():
    result = fit(224, 11, 4)
    assert not result.fits
    assert result.paddings == ()  # 213 + 2P is odd
    assert result.totals[:2] == (3, 7)
    assert fit(7, 3, 3).paddings == (1,)
    assert str(convolution((3, 224, 224), 96, 11, 4).steps[0]).endswith("= 54   (54.25 rounded down)")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convolution((3, 8, 8), 4, 11),
            r"spans 11 pixels does not fit into the padded input of 8 \+ 0 \+ 0.*padding by 3 in total",
        ),
        (lambda: convolution((3, 8, 8), 4, 3, groups=2), "3 channels cannot be divided into 2 equal groups"),
        (lambda: convolution((3, 8, 8), 0, 3), "at least one filter"),
        (lambda: convolution((3, 8, 8), 4, 3, stride=0), "stride must be a positive integer; got 0"),
        (lambda: convolution((3, 0, 8), 4, 3), "the sizes of an input must be positive integers"),
        (lambda: convolution((3, 8, 8), 4, 3, stride=2, padding="same"), "'same' needs a stride of 1"),
        (lambda: pooling((3, 8, 8), 2, padding=2), "at most half of its window"),
        (lambda: convolution((3, 8, 8), 4, (3, 3, 3)), r"kernel must have one entry, or one per axis \(2\)"),
    ],
)
def test_impossible_layers(call, message):
    with pytest.raises((UsageError, ShapeError), match=message):
        call()


# ------------------------------------------------------------------ against torch


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sizes_parameters_and_macs_are_torchs(data):
    draw = data.draw
    channels, out, groups = draw(st.sampled_from([(4, 6, 1), (4, 8, 2), (6, 6, 6), (3, 5, 1)]))
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    padding, dilation, bias = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    side = draw(st.integers(1, 10))
    net = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias)
    try:
        row = summarize(net, (channels, side, side + 1)).rows[0]
    except ShapeError:
        with pytest.raises(ShapeError):
            convolution((channels, side, side + 1), out, kernel, stride, padding, dilation, groups, bias)
        return
    worked = convolution((channels, side, side + 1), out, kernel, stride, padding, dilation, groups, bias)
    taps = sum(  # count by walking over every output and every tap
        1
        for _ in itertools.product(range(row.output[1]), range(row.output[2]))
        for _ in range(out * (channels // groups) * kernel * kernel)
    )
    assert (worked.output, worked.params) == (row.output, sum(p.numel() for p in net.parameters()))
    assert worked.macs == row.macs == taps
    assert worked.connections == row.connections == taps + (prod(row.output) if bias else 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3), st.integers(1, 3), st.booleans())
def test_pooled_sizes_are_torchs(side, kernel, stride, padding, dilation, ceil_mode):
    padding = min(padding, kernel // 2)
    try:
        expected = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)(torch.zeros(1, 1, side, side))
    except RuntimeError:
        with pytest.raises(ShapeError):
            pooling((1, side, side), kernel, stride, padding, dilation, ceil_mode)
        return
    try:
        assert pooling((1, side, side), kernel, stride, padding, dilation, ceil_mode).output == expected.shape[1:]
    except ShapeError:  # with ceil_mode torch allows a window larger than the padded input; we say so instead
        assert ceil_mode


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)
)
def test_transposed_sizes_are_torchs(side, kernel, stride, padding, dilation, extra):
    extra = min(extra, max(stride, dilation) - 1)
    net = nn.ConvTranspose2d(2, 3, kernel, stride, padding, extra, dilation=dilation)
    size = formulas.reach(kernel, dilation) + (side - 1) * stride - 2 * padding + extra
    if size < 1:
        with pytest.raises(ShapeError):
            transposed_convolution((2, side, side), 3, kernel, stride, padding, dilation, output_padding=extra)
        return
    row = summarize(net, (2, side, side)).rows[0]
    worked = transposed_convolution((2, side, side), 3, kernel, stride, padding, dilation, output_padding=extra)
    assert (worked.output, worked.params, worked.macs) == (row.output, row.params, row.macs)


# ------------------------------------------------------------------ explain, and the lecture's comparisons


def test_explain_does_every_layer_again_and_agrees():
    net = nn.Sequential(
        nn.Conv2d(3, 8, (1, 7), padding=(0, 3), bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4),
        nn.Flatten(),
        nn.Linear(8 * 5 * 6, 10),
    )
    s = summarize(net, (3, 10, 12))
    texts = {e.row.name: str(e) for e in explain_all(s)}
    assert "r + (K - 1)*j = 1 + (7 - 1)*1 = 7" in texts["0"]
    assert "a scale and a shift per channel = 2*8 = 16" in texts["1"]
    assert "(10 - 3 + 2*0)/2 + 1 = 5   (4.5 rounded up)" in texts["3"]
    assert "K*K*(C/G)*F + F = 3*3*(8/4)*8 + 8 = 152" in texts["4"]
    assert "jump" in texts["3"]
    assert "0 B   (a view, or computed in place)" in str(explain(s, "2"))
    assert "8*5*6*10 + 10" not in texts["6"]  # the layer itself sees a vector
    assert "N*F + F = 240*10 + 10 = 2,410" in texts["6"]


def test_the_comparisons_of_the_lecture():
    stacks = {way.name: way for way in comparisons.stacks(256).alternatives}
    assert stacks["two 3x3"].params == 1_179_648
    assert stacks["5x5"].params == 1_638_400
    assert stacks["three 3x3"].params == 1_769_472
    assert stacks["7x7"].params == 3_211_264
    assert stacks["two 3x3"].receptive_field == stacks["5x5"].receptive_field == (5, 5)
    assert stacks["three 3x3"].receptive_field == stacks["7x7"].receptive_field == (7, 7)
    direct, reduced = comparisons.reduction().alternatives
    assert (direct.params, reduced.params) == (153_600, 15_872)
    assert (direct.macs, reduced.macs) == (120_422_400, 12_443_648)
    naive, module = comparisons.inception().alternatives
    assert (module.params, module.macs) == (163_328, 128_049_152)
    assert naive.output[0] == 64 + 128 + 32 + 192
    _, squeezed, basic = comparisons.bottleneck().alternatives
    assert (squeezed.params, squeezed.macs) == (69_632, 218_365_952)
    assert (basic.params, basic.macs) == (73_728, 231_211_008)
    full, two = comparisons.grouped().alternatives
    assert (full.macs, two.macs) == (447_897_600, 223_948_800)
    whole, parts = comparisons.separable().alternatives
    assert (whole.params, parts.params) == (4_769_856, 536_536)
    connected, shared = comparisons.sharing().alternatives
    assert (connected.params, shared.params) == (31_457_280, 750)
