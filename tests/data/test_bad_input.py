"""Full disks, small shared memory, killed processes, classes that cannot be trained: real ones."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.data import Preprocessing, load_images, open_data
from convatlas.data.workers import cores
from convatlas.errors import ConvAtlasError, DataError
from convatlas.runs.evaluate import evaluate
from convatlas.runs.train import train
from convatlas.training import checkpoint

RULE = Preprocessing((8, 8), 3)
TRAIN = [sys.executable, "-m", "convatlas", "train", "lenet5"]


def only_of(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def run_on_small_disk(mount: Path, size: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program where ``mount`` is a disk of ``size`` in memory, its own; needs root on Linux."""
    mount.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs "{mount}" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", textwrap.dedent(program)]
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a disk of its own needs unshare and root")
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"a disk of its own is not to be had here: {done.stderr.strip()}")
    return done


def test_a_file_that_may_not_grow_leaves_the_cache_that_was_there(class_folders, write_image, tmp_path):
    root = class_folders({"a": 200, "b": 200})
    load_images(open_data(root), RULE, cache_dir=tmp_path / "cache")
    before = only_of(tmp_path / "cache").read_bytes()
    write_image(root / "a/2.png", seed=99)
    data = open_data(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # of 80,896 bytes
    try:
        with pytest.raises(ConvAtlasError, match=r"cannot be written: File too large. An existing file is unchanged"):
            load_images(data, RULE, cache_dir=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert only_of(tmp_path / "cache").read_bytes() == before


@pytest.mark.slow
def test_a_disk_that_fills_while_the_cache_is_written_leaves_the_cache_that_was_there(class_folders, tmp_path):
    root = class_folders({"a": 200, "b": 200})
    program = """
        import pathlib, sys
        from convatlas.data import Preprocessing, load_images, open_data
        from convatlas.errors import ConvAtlasError
        root, disk = map(pathlib.Path, sys.argv[1:])
        preprocessing = Preprocessing((8, 8), 3)
        load_images(open_data(root), preprocessing, cache_dir=disk / "cache")
        (old,) = (disk / "cache").iterdir()
        before = old.read_bytes()
        (root / "a/2.png").write_bytes((root / "a/3.png").read_bytes())

        def somebody_else_fills_the_disk(done, total):
            if done == 50:
                try:
                    (disk / "filler").write_bytes(bytes(1 << 20))
                except OSError:
                    pass

        try:
            load_images(open_data(root), preprocessing, cache_dir=disk / "cache", progress=somebody_else_fills_the_disk)
        except ConvAtlasError as error:
            print(error)
        (now,) = (disk / "cache").iterdir()
        assert now.read_bytes() == before
    """
    done = run_on_small_disk(tmp_path / "disk", "256k", program, str(root), str(tmp_path / "disk"))
    assert done.returncode == 0, done.stderr
    assert "cannot be written: No space left on device. An existing file is unchanged" in done.stdout


@pytest.mark.slow
def test_a_disk_that_fills_in_a_training_leaves_checkpoints_that_go_on_to_the_same_bits(tmp_path):
    """The journal's line or a checkpoint meets the full disk; with room made, the run ends as if nothing had been."""
    program = """
        import hashlib, pathlib, sys
        from convatlas.errors import TrainingError
        from convatlas.runs.train import RunListener, resume, train
        from convatlas.training import checkpoint
        disk, elsewhere = map(pathlib.Path, sys.argv[1:])
        settings = dict(epochs=4, batch_size=32, threads=1, checkpoint_every_steps=7)

        class SomebodyElseFillsTheDisk(RunListener):
            def on_epoch(self, epoch):
                if epoch["epoch"] == 1:
                    with open(disk / "filler", "wb", buffering=0) as file:
                        try:
                            while file.write(bytes(4096)):
                                pass
                        except OSError:
                            pass

        def bits(run):
            tensors = run.network().state_dict().values()
            return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()

        try:
            train("lenet5@modern", out=disk / "runs", listener=SomebodyElseFillsTheDisk(), **settings)
        except TrainingError as error:
            print(error)
        (folder,) = (disk / "runs").iterdir()
        for path in checkpoint.saved(folder):
            checkpoint.load(path)
        assert not list(folder.glob(".*.part"))
        (disk / "filler").unlink()
        assert bits(resume(folder)) == bits(train("lenet5@modern", out=elsewhere, **settings))
    """
    done = run_on_small_disk(tmp_path / "disk", "8m", program, str(tmp_path / "disk"), str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert "could not be written: No space left on device. Earlier checkpoints are intact; free some" in done.stdout


@pytest.mark.slow
def test_shared_memory_is_not_needed(class_folders):
    """DataLoaders pass batches through /dev/shm, which containers keep at 64 MB; the decoding processes use pipes."""
    program = """
        import sys
        from convatlas.data import Augmentation, Batches, Preprocessing, load_images, open_data
        data = open_data(sys.argv[1])
        store = load_images(data, Preprocessing((200, 200), 3), workers=2)
        augment = Augmentation(crop="random-resized", crop_area=(0.1, 1))
        batches = Batches(store, data.labels, range(len(data)), batch_size=64, augment=augment)
        print(sum(len(batch.targets) for batch in batches.epoch(0)))
    """
    done = run_on_small_disk(Path("/dev/shm"), "4k", program, str(class_folders({"a": 60, "b": 60})))
    assert (done.returncode, done.stdout) == (0, "120\n"), done.stderr


@pytest.mark.slow
def test_killing_the_decoders_of_a_command_delays_it_and_changes_nothing(class_folders, tmp_path):
    """The report of ``convatlas data`` with every decoding process killed once, from outside, is the report."""
    root = class_folders({"a": 300, "b": 300})
    command = [sys.executable, "-m", "convatlas", "data", str(root), "--json"]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    kill_two_decoders(running)
    after = time.monotonic()
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert out == expected
    assert time.monotonic() - after < seconds_here(10)


def seconds_here(seconds: float) -> float:
    """What so many seconds of a free machine are on this one, where others may be computing too."""
    return seconds * max(1.0, os.getloadavg()[0] / cores())


def kill_two_decoders(running: subprocess.Popen[bytes]) -> None:
    """Kill the two decoding processes of a command at once; with one core there are none."""
    if cores() < 2:
        pytest.skip("one core: images are decoded in the process itself")
    while len(found := decoders(running.pid)) < 2:
        assert running.poll() is None, "no two decoding processes were seen"
    for process in found[:2]:
        os.kill(process, signal.SIGKILL)


def decoders(pid: int) -> list[int]:
    """The decoding processes of a command."""
    found = []
    for child in children(pid):
        with suppress(OSError):  # it has ended
            if "workers import serve" in Path(f"/proc/{child}/cmdline").read_text():
                found.append(child)
    return found


@pytest.mark.slow
def test_killing_the_decoders_of_a_training_changes_no_bit_of_its_weights(class_folders, tmp_path):
    root, log = class_folders({"a": 300, "b": 300}), tmp_path / "log"

    def training(out: Path) -> subprocess.Popen[bytes]:
        arguments = ["--data", str(root), "--epochs", "1", "--threads", "1", "--device", "cpu", "--out", str(out)]
        with log.open("wb") as stderr:
            return subprocess.Popen([*TRAIN, *arguments], stdout=subprocess.DEVNULL, stderr=stderr)

    assert training(tmp_path / "whole").wait(240) == 0, log.read_text()
    hurt = training(tmp_path / "hurt")
    kill_two_decoders(hurt)
    assert hurt.wait(240) == 0, log.read_text()
    tensors = [checkpoint.load(only_of(tmp_path / side) / "model.safetensors")[0] for side in ("whole", "hurt")]
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


@pytest.mark.slow
def test_a_training_whose_decoders_die_again_and_again_ends_within_ten_seconds_and_says_so(class_folders, tmp_path):
    root = class_folders({"a": 300, "b": 300})
    with (tmp_path / "log").open("wb") as stderr:
        command = [*TRAIN, "--data", str(root), "--out", str(tmp_path / "runs")]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    kill_two_decoders(running)
    first = time.monotonic()
    while running.poll() is None:
        for process in decoders(running.pid):
            os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    assert time.monotonic() - first < seconds_here(10)
    assert running.returncode == 3
    assert "died or was stopped (signal 9)" in (tmp_path / "log").read_text()
    assert not (tmp_path / "runs").exists()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:  # the thread is gone
            continue
    return found


def test_a_class_with_one_image_is_refused_before_anything_is_written(class_folders, tmp_path):
    root = class_folders({"many": 8, "lonely": 1})
    with pytest.raises(DataError, match=r"class 'lonely' of .* has 1 image left .* at least 2 are needed. Add images"):
        train("lenet5", root, out=tmp_path / "runs", epochs=1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_class_of_one_image_trains_where_no_part_is_drawn_from_it(class_folders, tmp_path):
    for part, counts in (("train", {"many": 8, "lonely": 1}), ("val", {"many": 2}), ("test", {"many": 2})):
        class_folders(counts, tmp_path / "set" / part, first_seed=len(part))
    data = open_data(tmp_path / "set")
    run = train("lenet5", data, out=tmp_path / "runs", epochs=1, min_updates=0, sampling="balanced", device="cpu")
    assert run.result is not None
    assert np.bincount(data.labels).tolist() == [1, 12]


def test_more_classes_than_the_head_knows_are_named(class_folders, tmp_path):
    run = train("lenet5", class_folders({"cat": 8, "dog": 8}, tmp_path / "two"), out=tmp_path, epochs=1, device="cpu")
    three = class_folders({"cat": 4, "dog": 4, "emu": 4}, tmp_path / "three")
    with pytest.raises(DataError, match="emu"):
        evaluate(run.path, three)
