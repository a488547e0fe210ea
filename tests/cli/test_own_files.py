"""``FILE.py:Class`` on the command line: show, explain, train, compare, and a run whose file has changed since."""

from __future__ import annotations

import json
import sys

import pytest
from PIL import Image

import convatlas as ca
from convatlas.models.own import short_names

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10, in_channels=1, width=4):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))
"""
QUICK = ("--epochs", "1", "--threads", "1", "--device", "cpu")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def trained(convatlas, *more):
    code, out, err = convatlas("train", "net.py:Net", *QUICK, "--json", *more)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])["run"]


# --- show and explain -------------------------------------------------------------------------------------------------


def test_show_prints_the_layers_and_their_counts(convatlas, file):
    code, out, _ = convatlas("show", "net.py:Net", "--input", "1x8x8", "--json")
    assert code == 0
    document = json.loads(out)
    assert [row["name"] for row in document["rows"] if row["params"]] == ["conv", "fc"]
    assert document["totals"]["params"] == 9 * 4 + 4 + 4 * 10 + 10
    assert "conv" in convatlas("show", "net.py:Net(width=2)", "--input", "1x8x8")[1]


def test_show_needs_the_input_of_a_network_of_ones_own(convatlas, file):
    code, _, err = convatlas("show", "net.py:Net")
    assert code == 2
    assert "--input, such as 3x224x224" in err


def test_explain_shows_the_formula_of_a_layer(convatlas, file):
    code, out, _ = convatlas("explain", "net.py:Net", "conv", "--input", "1x8x8")
    assert code == 0
    assert "40" in out  # 3 * 3 * 1 * 4 + 4 parameters
    code, _, err = convatlas("explain", "net.py:Net", "conv2", "--input", "1x8x8")
    assert code == 2
    assert "Did you mean conv?" in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nut.py:Net", "there is no file nut.py"),
        ("net.py:Nat", "net.py has no class or function Nat"),
        ("net.py:Net(depth=3)", "could not be built"),
        ("net.py:Net(3)", "plain values with names"),
    ],
)
@pytest.mark.parametrize("command", [("show",), ("explain",), ("train",)])
def test_a_name_that_does_not_fit_the_file_is_refused(convatlas, file, command, name, words):
    more = QUICK if command == ("train",) else ("--input", "1x8x8")
    code, _, err = convatlas(*command, name, *more)
    assert code == 2
    assert words in err
    assert not (file.parent / "runs").exists()


# --- train, and the run afterwards ------------------------------------------------------------------------------------


def test_a_run_is_trained_evaluated_and_listed_by_the_name_of_file_and_class(convatlas, file):
    run = trained(convatlas)
    assert (ca.Run(run).path / "own_network.py").is_file()
    code, out, _ = convatlas("evaluate", run)
    assert code == 0
    assert "top-1" in out
    listed = convatlas("runs")[1]
    assert "net.py:Net" in listed
    assert str(file.parent) not in listed


@pytest.mark.parametrize("changed", ["relu(self.conv(x)).mean", "relu(self.conv(x)).square().mean"])
def test_a_run_opened_after_its_class_changed_is_refused_unless_only_the_text_differs(convatlas, file, changed):
    run = trained(convatlas)
    file.write_text("# a comment\n" + NET.replace("relu(self.conv(x)).mean", changed))
    wrong = "square" in changed
    Image.new("L", (8, 8)).save("grey.png")
    for line in (("evaluate", run), ("predict", run, "grey.png")):
        code, _, err = convatlas(*line)
        assert code == (2 if wrong else 0), err
        assert ("the class Net has changed since" in err) is wrong
        assert ("own_network.py" in err) is wrong


def test_a_run_whose_parameters_changed_or_whose_file_is_gone_is_refused(convatlas, file):
    run = trained(convatlas)
    file.write_text(NET.replace("width=4", "width=5"))
    code, _, err = convatlas("evaluate", run)
    assert code == 2
    assert "has changed since" in err
    file.unlink()
    code, _, err = convatlas("evaluate", run)
    assert code == 2
    assert "there is no file" in err
    assert convatlas("runs")[0] == 0  # the list needs no file


# --- compare ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["/a/net.py:Net", "mlp"], ["net.py:Net", "mlp"]),
        (["/a/net.py:Net", "/b/net.py:Net"], ["/a/net.py:Net", "/b/net.py:Net"]),
        (["/a/net.py:Net", "/a/net.py:Net(width=3)"], ["net.py:Net", "net.py:Net(width=3)"]),
        (["/a/one.py:Net", "/b/two.py:Net"], ["one.py:Net", "two.py:Net"]),
        (["/a/net.py:Net(file='/b/x')"], ["net.py:Net(file='/b/x')"]),
        ([], []),
    ],
)
def test_short_names_of_files_stay_distinct(names, called):
    assert list(short_names(names).values()) == called


def test_compare_calls_a_file_by_its_name_and_can_repeat_itself(convatlas, file, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    line = ("compare", f"{file}:Net", f"{file}:Net(width=2)", "--sort", "params", "--out", str(file.parent), *QUICK)
    code, out, err = convatlas(*line)
    assert code == 0, err
    rows = [line for line in out.splitlines() if "net.py" in line and "%" in line]
    assert "net.py:Net(width=2)" in rows[0]  # fewer parameters
    assert "net.py:Net " in rows[1]
    assert str(file) not in out
    (folder,) = file.parent.glob("compare-*")
    document = json.loads((folder / "comparison.json").read_text())
    assert [row["model"] for row in document["rows"]] == ["net.py:Net(width=2)", "net.py:Net"]
    assert f"{file}:Net" in document["conditions"]["command"]
    assert convatlas("compare", "--resume", str(folder))[0] == 0


@pytest.fixture(autouse=True)
def forget_modules():
    yield
    for name in [name for name in sys.modules if name.startswith("convatlas_own_")]:
        del sys.modules[name]
