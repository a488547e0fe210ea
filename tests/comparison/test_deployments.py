"""Networks compared as exported files: what is measured, what is recommended, what is refused, and what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from convatlas.cli import main
from convatlas.comparison import Comparison, ComparisonListener, compare, resume_comparison
from convatlas.comparison.budget import Budget
from convatlas.comparison.deploy import engines_asked_for, recommend_deployment
from convatlas.comparison.deployed import Deployments
from convatlas.comparison.deployed_timing import start_once
from convatlas.comparison.machine_load import LoadWatch, MachineLoad, spread_of
from convatlas.comparison.stored import read_comparison, rows_of
from convatlas.errors import MissingDependencyError, UnknownNameError, UsageError
from convatlas.exports import open_exported
from convatlas.exports.contract import read_contract
from convatlas.runs.run import Run
from pages import check_page

NEEDED = ("onnx", "onnxscript", "onnxruntime")
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="the extra [export] is not installed: onnx, onnxscript, onnxruntime"
)
SHORT = {"epochs": 1, "threads": 1, "device": "cpu"}
OWN = """
import torch
from torch import nn

class Bessel(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(64, num_classes)

    def forward(self, images):
        x = torch.flatten(images, 1)
        return self.fc(x + torch.special.bessel_j0(x.detach()))  # which ONNX has no operator for
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Comparison:
    """A network that is exported in two precisions, and one that cannot be exported."""
    folder = tmp_path_factory.mktemp("deployments")
    (folder / "net.py").write_text(OWN)
    names = ["mlp", f"{folder}/net.py:Bessel"]
    return compare(names, engines="onnxruntime", precisions=["fp32", "int8"], out=folder / "runs", **SHORT)


@pytest.fixture
def deployments(found) -> Deployments:
    assert found.deployments is not None
    return found.deployments


@pytest.fixture
def hits(found, deployments) -> dict[str, np.ndarray]:
    """On which test images the files are right, computed by the files once more, one image at a time."""
    run = Run(found.row("mlp").runs[0])
    dataset = run.dataset()
    test = run.split(dataset).test
    right = {}
    for row in deployments.rows:
        model = open_exported(row.files[0])
        labels = [model.outputs([model.prepare(dataset.read(int(index)))]).probabilities[0].argmax() for index in test]
        right[row.label] = (np.array(labels) == dataset.labels[test])[None]
    return right


def test_every_network_is_measured_as_its_files(found, deployments, hits):
    assert [row.label for row in deployments.rows] == ["mlp/onnxruntime/fp32", "mlp/onnxruntime/int8"]
    fp32, int8 = deployments.rows
    for row in deployments.rows:
        assert row.test_top1 == hits[row.label].mean()
        assert row.latency.calls >= 30
        assert row.latency.threads == found.row("mlp").latency.threads
        assert row.startup is not None
        assert len(row.startup.samples_s) == 3
        assert min(row.startup.samples_s) > row.latency.p50_s
        assert row.memory.peak_bytes > row.size_bytes == row.files[0].stat().st_size
    assert fp32.contract == "kept"
    assert fp32.against_network.only_first == fp32.against_network.only_second == 0
    assert fp32.test_top1 == found.row("mlp").test_top1
    assert int8.size_bytes < fp32.size_bytes / 3


def test_int8_is_calibrated_and_checked_without_test_images(deployments):
    file = deployments.rows[1].files[0]
    assert open_exported(file).description.calibration["part"] == "train"
    assert read_contract(file)["part"] == "val"


def test_the_recommendation_names_network_engine_precision_and_file(found, deployments):
    advice = found.recommendation
    chosen = deployments.row(advice.label)
    assert (advice.model, advice.engine) == ("mlp", "onnxruntime")
    assert advice.file == chosen.files[0]
    assert {advice.label, *advice.ties} <= {row.label for row in deployments.rows}
    compared = {name for each in advice.differences for name in (each.first, each.second)}
    assert compared == {row.label for row in deployments.rows}


def test_a_network_that_cannot_be_exported_is_a_row_with_the_reason(found, deployments):
    assert len(found.rows) == 2
    refused = [refusal for refusal in deployments.refusals if "Bessel" in (refusal.model or "")]
    assert [refusal.precision for refusal in refused] == ["fp32", "int8"]
    assert all("cannot be exported" in refusal.why for refusal in refused)


def test_the_document_has_the_keys_of_before_and_the_deployments(found):
    document = json.loads((found.folder / "comparison.json").read_text())
    assert document["recommendation"]["engine"] == "onnxruntime"
    assert [(each["precision"], each["refused"] is None) for each in document["deployments"]] == [
        ("fp32", True), ("int8", True), ("fp32", False), ("int8", False),
    ]  # fmt: skip
    assert document["machine_load"]["threads"] == found.rows[0].latency.threads
    assert {"model", "test_top1", "latency_ms", "runs"} <= document["rows"][0].keys()
    page = found.report.read_text()
    check_page(page)
    assert "mlp/onnxruntime/fp32" in page
    assert "Start-up and memory of the exported files" in page


def test_the_explorer_reads_the_networks_of_the_document(found):
    document = read_comparison(found.folder)
    assert [row.model for row in rows_of(document, found.folder)] == [row.model for row in found.rows]


def test_the_files_are_kept_and_not_made_again(found, deployments):
    before = {file: file.stat().st_mtime_ns for row in deployments.rows for file in row.files}
    again = resume_comparison(found.folder, listener=ComparisonListener())
    assert again.deployments is not None
    assert {file: file.stat().st_mtime_ns for row in again.deployments.rows for file in row.files} == before
    assert [row.accuracy for row in again.deployments.rows] == [row.accuracy for row in deployments.rows]
    assert "--engines onnxruntime --precisions fp32,int8" in again.conditions.command


def test_a_budget_that_only_int8_meets(deployments, hits):
    fp32, int8 = deployments.rows
    budget = Budget.parse(f"size<={(fp32.size_bytes + int8.size_bytes) // 2000}kB")
    advice = recommend_deployment(deployments, hits, budget)
    assert (advice.precision, advice.file) == ("int8", int8.files[0])
    assert "the only deployment that fits" in advice.why


def test_a_file_that_breaks_its_contract_is_never_recommended(deployments, hits):
    fp32, int8 = deployments.rows
    for broken, sound in ((fp32, int8), (int8, fp32)):
        rows = (replace(broken, contract="broken"), sound)
        advice = recommend_deployment(replace(deployments, rows=rows), hits, Budget())
        assert advice.label == sound.label
        assert broken.label in advice.why
    rows = tuple(replace(row, contract="broken") for row in deployments.rows)
    advice = recommend_deployment(replace(deployments, rows=rows), hits, Budget())
    assert advice.model is None
    assert "every exported file breaks its contract" in advice.why


def test_a_contract_that_is_open_is_said(deployments, hits):
    rows = tuple(replace(row, contract="open", contract_n=16) for row in deployments.rows)
    advice = recommend_deployment(replace(deployments, rows=rows), hits, Budget())
    assert advice.model == "mlp"
    assert "cannot be established with 16 validation images" in advice.why


def test_of_equally_fast_files_the_most_accurate_is_recommended(deployments, hits):
    fp32, int8 = deployments.rows
    hits = {fp32.label: np.ones((1, 400), dtype=bool), int8.label: np.ones((1, 400), dtype=bool)}
    hits[int8.label][0, :2] = False

    def advice(faster: float):
        quick = replace(int8.latency, samples_s=tuple(faster * each for each in fp32.latency.samples_s))
        accuracy = replace(int8.accuracy, top1=398 / 400)
        rows = (
            replace(fp32, accuracy=replace(fp32.accuracy, top1=1.0)),
            replace(int8, latency=quick, accuracy=accuracy),
        )
        return recommend_deployment(replace(deployments, rows=rows), hits, Budget())

    assert advice(0.95).precision == "fp32"
    assert "not faster by more than 10 %" in advice(0.95).why
    assert advice(0.5).precision == "int8"


# --- asked for --------------------------------------------------------------------------------------------------------


def test_engines_and_precisions_are_checked_before_anything_is_trained():
    assert not engines_asked_for((), None, "flip")
    assert engines_asked_for("onnxruntime, torch", None, "centre").pairs == (("onnxruntime", "fp32"), ("torch", "fp32"))
    both = engines_asked_for(["torch", "onnxruntime"], "int8", "centre")
    assert both.pairs == (("onnxruntime", "int8"),)
    assert [(each.engine, each.precision) for each in both.refusals] == [("torch", "int8")]
    assert "fp32, bf16" in both.refusals[0].why
    assert (both.bytes_of_weight, engines_asked_for("torch", None, "centre").bytes_of_weight) == (1, 4)
    with pytest.raises(UnknownNameError, match="tensorrt"):
        engines_asked_for("tensorrt", None, "centre")
    with pytest.raises(UnknownNameError, match="int4"):
        engines_asked_for("torch", "int4", "centre")
    with pytest.raises(UsageError, match="only with --engines"):
        engines_asked_for((), "int8", "centre")
    with pytest.raises(UsageError, match="torch files are written in fp32, bf16"):
        engines_asked_for("torch", "int8", "centre")
    with pytest.raises(UsageError, match="--protocol flip"):
        engines_asked_for("torch", None, "flip")


def test_a_missing_engine_is_told_with_the_extra_before_any_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError):
        engines_asked_for("onnxruntime", None, "centre")
    with pytest.raises(SystemExit) as ended:
        main(["compare", "mlp", "--engines", "onnxruntime", "--out", str(tmp_path / "runs")])
    assert ended.value.code == 4
    assert "pip install 'convatlas[export]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


# --- processes and load -----------------------------------------------------------------------------------------------


def test_a_start_is_timed_in_a_process_of_its_own(deployments, tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((8, 8, 1), dtype=np.uint8))
    seconds, peak = start_once(deployments.rows[0].files[0], "onnxruntime", tmp_path / "image.npy", 1)
    assert 0.05 < seconds < 120
    assert peak > 10_000_000
    why = start_once(tmp_path / "none.onnx", "onnxruntime", tmp_path / "image.npy", 1)
    assert "none.onnx" in why


def test_rounds_that_took_longer_are_seen():
    steady = [[1.0, 1.1, 0.9], [1.0, 1.0, 1.0]]
    assert spread_of([steady, steady]) == 0
    assert spread_of([[[1.0], [1.0], [3.0]], [[2.0], [2.0], [6.0]]]) == 2.0
    assert not MachineLoad(0.1, 2, 2, 0.1).loaded
    assert MachineLoad(0.1, 2, 2, 0.6).loaded
    assert MachineLoad(1.0, 2, 2, 0.0).loaded
    assert not MachineLoad(1.0, 2, 1, 0.0).loaded  # the other processor was free
    assert not MachineLoad(None, 2, 2, 0.1).loaded


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the processors' time is read from /proc/stat")
def test_another_program_is_noticed():
    busy = "import time\nend = time.perf_counter() + 3\nwhile time.perf_counter() < end: pass"
    with subprocess.Popen([sys.executable, "-c", busy]):  # not waited for inside, so it is not counted as our own
        watch = LoadWatch()
        time.sleep(1.5)
        load = watch.ended([], threads=1)
    assert load.others is not None
    assert load.others > 0.3
