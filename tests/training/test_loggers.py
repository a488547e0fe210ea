"""Loggers: what a run tells them, that their failing costs it nothing, and the real ones where they are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from convatlas.errors import Interrupted, MissingDependencyError, RecipeError, UnknownNameError
from convatlas.runs.train import RunListener, resume, train
from convatlas.runs.training_data import TrainingData
from convatlas.training import loggers

SHORT = {"epochs": 2, "threads": 1, "batch_size": 64}


@pytest.fixture(scope="module")
def digits() -> TrainingData:
    return TrainingData("digits", seed=0)


class Recorder:
    """A logger of the user's own: four methods."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def start(self, folder, settings, step) -> None:
        self.told.append(("start", folder.name, settings["lr"], step))

    def log(self, step, values) -> None:
        assert all(isinstance(value, float) for value in values.values())
        self.told.append(("log", step, set(values)))

    def artifact(self, path) -> None:
        assert path.is_file()
        self.told.append(("artifact", path.name))

    def finish(self, status) -> None:
        self.told.append(("finish", status))


class Failing(Recorder):
    def log(self, step, values) -> None:
        raise OSError("the server is gone")


class Notes(RunListener):
    def __init__(self, stop_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.stop_at = stop_at

    def on_note(self, text) -> None:
        self.notes.append(text)

    def on_step(self, state, loss, images_per_s) -> None:
        if self.stop_at is not None and state.step >= self.stop_at:
            self.stop_at = None
            signal.raise_signal(signal.SIGTERM)


def test_a_logger_hears_the_run_from_start_to_finish(digits, tmp_path):
    told = Recorder()
    run = train("mlp", digits, out=tmp_path, loggers=[told], **SHORT)
    kinds = [each[0] for each in told.told]
    assert told.told[0] == ("start", run.path.name, run.recipe.lr, 0)
    assert kinds == ["start", *["log"] * kinds.count("log"), "artifact", "artifact", "finish"]
    epochs = [each for each in told.told if each[0] == "log" and "val_top1" in each[2]]
    assert [step for _, step, _ in epochs] == [20, 40]  # 1222 images in batches of 64
    assert {each[1] for each in told.told if each[0] == "artifact"} == {"model.safetensors", "report.html"}
    assert told.told[-1] == ("finish", "finished")


def test_a_stopped_run_is_told_and_a_resumed_one_says_where_it_goes_on(digits, tmp_path):
    told = Recorder()
    with pytest.raises(Interrupted):
        train("mlp", digits, out=tmp_path, listener=Notes(stop_at=20), loggers=[told], **SHORT)
    assert told.told[-1] == ("finish", "stopped")
    (folder,) = tmp_path.iterdir()
    again = Recorder()
    resume(folder, loggers=[again])
    assert again.told[0][3] >= 20
    assert again.told[-1] == ("finish", "finished")


def test_a_logger_that_fails_is_left_out_and_the_run_goes_on(digits, tmp_path):
    failing, told, listener = Failing(), Recorder(), Notes()
    run = train("mlp", digits, out=tmp_path, listener=listener, loggers=[failing, told], **SHORT)
    assert run.finished
    assert listener.notes == ["Failing failed and is left out from here on: the server is gone"]
    assert told.told[-1] == ("finish", "finished")


def test_an_unknown_logger_and_one_named_twice_are_refused_before_anything_is_written(digits, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown logger 'tensorbord'. Did you mean tensorboard"):
        train("mlp", digits, out=tmp_path / "runs", log="tensorbord", **SHORT)
    with pytest.raises(RecipeError, match="twice"):
        loggers.by_names("mlflow,mlflow")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "packages"),
    [("tensorboard", ["tensorboardX", "tensorboard"]), ("wandb", ["wandb"]), ("mlflow", ["mlflow"])],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(name, packages, digits, tmp_path):
    if any(importlib.util.find_spec(package) for package in packages):
        pytest.skip(f"{name}'s package is installed here")
    with pytest.raises(MissingDependencyError, match=rf"pip install 'convatlas\[{name}\]'") as missing:
        train("mlp", digits, out=tmp_path / "runs", log=name, **SHORT)
    assert missing.value.exit_code == 4
    assert not (tmp_path / "runs").exists()


def installed(*packages: str) -> pytest.MarkDecorator:
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def trained_with(log: str, out: Path) -> Path:
    """In a process of its own, as the packages set up threads, handlers and warnings of theirs; without any network."""
    program = (
        "import socket, sys\n"
        "real = socket.socket.connect\n"
        "def connect(self, address):\n"
        "    if self.family != socket.AF_UNIX and address[0] not in ('127.0.0.1', '::1', 'localhost'):\n"
        "        open(sys.argv[2], 'a').write(f'{address}\\n')\n"
        "        raise OSError('no network')\n"
        "    return real(self, address)\n"
        "socket.socket.connect = connect\n"
        "from convatlas.runs.train import train\n"
        "train('mlp', 'digits', out=sys.argv[1], epochs=2, batch_size=64, threads=1, log=sys.argv[3])\n"
    )
    connected = out.parent / "connected"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "MLFLOW", "DO_NOT"))
    }
    command = [sys.executable, "-c", program, str(out), str(connected), log]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not connected.exists(), f"it called {connected.read_text()}"
    (run,) = (path for path in out.iterdir() if path.name.startswith("mlp"))
    return run


def journal_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@installed("tensorboardX")
def test_tensorboard_events_hold_what_the_journal_holds(tmp_path):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    run = trained_with("tensorboard", tmp_path / "runs")
    (file,) = (run / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # TFRecord: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        assert int.from_bytes(data[12 + length : 16 + length], "little") == masked_crc32c(data[12 : 12 + length])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        data = data[16 + length :]
    for line in journal_of(run):
        if line["event"] == "epoch":
            assert found["val_top1", line["step"]] == pytest.approx(line["val_top1"])
            assert found["train_loss", line["step"]] == pytest.approx(line["train_loss"])


@installed("mlflow", "sqlalchemy")
def test_mlflow_keeps_a_database_beside_the_runs(tmp_path):
    run = trained_with("mlflow", tmp_path / "runs")
    with sqlite3.connect(run.parent / "mlflow.db") as database:
        name, status = database.execute("select name, status from runs").fetchone()
        values = dict(database.execute("select step, value from metrics where key = 'val_top1'").fetchall())
        assert dict(database.execute("select key, value from params").fetchall())["batch_size"] == "64"
    database.close()
    assert (name, status) == (run.name, "FINISHED")
    epochs = [line for line in journal_of(run) if line["event"] == "epoch"]
    assert values == {line["step"]: line["val_top1"] for line in epochs}
    assert list((run.parent / "mlflow-files").rglob("report.html"))


@installed("wandb")
def test_wandb_stays_offline(tmp_path):
    run = trained_with("wandb", tmp_path / "runs")
    (offline,) = (run / "wandb").glob("offline-run-*")
    assert (offline / "files" / "report.html").exists()
    assert list(offline.glob("run-*.wandb"))
