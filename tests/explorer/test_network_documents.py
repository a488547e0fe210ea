"""What the page says of a network and of a layer is what ``show --json`` and ``explain --json`` say."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from convatlas.cli import main
from convatlas.explorer.networks import names_layer

TEN = (
    "lenet5",
    "alexnet",
    "vgg16",
    "googlenet",
    "inception_resnet_v2",
    "resnet50",
    "resnet110_cifar",
    "densenet121",
    "squeezenet1_1",
    "xception",
)

BROKEN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(100, 10)

    def forward(self, images):
        return self.head(self.conv(images).flatten(1))
"""


@pytest.fixture
def printed(capsys):
    """``printed("show", "vgg16")``: what the command line prints with --json."""

    def run(*arguments: str) -> dict:
        with pytest.raises(SystemExit):
            main([*arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("name", TEN)
def test_the_network_document_is_that_of_show(page, printed, name):
    shown, answered = printed("show", name), page.get("network", subject=name)
    for key in ("model", "variant", "input", "rows", "totals", "figures", "departures", "notes", "outputs"):
        assert answered[key] == shown[key], key
    assert answered["failure"] is None


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet18", "densenet121"])
def test_the_layer_document_is_that_of_explain(page, printed, name):
    for explained in printed("explain", name)["layers"]:
        answered = page.get("layer", subject=name, layer=explained["name"])
        assert answered["heading"] == explained["heading"]
        assert answered["steps"] == explained["steps"]


def test_a_layer_has_what_the_card_says_of_it(page):
    network = page.get("network", subject="alexnet@torchvision")
    of = {
        row["name"]: [each["topic"] for each in page.get("layer", subject=network["subject"], layer=row["name"])[
            "departures"]]
        for row in network["rows"]
    }  # fmt: skip
    assert of["conv1"] == ["normalisation", "conv1"]
    assert of["pool5"] == ["pool5"]
    assert of["conv3"] == []
    assert page.get("layer", subject="resnet50@caffe", layer="conv1")["departures"][0]["topic"] == "bias of conv1"
    assert page.get("layer", subject="resnet50@caffe", layer="conv2_x.0.conv1")["departures"] == []
    inside = page.get("layer", subject="bn_inception", layer="inception_4c.branch1.conv1x1.conv", lang="ko")
    assert [each["topic"] for each in inside["departures"]] == ["pool projection of 4c and 4d"]


@pytest.mark.parametrize(
    ("row", "text", "named"),
    [
        ("conv1", "no padding in conv1, conv2", True),
        ("conv1", "conv10", False),
        ("conv2_x.0.conv1", "conv1", False),
        ("conv2_x.0.conv1", "the first block of conv2_x.", True),
        ("conv2_x.0.relu:2", "conv2_x.0.relu is after the sum", True),
        ("inception_4c.pool", "4c and 4d", True),
        ("0", "0 is the mean", False),
    ],
)
def test_a_card_names_a_layer_by_a_word_of_its_own(row, text, named):
    assert names_layer(row, text) == named


@pytest.mark.parametrize("name", TEN)
def test_blocks_cover_neighbouring_rows_and_nest(page, name):
    document = page.get("network", subject=name)
    rows, blocks = document["rows"], {block["path"]: block for block in document["blocks"]}
    for path, block in blocks.items():
        first, last = block["rows"]
        inside = rows[first:last]
        assert all(row["name"].startswith(f"{path}.") for row in inside)
        assert not any(row["name"].startswith(f"{path}.") for row in (*rows[:first], *rows[last:]))
        assert block["params"] == sum(row["params"] for row in inside)
        assert block["macs"] == sum(row["macs"] for row in inside)
        if block["parent"]:
            around = blocks[block["parent"]]["rows"]
            assert around[0] <= first
            assert last <= around[1]


def test_every_row_has_a_layer_document_in_both_languages(page):
    for row in page.get("network", subject="resnet18")["rows"]:
        english = page.get("layer", subject="resnet18", layer=row["name"], lang="en")
        korean = page.get("layer", subject="resnet18", layer=row["name"], lang="ko")
        assert english["row"] == korean["row"] == row
        assert len(english["steps"]) == len(korean["steps"])


def test_the_field_of_conv5_3_of_vgg16_has_196_pixels(page):
    document = page.get("layer", subject="vgg16", layer="conv5_3")
    assert document["field"] == {"origin": [-90, -90], "jump": [16, 16], "size": [196, 196]}
    assert any(step["result"] == "196" for step in document["steps"])


def test_a_fully_connected_layer_sees_the_whole_image(page):
    document = page.get("layer", subject="vgg16", layer="fc6")
    assert document["field"] is None
    assert document["whole"] is True


def test_another_input_is_counted(page, printed):
    answered = page.get("network", subject="vgg11", input="3x64x64")
    assert answered["rows"] == printed("show", "vgg11", "--input", "3x64x64")["rows"]
    assert answered["figures"] == [], "the paper's figures are for its own input"


def test_a_broken_module_answers_with_its_rows_and_the_failure(page_of, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    page = page_of(f"{tmp_path / 'broken.py'}:Net", shape=(3, 8, 8))
    document = page.get("network", subject="own:1")
    assert [row["name"] for row in document["rows"]] == ["conv", "flatten"]
    assert document["failure"]["layer"] == "head"
    assert document["failure"]["inputs"] == [[288]]
    assert "expects 100 features and got 288" in document["failure"]["message"]
    korean = page.get("network", subject="own:1", lang="ko")["failure"]["message"]
    assert "288" in korean
    assert korean != document["failure"]["message"]
    assert page.get("layer", subject="own:1", layer="conv")["row"]["output"] == [8, 6, 6]


def test_unknown_names_are_answered_with_near_ones(page):
    status, text = page.refused("network", subject="resnet5O")
    assert status == 404
    assert "Did you mean resnet50" in text
    status, text = page.refused("layer", subject="vgg16", layer="conv9_9")
    assert status == 404
    assert "unknown layer 'conv9_9'" in text


def test_a_file_cannot_be_named_in_an_address(page, tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    status, text = page.refused("network", subject=f"{tmp_path / 'mine.py'}:Net")
    assert status == 404
    assert str(tmp_path) not in text


def test_the_first_paint_needs_no_torch():
    program = """
import sys
from convatlas.explorer.documents import document
from convatlas.explorer.opening import open_session
from convatlas.explorer.query import Query
from convatlas.explorer.server import Server

session = open_session(["resnet50"])
server = Server(session)
for name, values in (("session", {}), ("models", {}), ("network", {"subject": "resnet50"}),
                     ("layer", {"subject": "resnet50", "layer": "conv1"})):
    document(session, name, Query(values))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
