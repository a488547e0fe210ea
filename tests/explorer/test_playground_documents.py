"""The playground's documents: they agree with `convatlas layer`, with `summarize`, and with PyTorch's own modules."""

import contextlib
import io
import json
import random

import pytest
import torch
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.arithmetic.layer import convolution
from convatlas.errors import ShapeError, UsageError
from convatlas.explorer import playground
from convatlas.explorer.exercises import NETWORKS, exercises, presets
from convatlas.i18n import set_language

ALEXNET = {"kind": "conv", "input": [3, 227, 227], "channels": 96, "kernel": [11, 11], "stride": [4, 4]}


@pytest.fixture
def korean():
    set_language("ko")
    yield
    set_language(None)


def test_alexnets_first_layer():
    document = playground.layer(ALEXNET)
    assert (document["output"], document["params"]) == ([96, 55, 55], 34_944)
    assert document["macs"] == 105_415_200
    assert document["window"] == {
        "size": [227, 227], "kernel": [11, 11], "stride": [4, 4], "padding": [0, 0], "dilation": [1, 1],
        "reach": [11, 11], "positions": [55, 55],
    }  # fmt: skip
    params = next(step for step in document["steps"] if step["quantity"] == "params")
    assert params["substitution"] == "11*11*3*96 + 96"


def test_a_second_flatten_does_nothing_and_has_a_row():
    layers = [{"kind": "flatten"}, {"kind": "flatten"}, {"kind": "fc", "features": 10}]
    document = playground.network({"input": [3, 4, 4], "layers": layers})
    assert [row["name"] for row in document["rows"]] == document["names"] == ["flatten1", "flatten2", "fc1"]
    assert [row["inputs"] for row in document["rows"]] == [["input"], ["flatten1"], ["flatten2"]]
    assert [row["output"] for row in document["rows"]] == [[48], [48], [10]]


def test_steps_are_told_in_the_language_in_use(korean):
    quantities = [step["quantity"] for step in playground.layer(ALEXNET)["steps"]]
    assert "파라미터" in quantities
    assert "params" not in quantities


def test_receptive_field_follows_from_that_of_the_input():
    # conv 3x3 after VGG's first pooling: r = 6, j = 2
    body = {"kind": "conv", "input": [64, 112, 112], "channels": 128, "kernel": [3, 3], "padding": [1, 1]}
    field = playground.layer(body | {"before": {"field": [6, 6], "jump": [2, 2]}})["field"]
    assert (field["receptive_field"], field["jump"]) == ([10, 10], [2, 2])
    assert [step["substitution"] for step in field["steps"]] == ["6 + (3 - 1)*2", "2*1"]


def test_a_layer_that_does_not_fit_says_why():
    with pytest.raises(ShapeError, match="Increase the padding by 2 in total"):
        playground.layer({"kind": "conv", "input": [1, 3, 3], "channels": 1, "kernel": [5, 5]})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kind": "lstm"}, "kind of a layer"),
        ({"kernel": [0, 3]}, "kernel must be a whole number from 1"),
        ({"kernel": None}, "kernel must be a whole number"),
        ({"channels": True}, "channels must be a whole number"),
        ({"channels": "6"}, "channels must be a whole number"),
        ({"stride": [1, 1, 1]}, "stride must be one number, or a height and a width"),
        ({"input": [3, 10**9, 10]}, "size must be a whole number from 1 to 4,096"),
        ({"input": "3x32x32"}, "the input must be channels, height and width"),
        ({"groups": 2}, "3 channels cannot be divided into 2"),
        ({"bias": 1}, "bias must be true or false"),
        ({"before": {"jump": 0}}, "jump must be a whole number"),
        ({"before": "a" * 10_000}, "must be a JSON object"),
    ],
)
def test_a_bad_request_names_its_field(change, part):
    with pytest.raises(UsageError, match=part) as raised:
        playground.layer(ALEXNET | change)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("body", [None, 3, [], "conv", {}, {"layers": 3}, {"input": [1, 8, 8], "layers": ["relu"]}])
def test_a_request_that_is_no_net_is_a_usage_error(body):
    with pytest.raises(UsageError):
        playground.network(body)


def random_layers(draw: random.Random) -> list[dict]:
    def conv():
        kernel = draw.choice((1, 3, 5))
        sides = {"kernel": [kernel, draw.choice((1, 3))], "stride": [draw.choice((1, 2)), 1]}
        return {"kind": "conv", "channels": draw.choice((4, 8)), "padding": draw.randint(0, 2), **sides}

    choices = (conv, lambda: {"kind": "pool", "kernel": 2, "pooling": draw.choice(("max", "average"))},
               lambda: {"kind": "relu"}, lambda: {"kind": "batch_norm"}, lambda: {"kind": "dropout"})  # fmt: skip
    body = [draw.choice(choices)() for _ in range(draw.randint(1, 6))]
    return [*body, *([{"kind": "global_avgpool"}] if draw.random() < 0.3 else []), {"kind": "fc", "features": 10}]


@pytest.mark.parametrize("seed", range(20))
def test_the_code_builds_the_same_net(seed):
    """The code runs as it is; PyTorch's parameters, output and our own trace of it agree with the document."""
    layers = random_layers(random.Random(seed))
    document = playground.network({"input": [3, 24, 24], "layers": layers})
    assert document["failure"] is None
    scope: dict = {"torch": torch, "nn": nn}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(document["code"], scope)
    assert printed.getvalue().strip() == "torch.Size([2, 10])"
    net = scope["net"]
    assert document["totals"]["params"] == sum(p.numel() for p in net.parameters())
    totals = summarize(net, (3, 24, 24)).totals
    assert document["totals"] == {name: getattr(totals, name) for name in document["totals"]}
    for name, total in document["totals"].items():
        assert total == sum(row[name] for row in document["rows"])
    assert [row["name"] for row in document["rows"]] == document["names"]


def test_rows_stop_at_the_first_layer_that_does_not_fit():
    layers = [{"kind": "conv", "channels": 6, "kernel": 5}, {"kind": "pool", "kernel": 2},
              {"kind": "conv", "channels": 8, "kernel": 9}, {"kind": "fc", "features": 10}]  # fmt: skip
    document = playground.network({"input": [1, 16, 16], "layers": layers})
    assert [row["name"] for row in document["rows"]] == ["conv1", "pool1"]
    assert document["names"] == ["conv1", "pool1", "conv2", "fc1"]
    failure = document["failure"]
    assert (failure["index"], failure["layer"], failure["inputs"]) == (2, "conv2", [[6, 6, 6]])
    assert "Increase the padding by 3 in total" in failure["message"]
    assert document["code"] == ""


def test_a_net_like_lenet_has_lenets_parameters():
    lenet = next(each for each in NETWORKS if each.id == "lenet")
    document = playground.network({"input": list(lenet.input), "layers": list(lenet.layers)})
    assert document["totals"]["params"] == 61_706  # 156 + 2,416 + 48,120 + 10,164 + 850
    assert document["rows"][0]["receptive_field"] == [5, 5]


def test_every_preset_fits():
    found = presets()
    for each in found["networks"]:
        assert playground.network(each)["failure"] is None
    for each in found["layers"]:
        assert playground.layer({"input": each["input"], **each["layers"][0]})["output"]


def test_the_papers_exercises():
    answers = {each["id"]: each["answer"] for each in exercises(0)["exercises"]}
    assert answers["alexnet-output"] == 55
    assert answers["alexnet-params"] == 34_944  # 11*11*3*96 + 96
    assert answers["lenet-connections"] == 122_304  # LeCun et al. 1998, section II.B
    assert answers["reduction"] == 28 * 28 * (192 * 16 + 25 * 16 * 32)
    assert answers["stacks"] == (49 - 27) * 64 * 64


@pytest.mark.parametrize("seed", range(10))
def test_drawn_exercises_are_those_of_their_seed_and_end_in_their_answer(seed):
    found = exercises(seed)
    assert found == exercises(seed) != exercises(seed + 1)
    for each in found["exercises"]:
        assert each["steps"][-1]["result"] == f"{each['answer']:,}"
        assert "{" not in each["question"]
    json.dumps(found)


def test_an_exercise_agrees_with_pytorch():
    """The first question's sizes, read from its text, give PyTorch's output size."""
    import re

    for seed in range(20):
        exercise = exercises(seed)["exercises"][0]
        filters, kernel, _, stride, padding, channels, side, _ = map(int, re.findall(r"\d+", exercise["question"]))
        conv = nn.Conv2d(channels, filters, kernel, stride, padding, device="meta")
        assert conv(torch.zeros(1, channels, side, side, device="meta")).shape[2] == exercise["answer"]
        assert convolution((channels, side, side), filters, kernel, stride, padding).output[1] == exercise["answer"]


# ------------------------------------------------------------------ over the server


def test_the_page_posts_a_layer_and_reads_presets(page):
    answer = page.client.post("api/playground/layer", json=ALEXNET, params={"lang": "ko"})
    assert answer.status_code == 200
    assert answer.json()["params"] == 34_944
    assert "파라미터" in [step["quantity"] for step in answer.json()["steps"]]
    assert len(page.get("playground/presets")["networks"]) == 4
    assert page.get("playground/exercises", seed=7) == exercises(7)


@pytest.mark.parametrize(
    ("content", "status", "part"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"[" * 60_000, 400, "not JSON"),
        (b"9" * 60_000, 400, "not JSON"),
        (b'"' + b"a" * 60_000 + b'"', 400, "must be a JSON object"),
        (b" " * 70_000, 413, "more than 64 KiB"),
    ],
)
def test_what_is_posted_is_checked(page, content, status, part):
    answer = page.client.post("api/playground/network", content=content)
    assert answer.status_code == status
    assert part in answer.json()["error"]
