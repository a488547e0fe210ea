"""Situations of users on the command line: the advice of errors is taken, odd names go through every command."""

from __future__ import annotations

import csv
import os
import sys

import numpy as np
import pytest
from PIL import Image


def photos(root, counts):
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            pixels = np.random.default_rng([k, *os.fsencode(kind)]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{k}.png")
    return root


QUICK = ("--epochs", "1", "--threads", "1")


def test_compare_takes_the_advice_of_its_errors(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 10, "dog": 10})
    (root / "cat/p.png").write_text("<html>")
    line = ("compare", "mlp", "--data", str(root), *QUICK)
    code, _, err = convatlas(*line)
    assert code == 3
    assert "--on-bad skip" in err
    assert convatlas(*line, "--on-bad", "skip")[0] == 0
    code, _, err = convatlas(*line, "--test", "0")
    assert code == 2
    assert "No such option" in err


def test_the_way_out_of_a_lone_batch_is_an_option(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8})
    line = ("compare", "resnet20_cifar", "--data", str(root), *QUICK, "--image-size", "4")
    code, _, err = convatlas(*line, "--batch-size", "1")
    assert code == 2
    assert "Pass 2 or more" in err
    assert convatlas(*line, "--batch-size", "2")[0] == 0


def test_the_way_out_of_a_run_without_data_is_an_option(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8})
    assert convatlas("train", "lenet5@modern", "--data", str(root), *QUICK, "--name", "one")[0] == 0
    second = ("train", "lenet5@modern", "--data", str(root), *QUICK, "--seed", "1")
    assert convatlas(*second, "--name", "two")[0] == 0
    code, _, err = convatlas("evaluate", "runs/one", "runs/two")
    assert code == 3
    assert "convatlas train NAME --split runs/one/split.csv" in err
    assert convatlas(*second, "--split", "runs/one/split.csv", "--name", "three")[0] == 0
    assert convatlas("evaluate", "runs/one", "runs/three")[0] == 0


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Class folders one of which has a name that is not UTF-8."""
    if sys.platform != "linux":
        pytest.skip("file names are UTF-8 on this system")
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 9})
    photos(root, {os.fsdecode(b"caf\351"): 9})
    return root


def test_names_that_are_not_utf_8_go_through_every_command(convatlas, odd, tmp_path):
    code, out, _ = convatlas("data", str(odd))
    assert code == 0
    assert "caf" in out
    assert convatlas("train", "lenet5@modern", "--data", str(odd), *QUICK, "--name", "one")[0] == 0
    assert convatlas("runs")[0] == 0
    assert convatlas("runs", "show", "one")[0] == 0
    assert convatlas("train", "--resume", "one")[0] == 0
    code, out, err = convatlas("predict", "runs/one", str(odd), "--csv", "labels.csv")
    assert (code, "Traceback" in err) == (0, False)
    with open("labels.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 18


def test_mistakes_in_files_with_names_that_are_not_utf_8_are_copied(convatlas, odd, tmp_path):
    assert convatlas("train", "lenet5@modern", "--data", str(odd), *QUICK, "--name", "one")[0] == 0
    code, _, err = convatlas("evaluate", "runs/one", "--data", str(odd), "--mistakes", "wrong")
    assert (code, "Traceback" in err) == (0, False)
    with open("wrong/mistakes.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(list((tmp_path / "wrong").glob("*/*/*.png"))) == len(table) > 0


def test_a_comparison_of_data_with_such_names_is_resumed(convatlas, odd):
    assert convatlas("compare", "mlp", "--data", str(odd), *QUICK)[0] == 0
    folder = next((odd.parent / "runs").iterdir())
    assert convatlas("compare", "--resume", str(folder))[0] == 0
    code, _, err = convatlas("compare", "mlp", "--resume", str(folder), "--epochs", "3")
    assert code == 2
    assert "--epochs" in err
