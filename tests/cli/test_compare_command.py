"""compare, evaluate and predict as a user meets them: one small comparison on the real digits, and what follows."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from convatlas.models import entry
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData
from pages import check_page

EPOCHS = 2


def in_another_process(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    command = [sys.executable, "-m", "convatlas", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, encoding="utf-8")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two networks, two epochs, a limit that only the network with fewer activations meets: about fifteen seconds."""
    out = tmp_path_factory.mktemp("compare")
    done = in_another_process(
        "compare", "mlp", "lenet5@modern", "--epochs", EPOCHS, "--threads", 1, "--precision", "fp32",
        "--budget", "memory<=5MB", "--out", out, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


# --- compare ----------------------------------------------------------------------------------------------------------


def test_the_json_keys_others_rely_on(compared):
    document, _ = compared
    assert {"schema", "data", "rows", "recommendation"} <= document.keys()
    for row in document["rows"]:
        assert {
            "model", "seeds", "test_top1", "ci95", "params", "macs", "latency_ms", "peak_memory_bytes", "size_bytes",
            "train_s", "pareto",
        } <= row.keys()  # fmt: skip
        assert row["latency_ms"].keys() == {"p50", "p95"}
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"]
        assert row["ci95"][0] < row["test_top1"] < row["ci95"][1]
    assert {"model", "why", "ties"} <= document["recommendation"].keys()


def test_environment_variables_set_what_the_flags_set(tmp_path, monkeypatch):
    for name, value in (("THREADS", "1"), ("BATCH_SIZE", "64"), ("EPOCHS", "1"), ("LR", "0.02")):
        monkeypatch.setenv(f"CONVATLAS_{name}", value)
    done = in_another_process("compare", "mlp", "--lr", "0.01", "--device", "cpu", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (config,) = tmp_path.glob("*/*/config.toml")
    run = Run(config.parent)
    assert (run.options.threads, run.recipe.batch_size, run.recipe.lr, len(run.epochs())) == (1, 64, 0.01, 1)
    monkeypatch.setenv("CONVATLAS_BATCH_SIZE", "0")
    done = in_another_process("compare", "mlp", "--out", tmp_path / "refused")
    assert done.returncode == 2
    assert "CONVATLAS_BATCH_SIZE" in done.stderr


def test_the_derived_figures_are_those_of_the_layers(compared):
    mlp, lenet = compared[0]["rows"]
    assert (mlp["params"], mlp["macs"]) == (266_610, 784 * 300 + 300 * 100 + 100 * 10)
    assert lenet["params"] == 61_706  # LeNet-5 with the full C3: 156 + 2,416 + 48,120 + 10,164 + 850
    for row in (mlp, lenet):
        assert 4 * row["params"] < row["size_bytes"] < 4 * row["params"] + 20_000  # float32, and a header


def test_the_budget_decides_who_can_be_recommended(compared):
    document, _ = compared
    assert document["recommendation"]["model"] == "mlp"
    fits, over = (row["over_budget"] for row in document["rows"])
    assert fits == []
    assert over[0].startswith("memory ")


def test_all_networks_were_trained_alike_on_one_split(compared):
    document, _ = compared
    splits = set()
    for row in document["rows"]:
        assert row["epochs"] == [EPOCHS]
        [folder] = row["runs"]
        splits.add(Path(folder, "split.csv").read_bytes())
        last = [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()][-1]
        assert last["event"] == "done"
        assert last["test_top1"] == row["test_top1"]  # evaluated twice, the same
    assert len(splits) == 1
    assert document["conditions"]["parts"] == {"train": 1222, "val": 216, "test": 359}


def test_the_page_is_one_file_and_the_json_lies_beside_it(compared):
    document, _ = compared
    report = Path(document["report"])
    parser = check_page(report.read_text("utf-8"))
    assert parser.tags.count("svg") == 5  # scatter, two curves, two confusion matrices
    assert json.loads((report.parent / "comparison.json").read_text("utf-8")) == document


def test_the_page_says_how_to_repeat_it(compared):
    words = shlex.split(compared[0]["conditions"]["command"])
    assert words[:4] == ["convatlas", "compare", "mlp", "lenet5@modern"]
    assert dict(zip(words[4::2], words[5::2], strict=True)) == {
        "--data": "digits", "--budget": "memory ≤ 5 MB", "--epochs": "2", "--threads": "1", "--precision": "fp32",
    }  # fmt: skip


def test_progress_is_on_stderr(compared):
    assert "measuring the latency" in compared[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lenet6"], 2, "unknown network 'lenet6'. Did you mean lenet5"),
        (["mlp", "mlp"], 2, "mlp is named 2 times"),
        (["mlp", "--epochs", "0"], 2, "epochs = 0"),
        (["mlp", "--seeds", "0"], 2, "seeds 0: at least 1"),
        (["mlp", "--epochs", "2", "--time", "1"], 2, "both set the length of the trainings; give only one"),
        (["mlp", "--time", "-1"], 2, "minutes above 0"),
        (["mlp", "--budget", "fast"], 2, "'fast' is not a budget"),
        (["mlp", "--protocol", "ten"], 2, "unknown protocol 'ten'"),
        (["mlp", "--data", "no/such/place"], 3, "no/such/place"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(convatlas, tmp_path, arguments, code, message):
    found, out, err = convatlas("compare", *arguments, "--out", tmp_path / "out")
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file(convatlas, tmp_path):
    (tmp_path / "out").write_text("in the way")
    code, _, err = convatlas("compare", "mlp", "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in err


def test_a_network_that_diverges_drops_out_and_with_the_last_one_the_comparison_fails(convatlas, tmp_path):
    code, out, err = convatlas("compare", "mlp", "lenet5@modern", "--epochs", 1, "--lr", "1e30", "--out", tmp_path)
    assert (code, out) == (1, "")
    assert "mlp drops out" in err
    assert "lenet5@modern drops out" in err
    assert "no network could be trained" in err


# --- evaluate ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(compared) -> Path:
    return Path(compared[0]["rows"][1]["runs"][0])


def test_evaluate_repeats_the_runs_own_figures(convatlas, compared, folder):
    code, out, _ = convatlas("evaluate", folder, "--json")
    document, row = json.loads(out), compared[0]["rows"][1]
    assert code == 0
    assert {"schema", "run", "protocol", "n", "top1", "top5", "ci95", "per_class"} <= document.keys()
    assert (document["top1"], document["ci95"], document["n"]) == (row["test_top1"], row["ci95"], row["test_n"])
    assert sum(map(sum, document["confusion"])) == document["n"]


def test_evaluate_in_words(convatlas, folder):
    code, out, _ = convatlas("evaluate", folder, "--part", "val", "--protocol", "flip")
    assert code == 0
    assert "on digits, val: 216 images, protocol flip" in out
    assert "95 % interval" in out
    assert "taken for" in out


def test_evaluate_something_that_is_no_run(convatlas, tmp_path):
    code, out, err = convatlas("evaluate", tmp_path)
    assert (code, out) == (3, "")
    assert "is not a run directory" in err


# --- predict ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Three digits as files, and one damaged file among them."""
    place = tmp_path_factory.mktemp("images")
    for index, pixels in enumerate(load_digits().images[:3]):
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(place / f"{index}.png")
    (place / "1b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return place


def test_predict_answers_the_others_when_one_is_damaged(convatlas, folder, images):
    code, out, err = convatlas("predict", folder, images, "--json", "--top", 3)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["0.png", "1.png", "1b.png", "2.png"]
    good = [line for line in lines if "top" in line]
    assert len(good) == 3
    for line in good:
        shares = [share for _, share in line["top"]]
        assert line["schema"] == 1
        assert len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 1e-6
    assert code == 3
    assert "1b.png cannot be read" in err
    assert "1 image could not be read" in err


def test_predict_prepares_images_as_the_run_did(convatlas, folder, images):
    """The file of a digit and the digit in the data set get the same probabilities."""
    _, out, _ = convatlas("predict", folder, images / "0.png", "--json", "--top", 10)
    told = dict(json.loads(out)["top"])
    trained = Run(folder)
    training_data = TrainingData("digits")
    preprocessing, store = training_data.prepared(entry(trained.model), trained.recipe)
    assert preprocessing == trained.preprocessing
    first, *_ = training_data.batches("test", preprocessing, store, "cpu").batch(torch.tensor([0]))
    expected = trained.network()(first).softmax(1)[0]
    assert [told[str(k)] for k in range(10)] == pytest.approx(expected.tolist(), abs=2e-3)


def test_predict_from_a_list_on_stdin(folder, images):
    done = in_another_process("predict", folder, "-", stdin=f"{images / '0.png'}\n\n{images / '2.png'}\n")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{images / '0.png'}   ")
    assert second.count("%") == 5


def test_predict_nothing_at_all(convatlas, folder, tmp_path):
    assert convatlas("predict", folder, tmp_path / "none.png")[0] == 3
    assert convatlas("predict", folder, tmp_path, "--top", "0")[0] == 2
