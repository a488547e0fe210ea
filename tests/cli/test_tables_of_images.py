"""``predict --csv`` and ``evaluate --mistakes``: files that a spreadsheet opens, and copies of images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convatlas.cli import main


def photos(root, counts):
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            pixels = np.random.default_rng([k, *kind.encode()]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on noise, which it cannot learn."""
    place = tmp_path_factory.mktemp("noise")
    root = photos(place / "photos", {"cat": 12, "dog, wild": 12})
    with pytest.raises(SystemExit):
        main(["train", "lenet5@modern", "--data", str(root), "--epochs", "1", "--threads", "1", "--out", str(place)])
    return next(place.glob("lenet5*"))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predict_writes_a_table_and_says_what_it_left_out(convatlas, trained, tmp_path):
    shutil.copytree(trained.parent / "photos", tmp_path / "new")
    (tmp_path / "new/cat/0.png").write_bytes(b"<html>")
    (tmp_path / "new/cat/._1.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "new/Thumbs.db").write_bytes(b"\0")
    code, out, err = convatlas("predict", str(trained), str(tmp_path / "new"), "--csv", str(tmp_path / "labels.csv"))
    assert code == 3
    assert "1 hidden files were skipped" in err
    assert "1 files that are no images were skipped, such as" in err
    assert "Thumbs.db" in err
    assert "labels.csv" in out
    table = rows(tmp_path / "labels.csv")
    assert len(table) == 24
    assert [Path(row["file"]).name for row in table if row["error"]] == ["0.png"]
    good = table[1]
    assert float(good["probability_1"]) + float(good["probability_2"]) == pytest.approx(1, abs=1e-5)
    assert {good["label_1"], good["label_2"]} == {"cat", "dog, wild"}


def test_the_json_lines_stay_beside_the_table(convatlas, trained, tmp_path):
    image = str(trained.parent / "photos/cat/3.png")
    code, out, _ = convatlas("predict", str(trained), image, "--json", "--csv", str(tmp_path / "one.csv"))
    assert code == 0
    label, share = json.loads(out)["top"][0]
    (row,) = rows(tmp_path / "one.csv")
    assert (row["label_1"], float(row["probability_1"])) == (label, pytest.approx(share, abs=1e-6))


def test_the_mistakes_of_an_evaluation_as_a_table(convatlas, trained, tmp_path):
    data = str(trained.parent / "photos")
    code, out, _ = convatlas("evaluate", str(trained), "--data", data, "--mistakes", str(tmp_path / "wrong.csv"))
    assert code == 0
    document = json.loads(convatlas("evaluate", str(trained), "--data", data, "--json")[1])
    table = rows(tmp_path / "wrong.csv")
    assert len(table) == round(24 * (1 - document["top1"])) > 0
    assert f"{len(table)} mistakes: " in out
    for row in table:
        assert Path(row["file"]).parent.name == row["true"] != row["predicted"]
        assert Path(row["file"]).is_file()
    shares = [float(row["probability"]) for row in table]
    assert shares == sorted(shares, reverse=True)


def test_the_mistakes_of_an_evaluation_as_copies(convatlas, trained, tmp_path):
    line = ("evaluate", str(trained), "--data", str(trained.parent / "photos"), "--mistakes", str(tmp_path / "wrong"))
    assert convatlas(*line)[0] == 0
    table = rows(tmp_path / "wrong" / "mistakes.csv")
    copies = sorted((tmp_path / "wrong").glob("*/*/*.png"))
    assert len(copies) == len(table)
    contents = {Path(row["file"]).read_bytes() for row in table}
    assert {path.read_bytes() for path in copies} == contents
    code, _, err = convatlas(*line)
    assert code == 2
    assert "not an empty directory" in err


def test_mistakes_of_images_that_are_no_files_become_pictures(convatlas, tmp_path):
    line = ("train", "mlp", "--epochs", "1", "--min-updates", "0", "--threads", "1", "--out", str(tmp_path))
    assert convatlas(*line)[0] == 0
    run = next(tmp_path.glob("mlp*"))
    assert convatlas("evaluate", str(run), "--mistakes", str(tmp_path / "wrong"))[0] == 0
    copies = list((tmp_path / "wrong").glob("*/*/*.png"))
    assert copies
    with Image.open(copies[0]) as picture:
        assert picture.size == (8, 8)
