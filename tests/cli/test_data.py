"""``convatlas data``: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convatlas.data import make_split, open_data
from convatlas.models import entry
from convatlas.recipes.registry import recipe_for
from convatlas.runs.training_data import TrainingData


def test_the_report_of_ants_and_bees(convatlas, shared):
    code, out, _ = convatlas("data", str(shared("data/hymenoptera")))
    assert code == 0
    assert "split folders" in out
    assert "162 images, 2 classes, colour, height 130 to 533 (median 356), width 193 to 800 (median 500) pixels" in out
    assert ["ants", "44", "8", "30", "82"] in [line.split() for line in out.splitlines()]
    assert "the given validation set is used as the test set" in out


def test_the_json_has_what_the_table_has(convatlas, shared):
    code, out, _ = convatlas("data", str(shared("data/mnist")), "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["layout"], document["n"]) == (0, 1, "idx", 70_000)
    assert document["layout_parts"] == {"train": 60_000, "test": 10_000}
    assert document["parts"] == {"train": 51_000, "val": 9_000, "test": 10_000}
    assert document["classes"][0] == {"name": "0", "n": 6903, "train": 5035, "val": 888, "test": 980}
    assert document["split"]["seed"] == 0
    assert document["problems"] == []
    assert len(document["fingerprint"]) == 64


def test_a_split_is_written_and_reused(convatlas, tmp_path):
    code, _, _ = convatlas("data", "digits", "--seed", "5", "--write-split", str(tmp_path / "split.csv"))
    assert code == 0
    assert len((tmp_path / "split.csv").read_text().splitlines()) == 1798
    code, out, _ = convatlas("data", "digits", "--split", str(tmp_path / "split.csv"))
    assert code == 0
    assert f"as written in {tmp_path / 'split.csv'}: 1222 train, 216 val, 359 test" in out


def test_a_damaged_image_stops_with_exit_3_and_its_index_and_skip_lists_it(convatlas, tmp_path):
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for k in range(12):
            Image.linear_gradient("L").rotate(20 * k).save(root / name / f"{k}.png")
    whole = (root / "dog/0.png").read_bytes()
    (root / "dog/0.png").write_bytes(whole[:-40])
    code, out, err = convatlas("data", str(root))
    assert code == 3
    assert "23 images, 2 classes" in out  # the inventory comes all the same
    assert "problem: dog/0.png (index 12):" in out
    assert "dog/0.png (index 12) cannot be read" in err
    assert "--on-bad skip" in err
    code, out, _ = convatlas("data", str(root), "--on-bad", "skip")
    assert code == 0
    assert "problem: dog/0.png (index 12):" in out
    code, _, err = convatlas("data", str(root), "--on-bad", "skip", "--max-bad", "0.01")
    assert code == 3
    assert "1 of 24 images cannot be read, more than the limit of 1%" in err


def test_a_data_set_that_cannot_be_split_is_still_reported(convatlas, shared):
    code, out, _ = convatlas("data", str(shared("data/photos")))
    assert code == 0
    assert "50 images, 50 classes" in out
    assert "... 10 more (--json)" in out
    assert "has 1 image left when the test set is drawn" in out


def test_an_augmented_batch_as_a_picture(convatlas, tmp_path):
    code, _, err = convatlas(
        "data", "digits", "--show-batch", str(tmp_path / "batch.png"), "--pad", "1", "--policy", "trivial"
    )
    assert code == 0
    assert "8 x 8 already; pad 1, policy trivial" in err
    with Image.open(tmp_path / "batch.png") as picture:  # 8 rows and 8 columns of 8 x 8 pixels, each 8 x 8
        assert picture.size == (8 * 66 + 2, 8 * 66 + 2)


def test_the_picture_is_of_the_batch_that_training_sees(convatlas, tmp_path):
    """Model, recipe, file and flags mean here what they mean to train: the second column is its first epoch."""
    (tmp_path / "mine.toml").write_text("[recipe]\nflip = 'on'\nbatch_size = 8\n")
    wishes = ["--model", "lenet5", "--config", str(tmp_path / "mine.toml"), "--pad", "3", "--cutout", "5"]
    code, _, err = convatlas("data", "digits", "--show-batch", str(tmp_path / "batch.png"), *wishes)
    assert code == 0
    assert "pad 3, flip on, cutout 5" in err
    recipe = recipe_for("lenet5").change(flip="on", batch_size=8, pad="3", cutout=5)
    training_data = TrainingData("digits", split=make_split(open_data("digits")))
    preprocessing, store = training_data.prepared(entry("lenet5"), recipe)
    images, *_ = next(iter(training_data.training_batches(preprocessing, store, recipe, 0, "cpu").epoch(0)))
    with Image.open(tmp_path / "batch.png") as picture:
        shown = np.asarray(picture)[..., 0]
    for row, image in enumerate(images[:, 0] * preprocessing.std[0] + preprocessing.mean[0]):
        drawn = shown[2 + row * 66 :, 2 + 66 :][:64:2, :64:2]  # each of the 32 x 32 pixels is 2 x 2
        assert np.abs(drawn - (image.clamp(0, 1) * 255).round().numpy()).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 3, "there is no nowhere"),
        (["digits", "--test", "1.5"], 2, "test is 1.5"),
        (["digits", "--split", "nowhere.csv"], 3, "the split nowhere.csv cannot be read"),
        (["digits", "--show-batch", "x.png", "--rotate", "much"], 2, "'much' is not a valid float"),
        (["digits", "--show-batch", "x.png", "--recipe", "paper"], 2, "the recipe of a network's paper pass --model"),
        (["digits", "--show-batch", "x.png", "--crop-area", "0.1", "1"], 2, "only with crop = random-resized"),
        (["digits", "--rotate", "5"], 2, "--rotate is for the picture of a batch: add --show-batch"),
        (["pipe:cat a.tar"], 3, "a command, and none is run"),
    ],
)
def test_bad_input_has_its_exit_code_and_its_way_out(convatlas, arguments, code, words):
    got, out, err = convatlas("data", *arguments)
    assert (got, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_written_to(convatlas, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = convatlas("data", "digits", "--write-split", str(tmp_path / "file/split.csv"))
    assert code == 1
    assert "cannot be written" in err


def test_the_report_needs_no_torch():
    program = "import sys\nsys.argv = ['convatlas', 'data', 'digits']\nfrom convatlas.cli import main\ntry: main()\n"
    program += "except SystemExit as left: assert not left.code and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
