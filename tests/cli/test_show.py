"""show, explain and layer as a user meets them."""

from __future__ import annotations

import json

import pytest

from convatlas import units
from convatlas.i18n import set_language


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    yield
    set_language(None)


def test_show_sets_printed_and_derived_side_by_side(convatlas):
    code, out, _ = convatlas("show", "lenet5")
    assert code == 0
    assert "params       60,000   (234.4 KiB)" in out
    assert "connections  340,908" in out
    assert "params        printed 60,000            derived          60,000  agrees" in out
    c3 = next(line.split() for line in out.splitlines() if line.startswith("C3"))
    assert c3[:2] == ["C3", "conv*"]
    assert c3[-7:] == ["1,516", "150,000", "151,600", "6.250", "KiB", "14", "2"]


def test_show_json_has_the_agreed_keys(convatlas):
    code, out, _ = convatlas("show", "alexnet", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == 1
    assert (document["model"], document["variant"]) == ("alexnet", "")
    assert document["input"] == [3, 227, 227]
    assert document["totals"]["params"] == 60_965_224
    assert document["totals"]["macs"] == 724_406_816
    assert document["totals"]["connections"] == 725_066_088
    row = next(row for row in document["rows"] if row["name"] == "conv2")
    expected = {"output": [256, 27, 27], "kernel": [5, 5], "stride": [1, 1], "padding": [2, 2], "groups": 2}
    expected |= {"receptive_field": [51, 51], "jump": [8, 8], "start": [-16, -16], "inputs": ["pool1"]}
    assert expected.items() <= row.items()
    connections = next(f for f in document["figures"] if f["quantity"] == "connections")
    assert (connections["printed"], connections["agrees"]) == ("630 million", False)
    assert {"topic", "paper", "here", "why"} <= document["departures"][0].keys()


def test_show_at_another_size_and_as_csv(convatlas):
    code, out, _ = convatlas("show", "resnet20_cifar", "--input", "3x64x48", "--csv")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("name,kind,output,kernel,stride,padding,groups,params,macs")
    assert lines[1].startswith("conv1,conv,16x64x48,3x3,1x1,1x1,1,432,")


def test_an_image_too_small_says_so(convatlas):
    code, out, err = convatlas("show", "vgg16", "--input", "3x8x8")
    assert (code, out) == (2, "")
    assert "vgg16 is too deep for 8 x 8 images" in err


@pytest.mark.parametrize("text", ["224", "3x0x4", "axbxc", "1x2x3x4"])
def test_an_input_that_is_none(convatlas, text):
    code, _, err = convatlas("show", "lenet5", "--input", text)
    assert code == 2
    assert "--input is CxHxW" in err


def test_explain_puts_the_values_in(convatlas):
    code, out, _ = convatlas("explain", "alexnet", "conv1")
    assert code == 0
    assert "(H - K + 2P)/S + 1 = (227 - 11 + 2*0)/4 + 1 = 55" in out
    assert "K*K*C*F + F = 11*11*3*96 + 96 = 34,944" in out
    assert "290,400 * (363 + 1) = 105,705,600" in out
    code, _, err = convatlas("explain", "alexnet", "conv9")
    assert code == 2
    assert "unknown layer 'conv9'. Did you mean" in err
    steps = json.loads(convatlas("explain", "alexnet", "conv1", "--json")[1])["layers"][0]["steps"]
    assert steps[1]["substitution"] == "11*11*3*96 + 96"


def test_layer_by_hand(convatlas):
    code, out, _ = convatlas("layer", "conv", "--input", "3x224x224", "--kernel", "11", "--stride", "4", "--out", "96")
    assert code == 0
    assert "224 pixels give 54.25 positions, 54 rounded down, 55 up" in out
    assert "No equal padding fits; both ends together would need 3, 7, 11" in out
    document = json.loads(convatlas("layer", "fc", "--input", "256x6x6", "--out", "4096", "--json")[1])
    assert (document["params"], document["macs"], document["neurons"]) == (37_752_832, 37_748_736, 4096)
    code, _, err = convatlas("layer", "conv", "--input", "3x8x8", "--kernel", "11", "--out", "4")
    assert code == 2
    assert "Increase the padding by 3 in total, enlarge the input, or use a smaller kernel." in err


def test_the_comparisons(convatlas):
    code, out, _ = convatlas("explain", "--comparison", "stacks")
    assert code == 0
    assert "1,179,648 (72 %)" in out


def test_other_tools_totals_and_why(convatlas):
    code, out, _ = convatlas("show", "resnet18", "--conventions")
    assert code == 0
    assert "torch FlopCounterMode: 3,628,146,688 FLOPs" in out
    assert "batch normalisation, 2 per value" in out
    document = json.loads(convatlas("show", "resnet18", "--conventions", "--json")[1])
    for convention in document["conventions"]:
        assert document["macs"] + sum(line["difference"] for line in convention["lines"]) == convention["total"]


def test_tables_and_diagram_for_lecture_notes(convatlas, tmp_path):
    assert convatlas("show", "lenet5", "--markdown")[1].startswith("| layer | kind | output |")
    assert convatlas("show", "lenet5", "--latex")[1].startswith("% needs \\usepackage{booktabs}\n\\begin{table}")
    code, out, err = convatlas("show", "lenet5", "--svg", str(tmp_path / "lenet5.svg"))
    assert (code, out) == (0, "")
    assert (tmp_path / "lenet5.svg").read_text().startswith("<svg")
    assert "lenet5.svg" in err
    assert convatlas("show", "lenet5", "--bars", "macs", "--svg", str(tmp_path / "bars.svg"))[0] == 0
    code, _, err = convatlas("show", "lenet5", "--bars", "macs")
    assert code == 2
    assert "needs --svg FILE" in err
    code, _, err = convatlas("show", "lenet5", "--svg", str(tmp_path / "no" / "such.svg"))
    assert code == 2
    assert "Choose another file" in err


def test_memory_predicted_measured_and_limited(convatlas):
    code, out, _ = convatlas("show", "lenet5@modern", "--fits", "--batch", "8", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["predicted"]["saved"] == document["measured"]["saved"]
    code, out, _ = convatlas("show", "lenet5@modern", "--limit", "5MiB")
    assert code == 0
    assert "trains with at most" in out
    code, out, err = convatlas("show", "lenet5@modern", "--limit", "100KB")
    assert code == 5
    assert "cannot train in 100KB" in err
    code, _, err = convatlas("show", "lenet5@modern", "--limit", "much")
    assert code == 2
    assert "a size is a number and a unit, such as 8GiB or 500MB; got 'much'" in err


def test_explanations_in_korean(convatlas):
    code, out, _ = convatlas("explain", "alexnet", "conv1", "--lang", "ko")
    assert code == 0
    assert "수용 영역(receptive field)" in out
    assert "11*11*3*96 + 96 = 34,944" in out


def test_the_table_in_korean_is_the_same_table(convatlas):
    english, korean = (convatlas("show", "lenet5", "--lang", language)[1].splitlines() for language in ("en", "ko"))
    assert korean[0].split()[:5] == ["층", "종류", "출력", "커널", "보폭"]
    body = slice(2, 16)
    assert [line.split() for line in korean[body]] == [line.split() for line in english[body]]
    assert len({units.width(line) for line in korean[:2]}) == 1  # a syllable is two columns wide
    assert "60,000   (234.4 KiB)" in "\n".join(korean)
