"""Exporting a run: the files that are written, what they hold, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from tiny import CLASSES, Trained
from torch import nn

import convatlas as ca
from convatlas.cli import main
from convatlas.errors import CheckpointError, ConvAtlasError, LimitError, MissingDependencyError, UsageError
from convatlas.exports import open_exported
from convatlas.exports.contract import read_contract
from convatlas.exports.description import METADATA_KEY, Description, read_sidecar, sidecar_path
from convatlas.exports.export import Export, export
from pages import check_page

OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


@pytest.fixture(scope="module")
def written(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(trained.run, out=tmp_path_factory.mktemp("written"))


def test_a_run_becomes_a_file_with_its_contract(written: Export, trained: Trained) -> None:
    assert written.file.name == "model.onnx"
    beside = {path.name for path in written.file.parent.iterdir()}
    assert beside == {"model.onnx", "model.onnx.json", "contract.json", "contract.html", "reference.npz"}
    contract = read_contract(written.file)
    assert contract["state"] == "kept"
    assert (contract["n"], contract["part"], contract["data"]) == (len(trained.validation), "val", "pictures")
    assert [check["check"] for check in contract["checks"]] == [
        "file",
        "pixels",
        "logits",
        "probabilities",
        "labels",
        "batches",
    ]
    assert read_sidecar(written.file).contract["state"] == "kept"


def test_the_description_inside_the_file_is_that_of_the_sidecar(written: Export, trained: Trained) -> None:
    model = onnx.load(written.file)
    inside = json.loads({each.key: each.value for each in model.metadata_props}[METADATA_KEY])
    beside = json.loads(sidecar_path(written.file).read_text("utf-8"))
    assert inside.items() <= beside.items()
    description = Description.from_dict(inside, written.file)
    assert description.classes == CLASSES
    assert description.preprocessing == replace(trained.run.preprocessing, why=description.preprocessing.why)
    assert description.data == {"name": "pictures", "fingerprint": trained.run.config["data"]["fingerprint"]}
    assert description.run is not None
    assert description.run["name"] == "tiny"
    assert inside["inputs"] == {"images": ["N", 64, 64, 3]}
    assert inside["outputs"] == {"logits": ["N", 4], "probabilities": ["N", 4]}


def test_no_local_path_is_in_any_file(written: Export, trained: Trained) -> None:
    for file in written.file.parent.iterdir():
        content = file.read_bytes()
        for place in (str(trained.folder.parent), str(Path(ca.__file__).parent), 'File "', "conftest.py"):
            assert place.encode() not in content, (file.name, place)


def test_two_exports_have_the_same_bytes(written: Export, trained: Trained, tmp_path: Path) -> None:
    assert export(trained.run, out=tmp_path).file.read_bytes() == written.file.read_bytes()


def test_the_file_gives_the_run_s_labels(written: Export, trained: Trained) -> None:
    files = sorted(trained.folder.rglob("*.png"))[::9]
    ours = [prediction.top[0] for prediction in ca.predict(trained.run, files)]
    model = open_exported(written.file)
    rows = list(model.predict(files))
    assert [model.classes[int(row.argmax())] for row in rows] == [label for label, _probability in ours]
    np.testing.assert_allclose([row.max() for row in rows], [probability for _label, probability in ours], atol=1e-5)


def test_running_a_file_imports_no_torch(written: Export) -> None:
    code = (
        "import sys; from convatlas.exports import open_exported\n"
        f"model = open_exported({str(written.file)!r}); model.prepare(__import__('numpy').zeros((9, 9, 3), 'uint8'))\n"
        "foreign = {'torch', 'onnx', 'scipy', 'sklearn', 'click', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "assert not foreign, foreign"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_export_and_a_check_open_no_connection(written: Export, trained: Trained, tmp_path: Path) -> None:
    """Every attempt to connect is recorded, in the process and below it, telemetry of the engines included."""
    code = (
        "import sys, socket\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        print('CONNECTION', event, arguments[1:], file=sys.stderr)\n"
        "sys.addaudithook(refuse)\n"
        "from convatlas.exports.check import check_export\n"
        f"check_export({str(written.file)!r}, {str(trained.folder)!r})\n"
        "import importlib.util\n"
        "if importlib.util.find_spec('openvino'):\n"
        f"    check_export({str(written.file)!r}, {str(trained.folder)!r}, engine='openvino')\n"
        "import time; time.sleep(1)\n"
        "assert sys.modules.get('openvino_telemetry') is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CONNECTION" not in done.stderr


def test_a_photo_goes_into_the_file_as_it_is(trained: Trained, tmp_path: Path) -> None:
    written = export(trained.run, input="photo", out=tmp_path)
    assert written.contract.state == "kept"
    assert written.contract.check("pixels").values["identical"] == len(trained.validation)
    model = open_exported(written.file, inner=("prepared",))
    rng = np.random.default_rng(5)
    for height, width in ((64, 64), (73, 73), (1, 1), (300, 90), (90, 300), (64, 500)):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        result = model.run(pixels[None])
        own = next(iter(ca.predict(trained.run, [pixels], top=4)))
        row = dict(zip(model.classes, result["probabilities"][0].tolist(), strict=True))
        assert row == pytest.approx(dict(own.top), abs=1e-5), (height, width)


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        ("onnx", "fp16"),
        pytest.param("openvino", "fp32", marks=OPENVINO),
        pytest.param("openvino", "bf16", marks=OPENVINO),
        pytest.param("openvino", "fp16", marks=OPENVINO),
        ("torch", "fp32"),
        pytest.param("torch", "bf16", marks=pytest.mark.slow),
    ],
)
def test_other_formats_and_precisions(trained: Trained, tmp_path: Path, format: str, precision: str) -> None:
    written = export(trained.run, format, precision, out=tmp_path)
    assert written.contract.state == "kept", written.contract.to_dict()
    assert written.file.suffix == {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}[format]
    assert open_exported(written.file).description.precision == precision
    for file in tmp_path.iterdir():
        for place in (str(trained.folder.parent), str(Path(ca.__file__).parent)):
            assert place.encode() not in file.read_bytes(), (file.name, place)


def test_int8_is_calibrated_on_training_images(trained: Trained, tmp_path: Path) -> None:
    written = export(trained.run, precision="int8", out=tmp_path)
    assert written.contract.state in ("kept", "open"), written.contract.to_dict()
    description = written.description
    assert description.calibration is not None
    assert description.calibration["part"] == "train"
    assert description.instruction_set
    kinds = {tensor.data_type for tensor in onnx.load(written.file).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_a_network_with_weights_is_checked_on_named_data(trained: Trained, tmp_path: Path) -> None:
    net, preprocessing = trained.network.net, trained.run.preprocessing
    written = export(net, classes=CLASSES, preprocessing=preprocessing, check=trained.folder, out=tmp_path)
    assert (written.contract.state, written.contract.n, written.contract.part) == ("kept", 180, "all")
    assert written.description.run is None


def test_without_images_only_probes_are_checked(trained: Trained, tmp_path: Path) -> None:
    net, preprocessing = trained.network.net, trained.run.preprocessing
    written = export(net, classes=CLASSES, preprocessing=preprocessing, out=tmp_path)
    assert written.contract.state == "not checked"
    assert written.contract.check("labels").state == "not checked"
    assert written.contract.check("logits").state == "kept"


def test_the_run_s_own_test_images_are_named(trained: Trained, tmp_path: Path) -> None:
    written = export(trained.run, check=trained.folder, out=tmp_path, most_images=20)
    split = trained.run.split(trained.dataset)
    notes = " ".join(written.contract.notes)
    assert (written.contract.n, written.contract.n_of) == (20, 180)
    assert f"{len(split.test)} of these images are test images of the run" in notes
    assert f"{len(split.train)} of these 180 images are also in the training set of tiny" in notes
    assert str(trained.folder.parent) not in (tmp_path / "contract.json").read_text("utf-8")


def test_the_page_of_a_contract_is_whole_and_loads_nothing(written: Export) -> None:
    page = (written.file.parent / "contract.html").read_text("utf-8")
    check_page(page)
    assert "identical to the run&#x27;s on" in page
    assert written.contract.sha256 in page


def test_the_check_as_json(written: Export, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check-export", str(written.file), "--data", str(trained.folder), "--json"])
    assert not left.value.code
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["state"], document["n"]) == (1, "kept", len(trained.validation))
    labels = next(check for check in document["checks"] if check["check"] == "labels")
    assert {"flips", "lost", "won", "run_top1", "file_top1", "loss_ci95"} <= labels.keys()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"format": "onnx", "precision": "bf16"}, "ONNX Runtime has no bfloat16 arithmetic"),
        ({"format": "torch", "precision": "int8"}, "Precisions of torch: fp32, bf16"),
        ({"format": "openvino", "input": "photo"}, "--input photo is written in ONNX only"),
        ({"format": "onxn"}, "Did you mean onnx"),
        ({"opset": 11}, "--opset 11: expected 18 to 23"),
    ],
)
def test_what_is_not_written(trained: Trained, tmp_path: Path, arguments: dict, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        export(trained.run, out=tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    """A network whose graph depends on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, images):
        if images.mean() > 0:
            return self.fc(images.mean((2, 3)))
        return -self.fc(images.mean((2, 3)))


def test_a_network_that_torch_cannot_export_is_refused_with_the_reason(trained: Trained, tmp_path: Path) -> None:
    preprocessing = trained.run.preprocessing
    with pytest.raises(ConvAtlasError, match=r"Branching cannot be exported: .+"):
        export(Branching(), classes=CLASSES, preprocessing=preprocessing, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_pip_line(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'convatlas\[export\]'"):
        export(trained.run)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(written: Export, tmp_path: Path) -> Path:
    for file in written.file.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / "model.onnx"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        open_exported(tmp_path / "model.onnx")


def test_a_file_cut_short(copied: Path) -> None:
    copied.write_bytes(copied.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"is cut short: it has .* bytes"):
        open_exported(copied)


def test_a_file_of_another_export(copied: Path) -> None:
    copied.write_bytes(copied.read_bytes()[:-1] + b"\0")
    with pytest.raises(CheckpointError, match="the SHA-256 differs"):
        open_exported(copied)


def test_a_file_without_its_sidecar(copied: Path) -> None:
    sidecar_path(copied).unlink()
    with pytest.raises(CheckpointError, match=r"has no sidecar model\.onnx\.json"):
        open_exported(copied)


def test_a_damaged_sidecar(copied: Path) -> None:
    path = sidecar_path(copied)
    path.write_text(path.read_text("utf-8")[:-30], "utf-8")
    with pytest.raises(CheckpointError, match=r"the sidecar .* cannot be read"):
        open_exported(copied)


def test_a_sidecar_of_a_later_version(copied: Path) -> None:
    path = sidecar_path(copied)
    path.write_text(path.read_text("utf-8").replace('"schema": 1', '"schema": 2', 1), "utf-8")
    with pytest.raises(CheckpointError, match="has the schema 2; this version reads schema 1"):
        open_exported(copied)


def _reseal(file: Path) -> None:
    """Let the sidecar state the SHA-256 of a changed file."""
    from convatlas.exports.description import sha256

    path = sidecar_path(file)
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "sha256": sha256(file), "size_bytes": file.stat().st_size}), "utf-8")


def test_a_file_that_is_no_model(copied: Path) -> None:
    copied.write_bytes(b"no model at all")
    _reseal(copied)
    with pytest.raises(CheckpointError, match="cannot be loaded by ONNX Runtime"):
        open_exported(copied)


def test_a_file_of_an_opset_that_the_engine_does_not_know(copied: Path) -> None:
    model = onnx.load(copied)
    model.opset_import[0].version = 99
    copied.write_bytes(model.SerializeToString())
    _reseal(copied)
    with pytest.raises(CheckpointError, match="is of an opset that this ONNX Runtime does not know"):
        open_exported(copied)


def test_a_sidecar_with_other_classes_than_the_file(copied: Path) -> None:
    path = sidecar_path(copied)
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "classes": content["classes"][::-1]}), "utf-8")
    with pytest.raises(CheckpointError, match="is not that of its sidecar"):
        open_exported(copied)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"")
    (tmp_path / "cat.jpg.json").write_text("{}")
    with pytest.raises(CheckpointError):
        open_exported(tmp_path / "cat.jpg")


# --- the check again --------------------------------------------------------------------------------------------------


def test_the_check_again_finds_the_images_by_their_content(copied: Path, trained: Trained, tmp_path: Path) -> None:
    renamed = tmp_path / "elsewhere"
    for number, file in enumerate(sorted(trained.folder.rglob("*.png"))):
        (renamed / "everything" / file.parent.name).mkdir(parents=True, exist_ok=True)
        (renamed / "everything" / file.parent.name / f"{number}.png").write_bytes(file.read_bytes())
    contract = ca.check_export(copied, renamed / "everything")
    assert (contract.state, contract.n) == ("kept", len(trained.validation))


@OPENVINO
def test_the_check_again_in_another_engine(copied: Path, trained: Trained) -> None:
    contract = ca.check_export(copied, trained.folder, engine="openvino")
    assert contract.state == "kept", contract.to_dict()
    assert contract.conditions["engine"] == "openvino"


def test_images_that_are_not_those_of_the_reference(copied: Path, tmp_path: Path) -> None:
    for kind in CLASSES:
        (tmp_path / "others" / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (80, 80), (number, 9, 9)).save(tmp_path / "others" / kind / f"{number}{kind}.png")
    contract = ca.check_export(copied, tmp_path / "others")
    assert contract.state == "not checked"
    assert any("None of the images" in note for note in contract.notes)


def test_a_broken_file_is_kept_and_marked(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from convatlas.exports import conversion

    own = conversion.with_weights_as
    bfloat16 = onnx.TensorProto.BFLOAT16  # coarser than the fp16 that was asked for
    monkeypatch.setattr(conversion, "with_weights_as", lambda model, kind: own(model, bfloat16))
    written = export(trained.run, precision="fp16", out=tmp_path)
    assert written.contract.state == "broken"
    assert written.file.name == "model.broken.onnx"
    assert read_sidecar(written.file).contract["state"] == "broken"
    assert not (tmp_path / "model.onnx").exists()
    with pytest.raises(SystemExit) as left:
        main(["check-export", str(written.file), "--data", str(trained.folder)])
    assert left.value.code == LimitError.exit_code == 5
    assert "breaks its contract" in capsys.readouterr().err
