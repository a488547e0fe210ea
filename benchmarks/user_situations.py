"""Rebuild what users of other tools reported of their first hour, try it here, and write the table of results/users.

    python benchmarks/user_situations.py                    try all of them and print the table
    python benchmarks/user_situations.py --only table       those with the word in their name, subject or source
    python benchmarks/user_situations.py --write            also write results/users/README.md and situations.json

Each situation is a function: it makes small files of the reported kind, runs the command line or the library in this
process, and asserts what a user is owed: the right result, or a refusal that names the fault and a way out. The
reports are public issues of the projects named; the files are made here. tests/test_user_situations.py runs them all.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import convatlas as ca
from convatlas.cli import main

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results/users"
LONGEST = 230  # characters of evidence in the table
WORKS, REFUSED, OPEN = "works", "refused, with a way out", "not handled"


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def line(self, pattern: str) -> str:
        """The first line of stdout, then stderr, in which the pattern is found.

        Raises:
            AssertionError: there is none, or the command ended with a traceback.
        """
        assert self.code in (0, 2, 3), f"exit code {self.code}: {self.err[-300:]}"
        for each in (self.out + self.err).splitlines():
            if re.search(pattern, each):
                return " ".join(each.split())
        raise AssertionError(f"no line with {pattern!r} in {(self.out + self.err)[-600:]}")


@dataclass(frozen=True)
class Situation:
    """A report and its reconstruction.

    Attributes:
        subject: folders, tables, images, few images, checkpoints, resuming, own modules or command line.
        report: what went wrong for the user, and with what.
        source: project and number of the issue.
        mended: convatlas failed on it when it was first tried.
        attempt: makes the files in an empty working directory and returns a line that convatlas answered.
    """

    name: str
    subject: str
    report: str
    source: str
    mended: bool
    attempt: Callable[[Desk], str]


@dataclass(frozen=True)
class Result:
    """What came of a situation: one of WORKS, REFUSED and OPEN, and the line that shows it."""

    name: str
    subject: str
    report: str
    source: str
    mended: bool
    outcome: str
    evidence: str


SITUATIONS: list[Situation] = []


def situation(
    subject: str, report: str, source: str, mended: bool = False
) -> Callable[[Callable[[Desk], str]], Callable[[Desk], str]]:
    """Enter the function into SITUATIONS."""

    def enter(attempt: Callable[[Desk], str]) -> Callable[[Desk], str]:
        SITUATIONS.append(Situation(attempt.__name__, subject, report, source, mended, attempt))
        return attempt

    return enter


class Desk:
    """An empty working directory in which a situation is rebuilt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.last = 0

    def images(self, folder: str, *names: str, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> None:
        """Images of random pixels, each different, in the format of its name's ending."""
        for name in names:
            path = self.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng([len(name), *f"{folder}/{name}".encode()])
            shape = (*size, len(mode)) if len(mode) > 1 else size
            Image.fromarray(random.integers(0, 256, shape, np.uint8), mode).save(path)

    def numbered(self, folder: str, count: int, **how: object) -> None:
        self.images(folder, *(f"{k}.png" for k in range(count)), **how)  # type: ignore[arg-type]

    def write(self, name: str, text: str, encoding: str = "utf-8") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))

    def run(self, *arguments: str) -> Answer:
        """The command line in this process."""
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([*arguments])
            except SystemExit as left:
                code = int(left.code or 0)
        self.last = code
        return Answer(code, out.getvalue(), err.getvalue())

    def train(self, *arguments: str) -> Answer:
        return self.run("train", "lenet5@modern", "--epochs", "1", "--threads", "1", *arguments)


# --- folders ----------------------------------------------------------------------------------------------------------


@situation("folders", "the test set lacks a class, and every later class is scored as its neighbour",
           "ultralytics/ultralytics 13936")  # fmt: skip
def a_test_set_without_a_class(desk: Desk) -> str:
    for degrees in ("0", "90", "180", "270"):
        desk.numbered(f"d/train/{degrees}", 6)
        if degrees != "180":
            desk.numbered(f"d/test/{degrees}", 2)
    answer = desk.run("data", "d")
    assert answer.line(r"^270 ").split() == ["270", "5", "1", "2", "8"]
    return answer.line("test has no image of 180")


@situation("folders", "the validation set has a class that training has not: target out of bounds",
           "ultralytics/ultralytics 4514")  # fmt: skip
def a_class_only_in_validation(desk: Desk) -> str:
    for part, classes in (("train", "ab"), ("val", "abc"), ("test", "ab")):
        for name in classes:
            desk.numbered(f"d/{part}/{name}", 4)
    return desk.train("--data", "d").line("class 'c' .*(--rare|leave)")


@situation("folders", "validation/ is not found beside train/ and test/, and a folder runs/ becomes a class",
           "ultralytics/ultralytics 4310")  # fmt: skip
def a_folder_called_validation(desk: Desk) -> str:
    for part in ("train", "validation", "test"):
        for name in ("squat", "plank"):
            desk.numbered(f"gym/{part}/{name}", 4)
    desk.write("gym/runs/classify/args.yaml", "epochs: 1")
    answer = desk.run("data", "gym")
    assert answer.line("^plank").split() == ["plank", "4", "4", "4", "12"]
    return answer.line("no part of the split were left out: runs")


@situation("folders", "Roboflow writes valid/ where the trainer looks for val/", "ultralytics/ultralytics 306")
def a_folder_called_valid(desk: Desk) -> str:
    for part in ("train", "valid"):
        for name in ("a", "b"):
            desk.numbered(f"d/{part}/{name}", 5)
    answer = desk.run("data", "d")
    assert answer.line("^all").split()[-1] == "20"
    return answer.line("^split:")


@situation("folders", "hidden folders such as .ipynb_checkpoints become classes", "pytorch/vision 2831")
def hidden_folders(desk: Desk) -> str:
    for name in ("skip", "no_skip", ".ipynb_checkpoints"):
        desk.numbered(f"d/{name}", 6)
    desk.images("d/skip/.ipynb_checkpoints", "0-checkpoint.png")
    desk.write("d/skip/Thumbs.db", "x")
    desk.write("d/desktop.ini", "x")
    return desk.run("data", "d").line("12 images, 2 classes")


@situation("folders", "an empty class folder stops everything", "pytorch/vision 4925")
def an_empty_class_folder(desk: Desk) -> str:
    desk.numbered("d/a", 6)
    desk.numbered("d/b", 6)
    (desk.root / "d/venv").mkdir()
    return desk.run("data", "d").line("class 'venv' .* is empty")


@situation("folders", "the folder of one class is given in place of the data set", "pytorch/vision 669", mended=True)
def the_folder_of_one_class(desk: Desk) -> str:
    desk.numbered("PetImages/Dog", 6)
    desk.numbered("PetImages/Cat", 6)
    return desk.run("data", "PetImages/Dog").line("pass PetImages, which holds one folder per class")


@situation("folders", "the training half train/ is given, and train/train is looked for", "ultralytics/ultralytics 753")
def the_training_half_of_a_split(desk: Desk) -> str:
    for part in ("train", "val"):
        for name in ("a", "b"):
            desk.numbered(f"d/{part}/{name}", 6)
    return desk.run("data", "d/train").line("12 images, 2 classes")


@situation("folders", "a data.yaml is given in place of the folder", "ultralytics/ultralytics 2108", mended=True)
def a_yaml_file_as_the_data(desk: Desk) -> str:
    desk.numbered("d/train/a", 6)
    desk.numbered("d/train/b", 6)
    desk.write("d/data.yaml", "train: train\nval: val\nnames: [a, b]\n")
    return desk.run("data", "d/data.yaml").line("pass the folder")


@situation("folders", "classes named 1 to 64 come in the order 1, 10, 11, and predictions are off",
           "keras-team/keras 7543")  # fmt: skip
def classes_that_are_numbers(desk: Desk) -> str:
    for name in ("1", "2", "10", "11"):
        desk.numbered(f"d/{name}", 6)
    assert desk.train("--data", "d").code == 0
    run = next((desk.root / "runs").iterdir())
    classes = ca.Run(run).classes
    assert classes == ("1", "2", "10", "11"), classes
    return f"classes of the run: {', '.join(classes)}"


@situation("folders", "all images lie in one folder, and their labels in a list of the user's program",
           "keras-team/keras 16205")  # fmt: skip
def images_in_one_folder_without_labels(desk: Desk) -> str:
    desk.numbered("pictures", 5)
    return desk.run("data", "pictures").line("nothing that says their classes.*CSV")


@situation("folders", "one class folder only, and training starts or dies later", "ultralytics/ultralytics 6658")
def one_class_only(desk: Desk) -> str:
    desk.numbered("d/cat", 9)
    return desk.train("--data", "d").line("one class only")


@situation("folders", "an image that has two labels lies in two class folders", "ultralytics/ultralytics 22478")
def an_image_in_two_classes(desk: Desk) -> str:
    for name in ("cat", "dog"):
        desk.numbered(f"d/{name}", 8)
    (desk.root / "d/dog/both.png").write_bytes((desk.root / "d/cat/0.png").read_bytes())
    return desk.run("data", "d").line("same image with two labels")


@situation("folders", "test/ is used as the validation set without a word", "ultralytics/ultralytics 1677")
def validation_and_test_are_kept_apart(desk: Desk) -> str:
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            desk.numbered(f"d/{part}/{name}", 4)
    return desk.run("data", "d").line("validation set chooses the weights; the test set is used once")


# --- tables -----------------------------------------------------------------------------------------------------------


@situation("tables", "the label is one of six columns that hold 0 and 1", "keras-team/keras-preprocessing 92",
           mended=True)  # fmt: skip
def one_column_per_class(desk: Desk) -> str:
    desk.numbered("d/train", 6)
    desk.write("d/train.csv", "image_id,healthy,rust,scab\n0,1,0,0\n1,0,1,0\n2,0,0,1\n3,1,0,0\n4,0,1,0\n5,0,0,1\n")
    answer = desk.run("data", "d")
    assert answer.line("^rust").split()[-1] == "2"
    return answer.line("columns healthy, rust, scab")


@situation("tables", "columns of 0 and 1 in which an image has several labels", "fastai/fastai 1303", mended=True)
def several_labels_an_image(desk: Desk) -> str:
    desk.numbered("d/train", 4)
    desk.write("d/train.csv", "filename, cat, dog\n0.png, 1, 0\n1.png, 1, 1\n2.png, 0, 1\n3.png, 0, 0\n")
    assert "--on-bad skip" in desk.train("--data", "d").line("'1.png' has 2 labels")
    return desk.train("--data", "d").line("'1.png' has 2 labels")


@situation("tables", "labels that are lists, such as 16 0, are taken as one name each", "fastai/fastai 1202",
           mended=True)  # fmt: skip
def lists_as_labels(desk: Desk) -> str:
    desk.numbered("d/train", 8)
    rows = ["0", "16", "0", "16 0", "16", "0", "16 0", "16"]
    desk.write("d/train.csv", "Id,Target\n" + "".join(f"{k},{row}\n" for k, row in enumerate(rows)))
    return desk.run("data", "d").line("several")


@situation("tables", "a table without a heading loses its first row, or has labels None", "fastai/fastai 1506",
           mended=True)  # fmt: skip
def a_table_without_a_heading(desk: Desk) -> str:
    desk.images("d", *(f"{k}.jpg" for k in "abcd"))
    desk.write("d/tst.csv", "a.jpg,0\nb.jpg,1\nc.jpg,1\nd.jpg,0\n")
    answer = desk.run("data", "d")
    assert answer.line("4 images, 2 classes")
    return answer.line("no heading")


@situation("tables", "absolute paths of another machine, and an index column without a name",
           "keras-team/keras-preprocessing 102", mended=True)  # fmt: skip
def absolute_paths_of_another_machine(desk: Desk) -> str:
    desk.numbered("d/test", 6)
    rows = "".join(f"{k},/path/Data/test/{k}.png,{k % 2}\n" for k in range(6))
    desk.write("d/test.csv", ",filepath,label\n" + rows)
    answer = desk.run("data", "d")
    assert answer.line("6 images, 2 classes")
    return answer.line("another place")


@situation("tables", "Windows paths with a drive letter and backslashes", "fastai/fastai 1291", mended=True)
def windows_paths_in_a_table(desk: Desk) -> str:
    for folder in ("train/a", "train/b"):
        desk.numbered(f"d/{folder}", 4)
    rows = "".join(f"C:\\Users\\me\\d\\train\\{name}\\{k}.png,{name}\n" for name in "ab" for k in range(4))
    desk.write("d/labels.csv", "file,label\n" + rows)
    answer = desk.run("data", "d/labels.csv")
    assert answer.line("8 images, 2 classes")
    return answer.line("another place")


@situation("tables", "the table lies beside the folder of the images and states paths below it", "fastai/fastai 1169",
           mended=True)  # fmt: skip
def paths_below_a_folder(desk: Desk) -> str:
    for name in ("n03706229", "n01440764"):
        desk.numbered(f"d/train/{name}", 3)
    rows = "".join(f"{name}/{k}.png,{name}\n" for name in ("n03706229", "n01440764") for k in range(3))
    desk.write("d/train.csv", "filenames,cats\n" + rows)
    assert "--label-column" in desk.run("data", "d/train.csv").line("filenames, cats")
    return desk.run("data", "d/train.csv", "--label-column", "cats").line("6 images")


@situation("tables", "columns ImageId and LabelName of a competition", "fastai/fastai 1126", mended=True)
def headings_of_a_competition(desk: Desk) -> str:
    desk.images("d/train", *(f"{k:08x}.jpg" for k in range(6)))
    desk.write("d/train.csv", "ImageId,LabelName\n" + "".join(f"{k:08x}.jpg,w_{k % 2}\n" for k in range(6)))
    return desk.run("data", "d").line("6 images, 2 classes")


@situation("tables", "tabs, semicolons or bars between the cells", "fastai/fastai 2236", mended=True)
def other_separators(desk: Desk) -> str:
    answer = Answer(0, "", "")
    for separator in "\t;|":
        folder = f"d{ord(separator)}"
        desk.numbered(folder, 4)
        rows = "".join(f"{k}.png{separator}{'ab'[k % 2]}\n" for k in range(4))
        desk.write(f"{folder}/l.csv", f"\ufefffile{separator}label\n{rows}")
        answer = desk.run("data", folder)
        assert answer.line("4 images, 2 classes")
    return answer.line("4 images, 2 classes")


@situation("tables", "lists train.txt and val.txt of path and class, as other trainers take",
           "ultralytics/ultralytics 20460", mended=True)  # fmt: skip
def text_lists_of_paths(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/images/{name}", 4)
    lines = [f"images/{name}/{k}.png {number}\n" for number, name in enumerate("ab") for k in range(4)]
    desk.write("d/train.txt", "".join(lines[:3] + lines[4:7]))
    desk.write("d/val.txt", "".join([lines[3], lines[7]]))
    answer = desk.run("data", "d/train.txt")
    assert answer.line("6 images, 2 classes")
    answer = desk.run("data", "d")
    assert answer.line("^0 ").split() == ["0", "2", "1", "1", "4"], answer.out
    return answer.line("no heading")


@situation("tables", "cells without a label become a class nan", "keras-team/keras-preprocessing 57", mended=True)
def a_row_without_a_label(desk: Desk) -> str:
    desk.numbered("d", 7)
    desk.write("d/l.csv", "file,expression\n" + "".join(f"{k},{'' if k == 6 else k % 2}\n" for k in range(7)))
    answer = desk.run("data", "d/l.csv", "--label-column", "expression")
    assert "--on-bad skip" in answer.line("line 8: no label for '6'")
    skipped = desk.run("data", "d/l.csv", "--label-column", "expression", "--on-bad", "skip", "--max-bad", "0.2")
    return skipped.line("6 images, 2 classes")


@situation("tables", "a species with one image falls into the validation set only", "fastai/fastai 3703")
def a_class_with_one_row(desk: Desk) -> str:
    desk.numbered("d", 13)
    desk.write("d/l.csv", "file,label\n" + "".join(f"{k},{'w_new' if k == 12 else k % 2}\n" for k in range(13)))
    assert "--rare" in desk.train("--data", "d").line("class 'w_new'")
    return desk.train("--data", "d", "--rare", "keep-in-training").line("test top-1")


# --- images -----------------------------------------------------------------------------------------------------------


@situation("images", "a truncated image ends the training", "pytorch/vision 138")
def a_truncated_image(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.images(f"d/{name}", *(f"{k}.jpg" for k in range(12)), size=(64, 64))
    file = desk.root / "d/a/0.jpg"
    file.write_bytes(file.read_bytes()[:-400])
    assert desk.run("data", "d").line("problem: a/0.jpg")
    return desk.train("--data", "d", "--on-bad", "skip").line("test top-1")


@situation("images", "16-bit grey images come out white", "keras-team/keras 13023")
def sixteen_bits(desk: Desk) -> str:
    random = np.random.default_rng(0)
    for name, least in (("dark", 0), ("light", 32768)):
        (desk.root / "d" / name).mkdir(parents=True)
        for k in range(6):
            pixels = random.integers(least, least + 32768, (32, 32), np.uint16)
            Image.fromarray(pixels).save(desk.root / f"d/{name}/{k}.png")
    from convatlas.data.decode import decode

    means = [
        float(np.asarray(decode((desk.root / f"d/{name}/0.png").read_bytes())).mean()) for name in ("dark", "light")
    ]
    assert 55 < means[0] < 72, means
    assert 183 < means[1] < 200, means
    return f"mean grey level of a dark image {means[0]:.0f}, of a light one {means[1]:.0f}, of 255"


@situation("images", "WebP files are not found, or are called .jpg", "keras-team/keras 17013")
def webp_under_two_names(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.images(f"d/{name}", *(f"{k}.webp" for k in range(6)))
        for k in range(3):
            os.rename(desk.root / f"d/{name}/{k}.webp", desk.root / f"d/{name}/{k}.jpg")
    return desk.run("data", "d").line("12 images, 2 classes")


@situation("images", "TIFF files are not found", "keras-team/keras 17182")
def tiff_files(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.images(f"d/{name}", *(f"{k}.tif" for k in range(4)), *(f"{k}.TIFF" for k in range(2)))
    return desk.run("data", "d").line("12 images, 2 classes")


@situation("images", "photos that a camera marked as rotated are learnt lying down", "pytorch/vision 7977")
def rotation_in_exif(desk: Desk) -> str:
    from convatlas.data.decode import decode

    desk.images("d", "upright.jpg", size=(20, 60))
    picture = Image.open(desk.root / "d/upright.jpg")
    tags = picture.getexif()
    tags[0x0112] = 6  # turn by 90 degrees to see it
    picture.save(desk.root / "d/turned.jpg", exif=tags)
    shape = np.asarray(decode((desk.root / "d/turned.jpg").read_bytes())).shape[:2]
    assert shape == (60, 20), shape
    return f"a file of 60 x 20 pixels with orientation 6 is read as {shape[1]} x {shape[0]}"


@situation("images", "transparent and palette images next to colour ones", "pytorch/vision 5510")
def transparent_images(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 6)
        desk.images(f"d/{name}", *(f"t{k}.png" for k in range(3)), mode="RGBA")
        picture = Image.open(desk.root / f"d/{name}/0.png").quantize(16)
        picture.save(desk.root / f"d/{name}/palette.png", transparency=0)
    assert desk.run("data", "d").line("colour")
    return desk.train("--data", "d").line("test top-1")


@situation("images", "grey images reach a network that expects colour", "pytorch/vision 198")
def grey_images(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 9, mode="L")
    answer = desk.run("train", "resnet20_cifar", "--data", "d", "--epochs", "1", "--threads", "1")
    assert answer.line("test top-1")
    return answer.line(r"images .*x 1")


@situation("images", "images too small for Inception, and an error about kernel sizes", "pytorch/vision 560")
def images_too_small(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 9)
    answer = desk.run("train", "inception_v3", "--data", "d", "--image-size", "48", "--epochs", "1", "--threads", "1")
    return answer.line("smallest possible size is")


@situation("images", "file names with spaces, accents and Korean letters", "ultralytics/ultralytics 4516")
def names_with_spaces_and_accents(desk: Desk) -> str:
    for name in ("veículo azul", "지단"):
        desk.images(f"d/{name}", *(f"foto de veículo {k}.png" for k in range(9)))
    assert desk.train("--data", "d").code == 0
    run = next((desk.root / "runs").iterdir())
    answer = desk.run("predict", str(run), "d/지단/foto de veículo 0.png")
    return answer.line("foto de veículo 0.png")


# --- few images -------------------------------------------------------------------------------------------------------


@situation("few images", "the data set is smaller than one batch, and nothing is trained", "fastai/fastai 2416")
def fewer_images_than_a_batch(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 20)
    answer = desk.train("--data", "d", "--batch-size", "128")
    assert answer.line("test top-1")
    return answer.line("recipe .*1 updates")


# --- checkpoints ------------------------------------------------------------------------------------------------------


@situation("checkpoints", "thop left total_ops and total_params in the saved weights", "Lyken17/pytorch-OpCounter 82")
def weights_with_counters_of_thop(desk: Desk) -> str:
    state = ca.create_model("resnet20_cifar").state_dict()
    for name in ("", "conv1.", "stage1."):
        state[f"{name}total_ops"] = torch.zeros(1, dtype=torch.float64)
        state[f"{name}total_params"] = torch.zeros(1, dtype=torch.float64)
    torch.save(state, desk.root / "counted.pth")
    report = ca.load_weights(ca.create_model("resnet20_cifar"), desk.root / "counted.pth", source="convatlas")
    assert report.tensors == 116
    return f"116 tensors loaded; left out: {', '.join(report.ignored) or 'the counters'}"


@situation("checkpoints", "the loss has a tensor of its own in the checkpoint",
           "Lightning-AI/pytorch-lightning 2617")  # fmt: skip
def weights_with_a_tensor_of_the_loss(desk: Desk) -> str:
    state = {f"model.{key}": value for key, value in ca.create_model("resnet20_cifar").state_dict().items()}
    state["criterion.pos_weight"] = torch.tensor(3.2)
    torch.save({"state_dict": state, "epoch": 3, "pytorch-lightning_version": "2.0"}, desk.root / "last.ckpt")
    report = ca.load_weights(ca.create_model("resnet20_cifar"), desk.root / "last.ckpt", source="convatlas")
    assert report.tensors == 116
    return f"116 tensors loaded; left out: {', '.join(report.ignored)}"


@situation("checkpoints", "a head of 1001 classes does not fit 1000", "huggingface/pytorch-image-models 717")
def a_head_of_another_size(desk: Desk) -> str:
    torch.save(ca.create_model("resnet20_cifar", num_classes=11).state_dict(), desk.root / "w.pth")
    desk.images("d", "0.png")
    answer = desk.run("predict", "resnet20_cifar", "--weights", "w.pth", "--source", "convatlas", "d/0.png")
    return answer.line("11.*--classes")


@situation("checkpoints", "keys that do not match are not listed", "Lightning-AI/pytorch-lightning 8119")
def keys_that_do_not_match(desk: Desk) -> str:
    state = {key.replace("conv", "cnv"): value for key, value in ca.create_model("resnet20_cifar").state_dict().items()}
    torch.save(state, desk.root / "w.pth")
    answer = desk.run("weights", "w.pth", "--like", "resnet20_cifar")
    return answer.line("cnv")


@situation("checkpoints", "weights of colour images for a network on grey images",
           "huggingface/pytorch-image-models 976")  # fmt: skip
def colour_weights_on_grey_images(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"colour/{name}", 9)
        desk.numbered(f"grey/{name}", 9, mode="L")
    start = ("train", "resnet20_cifar", "--epochs", "1", "--threads", "1")
    assert desk.run(*start, "--data", "colour").code == 0
    run = str(next((desk.root / "runs").iterdir()))
    answer = desk.run(*start, "--data", "grey", "--recipe", "finetune", "--start-from", run)
    return answer.line("test top-1|channel")


# --- resuming ---------------------------------------------------------------------------------------------------------


@situation("resuming", "more epochs are asked for when a training is resumed, and ignored",
           "ultralytics/ultralytics 15812")  # fmt: skip
def more_epochs_on_resuming(desk: Desk) -> str:
    interrupted(desk)
    answer = desk.run("train", "--resume", "latest", "--epochs", "4", "--lr", "0.001")
    assert answer.line("^epoch +4 ")
    return answer.line("4 epochs in")


@situation("resuming", "fewer epochs than planned, to stop earlier", "ultralytics/ultralytics 18154")
def fewer_epochs_on_resuming(desk: Desk) -> str:
    interrupted(desk, epochs=5)
    answer = desk.run("train", "--resume", "latest", "--epochs", "2", "--lr", "0.001")
    assert answer.line("^epoch +2 ")
    return answer.line("2 epochs in")


@situation("resuming", "a finished training did not reach what was hoped for, and more epochs are wanted",
           "ultralytics/ultralytics 18640")  # fmt: skip
def more_epochs_after_the_end(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 20)
    assert desk.train("--data", "d").code == 0
    return desk.run("train", "--resume", "latest", "--epochs", "3").line("--start-from")


def interrupted(desk: Desk, epochs: int = 3) -> None:
    """A run that its learning rate stopped after the first epoch."""
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 20)
    assert desk.train("--data", "d", "--epochs", str(epochs), "--lr", "1e8").code == 1


@situation("resuming", "a finished training is resumed and writes a wrong checkpoint",
           "Lightning-AI/pytorch-lightning 4184")  # fmt: skip
def resuming_a_finished_training(desk: Desk) -> str:
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 20)
    assert desk.train("--data", "d").code == 0
    weights = next((desk.root / "runs").glob("*/model.safetensors"))
    before = weights.read_bytes()
    answer = desk.run("train", "--resume", "latest")
    assert weights.read_bytes() == before
    return answer.line("finished|test top-1|nothing")


# --- own modules ------------------------------------------------------------------------------------------------------


@situation("own modules", "a module returns tuples, dicts or a dataclass", "TylerYep/torchinfo 141")
def outputs_that_are_no_tensor(desk: Desk) -> str:
    @dataclass
    class Output:
        logits: torch.Tensor
        hidden: tuple[torch.Tensor, ...]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

        def forward(self, images: torch.Tensor) -> Output:
            maps = self.conv(images)
            return Output(self.fc(maps.mean((2, 3))), (maps,))

    return repr(ca.summarize(Net(), (3, 32, 32)))


@situation("own modules", "a module returns a distribution", "TylerYep/torchinfo 329", mended=True)
def an_output_that_is_a_distribution(desk: Desk) -> str:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(10, 5)

        def forward(self, x: torch.Tensor) -> torch.distributions.Categorical:
            return torch.distributions.Categorical(logits=torch.log_softmax(self.linear(x), -1))

    summary = ca.summarize(Net(), (10,))
    assert summary.totals.params == 55, summary.totals
    return repr(summary)


@situation("own modules", "forward takes a dict of tensors and a list of dicts", "TylerYep/torchinfo 46", mended=True)
def inputs_of_several_kinds(desk: Desk) -> str:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, maps: dict[str, torch.Tensor], info: list[dict[str, str]], use_mask: bool) -> torch.Tensor:
            assert info[0]["modality"] == "EEG"
            return self.conv(maps["512"])

    inputs = ({"512": torch.zeros(1, 1, 32, 32)}, [{"modality": "EEG"}], False)
    summary = ca.summarize(Net(), inputs)
    assert summary.totals.params == 40
    return repr(summary)


@situation("own modules", "a module that is used in several places is counted several times",
           "TylerYep/torchinfo 322")  # fmt: skip
def shared_parameters(desk: Desk) -> str:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(self.first(x))))

    net = Net()
    summary = ca.summarize(net, (8,))
    assert summary.totals.params == sum(p.numel() for p in net.parameters()) == 80, summary.totals
    assert summary.totals.macs == 3 * 64, summary.totals
    return repr(summary)


@situation("own modules", "parameters outside of the leaves are left out", "TylerYep/torchinfo 137")
def parameters_outside_of_leaves(desk: Desk) -> str:
    class ReZero(nn.Sequential):
        def __init__(self, *blocks: nn.Module) -> None:
            super().__init__(*blocks)
            self.weights = nn.Parameter(torch.zeros(len(blocks)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for k, block in enumerate(self.children()):
                x = x + self.weights[k] * block(x)
            return x

    summary = ca.summarize(ReZero(nn.Linear(2, 2), nn.Linear(2, 2)), (2,))
    assert summary.totals.params == 14, summary.totals
    return repr(summary)


@situation("own modules", "layer.forward(x) hides a layer", "TylerYep/torchinfo 366")
def forward_called_directly(desk: Desk) -> str:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.fc = nn.Linear(3, 5), nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.inner.forward(x))

    summary = ca.summarize(Net(), (3,))
    assert (summary.totals.params, summary.totals.macs) == (50, 40), summary.totals
    return repr(summary)


@situation("own modules", "torch.matmul in forward counts as nothing", "Lyken17/pytorch-OpCounter 213")
def a_matrix_product_in_forward(desk: Desk) -> str:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.matmul(x, x.transpose(-1, -2))

    summary = ca.summarize(Net(), (4, 6, 8))
    assert summary.totals.macs == 4 * 6 * 6 * 8, summary.totals
    return repr(summary)


@situation("own modules", "a bare layer has no parameters", "Lyken17/pytorch-OpCounter 217")
def a_bare_layer(desk: Desk) -> str:
    summary = ca.summarize(nn.Linear(10, 11), (10,))
    assert (summary.totals.params, summary.totals.macs) == (121, 110), summary.totals
    return repr(summary)


@situation("own modules", "a network in half precision", "TylerYep/torchinfo 372")
def a_network_in_half_precision(desk: Desk) -> str:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).half()
    summary = ca.summarize(net, (3, 16, 16))
    assert summary.totals.activation_bytes > 0
    return repr(summary)


# --- command line -----------------------------------------------------------------------------------------------------


@situation("command line", "settings are written as epochs=3, as another tool takes them",
           "ultralytics/ultralytics 306", mended=True)  # fmt: skip
def settings_with_an_equals_sign(desk: Desk) -> str:
    desk.numbered("d/a", 9)
    return desk.run("train", "model=lenet5", "data=d", "epochs=3", "imgsz=32").line("--data d")


@situation("command line", "options of another trainer: --data-dir, --num-classes, --model",
           "huggingface/pytorch-image-models 2448", mended=True)  # fmt: skip
def options_of_another_trainer(desk: Desk) -> str:
    desk.numbered("d/a", 9)
    assert "--data" in desk.run("train", "lenet5", "--data-dir", "d").line("--data-dir")
    return desk.run("train", "--model", "lenet5", "--data", "d").line("--model.*train NAME")


@situation("command line", "device 0 is asked for on a machine without a GPU", "ultralytics/yolov5 474", mended=True)
def a_gpu_that_is_not_there(desk: Desk) -> str:
    if torch.cuda.is_available():
        return "not tried: this machine has a GPU"
    for name in ("a", "b"):
        desk.numbered(f"d/{name}", 9)
    return desk.train("--data", "d", "--device", "0").line("--device cpu")


# --- running all of them ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def desk_of_its_own() -> Iterator[Desk]:
    """A `Desk` in a temporary working directory; the working directory of before is restored."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Desk(Path(folder))
        finally:
            os.chdir(before)


def tried(each: Situation) -> Result:
    """What comes of a situation now."""
    with desk_of_its_own() as desk:
        try:
            evidence = each.attempt(desk).replace(f"{desk.root}/", "")
            outcome = WORKS if desk.last == 0 else REFUSED
        except Exception as error:
            evidence, outcome = f"{type(error).__name__}: {error}".replace(f"{desk.root}/", ""), OPEN
    evidence = re.sub(r"in [\d.]+ m?s\b", "in a moment", " ".join(evidence.split()))
    short = evidence if len(evidence) <= LONGEST else evidence[: LONGEST - 4].rsplit(" ", 1)[0] + " ..."
    return Result(each.name, each.subject, each.report, each.source, each.mended, outcome, short)


def selected(word: str | None) -> list[Situation]:
    """The situations with the word in their name, subject or source; all of them without a word."""
    return [each for each in SITUATIONS if not word or word in f"{each.name} {each.subject} {each.source}"]


def page(results: list[Result]) -> str:
    """The table of results/users/README.md."""
    count = Counter(each.outcome for each in results)
    mended = sum(each.mended for each in results)
    lines = [
        "# What users of other tools reported, tried here",
        "",
        "    python benchmarks/user_situations.py --write",
        "",
        f"{len(results)} situations from public issues of timm, torchvision, Keras, fastai, Ultralytics, torchinfo,",
        "thop and Lightning, rebuilt with small files and tried on the command line or in the library.",
        f"{count[WORKS]} work, {count[REFUSED]} are refused with a way out, {count[OPEN]} are not handled; {mended} of",
        "them were mended after they had failed here. `situations.json` is the record. The script writes both, and",
        "tests/test_user_situations.py tries every situation again.",
        "",
        "| situation | source | result | what convatlas answers |",
        "|---|---|---|---|",
    ]
    for each in results:
        evidence = each.evidence.replace("|", "\\|").replace("`", "'")
        result = each.outcome + (" (mended)" if each.mended else "")
        lines.append(f"| {each.report} | {each.source} | {result} | `{evidence}` |")
    return "\n".join(lines) + "\n"


def script() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", help="situations with the word in their name, subject or source")
    parser.add_argument("--write", action="store_true", help="write results/users")
    arguments = parser.parse_args()
    results = []
    for each in selected(arguments.only):
        results.append(tried(each))
        print(f"{results[-1].outcome:24} {each.name:38} {results[-1].evidence}", flush=True)
    if arguments.write and not arguments.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "README.md").write_text(page(results), encoding="utf-8")
        record = {"schema": 1, "situations": [asdict(each) for each in results]}
        (RESULTS / "situations.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if any(each.outcome == OPEN for each in results):
        sys.exit(1)


if __name__ == "__main__":
    script()
