"""Checkpoints: whole or not there, every byte covered by the digest, nothing that executes."""

from __future__ import annotations

import os
import pickle
import resource
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from convatlas.errors import CheckpointError, TrainingError
from convatlas.training import checkpoint

TENSORS = {
    "net.weight": torch.arange(12.0).reshape(3, 4),
    "net.half": torch.ones(2, 2, dtype=torch.bfloat16),
    "net.count": torch.tensor(7),
}
STATE = {"step": 12, "note": "합성곱", "val_top1": [0.1, 1 / 3]}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoint-000000012.safetensors"
    checkpoint.save(path, TENSORS, STATE)
    tensors, state = checkpoint.load(path)
    assert all(torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
               for name, tensor in TENSORS.items())  # fmt: skip
    assert {name: state[name] for name in STATE} == STATE
    assert list(tmp_path.iterdir()) == [path]  # nothing is left beside it


def test_channels_last_weights_come_back_with_the_same_values(tmp_path):
    weight = torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path / "w.safetensors", {"w": weight}, {})
    assert torch.equal(checkpoint.load(tmp_path / "w.safetensors")[0]["w"], weight)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "c.safetensors"
    checkpoint.save(path, TENSORS, STATE)
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_flipped_bit_goes_unnoticed(whole_file, tmp_path_factory, data):
    place = data.draw(st.integers(0, 8 * len(whole_file) - 1))
    damaged = bytearray(whole_file)
    damaged[place // 8] ^= 1 << place % 8
    path = tmp_path_factory.mktemp("damaged") / "c.safetensors"
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"c\.safetensors"):
        checkpoint.load(path)


@given(length=st.integers(0, 600))
@settings(max_examples=60, deadline=None)
def test_no_truncation_goes_unnoticed(whole_file, tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "c.safetensors"
    path.write_bytes(whole_file[: min(length, len(whole_file) - 1)])
    with pytest.raises(CheckpointError):
        checkpoint.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not one that convatlas wrote"):
        checkpoint.load(tmp_path / "foreign.safetensors")


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_a_pickle_with_code_is_refused_and_never_run(tmp_path, write):
    canary, path = tmp_path / "canary", tmp_path / "model.pth"
    if write == "pickle":
        path.write_bytes(pickle.dumps(Bomb(canary)))
    else:
        torch.save({"w": Bomb(canary)}, path)
    with pytest.raises(CheckpointError, match="pickle"):
        checkpoint.load(path)
    assert not canary.exists()


def test_the_newest_whole_checkpoint_is_used_and_the_damaged_one_is_named(tmp_path):
    for step in (10, 20):
        checkpoint.save(checkpoint.numbered(tmp_path, step), TENSORS, {"step": step})
    newest = checkpoint.numbered(tmp_path, 20)
    newest.write_bytes(newest.read_bytes()[:-5])
    path, _, state, complaints = checkpoint.newest(tmp_path)
    assert (path.name, state["step"]) == ("checkpoint-000000010.safetensors", 10)
    assert len(complaints) == 1
    assert newest.name in complaints[0]


def test_the_last_two_are_kept_and_parts_of_killed_writers_removed(tmp_path):
    for step in range(1, 6):
        checkpoint.save(checkpoint.numbered(tmp_path, step), TENSORS, {})
    checkpoint.save(checkpoint.best(tmp_path), TENSORS, {})
    (tmp_path / ".checkpoint-000000009.safetensors.123-0.tmp").write_bytes(b"half")
    checkpoint.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000004.safetensors",
        "checkpoint-000000005.safetensors",
        "checkpoint-best.safetensors",
    ]


def test_a_full_disk_leaves_the_previous_file_and_says_how_much_was_wanted(tmp_path):
    path = checkpoint.numbered(tmp_path, 1)
    checkpoint.save(path, TENSORS, {"step": 1})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"w": torch.zeros(100_000)}
    # a file may not grow past 100 kB: write() fails with EFBIG as it would with ENOSPC
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TrainingError, match=r"400,\d+ bytes\) could not be written"):
            checkpoint.save(path, big, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_weights_of_another_network_change_nothing(tmp_path):
    net = torch.nn.Linear(4, 3)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(CheckpointError, match="another network"):
        checkpoint.load_network({"net.weight": torch.zeros(3, 4), "net.bias": torch.zeros(5)}, net)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
