"""SIGKILL at random moments: the final weights are those of a run that was never stopped."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from PIL import Image

from convatlas.data import open_data
from convatlas.training import checkpoint

SETTINGS = ("--epochs", "30", "--batch-size", "16", "--threads", "1", "--checkpoint-every-steps", "7")


def weights_of(folder: Path) -> bytes:
    tensors, _ = checkpoint.load(folder / "model.safetensors")
    return b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in sorted(tensors.items()))


def convatlas(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with open(log, "wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "convatlas", "train", *arguments], stdout=subprocess.DEVNULL, stderr=stderr
        )


def digits_in_shards(folder: Path) -> Path:
    """The embedded digits as four tar shards of WebDataset's layout."""
    digits = open_data("digits")
    folder.mkdir()
    for shard in range(4):
        with tarfile.open(folder / f"digits-{shard:06d}.tar", "w") as tar:
            for index in range(shard, len(digits), 4):
                picture = io.BytesIO()
                Image.fromarray(digits.read(index)[:, :, 0]).save(picture, "PNG")
                label = str(digits.labels[index]).encode()
                for name, content in ((f"{index:04d}.png", picture.getvalue()), (f"{index:04d}.cls", label)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("data", "kills"), [("digits", 20), ("tar shards", 2)])
def test_sigkills_leave_no_trace_in_the_weights(data, kills, tmp_path):
    log = tmp_path / "stderr"
    source = "digits" if data == "digits" else str(digits_in_shards(tmp_path / "shards"))
    settings = ("lenet5@modern", "--data", source, *SETTINGS)
    assert convatlas(log, *settings, "--out", str(tmp_path / "whole")).wait() == 0, log.read_text()
    (whole,) = (tmp_path / "whole").iterdir()

    draw = random.Random(1998)
    process, killed = convatlas(log, *settings, "--out", str(tmp_path / "cut")), 0
    while killed < kills:
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
