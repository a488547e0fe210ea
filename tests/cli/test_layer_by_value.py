"""``convatlas layer ... --values`` as a student meets it."""

from __future__ import annotations

import json

import numpy as np
import pytest

IMAGE = "1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0"
KERNEL = "1 0 1 / 0 1 0 / 1 0 1"


def test_the_lecture_s_convolution(convatlas):
    code, out, _ = convatlas("layer", "conv", "--values", IMAGE, "--weights", KERNEL)
    assert code == 0
    assert "conv: 1 x 5 x 5 -> 1 x 3 x 3" in out
    assert "  y[0,0] = 1*1 + 1*0 + 1*1 + 0*0 + 1*1 + 1*0 + 0*1 + 0*0 + 1*1 = 4\n" in out
    assert "\n  4  3  4\n  2  4  3\n  2  3  4\n" in out
    assert "autograd" not in out


def test_backward_is_checked_against_autograd(convatlas):
    arguments = ("--values", IMAGE, "--weights", KERNEL, "--bias", "0.5", "--backward")
    code, out, _ = convatlas("layer", "conv", *arguments)
    assert code == 0
    assert "PyTorch's autograd in float64 agrees; largest difference 0" in out
    assert "dL/db[0] = 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 = 9" in out
    document = json.loads(convatlas("layer", "conv", *arguments, "--json")[1])
    assert document["schema"] == 1
    assert (document["input"], document["output"]) == ([1, 5, 5], [1, 3, 3])
    assert document["result"] == [[[4.5, 3.5, 4.5], [2.5, 4.5, 3.5], [2.5, 3.5, 4.5]]]
    assert document["gradients"]["b"] == [9]
    assert document["gradients"]["w"] == [[[[6, 7, 6], [4, 7, 7], [4, 6, 6]]]]
    assert document["autograd"]["agrees"] is True
    assert document["working"][0].startswith("y[0,0] = (1*1 + ")
    assert document["working_left_out"] == 0
    other = convatlas("layer", "conv", *arguments, "--grad-output", "2 0 0 / 0 0 0 / 0 0 0", "--json")[1]
    assert json.loads(other)["gradients"]["b"] == [2]


def test_a_long_working_is_shortened_and_all_shows_it(convatlas, tmp_path):
    np.save(tmp_path / "image.npy", np.ones((8, 8), dtype=np.float32))
    values = ("--values", f"@{tmp_path / 'image.npy'}", "--weights", "1 1 / 1 1")
    _, short, _ = convatlas("layer", "conv", *values)
    assert "... and 13 more" in short
    assert "--all shows all of it" in short
    _, full, _ = convatlas("layer", "conv", *values, "--all")
    assert full.count("y[") == 49
    assert "shortened" not in full
    assert json.loads(convatlas("layer", "conv", *values, "--json")[1])["working_left_out"] == 13


def test_the_other_layers(convatlas):
    assert "max(1, 3, 5, 6) = 6" in convatlas("layer", "pool", "--values", "1 3 / 5 6", "--kernel", "2")[1]
    averaged = convatlas("layer", "pool", "--values", "1 3 / 5 6", "--kernel", "2", "--mode", "avg")[1]
    assert "(1 + 3 + 5 + 6)/4 = 3.75" in averaged
    lrn = convatlas("layer", "lrn", "--values", "1 ; 2", "--k", "1", "--alpha", "1", "--beta", "1", "--backward")[1]
    assert "d[0,0,0] = 1 + 1*(1^2 + 2^2) = 6" in lrn
    assert "float64 agrees" in lrn
    assert "max(0, -1) = 0" in convatlas("layer", "relu", "--values", "-1 2")[1]
    dense = convatlas("layer", "fc", "--values", "1 2", "--weights", "1 1 / 0 1", "--bias", "0 0.5")[1]
    assert "y[1] = (1*0 + 2*1) + 0.5 = 2.5" in dense
    scores = convatlas("layer", "softmax", "--values", "3 1 2 0 -1 -2", "--label", "5", "--backward")[1]
    assert "row 0: top-1 is class 0; top-5 are 0, 2, 1, 3, 4" in scores
    assert "rank 6; top-1 wrong, top-5 wrong" in scores
    assert "float64 agrees" in scores
    loss = convatlas("layer", "loss", "--q", "0.5 0.5", "--label", "0", "--gamma", "2", "--base", "2")[1]
    assert "logarithm to base 2: bits" in loss
    assert "-(1 - 0.5)^2 log2 0.5 = 0.25   (0.25 of the cross-entropy)" in loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conv"], "--input is missing. Give the sizes (--input) for the counts, or --values"),
        (["conv", "--input", "3x8x8"], "--out is missing"),
        (["conv", "--values", "1 2", "--kernel", "3"], "--kernel is not for --values"),
        (["conv", "--values", "1 2"], "--weights is missing"),
        (["conv", "--input", "3x8x8", "--out", "2", "--kernel", "3", "--backward"], "--backward needs --values"),
        (["pool", "--input", "3x8x8", "--kernel", "2", "--mode", "avg"], "--mode needs --values"),
        (["pool", "--values", "1 2"], "--kernel is missing"),
        (["fc", "--values", "1 2", "--weights", "1 2", "--out", "1"], "--out is not for --values"),
        (["relu", "--values", "1 2", "--grad-output", "1 1"], "add --backward"),
        (["softmax", "--values", "1 2", "--label", "0", "--backward", "--grad-output", "1 1"], "leave one of them out"),
        (["loss", "--q", "0.5 0.5", "--gamma", "2"], "needs --q and --label"),
    ],
)
def test_options_that_do_not_fit_together(convatlas, arguments, message):
    code, _, err = convatlas("layer", *arguments)
    assert code == 2
    assert message in err


def test_the_working_in_korean(convatlas):
    _, out, _ = convatlas("--lang", "ko", "layer", "conv", "--values", IMAGE, "--weights", KERNEL, "--backward")
    assert "가중치의 기울기" in out
    assert "y[0,0] = 1*1" in out
