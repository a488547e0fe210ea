"""``convatlas runs`` and the names of runs in ``train``."""

from __future__ import annotations

import json
import os

import pytest

import convatlas as ca
from convatlas.runs.directory import locked
from convatlas.runs.run import Run

QUICK = ("--epochs", "1", "--threads", "1", "--min-updates", "0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three runs: two with one split, and one with a split of its own."""
    out = tmp_path_factory.mktemp("work") / "runs"
    first = ca.train("mlp", out=out, name="one", epochs=1, threads=1)
    ca.train("mlp", out=out, name="two", epochs=1, threads=1, lr=0.01, split=first.split_path)
    ca.train("mlp", out=out, name="other", epochs=1, threads=1, seed=1)
    return out


@pytest.fixture
def out(trained, tmp_path, monkeypatch):
    """A copy of these, in the working directory."""
    import shutil

    shutil.copytree(trained, tmp_path / "runs")
    for age, name in enumerate(("one", "two", "other")):
        for file in ("metrics.jsonl", "config.toml"):
            os.utime(tmp_path / "runs" / name / file, (1e9 + age, 1e9 + age))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_the_list_has_the_newest_run_first_and_the_space_of_all(convatlas, out):
    code, text, _ = convatlas("runs")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["other", "two", "one"]
    document = json.loads(convatlas("runs", "--json")[1])
    assert document["schema"] == 1
    assert document["size_bytes"] == sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    first = document["runs"][0]
    assert (first["name"], first["model"], first["data"], first["epochs"]) == ("other", "mlp", "digits", 1)
    assert first["test_top1"] == Run(out / "other").result["test_top1"]


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(convatlas, out):
    (out / "one" / "config.toml").write_text("[run")
    (out / "two" / "metrics.jsonl").write_text("{\n")
    code, text, _ = convatlas("runs")
    assert code == 0
    assert "one cannot be read" in text
    assert "two cannot be read" in text


def test_an_unfinished_run_and_an_empty_directory(convatlas, out, tmp_path):
    (out / "one" / "model.safetensors").unlink()
    assert "not finished: convatlas train --resume runs/one" in convatlas("runs", "show", "one")[1]
    assert "There are no runs" in convatlas("runs", "--out", str(tmp_path / "nothing"))[1]


def test_show_names_settings_result_and_files(convatlas, out):
    code, text, _ = convatlas("runs", "show", "latest")
    assert code == 0
    assert all(word in text for word in ("runs/other", "mlp", "lr = 0.002", "model.safetensors", "top-1"))
    document = json.loads(convatlas("runs", "show", "two", "--json")[1])
    assert document["settings"]["recipe"]["lr"] == 0.01
    assert document["files"]["model.safetensors"] == (out / "two" / "model.safetensors").stat().st_size
    code, _, err = convatlas("runs", "show", "othr")
    assert code == 2
    assert "Did you mean other" in err


def test_rename_and_delete(convatlas, out):
    assert convatlas("runs", "rename", "one", "baseline")[0] == 0
    assert Run(out / "baseline").finished
    for name in ("two", "a/b", "latest", "..", ""):
        assert convatlas("runs", "rename", "baseline", name)[0] == 2
    code, _, err = convatlas("runs", "delete", "two")
    assert code == 2
    assert "--yes" in err
    assert (out / "two").exists()
    with locked(out / "two"):
        assert convatlas("runs", "delete", "two", "--yes")[0] == 1
    assert convatlas("runs", "delete", "two", "other", "--yes")[0] == 0
    assert [path.name for path in out.iterdir()] == ["baseline"]


def test_only_runs_are_deleted(convatlas, out):
    (out / "notes").mkdir()
    assert convatlas("runs", "delete", "notes", "--yes")[0] == 2
    assert convatlas("runs", "delete", str(out), "--yes")[0] == 2
    assert (out / "notes").exists()


def test_two_runs_with_one_split_are_compared_by_a_paired_test(convatlas, out):
    code, text, _ = convatlas("runs", "compare", "one", "two")
    assert code == 0
    assert "recipe.lr" in text
    assert "run.seed" not in text
    assert "exact McNemar, p = " in text
    document = json.loads(convatlas("runs", "compare", "one", "two", "--json")[1])
    shares = [result["test_top1"] for result in document["results"]]
    assert document["difference"]["difference"] == pytest.approx(shares[0] - shares[1])
    assert document["settings"]["recipe.lr"] == [0.002, 0.01]


def test_runs_with_different_test_sets_are_not_tested_against_each_other(convatlas, out):
    code, text, _ = convatlas("runs", "compare", "one", "other")
    assert code == 0
    assert "No paired test: the runs have different test sets" in text
    (out / "one" / "model.safetensors").unlink()
    assert "is not finished" in convatlas("runs", "compare", "one", "two")[1]


def test_train_takes_a_name_and_resumes_by_name_or_latest(convatlas, out):
    line = ("train", "mlp", *QUICK, "--name", "mine")
    assert convatlas(*line)[0] == 0
    assert Run(out / "mine").finished
    code, _, err = convatlas(*line)
    assert code == 2
    assert "convatlas train --resume runs/mine" in err
    assert convatlas("train", "mlp", *QUICK, "--name", "a/b")[0] == 2
    code, _, err = convatlas("train", "--resume", "latest")
    assert code == 0
    assert "runs/mine is finished already" in err
    assert "runs/two is finished already" in convatlas("train", "--resume", "two")[2]
    assert convatlas("train", "--resume", "nothing-like-it")[0] == 2


def test_the_library_lists_runs(out):
    assert [run.path.name for run in ca.list_runs()] == ["other", "two", "one"]
