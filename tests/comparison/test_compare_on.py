"""Comparisons that go on after an interruption, skip what cannot fit, start from weights, and know chance level."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from PIL import Image

from convatlas.comparison import ComparisonListener, compare, resume_comparison
from convatlas.comparison.budget import Budget
from convatlas.comparison.majority import MajorityHits, with_chance_level
from convatlas.comparison.recommend import recommend
from convatlas.comparison.result import Majority
from convatlas.errors import DataError, Interrupted, LimitError, UsageError
from convatlas.evaluation.statistics import accuracy
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, train

SHORT = {"epochs": 2, "threads": 1, "device": "cpu"}


class StopIn(ComparisonListener):
    """Ctrl-C in the training with this number; remembers what was begun and said."""

    def __init__(self, place: int = 0) -> None:
        self.place, self.begun, self.said, self.out = place, [], [], []

    def training(self, model, seed, place, total):
        self.begun.append((model, seed))
        stop = place == self.place

        class Listener(RunListener):
            def on_step(self, state, loss, images_per_s):
                if stop and state.step >= 5:
                    signal.raise_signal(signal.SIGINT)

        return Listener()

    def stage(self, text):
        self.said.append(str(text))

    def skipped(self, failure):
        self.out.append(failure.model)


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path):
    with pytest.raises(Interrupted, match="convatlas compare --resume"):
        compare(["mlp", "lenet5@modern"], seeds=2, out=tmp_path, listener=StopIn(2), lr=0.002, **SHORT)
    (folder,) = tmp_path.iterdir()
    finished = {run.path: (run.path / "model.safetensors").stat().st_mtime_ns for run in map(Run, folder.glob("mlp*"))}
    assert len(finished) == 1
    found = resume_comparison(folder)
    assert found.folder == folder
    assert [row.model for row in found.rows] == ["mlp", "lenet5@modern"]
    assert all(row.seeds == (0, 1) for row in found.rows)
    assert len(list(folder.glob("*/config.toml"))) == 4
    for path, time in finished.items():
        assert (path / "model.safetensors").stat().st_mtime_ns == time
    whole = compare(["mlp", "lenet5@modern"], seeds=2, out=tmp_path / "whole", lr=0.002, **SHORT)
    assert [row.accuracy for row in found.rows] == [row.accuracy for row in whole.rows]


def test_a_network_of_the_users_own_has_the_name_that_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def fixed(num_classes=10):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    found = compare(["net.py:fixed", "mlp"], out="runs", **SHORT)
    assert [row.model for row in found.rows] == ["net.py:fixed", "mlp"]
    assert " net.py:fixed " in found.conditions.command
    trained = [path.stat().st_mtime_ns for path in found.folder.glob("*/model.safetensors")]
    folder = found.folder.resolve()
    monkeypatch.chdir("/")  # the settings hold the whole path, so that the comparison goes on from anywhere
    again = resume_comparison(folder)
    assert [path.stat().st_mtime_ns for path in folder.glob("*/model.safetensors")] == trained
    assert [row.accuracy for row in again.rows] == [row.accuracy for row in found.rows]


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no comparison"):
        resume_comparison(tmp_path)


def test_what_cannot_fit_the_budget_is_not_trained(tmp_path):
    listener = StopIn()
    found = compare(["mlp", "lenet5@modern"], budget="params<=100K", out=tmp_path, listener=listener, **SHORT)
    assert listener.begun == [("lenet5@modern", 0)]
    assert listener.out == ["mlp"]
    assert [row.model for row in found.rows] == ["lenet5@modern"]
    (skipped,) = found.to_dict()["skipped"]
    assert skipped["why"] == "mlp cannot fit params ≤ 100.0 K: params 266.6 K."
    assert "mlp</code>: mlp cannot fit params" in found.report.read_text()
    for budget in ("size<=1kB", "macs<=1K", "latency<=1s,params<=5"):
        with pytest.raises(LimitError, match="no network can fit"):
            compare(["mlp", "lenet5@modern"], budget=budget, out=tmp_path / "none", **SHORT)
    assert not (tmp_path / "none").exists()


def noise(root, counts, seed=0):
    generator = np.random.default_rng(seed)
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(root / kind / f"{k}.png")
    return root


def test_where_nothing_can_be_learned_no_network_is_recommended(tmp_path):
    root = noise(tmp_path / "noise", {"cat": 30, "dog": 60})
    listener = StopIn()
    found = compare(["mlp", "lenet5@modern"], root, out=tmp_path / "runs", listener=listener, **SHORT)
    assert all(row.at_chance for row in found.rows)
    assert found.recommendation.model is None
    assert found.recommendation.why.startswith("nothing was learned")
    assert not found.nothing_fits
    assert (found.majority.label, round(found.majority.accuracy.top1, 2)) == ("dog", 0.67)
    assert any("--start-from" in said for said in listener.said)
    page = found.report.read_text()
    assert "majority class (dog)" in page
    assert "at chance level" in page
    assert json.loads((found.folder / "comparison.json").read_text())["majority"]["class"] == "dog"


def test_networks_at_chance_level_are_left_out_of_the_recommendation(row, one_run):
    hits = {"good": one_run(200, range(20)), "poor": one_run(200, range(95)), "worse": one_run(200, range(120))}
    rows = [row("good", hits["good"], 3.0), row("poor", hits["poor"], 1.0), row("worse", hits["worse"], 1.0)]
    right = np.arange(200)[None] % 2 == 0
    marked = with_chance_level(rows, hits, MajorityHits(Majority("a", accuracy(right)), right))
    assert [each.at_chance for each in marked] == [False, True, True]
    advice = recommend(marked, hits, Budget())
    assert advice.model == "good"
    assert "Not considered" in advice.why
    assert "poor and worse" in advice.why


def test_networks_start_from_the_weights_that_fit_them(tmp_path):
    digits = train("lenet5@modern", out=tmp_path / "before", **SHORT)
    other = train("mlp", out=tmp_path / "before", **SHORT)
    weights = [str(digits.path), str(other.path)]
    found = compare(["mlp", "lenet5@modern"], start_from=weights, out=tmp_path / "runs", **SHORT)
    starts = [Run(row.runs[0]).config["start"]["said"] for row in found.rows]
    assert str(other.path) in starts[0]
    assert str(digits.path) in starts[1]
    assert f"--start-from {digits.path} --start-from {other.path}" in found.conditions.command
    with pytest.raises(UsageError, match="mlp cannot start from the weights named"):
        compare(["mlp", "lenet5@modern"], start_from=weights[0], out=tmp_path / "refused", **SHORT)
    assert not (tmp_path / "refused").exists()
    # a third network that none of them fits is left out, and not trained without
    listener = StopIn()
    names = ["mlp", "resnet20_cifar", "lenet5@modern"]
    found = compare(names, start_from=weights, out=tmp_path / "others", listener=listener, **SHORT)
    assert [row.model for row in found.rows] == ["mlp", "lenet5@modern"]
    assert listener.out == ["resnet20_cifar"]
    assert "cannot start from the weights named" in found.skipped[0].why
    assert "cannot start from the weights named" in found.report.read_text()
    with pytest.raises(UsageError, match="resnet20_cifar cannot start"):  # a name that helps no network may be a slip
        compare(names, start_from=[*weights, str(tmp_path / "no.pth")], out=tmp_path / "refused", **SHORT)


class Header(RunListener):
    def on_start(self, header, epochs, updates_per_epoch):
        self.header = header


def test_few_photos_are_told_of_trained_weights(tmp_path):
    few, many = noise(tmp_path / "few", {"cat": 20, "dog": 20}), noise(tmp_path / "many", {"cat": 80, "dog": 80})
    said = []
    for data, model in ((few, "resnet18"), (few, "lenet5@modern"), (many, "lenet5@modern"), ("digits", "mlp")):
        listener = Header()
        train(model, data, image_size=32, out=tmp_path / "runs", listener=listener, **(SHORT | {"epochs": 1}))
        said.append(listener.header.get("advice"))
    assert "convatlas train resnet18" in said[0]
    assert "--start-from torchvision:" in said[0]
    assert "--start-from RUN" in said[1]
    assert said[2:] == [None, None]
