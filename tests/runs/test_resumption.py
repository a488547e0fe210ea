"""A resumed run with other settings: honoured and recorded, or refused by name, and never ignored."""

from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from convatlas.errors import DataError, Interrupted, NonFiniteLossError, RecipeError, UsageError
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, resume, train

SHORT = {"epochs": 3, "threads": 1, "batch_size": 64, "device": "cpu"}


class StopAt(RunListener):
    def __init__(self, step: int) -> None:
        self.step, self.notes = step, []

    def on_note(self, text: str) -> None:
        self.notes.append(str(text))

    def on_step(self, state, loss, images_per_s) -> None:
        if state.step >= self.step:
            self.step = 10**9
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def cut(tmp_path) -> Run:
    """A run of three epochs, stopped in the second."""
    with pytest.raises(Interrupted):
        train("mlp", out=tmp_path / "runs", listener=StopAt(25), **SHORT)
    return Run(next((tmp_path / "runs").iterdir()))


def test_epochs_and_the_learning_rate_may_change_and_are_recorded(cut):
    listener = StopAt(10**9)
    step = int(sorted(cut.path.glob("checkpoint-0*"))[-1].stem.split("-")[1])
    lr = cut.recipe.lr
    run = resume(cut.path, epochs=4, lr=0.01, checkpoint_every_s=30.0, listener=listener)
    assert (run.recipe.epochs, run.recipe.lr, run.options.checkpoint_every_s) == (4, 0.01, 30.0)
    changed = {"epochs": [3, 4], "lr": [lr, 0.01], "checkpoint_every_s": [60.0, 30.0]}
    (line,) = [line for line in run.metrics() if line["event"] == "resumed"]
    assert line == {"event": "resumed", "step": step, "changed": changed}
    assert run.result["resumed"] == [{"step": step, "changed": changed}]
    assert run.result["epochs"] == 4
    assert "epochs was 3 and is 4 from here on" in listener.notes
    assert run.epochs()[-1]["lr"] <= 0.01


def test_a_change_survives_a_second_interruption(cut):
    with pytest.raises(Interrupted):
        resume(cut.path, epochs=5, listener=StopAt(26))
    run = resume(cut.path)
    assert run.result["epochs"] == 5
    assert [line["changed"] for line in run.metrics() if line["event"] == "resumed"] == [{"epochs": [3, 5]}]


def test_a_diverged_run_continues_with_a_lower_learning_rate(tmp_path):
    with pytest.raises(NonFiniteLossError):
        train("mlp", out=tmp_path, **SHORT, lr=1e20)
    run = resume(next(tmp_path.iterdir()), lr=0.01)
    assert run.finished
    assert run.result["resumed"][0]["changed"] == {"lr": [1e20, 0.01]}


def test_what_decided_the_updates_so_far_is_refused_by_name(cut):
    before = {path.name: path.read_bytes() for path in cut.path.iterdir() if path.name != ".lock"}
    with pytest.raises(RecipeError, match=r"batch_size = 4 \(in .*: 64\), mixup = 0.5 .* cannot change") as error:
        resume(cut.path, batch_size=4, mixup=0.5, epochs=9)
    assert set(error.value.settings) == {"batch_size", "mixup"}
    assert {path.name: path.read_bytes() for path in cut.path.iterdir() if path.name != ".lock"} == before


def test_the_settings_that_the_run_has_anyway_are_accepted(cut):
    run = resume(cut.path, batch_size=64, epochs=3, threads=1)
    assert run.finished
    assert "resumed" not in run.result


def test_fewer_epochs_than_the_run_has_made_are_refused(cut):
    with pytest.raises(UsageError, match="has trained longer already"):
        resume(cut.path, epochs=1)


def test_a_finished_run_names_the_way_out(cut):
    run = resume(cut.path)
    with pytest.raises(UsageError, match="--start-from"):
        resume(run.path, epochs=9)


def photos(root, seed):
    generator = np.random.default_rng(seed)
    for kind in ("cat", "dog"):
        (root / kind).mkdir(parents=True)
        for k in range(20):
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(root / kind / f"{k}.png")
    return root


def test_data_that_have_moved_are_used_and_others_are_refused(tmp_path):
    root = photos(tmp_path / "old", 0)
    with pytest.raises(Interrupted):
        train("lenet5@modern", root, out=tmp_path / "runs", listener=StopAt(8), **(SHORT | {"batch_size": 8}))
    run = Run(next((tmp_path / "runs").iterdir()))
    with pytest.raises(DataError, match="are not those of"):
        resume(run.path, data=photos(tmp_path / "other", 1))
    with pytest.raises(DataError, match="nowhere"):
        resume(run.path, data="/nowhere")
    shutil.move(root, tmp_path / "new")
    with pytest.raises(DataError, match="Name their new place"):
        resume(run.path)
    finished = resume(run.path, data=tmp_path / "new")
    assert finished.result["resumed"][0]["changed"] == {"data": [str(root), str(tmp_path / "new")]}
    assert len(finished.dataset()) == 40
