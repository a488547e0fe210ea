"""Layers by value: examples worked out on paper, and PyTorch's outputs and gradients over random shapes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from convatlas.arithmetic import by_value
from convatlas.arithmetic.autograd import agreement
from convatlas.arithmetic.exact import array_of, floats, number, plain, read_array
from convatlas.arithmetic.information import losses
from convatlas.errors import DataError, ShapeError, UsageError

IMAGE = "1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0"
KERNEL = "1 0 1 / 0 1 0 / 1 0 1"


def lines_of(worked, symbol="y"):
    arrays = {each.symbol: each for each in (*worked.arrays, *worked.backward())}
    return [str(line) for line in arrays[symbol].working()]


# ------------------------------------------------------------------ on paper


def test_the_lecture_s_5x5_image_under_its_3x3_kernel():
    worked = by_value.convolution(IMAGE, KERNEL)
    assert plain(worked.output) == [[[4, 3, 4], [2, 4, 3], [2, 3, 4]]]
    lines = lines_of(worked)
    assert lines[0] == "y[0,0] = 1*1 + 1*0 + 1*1 + 0*0 + 1*1 + 1*0 + 0*1 + 0*0 + 1*1 = 4"
    assert lines[5] == "y[1,2] = 1*1 + 1*0 + 0*1 + 1*0 + 1*1 + 1*0 + 1*1 + 1*0 + 0*1 = 3"
    assert str(worked.sizes[0]) == "(H - K + 2P)/S + 1 = (5 - 3 + 2*0)/1 + 1 = 3"


def test_channels_filters_and_bias_on_paper():
    worked = by_value.convolution("1 2 / 3 4 ; 5 6 / 7 8", "1 0 / 0 1 ; 0 1 / 1 0 | 1 1 / 1 1 ; 0 0 / 0 0", "0.5 -1")
    assert plain(worked.output) == [[[5 + 13 + 0.5]], [[10 - 1]]]
    assert lines_of(worked)[0] == "y[0,0,0] = (1*1 + 2*0 + 3*0 + 4*1) + (5*0 + 6*1 + 7*1 + 8*0) + 0.5 = 18.5"
    assert lines_of(worked, "dL/dw")[0] == "dL/dw[0,0,0,0] = 1*1 = 1"


def test_gradients_of_a_convolution_on_paper():
    worked = by_value.convolution("1 2 3 / 4 5 6 / 7 8 9", "1 2 / 3 4", "10")
    of_input, of_weights, of_bias = worked.backward("1 0 / 0 2")
    assert plain(of_input.values) == [[[1, 2, 0], [3, 4 + 2, 4], [0, 6, 8]]]
    assert plain(of_weights.values) == [[[[1 + 10, 2 + 12], [4 + 16, 5 + 18]]]]
    assert plain(of_bias.values) == [3]
    assert [str(line) for line in of_bias.working()] == ["dL/db[0] = 1 + 0 + 0 + 2 = 3"]


def test_decimals_are_exact():
    assert plain(by_value.convolution("0.1 0.2", "1 1").output) == [[[0.3]]]
    assert lines_of(by_value.convolution("0.1 0.2", "1 1")) == ["y[0,0] = 0.1*1 + 0.2*1 = 0.3"]
    assert plain(by_value.convolution(np.array([[0.1, 0.2]], dtype=np.float32), [[1, 1]]).output) == [[[0.3]]]
    assert isinstance(by_value.convolution("2 2", "0.5 0.5").output.item(), int)  # whole again: an int


def test_pooling_on_paper():
    square = "1 3 2 4 / 5 6 7 8 / 3 2 1 0 / 1 2 3 4"
    assert plain(by_value.pooling(square, 2).output) == [[[6, 8], [3, 4]]]
    averaged = by_value.pooling(square, 2, mode="avg")
    assert plain(averaged.output) == [[[3.75, 5.25], [2, 2]]]
    assert lines_of(averaged)[0] == "y[0,0] = (1 + 3 + 5 + 6)/4 = 3.75"
    padded = by_value.pooling("1 2 / 3 4", 2, padding=1, mode="avg")
    assert lines_of(padded)[0] == "y[0,0] = 1/4 = 0.25   (includes 3 zeros of the padding)"
    tied = by_value.pooling("2 2 / 1 2", 2)
    assert plain(tied.backward()[0].values) == [[[1, 0], [0, 0]]]
    assert "its first occurrence gets the gradient, as in PyTorch" in tied.notes[0]
    assert not by_value.pooling("2 3 / 1 2", 2).notes


def test_local_response_normalisation_on_paper():
    worked = by_value.local_response_norm("1 ; 2 ; 3", k=1, n=3, alpha="0.1", beta=1)
    assert [str(line) for line in worked.arrays[0].working()] == [
        "d[0,0,0] = 1 + 0.1*(1^2 + 2^2) = 1.5",
        "d[1,0,0] = 1 + 0.1*(1^2 + 2^2 + 3^2) = 2.4",
        "d[2,0,0] = 1 + 0.1*(2^2 + 3^2) = 2.3",
    ]
    assert floats(worked.output).ravel() == pytest.approx([1 / 1.5, 2 / 2.4, 3 / 2.3])
    assert "one channel" in by_value.local_response_norm("1 2 3").notes[0]


def test_relu_softmax_and_fully_connected_on_paper():
    assert plain(by_value.relu("-1 0.5 / 0 2").output) == [[[0, 0.5], [0, 2]]]
    assert plain(by_value.relu("-1 0.5 / 0 2").backward()[0].values) == [[[0, 1], [0, 1]]]
    worked = by_value.fully_connected("1 2 3", "1 0 1 / 0 -1 0", "0.5 1")
    assert lines_of(worked) == ["y[0] = (1*1 + 2*0 + 3*1) + 0.5 = 4.5", "y[1] = (1*0 + 2*(-1) + 3*0) + 1 = -1"]
    assert plain(worked.backward()[0].values) == [1, -1, 1]
    equal = by_value.softmax("7 7 7 7", 2)
    assert plain(equal.output) == [[0.25] * 4]
    assert plain(equal.backward()[0].values) == [[0.25, 0.25, -0.75, 0.25]]


def test_top_1_and_top_5_of_given_scores():
    first, second = by_value.rankings(by_value.softmax("1 9 3 4 5 6 7 / 3 2 1 0 -1 -2 -3", "0 4"))
    assert first.order[:5] == (1, 6, 5, 4, 3)
    assert (first.rank, first.hit(1), first.hit(5)) == (7, False, False)
    assert (second.rank, second.hit(1), second.hit(5)) == (5, False, True)
    (far,) = by_value.rankings(by_value.softmax("0 2000", "0"))
    assert far.loss == 2000  # although p is 0 as a float


def test_a_long_sum_is_shortened_and_can_be_written_in_full():
    line = next(iter(by_value.fully_connected([1] * 40, [[2] * 40]).arrays[0].working()))
    assert str(line) == "y[0] = 1*2 + 1*2 + 1*2 + 1*2 + ... + 1*2 = 80"
    assert line.text(None).count("1*2") == 40


# ------------------------------------------------------------------ against PyTorch

numbers = st.integers(-40, 40).map(lambda tenths: Fraction(tenths, 10))


def arrays(draw, *shape):
    values = draw(st.lists(numbers, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    array = np.empty(shape, dtype=object)
    for index, value in zip(np.ndindex(*shape), values, strict=True):
        array[index] = value
    return array


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_are_pytorch_s_forward_and_backward(data):
    draw = data.draw
    channels, filters, groups = draw(st.sampled_from([(1, 1, 1), (2, 3, 1), (2, 4, 2), (3, 3, 3)]))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, padding, dilation = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(1, 2))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    x = arrays(draw, channels, height, width)
    w = arrays(draw, filters, channels // groups, *kernel)
    b = arrays(draw, filters) if draw(st.booleans()) else None
    try:
        expected = F.conv2d(
            torch.tensor(floats(x))[None],
            torch.tensor(floats(w)),
            None if b is None else torch.tensor(floats(b)),
            stride,
            padding,
            dilation,
            groups,
        )[0]
    except RuntimeError:
        with pytest.raises(ShapeError):
            by_value.convolution(x, w, b, stride, padding, dilation, groups)
        return
    worked = by_value.convolution(x, w, b, stride, padding, dilation, groups)
    assert floats(worked.output) == pytest.approx(expected.numpy())
    grad_output = arrays(draw, *worked.output.shape)
    assert agreement(worked, worked.backward(grad_output), grad_output).agrees


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_poolings_are_pytorch_s_forward_and_backward(data):
    draw = data.draw
    mode, ceil_mode = draw(st.sampled_from(["max", "avg"])), draw(st.booleans())
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel // 2))
    x = arrays(draw, draw(st.integers(1, 2)), draw(st.integers(kernel, 5)), draw(st.integers(kernel, 5)))
    worked = by_value.pooling(x, kernel, stride, padding, mode, 1, ceil_mode)
    pool = F.max_pool2d if mode == "max" else F.avg_pool2d
    expected = pool(torch.tensor(floats(x))[None], kernel, stride, padding, ceil_mode=ceil_mode)[0]
    assert floats(worked.output) == pytest.approx(expected.numpy())
    grad_output = arrays(draw, *worked.output.shape)
    assert agreement(worked, worked.backward(grad_output), grad_output).agrees


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_normalisations_are_pytorch_s_forward_and_backward(data):
    draw = data.draw
    x = arrays(draw, draw(st.integers(1, 6)), 1, 2)
    n, divide = draw(st.integers(1, 6)), draw(st.booleans())
    worked = by_value.local_response_norm(x, "1.5", n, "0.01", draw(st.sampled_from(["0.5", "0.75", "2"])), divide)
    layer = nn.LocalResponseNorm(n, 0.01 * (1 if divide else n), worked.settings["beta"], 1.5)
    assert floats(worked.output) == pytest.approx(layer(torch.tensor(floats(x))[None])[0].numpy())
    grad_output = arrays(draw, *x.shape)
    assert agreement(worked, worked.backward(grad_output), grad_output).agrees


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_softmax_relu_and_fully_connected_are_pytorch_s(data):
    draw = data.draw
    rows, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    z = arrays(draw, rows, classes)
    worked = by_value.softmax(z)
    assert floats(worked.output) == pytest.approx(F.softmax(torch.tensor(floats(z)), dim=1).numpy())
    grad_output = arrays(draw, rows, classes)
    assert agreement(worked, worked.backward(grad_output), grad_output).agrees
    labels = [draw(st.integers(0, classes - 1)) for _ in range(rows)]
    labelled = by_value.softmax(z, labels)
    assert agreement(labelled, labelled.backward()).agrees
    mean = sum(each.loss for each in by_value.rankings(labelled)) / rows
    assert mean == pytest.approx(F.cross_entropy(torch.tensor(floats(z)), torch.tensor(labels)).item())
    rectified = by_value.relu(z)
    assert agreement(rectified, rectified.backward(grad_output), grad_output).agrees
    dense = by_value.fully_connected(z.ravel(), arrays(draw, 3, z.size), arrays(draw, 3))
    at_output = arrays(draw, 3)
    assert agreement(dense, dense.backward(at_output), at_output).agrees


def test_a_wrong_gradient_is_noticed():
    worked = by_value.convolution(IMAGE, KERNEL)
    of_input, of_weights = worked.backward()
    of_weights.values[0, 0, 0, 0] += 1
    found = agreement(worked, (of_input, of_weights))
    assert (found.agrees, found.largest_difference) == (False, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.data())
def test_losses_are_pytorch_s(parts, data):
    p = [Fraction(part, sum(parts)) for part in parts]
    others = data.draw(st.lists(st.integers(1, 20), min_size=len(parts), max_size=len(parts)))
    q = [Fraction(part, sum(others)) for part in others]
    label = data.draw(st.integers(0, len(parts) - 1))
    found = losses(p, q, "e", label, ["0", "2"]).values
    log_q, true = torch.tensor([float(x) for x in q]).log().double(), torch.tensor([float(x) for x in p]).double()
    assert found["cross_entropy"] == pytest.approx(float(-(true * log_q).sum()), rel=1e-5)
    assert found["kl"] == pytest.approx(float(F.kl_div(log_q, true, reduction="sum")), abs=1e-5)
    assert found["kl"] >= -1e-12
    assert found["kl"] == pytest.approx(found["cross_entropy"] - found["entropy"])
    assert found["focal"]["0"] == pytest.approx(found["label_loss"])
    assert found["focal"]["2"] == pytest.approx(float(1 - q[label]) ** 2 * found["label_loss"])
    bits = losses(p, q, 2).values
    assert bits["entropy"] * np.log(2) == pytest.approx(found["entropy"])


def test_losses_on_paper():
    found = losses("0.5 1/4 1/4", "1/4 1/4 0.5", 2)
    assert found.values["information"] == [1, 2, 2]
    assert (found.values["entropy"], found.values["cross_entropy"], found.values["kl"]) == (1.5, 1.75, 0.25)
    told = {step.quantity: str(step) for step in found.steps}
    assert told["entropy"].endswith("-0.5*log2 0.5 - 0.25*log2 0.25 - 0.25*log2 0.25 = 1.5 bits = 1.03972 nats")
    ruled_out = losses("0.5 0.5", "1 0", "e")
    assert ruled_out.values["kl"] == float("inf")
    assert ruled_out.to_dict()["kl"] is None
    assert losses(None, "0.7 0.2 0.1", 2, 0).values["entropy"] == 0  # all of P is on the label


# ------------------------------------------------------------------ what cannot be worked out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: array_of("1 2 / 3", 3), r"the row '3' has 1 numbers, and the first row '1 2' has 2"),
        (lambda: array_of("1 2 / x 3", 3), r"'x' is not a valid number"),
        (lambda: array_of("1 2 / ", 3), r"a row has no numbers"),
        (lambda: array_of("", 3), r"a row has no numbers"),
        (lambda: array_of([[1, 2], [3]], 3), r"the sizes differ: 2 and 1"),
        (lambda: array_of([1, float("nan")], 3), r"'nan' is not a valid number"),
        (lambda: array_of("1e999999999", 3), r"'1e999999999' is not a valid number"),
        (lambda: array_of("1 | 2", 3), r"shape 2 x 1 x 1 x 1, and at most 3 axes"),
        (
            lambda: by_value.convolution("1 2", "1 1 1"),
            r"spans 3 pixels does not fit into the padded input of 2 \+ 0 \+ 0.*smaller kernel",
        ),
        (lambda: by_value.convolution("1 2", "1 ; 1"), r"each filter has 2 channels, and 1 were expected.*\| sep"),
        (lambda: by_value.convolution("1 2", "1", "1 2"), r"2 biases for 1 output channels"),
        (lambda: by_value.convolution([[1] * 600] * 600, "1"), r"360,000 products are too many.*--input"),
        (
            lambda: by_value.convolution("1 2", "1").backward("1"),
            r"has the shape 1 x 1 x 1, and the output has the shape 1 x 1 x 2",
        ),
        (lambda: by_value.pooling("1 2", 2), r"spans 2 pixels does not fit"),
        (lambda: by_value.pooling("1 2", 1, mode="min"), r"is max or avg; got 'min'"),
        (lambda: by_value.local_response_norm("1", k=0, alpha=0), r"is 0, and must be positive"),
        (lambda: by_value.fully_connected("1 2", "1 2 3"), r"has 3 numbers, and the input has 2"),
        (lambda: by_value.softmax("1 2", "2"), r"0 to 1; got 2"),
        (lambda: by_value.softmax("1 2", "0 1"), r"2 labels for 1 rows"),
        (lambda: losses("0.33 0.33 0.33"), r"must sum to 1; they sum to 0.99.*\(1/3\).*layer softmax"),
        (lambda: losses("1.5 -0.5"), r"must not be negative; got -0.5"),
        (lambda: losses("1/0 1"), r"divides by zero"),
        (lambda: losses("1 0", "1"), r"P has 2 probabilities and Q has 1"),
        (lambda: losses("1 0", base=10), r"must be e \(nats\) or 2 \(bits\); got '10'"),
        (lambda: losses(), r"no distribution was given"),
    ],
)
def test_impossible_exercises(call, message):
    with pytest.raises(UsageError, match=message):
        call()


# ------------------------------------------------------------------ numbers and files


def test_how_numbers_are_written():
    assert [number(value) for value in (3, Fraction(-1, 8), Fraction(1, 3), 2.0, -0.0)] == [
        "3",
        "-0.125",
        "0.333333...",
        "2",
        "0",
    ]
    assert number(Fraction(1, 10**6)) == "0.000001"


def test_values_from_files(tmp_path):
    expected = [[[1, 2.5], [3, 4]], [[0, 0], [1, 1]]]
    (tmp_path / "a.csv").write_text("1,2.5\n3, 4\n\n0,0\n1,1\n")
    (tmp_path / "a.txt").write_text("1 2.5 /\n3 4 ;\n0 0\n1 1")
    np.save(tmp_path / "a.npy", np.array(expected, dtype=np.float32))
    for name in ("a.csv", "a.txt", "a.npy"):
        assert plain(array_of(read_array(tmp_path / name), 3)) == expected
    with pytest.raises(DataError, match=r"cannot read .*none.csv: No such file or directory"):
        read_array(tmp_path / "none.csv")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is not an array of numbers"):
        read_array(tmp_path / "objects.npy")
