"""predict, evaluate and bench of the full program with an exported file; and what cannot be done with one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convatlas as ca
from convatlas.errors import UsageError
from convatlas.exports.description import sha256
from convatlas.exports.exported import open_exported

FIGURES = ("n", "top1", "top5", "ci95", "classes", "per_class", "mistakes", "confusion", "protocol", "part")


# ------------------------------------------------------------------ predict


@pytest.mark.parametrize("which", ["pixels", "photo"])
def test_a_file_gives_the_labels_of_its_run(convatlas, shipped, which):
    code, out, _ = convatlas("predict", getattr(shipped, which), shipped.new, "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    expected = list(ca.predict(shipped.run, shipped.new))
    assert len(lines) == 20
    for line, prediction in zip(lines, expected, strict=True):
        assert line["schema"] == 1
        assert line["file"] == prediction.file
        assert [label for label, _ in line["top"]] == [label for label, _ in prediction.top]
        np.testing.assert_allclose([p for _, p in line["top"]], [p for _, p in prediction.top], atol=1e-5)


def test_top_and_the_table(convatlas, shipped, tmp_path):
    code, out, _ = convatlas("predict", shipped.pixels, shipped.new, "--top", 2, "--csv", tmp_path / "labels.csv")
    assert (code, out) == (0, f"20 images: {tmp_path / 'labels.csv'}\n")
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert set(rows[0]) == {"file", "error", "label_1", "probability_1", "label_2", "probability_2"}


def test_photos_that_cannot_be_read_are_named_and_the_others_labelled(convatlas, shipped, tmp_path):
    shutil.copy(shipped.new / "red" / "00.png", tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((shipped.new / "red" / "01.png").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    code, out, err = convatlas("predict", shipped.pixels, tmp_path / "good.png", tmp_path / "cut.png",
                               tmp_path / "none.png", tmp_path / "empty")  # fmt: skip
    assert code == 3
    assert out.count("\n") == 1
    assert "good.png" in out
    assert "cut.png cannot be read: " in err
    assert "none.png cannot be read: No such file or directory" in err
    assert "empty cannot be read: the folder contains no image files" in err
    assert "3 images could not be read" in err


def test_every_odd_image_is_labelled_or_named(convatlas, shipped, shared):
    folder = shared("data/odd-images")
    code, out, err = convatlas("predict", shipped.photo, folder, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    good, bad = [line for line in lines if "top" in line], [line for line in lines if "error" in line]
    assert code == 3
    assert len(good) > 60
    assert len(bad) == err.count("cannot be read")
    assert [line["file"] for line in good] == [
        each.file for each in ca.predict(shipped.run, folder) if each.error is None
    ]


# ------------------------------------------------------------------ evaluate


@pytest.mark.parametrize("which", ["pixels", "photo"])
def test_a_file_has_the_figures_of_its_run(convatlas, shipped, which):
    code, out, _ = convatlas("evaluate", getattr(shipped, which), "--data", shipped.new, "--json")
    assert code == 0
    found, expected = json.loads(out), ca.evaluate(shipped.run, shipped.new).to_dict()
    assert {name: found[name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    assert found["nll"] == pytest.approx(expected["nll"], abs=1e-5)
    assert found["engine"] == "onnxruntime"
    assert found["preparation"] == shipped.run.preprocessing.to_dict()


def test_the_data_it_was_trained_on_are_named(convatlas, shipped):
    code, out, _ = convatlas("evaluate", shipped.pixels, "--data", shipped.pictures)
    assert code == 0
    assert "these are the data that the network was trained on" in out
    assert "the data that the network" not in convatlas("evaluate", shipped.pixels, "--data", shipped.new)[1]


def test_the_mistakes_are_written(convatlas, shipped, tmp_path):
    for kind, other in (("red", "blue"), ("blue", "red"), ("green", "green")):
        (tmp_path / "swapped" / kind).mkdir(parents=True)
        shutil.copy(shipped.new / other / "00.png", tmp_path / "swapped" / kind)
    code, out, _ = convatlas("evaluate", shipped.pixels, "--data", tmp_path / "swapped",
                             "--mistakes", tmp_path / "wrong.csv")  # fmt: skip
    assert code == 0
    assert f"2 mistakes: {tmp_path / 'wrong.csv'}" in out
    assert [row["predicted"] for row in csv.DictReader((tmp_path / "wrong.csv").read_text().splitlines())].count(
        "red"
    ) == 1


def test_other_classes_are_named(convatlas, shipped, tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        shutil.copy(shipped.new / "red" / "00.png", tmp_path / kind)
    code, _, err = convatlas("evaluate", shipped.pixels, "--data", tmp_path)
    assert code == 3
    assert f"{tmp_path} has classes that {shipped.pixels} does not have: cat, dog" in err
    assert "blue, green, red, striped" in err


def test_the_korean_report(convatlas, shipped):
    code, out, _ = convatlas("--lang", "ko", "evaluate", shipped.pixels, "--data", shipped.new)
    assert code == 0
    assert "95 % 신뢰 구간" in out


# ------------------------------------------------------------------ bench


def test_the_speed_of_a_file(convatlas, shipped):
    code, out, _ = convatlas("bench", shipped.pixels, "--batch-size", 2, "--threads", 1, "--time", 0.2, "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["engine"], row["precision"], row["batch_size"], row["threads"]) == ("onnxruntime", "fp32", 2, 1)
    assert row["input"] == [64, 64, 3]
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"]
    assert row["images_per_s"] == pytest.approx(2e3 / row["latency_ms"]["p50"])
    assert row["batches"] >= 10
    assert 20 << 20 < row["peak_memory_bytes"] < 300 << 20  # no torch in that process
    assert row["start_up_s"] in row["start_ups_s"]
    assert row["size_bytes"] == shipped.pixels.stat().st_size


def test_the_table_of_speeds(convatlas, shipped):
    code, out, _ = convatlas("bench", shipped.pixels, shipped.photo, "--time", 0.1)
    assert code == 0
    assert out.count("model.onnx") == 2
    assert "Start-up is from the start of the process to its first label" in " ".join(out.split())


def test_one_photo_at_a_time(convatlas, shipped):
    code, _, err = convatlas("bench", shipped.photo, "--batch-size", 8)
    assert code == 2
    assert "takes one photo at a time" in err


# ------------------------------------------------------------------ what is refused


REFUSED = {
    "predict weights": (("predict", "FILE", "--weights", "x.pth", "a.png"), 2, "--weights cannot be used with"),
    "predict mean": (("predict", "FILE", "--mean", "0.5", "a.png"), 2, "--mean cannot be used with"),
    "predict top": (("predict", "FILE", "--top", "0", "a.png"), 2, "at least 1 is needed"),
    "evaluate without data": (("evaluate", "FILE"), 2, "name them with --data"),
    "evaluate part": (("evaluate", "FILE", "--data", "DATA", "--part", "val"), 2, "--part"),
    "evaluate protocol": (("evaluate", "FILE", "--data", "DATA", "--protocol", "ten-crop"), 2, "--protocol"),
    "evaluate ensemble": (("evaluate", "FILE", "FILE", "--data", "DATA"), 2, "evaluated alone"),
    "evaluate digits": (("evaluate", "FILE", "--data", "digits"), 3, "has classes that"),
    "bench precision": (("bench", "FILE", "--precision", "bf16"), 2, "--precision"),
    "bench both": (("bench", "FILE", "lenet5"), 2, "time them in two commands"),
    "train": (("train", "FILE", "--data", "DATA"), 2, "which train cannot use"),
    "inspect": (("inspect", "FILE", "a.png"), 2, "which inspect cannot use"),
    "show": (("show", "FILE"), 2, "which show cannot use"),
    "show with a flag": (("show", "--csv", "FILE"), 2, "which show cannot use"),
    "explain": (("explain", "FILE"), 2, "which explain cannot use"),
    "export": (("export", "FILE"), 2, "which export cannot use"),
    "weights": (("weights", "FILE"), 2, "which weights cannot use"),
    "compare": (("compare", "FILE", "lenet5"), 2, "which compare cannot use"),
    "explore": (("explore", "FILE"), 2, "which explore cannot use"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_exported_file_cannot_do(convatlas, shipped, what):
    arguments, expected, text = REFUSED[what]
    put = {"FILE": shipped.pixels, "DATA": shipped.new}
    code, out, err = convatlas(*(put.get(each, each) for each in arguments))
    assert (code, out) == (expected, "")
    assert text in err
    assert err.count("\n") == 1
    if "cannot use" in text:
        assert "Exported files are for predict, evaluate, bench, check-export, serve." in err


def test_the_library_names_the_function_for_files(shipped):
    with pytest.raises(UsageError, match="open_exported"):
        list(ca.predict(str(shipped.pixels), "a.png"))


@pytest.fixture
def copied(shipped, tmp_path) -> Path:
    """The exported file in a folder of its own, with its sidecar."""
    for name in ("model.onnx", "model.onnx.json"):
        shutil.copy(shipped.pixels.with_name(name), tmp_path / name)
    return tmp_path / "model.onnx"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def replaced(file: Path) -> None:
    file.write_bytes(b"no model " * 4000)


def without_sidecar(file: Path) -> None:
    file.with_name("model.onnx.json").unlink()


def text_as_sidecar(file: Path) -> None:
    file.with_name("model.onnx.json").write_text("{")


def gone(file: Path) -> None:
    file.unlink()


def of_a_later_opset(file: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(file)
    model.opset_import[0].version = 99
    file.write_bytes(model.SerializeToString())
    _describe_again(file)


def no_model(file: Path) -> None:
    replaced(file)
    _describe_again(file)


def _describe_again(file: Path) -> None:
    """Let the sidecar state the SHA-256 of the changed file, so that the engine has to notice the change."""
    sidecar = file.with_name("model.onnx.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"sha256": sha256(file)}))


DAMAGES = {
    of_a_later_opset: "is of an opset that this ONNX Runtime does not know",
    no_model: "cannot be loaded by ONNX Runtime",
    cut: "is cut short",
    replaced: "is not the file that its sidecar",
    without_sidecar: "has no sidecar model.onnx.json",
    text_as_sidecar: "cannot be read",
    gone: "there is no file",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["predict", "evaluate", "bench"])
def test_a_damaged_file_is_one_line(convatlas, shipped, copied, damage, command):
    damage(copied)
    rest = {"predict": [shipped.new], "evaluate": ["--data", shipped.new], "bench": []}[command]
    code, out, err = convatlas(command, copied, *rest)
    assert (code, out) == (3, "")
    assert DAMAGES[damage] in err
    assert err.count("\n") == 1


def test_a_broken_contract_and_random_weights_are_said(convatlas, shipped, copied):
    sidecar = copied.with_name("model.onnx.json")
    values = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**values, "contract": {"state": "broken"}}))
    code, out, err = convatlas("predict", copied, shipped.new / "red" / "00.png")
    assert code == 0
    assert "breaks its contract" in err
    assert "red" in out


def test_a_photo_with_orientation_and_alpha_is_prepared_as_by_the_run(shipped, tmp_path):
    pixels = np.asarray(Image.open(shipped.new / "striped" / "00.png"))
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    alpha = np.full((*pixels.shape[:2], 1), 128, np.uint8)
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(tmp_path / "alpha.png")
    model = open_exported(shipped.photo)
    for row, prediction in zip(
        model.predict(sorted(tmp_path.iterdir()), 1), ca.predict(shipped.run, tmp_path), strict=True
    ):
        assert model.classes[int(row.argmax())] == prediction.top[0][0]
        assert row.max() == pytest.approx(prediction.top[0][1], abs=1e-5)
