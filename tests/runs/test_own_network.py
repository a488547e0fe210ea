"""Networks of the user's own: FILE.py:Class by name, and modules."""

from __future__ import annotations

import sys

import pytest
import torch

import convatlas as ca
from convatlas.errors import ShapeError, UsageError
from convatlas.models import own
from convatlas.runs.train import resume

NET = """
import torch
from torch import nn
from part import Part  # a file beside it


class Net(nn.Module):
    def __init__(self, num_classes=10, in_channels=1, width=8):
        super().__init__()
        self.part = Part(in_channels, width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(torch.relu(self.part(x)).mean((2, 3)))


def small(classes):
    return Net(classes, width=2)
"""
PART = """
from torch import nn


class Part(nn.Conv2d):
    def __init__(self, a, b):
        super().__init__(a, b, 3, padding=1)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "part.py").write_text(PART)
    yield tmp_path / "net.py"
    sys.modules.pop("part", None)


@pytest.fixture
def net(file):
    return own.build(f"{file}:Net")


def test_a_name_of_the_form_file_and_class_trains_and_is_found_again(file, tmp_path):
    run = ca.train(f"{file}:Net(width=4)", data="digits", epochs=1, out=tmp_path / "runs")
    assert run.path.name.startswith("Net-digits")
    assert (run.path / "own_network.py").read_text().startswith("class Net(nn.Module)")
    again = ca.Run(run.path)
    assert again.network().part.out_channels == 4
    assert ca.evaluate(again).top1 == run.result["test_top1"]
    assert resume(run.path).result == run.result


def test_the_data_decide_what_the_constructor_takes(file):
    assert own.build(f"{file}:Net", num_classes=7, in_channels=3, image_size=8).fc.out_features == 7
    assert own.build(f"{file}:small", num_classes=5, in_channels=3, image_size=8).fc.out_features == 5
    assert own.build(f"{file}:Net(num_classes=2)", num_classes=7).fc.out_features == 2


def test_a_module_is_trained_itself_and_is_needed_again(net, file, tmp_path):
    before = net.fc.weight.detach().clone()
    run = ca.train(net, data="digits", epochs=1, out=tmp_path / "runs")
    assert not torch.equal(net.fc.weight, before)
    assert ca.evaluate(run).top1 == run.result["test_top1"]
    with pytest.raises(UsageError, match="Give the module"):
        ca.evaluate(run.path)
    fresh = own.build(f"{file}:Net")
    assert ca.evaluate(ca.Run(run.path, net=fresh)).top1 == run.result["test_top1"]
    assert resume(run.path, net=fresh).finished


def test_a_class_that_has_changed_since_is_refused(file, tmp_path):
    run = ca.train(f"{file}:Net", data="digits", epochs=1, out=tmp_path / "runs")
    file.write_text(NET.replace("class Net", "# only a comment\nclass Net"))
    ca.Run(run.path).network()
    file.write_text(NET.replace("torch.relu", "torch.tanh"))
    with pytest.raises(UsageError, match="has changed since"):
        ca.Run(run.path).network()


def test_evaluate_with_preprocessing_and_classes(net, tmp_path):
    run = ca.train(net, data="digits", epochs=1, out=tmp_path / "runs")
    labels = [str(digit) for digit in range(10)]
    found = ca.evaluate(net, "digits", preprocessing=run.preprocessing, classes=labels)
    assert found.n == 1797
    with pytest.raises(UsageError, match="10 outputs, but 3"):
        ca.evaluate(net, "digits", preprocessing=run.preprocessing, classes=labels[:3])
    with pytest.raises(UsageError, match=r"preprocessing=convatlas\.data"):
        ca.evaluate(net, "digits")
    with pytest.raises(UsageError, match="leave preprocessing out"):
        ca.evaluate(run, preprocessing=run.preprocessing)


def test_compare_takes_a_file_beside_the_atlas(file, tmp_path):
    found = ca.compare([f"{file}:Net", "mlp"], data="digits", epochs=1, out=tmp_path)
    assert len(found.rows) == 2


def test_what_cannot_be_trained_is_said_before_anything_is_written(net, file, tmp_path):
    out = tmp_path / "runs"
    with pytest.raises(UsageError, match="give an instance"):
        ca.train(type(net), data="digits", out=out)
    with pytest.raises(ShapeError, match="one logit for each of the 10 classes"):
        ca.train(own.build(f"{file}:Net(num_classes=3)"), data="digits", out=out)
    with pytest.raises(ShapeError, match="it expects 3 channels and got 1"):
        ca.train(f"{file}:Net(in_channels=3)", data="digits", out=out)
    with pytest.raises(UsageError, match="has no class or function Nett"):
        ca.train(f"{file}:Nett", data="digits", out=out)
    with pytest.raises(UsageError, match="there is no file"):
        ca.train("elsewhere.py:Net", data="digits", out=out)
    with pytest.raises(UsageError, match="plain values with names"):
        ca.train(f"{file}:Net(open('x'))", data="digits", out=out)
    with pytest.raises(UsageError, match="could not be built"):
        ca.train(f"{file}:Net(depth=3)", data="digits", out=out)
    with pytest.raises(UsageError, match="start_from"):
        ca.train(net, data="digits", start_from="runs/x", out=out)
    assert not out.exists()


def test_a_file_that_does_not_import_is_named(file):
    file.write_text("import nowhere_at_all")
    with pytest.raises(UsageError, match="cannot be imported: ModuleNotFoundError"):
        own.build(f"{file}:Net")
