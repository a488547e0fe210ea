"""`torchrun -m convatlas train` by real processes: one run, stopped together, restarted to the same bits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convatlas.runs.run import Run
from convatlas.runs.train import train
from convatlas.training import checkpoint

SETTINGS = (
    *("--data", "digits", "--batch-size", "30", "--precision", "fp32", "--pad", "1", "--mixup", "0.2"),
    *("--rank-timeout-s", "600"),  # a machine busy with other things is not what is tested
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


LAUNCHED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def nothing_left_running():
    """A test that fails leaves no training behind; torchrun takes its ranks with it."""
    yield
    while LAUNCHED:
        agent = LAUNCHED.pop()
        if agent.poll() is None:
            agent.terminate()
            agent.wait(90)


def launch(folder: Path, *arguments: str, ranks: int = 2, restarts: int = 0) -> subprocess.Popen[bytes]:
    """torchrun in a process group of its own; what it and the ranks say goes to FOLDER/said and FOLDER/shown."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    command += [f"--master-port={free_port()}", "-m", "convatlas", "train", *arguments, "--out", str(folder / "runs")]
    with open(folder / "said", "ab") as stderr, open(folder / "shown", "ab") as stdout:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        agent = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment, start_new_session=True)
    LAUNCHED.append(agent)
    return agent


def the_run(folder: Path) -> Path:
    (run,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    return run


def ranks_of(agent: subprocess.Popen[bytes]) -> list[int]:
    """The processes that torchrun started, oldest first."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return [int(child) for child in children if b"convatlas" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for_checkpoint(folder: Path, agent: subprocess.Popen[bytes], beyond: int = 0) -> None:
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        assert agent.poll() is None, (folder / "said").read_text()
        runs = [path for path in (folder / "runs").glob("*") if path.is_dir()]
        if runs and any(int(path.stem.split("-")[1]) > beyond for path in checkpoint.saved(runs[0])):
            return
        time.sleep(0.02)
    raise AssertionError((folder / "said").read_text())


def weights_of(run: Path) -> bytes:
    tensors, _ = checkpoint.load(run / "model.safetensors")
    return b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in sorted(tensors.items()))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_killed_rank_is_restarted_to_the_bits_of_a_run_that_was_never_killed(tmp_path, ranks):
    settings = ("lenet5@modern", *SETTINGS, "--epochs", "4", "--checkpoint-every-steps", "10")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert launch(whole, *settings, ranks=ranks).wait(600) == 0, (whole / "said").read_text()
    agent = launch(cut, *settings, ranks=ranks, restarts=3)
    for rank, beyond in ((1, 0), (0, 40)):  # in the first epoch one that follows, later the one that leads
        wait_for_checkpoint(cut, agent, beyond)
        os.kill(ranks_of(agent)[rank], signal.SIGKILL)
        time.sleep(1)
    assert agent.wait(600) == 0, (cut / "said").read_text()
    assert weights_of(the_run(cut)) == weights_of(the_run(whole))
    epochs = [line["epoch"] for line in Run(the_run(cut)).epochs()]
    assert epochs == [0, 1, 2, 3]  # every epoch stands in the journal once
    assert not list((cut / "runs").glob(".torchrun-*"))
    for folder in (whole, cut):
        assert (folder / "shown").read_text().count("test top-1") == 1  # rank 0 alone reports


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_a_killed_rank_ends_all_within_thirty_seconds(tmp_path, number):
    endless = ("--epochs", "500", "--checkpoint-every-steps", "10")
    agent = launch(tmp_path, "lenet5@modern", *SETTINGS, *endless, ranks=number)
    wait_for_checkpoint(tmp_path, agent)
    ranks = ranks_of(agent)
    os.kill(ranks[1], signal.SIGKILL)
    began = time.monotonic()
    assert agent.wait(60) != 0
    assert time.monotonic() - began < 30
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert "convatlas: another process of this training ended" in (tmp_path / "said").read_text()


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_with_one_checkpoint_and_one_process_can_go_on(tmp_path):
    settings = ("mlp", *SETTINGS, "--epochs", "300")
    agent = launch(tmp_path, *settings)
    limit = time.monotonic() + 240
    while not list(tmp_path.glob("runs/*/metrics.jsonl")) or not (the_run(tmp_path) / "metrics.jsonl").stat().st_size:
        assert agent.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.kill(ranks_of(agent)[1], signal.SIGTERM)
    assert agent.wait(60) != 0
    said = (tmp_path / "said").read_text()
    assert said.count("a checkpoint was written. Continue:") == 1  # rank 0 says it
    run = the_run(tmp_path)
    (saved,) = checkpoint.saved(run)
    _, content = checkpoint.load(saved)
    assert int(saved.stem.split("-")[1]) == content["state"]["step"]
    # in one process the rest of it, on the same images in the same order; only the last bits may differ
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("epochs = 300", f"epochs = {content['state']['step'] // 41 + 1}"))
    resumed = subprocess.run(
        [sys.executable, "-m", "convatlas", "train", "--resume", str(run)], capture_output=True, text=True, check=True
    )
    assert "processes was 2 and is 1" in resumed.stderr


@pytest.mark.slow
def test_a_signal_to_torchrun_stops_all_with_a_checkpoint(tmp_path):
    agent = launch(tmp_path, "mlp", *SETTINGS, "--epochs", "300", "--checkpoint-every-steps", "10")
    wait_for_checkpoint(tmp_path, agent)
    os.killpg(agent.pid, signal.SIGINT)  # as Ctrl-C does
    assert agent.wait(60) != 0
    assert (tmp_path / "said").read_text().count("a checkpoint was written. Continue:") == 1


@pytest.mark.slow
@pytest.mark.parametrize("unfreezing", [False, True], ids=["whole", "unfreezing"])
def test_one_process_and_two_train_to_the_same_weights(tmp_path, unfreezing):
    """The same images in the same order: losses agree far beyond what another order would give."""
    settings: tuple[str, ...] = ("lenet5@modern", *SETTINGS, "--epochs", "2")
    if unfreezing:  # all but the head frozen in the first epoch, one stage fewer in the second
        source = train("lenet5@modern", epochs=1, threads=1, device="cpu", out=tmp_path / "source")
        settings += ("--start-from", str(source.path), "--freeze", "all-but-head", "--unfreeze-every", "1")
    assert launch(tmp_path / "two", *settings).wait(300) == 0, (tmp_path / "two" / "said").read_text()
    command = [sys.executable, "-m", "convatlas", "train", *settings, "--threads", "1", "--out", str(tmp_path / "runs")]
    subprocess.run(command, check=True, capture_output=True)
    one, two = Run(the_run(tmp_path)).epochs(), Run(the_run(tmp_path / "two")).epochs()
    for a, b in zip(one, two, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-4)
        assert b["val_loss"] == pytest.approx(a["val_loss"], rel=1e-3)
        assert b["val_top1"] == pytest.approx(a["val_top1"], abs=0.01)


def test_a_launch_that_cannot_be_is_refused_once_and_leaves_nothing(tmp_path):
    assert launch(tmp_path, "mlp", "--data", "digits", "--batch-size", "1").wait(240) != 0
    said = (tmp_path / "said").read_text()
    assert said.count("convatlas: ") == 1
    assert "convatlas: a global batch of 1 images cannot be shared among 2 processes" in said
    assert not (tmp_path / "runs").exists()


def test_a_note_of_another_training_is_not_taken_for_this_one(tmp_path):
    from convatlas.errors import UsageError
    from convatlas.runs.launch import Launch
    from convatlas.training.distributed import SINGLE_PROCESS

    torchrun = {"TORCHELASTIC_RUN_ID": "job 7", "TORCHELASTIC_RESTART_COUNT": "0"}
    launch = Launch.of(tmp_path, {"model": "mlp", "seed": 0}, torchrun)
    run = tmp_path / "mlp-digits-001"
    run.mkdir()
    launch.remember(run)
    assert launch.run_to_continue(SINGLE_PROCESS) is None  # it was killed before it had written what it is
    (run / "config.toml").write_text("")
    assert launch.run_to_continue(SINGLE_PROCESS) == run  # a run id names one training: started again, it goes on
    with pytest.raises(UsageError, match="Choose another --rdzv-id"):
        Launch.of(tmp_path, {"model": "mlp", "seed": 1}, torchrun).run_to_continue(SINGLE_PROCESS)
    assert json.loads((tmp_path / ".torchrun-job_7.json").read_text())["run"] == str(run)
    launch.forget()
    assert launch.run_to_continue(SINGLE_PROCESS) is None

    unnamed = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    first = Launch.of(tmp_path, {"model": "mlp"}, unnamed | {"TORCHELASTIC_RESTART_COUNT": "0"})
    first.remember(run)
    assert first.run_to_continue(SINGLE_PROCESS) is None  # the next launch has the same address
    assert (
        Launch.of(tmp_path, {"model": "mlp"}, unnamed | {"TORCHELASTIC_RESTART_COUNT": "1"}).run_to_continue(
            SINGLE_PROCESS
        )
        == run
    )
