"""The scripts of examples/: run as a reader runs them; what they record is read back with the tool's own reader."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = str(EXAMPLES.parent / "src")
NEEDS = {
    "plain_pytorch": ("torch",),
    "lightning_module": ("lightning",),
    "accelerate_loop": ("accelerate",),
    "keras_on_torch": ("keras",),
}


def need(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(script: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": SOURCE, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", NEEDS)
def test_a_loop_trains_the_network(script, tmp_path):
    need(*NEEDS[script])
    out = run(script, "8", cwd=tmp_path)
    accuracy = float(re.search(r"test top-1 ([\d.]+)%", out)[1])
    assert accuracy > 85
    assert not list(tmp_path.iterdir())  # nothing is left behind


@pytest.mark.slow
def test_tensorboard(tmp_path):
    need("tensorboardX", "tensorboard")
    import convatlas as ca

    (line,) = run("loggers", str(tmp_path), "tensorboard", cwd=tmp_path).splitlines()[-1:]
    folder = Path(line.removeprefix("run: "))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    recorded = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    lines = ca.Run(folder).epochs()
    assert any(
        values == pytest.approx([each["val_top1"] for each in lines], abs=1e-6) for values in recorded.values()
    ), recorded.keys()


@pytest.mark.slow
def test_wandb_offline(tmp_path):
    need("wandb")
    (line,) = run("loggers", str(tmp_path), "wandb", cwd=tmp_path).splitlines()[-1:]
    folder = Path(line.removeprefix("run: "))
    (offline,) = (folder / "wandb").glob("offline-run-*")
    (stored,) = offline.glob("run-*.wandb")
    assert stored.stat().st_size > 1000
    assert b"val_top1" in stored.read_bytes()


@pytest.mark.slow
def test_mlflow(tmp_path):
    need("mlflow", "sqlalchemy")
    (line,) = run("loggers", str(tmp_path), "mlflow", cwd=tmp_path).splitlines()[-1:]
    folder = Path(line.removeprefix("run: "))
    code = (
        "import json; from mlflow.tracking import MlflowClient\n"
        f"client = MlflowClient('sqlite:///{tmp_path / 'mlflow.db'}')\n"
        "e = client.get_experiment_by_name('convatlas'); (r,) = client.search_runs([e.experiment_id])\n"
        "print(json.dumps([r.info.status, r.data.metrics, r.data.params]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, metrics, params = json.loads(done.stdout.splitlines()[-1])
    assert status == "FINISHED"
    assert params["epochs"] == "2"
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert any(value == pytest.approx(last["val_top1"]) for value in metrics.values()), metrics
