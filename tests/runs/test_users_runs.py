"""Trainings on what users bring: splits without validation, rare classes, a last batch of one image, reused images."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.data import Batches, Preprocessing, ReadingOptions, make_split, open_data, write_split
from convatlas.data.ranks import RankBatches
from convatlas.data.store import ImageStore
from convatlas.errors import DataError, UsageError
from convatlas.runs.evaluate import evaluate
from convatlas.runs.prepare import normalises_one_value
from convatlas.runs.run import Run
from convatlas.runs.train import resume, train
from convatlas.runs.training_data import TrainingData

QUICK = {"epochs": 1, "threads": 1, "device": "cpu"}


def photos(root: Path, counts: dict[str, int], size: tuple[int, int] = (32, 32), seed: int = 0) -> Path:
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            generator = np.random.default_rng([seed, k, *os.fsencode(kind)])
            Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).save(root / kind / f"{k}.png")
    return root


# --- splits -----------------------------------------------------------------------------------------------------------


def test_without_a_validation_set_the_last_weights_are_used_and_the_header_says_so(tmp_path):
    data = open_data(photos(tmp_path / "set", {"cat": 8, "dog": 8}))
    write_split(tmp_path / "s.csv", data, make_split(data, val=0))
    run = train("lenet5@modern", tmp_path / "set", split=tmp_path / "s.csv", out=tmp_path / "runs", **QUICK)
    assert run.finished
    assert run.recipe.keep == "last"
    assert run.result["val_top1"] is None
    assert "the weights of the last epoch are used" in (run.path / "report.html").read_text()
    assert resume(run.path).finished


@pytest.mark.parametrize("settings", [{"patience": 2}, {"schedule": "plateau"}])
def test_what_needs_validation_is_refused_before_training(tmp_path, settings):
    data = open_data(photos(tmp_path / "set", {"cat": 8, "dog": 8}))
    write_split(tmp_path / "s.csv", data, make_split(data, val=0))
    with pytest.raises(DataError, match=r"no validation set, which (patience|schedule = plateau) needs"):
        train("lenet5@modern", tmp_path / "set", split=tmp_path / "s.csv", out=tmp_path / "runs", **QUICK, **settings)
    assert not (tmp_path / "runs").exists()


def test_a_split_without_a_test_set_is_refused_before_training(tmp_path):
    data = open_data(photos(tmp_path / "set", {"cat": 8, "dog": 8}))
    write_split(tmp_path / "s.csv", data, make_split(data, val=0, test=0))
    with pytest.raises(DataError, match="no test set"):
        train("lenet5@modern", tmp_path / "set", split=tmp_path / "s.csv", out=tmp_path / "runs", **QUICK)
    assert not (tmp_path / "runs").exists()


def test_a_class_without_training_images_in_a_split_file_is_refused(tmp_path):
    data = open_data(photos(tmp_path / "set", {"cat": 6, "dog": 6, "emu": 4}))
    write_split(tmp_path / "s.csv", data, make_split(data))
    lines = [
        line.replace(",train", ",test") if ",emu," in line else line
        for line in (tmp_path / "s.csv").read_text().splitlines()
    ]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"class 'emu' .* has no training image"):
        TrainingData(tmp_path / "set", split=tmp_path / "s.csv")


@pytest.mark.parametrize(("rare", "classes"), [("keep-in-training", 3), ("leave-out", 2)])
def test_rare_classes_are_trained_on_or_left_out_and_the_run_is_read_back_alike(tmp_path, rare, classes):
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8, "rare": 1})
    run = train("lenet5@modern", root, out=tmp_path / "runs", reading=ReadingOptions(rare=rare), **QUICK)
    again = Run(run.path)
    assert len(again.classes) == classes
    assert again.dataset().fingerprint == again.config["data"]["fingerprint"]
    assert evaluate(again).n == run.result["test_n"]
    assert resume(run.path).finished


def test_columns_and_links_of_a_run_are_remembered(tmp_path):
    root = photos(tmp_path / "real", {"x": 8})
    (tmp_path / "set").mkdir()
    for k in range(8):
        os.symlink(root / f"x/{k}.png", tmp_path / f"set/{k}.png")
    (tmp_path / "set/t.csv").write_text("foto,art\n" + "".join(f"{k},{'ab'[k % 2]}\n" for k in range(8)))
    reading = ReadingOptions(image_column="foto", label_column="art", follow_links=True)
    run = train("lenet5@modern", tmp_path / "set", out=tmp_path / "runs", reading=reading, **QUICK)
    assert Run(run.path).config["data"]["reading"] == reading.to_dict()
    assert evaluate(Run(run.path)).n == 2


def test_a_class_name_that_is_not_utf8_is_trained_on_and_reported(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    root = photos(tmp_path / "set", {"cat": 8, odd: 8})
    run = train("lenet5@modern", root, out=tmp_path / "runs", **QUICK)
    assert run.classes == ("caf\\xe9", "cat")
    assert evaluate(Run(run.path)).to_dict()["classes"] == ["caf\\xe9", "cat"]


# --- batches of one image ---------------------------------------------------------------------------------------------


def split_folders(root: Path, training: int) -> Path:
    photos(root / "train", {"cat": training // 2, "dog": training - training // 2})
    for seed, part in enumerate(("val", "test"), 1):
        photos(root / part, {"cat": 2, "dog": 2}, seed=seed)
    return root


@pytest.mark.parametrize("batch_size", [8, 16])
def test_a_last_batch_of_one_image_joins_the_one_before(tmp_path, batch_size):
    root = split_folders(tmp_path / "set", 2 * batch_size + 1)
    run = train(
        "resnet18@torchvision",
        root,
        out=tmp_path / "runs",
        image_size=32,
        batch_size=batch_size,
        min_updates=0,
        **QUICK,
    )
    assert run.finished
    assert "its single image is added to the batch before it" in (run.path / "report.html").read_text()


def test_networks_that_can_train_on_one_image_do_so(tmp_path):
    training_data = TrainingData(split_folders(tmp_path / "set", 9))
    from convatlas.recipes.registry import recipe_for
    from convatlas.runs.prepare import prepare

    setup = prepare("lenet5@modern", training_data, recipe_for("lenet5@modern").change(batch_size=4), 0, None)
    assert not setup.batches.merge_last
    assert len(setup.batches) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"batch_size": 1}, "--batch-size 1"), ({"batch_size": 4, "accumulate": 4}, "parts of one image")],
)
def test_other_batches_of_one_image_are_refused_before_training(tmp_path, settings, words):
    root = split_folders(tmp_path / "set", 8)
    with pytest.raises(UsageError, match=words):
        train("resnet18@torchvision", root, out=tmp_path / "runs", image_size=32, **QUICK, **settings)
    assert not (tmp_path / "runs").exists()


def test_batch_norm_over_larger_maps_needs_no_second_image():
    small = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    assert normalises_one_value(small, (3, 3, 3))
    assert not normalises_one_value(small, (3, 4, 3))
    assert not normalises_one_value(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), (3, 3, 3))


@pytest.mark.parametrize("images", [9, 10, 12])
def test_merging_changes_only_a_last_batch_of_one(images):
    store = ImageStore(torch.arange(images * 4, dtype=torch.uint8).view(images, 2, 2, 1), Preprocessing((2, 2), 1))
    labels = np.arange(images)

    def of(merge: bool) -> Batches:
        return Batches(store, labels, np.arange(images), batch_size=4, merge_last=merge)

    plain, merged = ([batch[1].tolist() for batch in of(merge).epoch(3)] for merge in (False, True))
    assert list(chain(*merged)) == list(chain(*plain))
    assert len(merged) == len(of(True))
    if images == 9:
        assert [len(batch) for batch in merged] == [4, 5]
        rows = [[batch[1].tolist() for batch in RankBatches(of(True), rank, 2).epoch(3)] for rank in (0, 1)]
        assert [a + b for a, b in zip(*rows, strict=True)] == merged
        weights = [[batch.share.weight for batch in RankBatches(of(True), rank, 2).epoch(3)] for rank in (0, 1)]
        assert weights == [[1.0, 6 / 5], [1.0, 4 / 5]]  # of the batch of five the ranks compute three and two
    else:
        assert merged == plain


# --- images that a run was trained on ---------------------------------------------------------------------------------


def test_evaluation_on_images_of_the_run_is_noted_by_content(tmp_path):
    root = photos(tmp_path / "set", {"cat": 10, "dog": 10})
    run = train("lenet5@modern", root, out=tmp_path / "runs", **QUICK)
    copy = photos(tmp_path / "copy", {"cat": 2, "dog": 2}, seed=7)
    assert evaluate(run, copy).notes == ()
    split = run.split(run.dataset())
    name = run.dataset().names[int(split.train[0])]
    (copy / name.split("/")[0] / "renamed.png").write_bytes((root / name).read_bytes())
    (note,) = evaluate(run, copy).notes
    assert "1 of these 5 images are also in the training set of" in note
    notes = evaluate(run, root).notes
    assert f"{len(split.train)} of these 20 images are also in the training set" in notes[0]
    assert f"{len(split.val)} of these 20 images" in notes[1]
    assert evaluate(run, root).to_dict()["notes"] == list(notes)
    assert evaluate(run).notes == ()


def test_data_that_are_gone_are_noted_not_an_error(tmp_path):
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8})
    run = train("lenet5@modern", root, out=tmp_path / "runs", **QUICK)
    other = photos(tmp_path / "other", {"cat": 2, "dog": 2}, seed=7)
    root.rename(tmp_path / "moved")
    (note,) = evaluate(Run(run.path), other).notes
    assert "is not known" in note


def test_fit_is_kept_with_the_run(tmp_path):
    root = photos(tmp_path / "set", {"cat": 8, "dog": 8}, size=(20, 60))
    run = train("lenet5@modern", root, out=tmp_path / "runs", fit="pad", **QUICK)
    assert run.preprocessing.resize == "letterbox"
    assert evaluate(Run(run.path)).n == run.result["test_n"]
