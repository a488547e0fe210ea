"""SIGKILL at random moments: the final weights are those of a run that was never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convatlas.training import checkpoint

KILLS = 20
SETTINGS = (
    "--data",
    "digits",
    "--epochs",
    "30",
    "--batch-size",
    "16",
    "--threads",
    "1",
    "--checkpoint-every-steps",
    "7",
)


def weights_of(folder: Path) -> bytes:
    tensors, _ = checkpoint.load(folder / "model.safetensors")
    return b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in sorted(tensors.items()))


def convatlas(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with open(log, "wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "convatlas", "train", *arguments], stdout=subprocess.DEVNULL, stderr=stderr
        )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lenet5@modern"])
def test_twenty_sigkills_leave_no_trace_in_the_weights(model, tmp_path):
    log = tmp_path / "stderr"
    assert convatlas(log, model, *SETTINGS, "--out", str(tmp_path / "whole")).wait() == 0
    (whole,) = (tmp_path / "whole").iterdir()

    draw = random.Random(1998)
    process, killed = convatlas(log, model, *SETTINGS, "--out", str(tmp_path / "cut")), 0
    while killed < KILLS:
        # let it start and write its first checkpoint, then strike at any moment of the next second
        folders = list((tmp_path / "cut").glob("*")) if (tmp_path / "cut").exists() else []
        if process.poll() is not None:
            assert process.returncode in (0, -signal.SIGKILL), log.read_text()
            assert process.returncode != 0, f"the run ended after {killed} kills; make it longer"
        if not folders or not checkpoint.saved(folders[0]):
            time.sleep(0.02)
            continue
        newest = checkpoint.saved(folders[0])[-1]
        while process.poll() is None and checkpoint.saved(folders[0])[-1] == newest:
            time.sleep(0.005)  # the resumed process has come so far that it wrote one of its own
        time.sleep(draw.random() * 0.3)
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
            process = convatlas(log, "--resume", str(folders[0]))
    assert process.wait() == 0, log.read_text()
    (cut,) = (tmp_path / "cut").iterdir()
    assert weights_of(cut) == weights_of(whole)
    steps = [line.split('"step": ')[1] for line in (cut / "metrics.jsonl").read_text().splitlines() if '"step"' in line]
    assert len(steps) == len(set(steps)) == 30  # every epoch stands in the journal once
    assert not list(cut.glob(".*.part"))
