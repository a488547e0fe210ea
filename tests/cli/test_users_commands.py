"""The commands on what users bring: the whole inventory, one set of reading options, hidden files, long names."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from convatlas.cli import compare, data, evaluate, train
from convatlas.visualization.plots import LABEL_LINE, LABEL_LINES, tick_label


def photos(root, counts):
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            pixels = np.random.default_rng([k, *kind.encode()]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{k}.png")
    return root


def test_every_command_that_reads_data_takes_the_same_options():
    wanted = {"image_column", "label_column", "split_column", "class_from", "follow_links", "rare", "on_bad", "max_bad"}
    for module in (compare, data, evaluate, train):
        assert wanted <= {parameter.name for parameter in module.command.params}, module.__name__


def test_the_inventory_is_whole_when_several_things_are_bad(convatlas, tmp_path):
    root = photos(tmp_path / "set", {"cat": 6, "dog": 6})
    (root / "cat/0.png").write_bytes(b"<html>")
    (root / "dog/1.png").write_bytes(b"")
    (root / "ghost").mkdir()
    code, out, err = convatlas("data", str(root))
    assert code == 3
    assert "10 images, 2 classes" in out
    assert out.count("problem: ") == 2
    assert "There are 2 more faults" in err
    code, out, err = convatlas("data", str(root), "--json", "--write-split", str(tmp_path / "s.csv"))
    assert (code, json.loads(out)["n"]) == (3, 10)
    assert not (tmp_path / "s.csv").exists()


def test_one_class_only_is_reported_before_it_is_refused(convatlas, tmp_path):
    code, out, err = convatlas("data", str(photos(tmp_path / "set", {"cat": 3})))
    assert code == 3
    assert "3 images, 1 classes" in out
    assert "one class only" in err


def test_a_missing_row_is_listed_with_the_rest(convatlas, tmp_path):
    root = photos(tmp_path / "set", {"img": 4})
    rows = "".join(f"img/{k}.png,{'ab'[k % 2]}\n" for k in range(6))
    (root / "train.csv").write_text(f"filepath,label\n{rows}")
    code, out, err = convatlas("data", str(root))
    assert code == 3
    assert "4 images, 2 classes" in out
    assert "problem: img/5.png: row 7 of train.csv names it" in out
    assert "row 6: there is no image 'img/4.png'" in err


@pytest.mark.parametrize("command", ["train", "compare"])
def test_advice_on_rare_classes_can_be_taken(convatlas, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8, "rare": 1})
    line = [command, "lenet5@modern", "--data", str(root), "--epochs", "1", "--threads", "1"]
    code, _, err = convatlas(*line)
    assert code == 3
    assert "--rare keep-in-training" in err
    assert convatlas(*line, "--rare", "keep-in-training")[0] == 0


def test_evaluate_takes_the_advice_of_its_errors(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 9, "dog": 9})
    assert convatlas("train", "lenet5@modern", "--data", str(root), "--epochs", "1", "--threads", "1")[0] == 0
    (root / "cat/p.png").write_bytes(b"<html>")
    run = str(next((tmp_path / "runs").iterdir()))
    code, _, err = convatlas("evaluate", run, "--data", str(root))
    assert code == 3
    assert "--on-bad skip" in err
    code, _, err = convatlas("evaluate", run, "--data", str(root), "--on-bad", "skip")
    assert code == 3
    assert "--max-bad" in err
    code, out, _ = convatlas("evaluate", run, "--data", str(root), "--on-bad", "skip", "--max-bad", "0.1")
    assert code == 0
    assert "note: it is not known whether" in out  # its own data cannot be opened as they were


def test_predict_leaves_out_the_hidden_files_that_data_leaves_out(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8})
    assert convatlas("train", "lenet5@modern", "--data", str(root), "--epochs", "1", "--threads", "1")[0] == 0
    (root / "cat/._0.png").write_bytes(b"\0\5\26\7")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/0.png").write_bytes(b"\0")
    code, out, err = convatlas("predict", str(next((tmp_path / "runs").iterdir())), str(root))
    assert code == 0
    assert len(out.splitlines()) == 16
    assert "2 hidden files were skipped, such as" in err


def test_long_class_names_are_wrapped_in_pictures(convatlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot", "Tomato___Tomato_Yellow_Leaf_Curl_Virus"]
    root = photos(tmp_path / "plants", dict.fromkeys(names, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convatlas("train", "lenet5@modern", "--data", str(root), "--epochs", "1", "--threads", "1")[0] == 0
    for name in (*names, "short", "x" * 200, "a b " * 40):
        lines = tick_label(name).split("\n")
        assert len(lines) <= LABEL_LINES
        assert max(map(len, lines)) <= LABEL_LINE
    assert tick_label(names[1]).replace("\n", "") == names[1]
