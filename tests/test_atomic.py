"""The order of writes that survives a power failure: content flushed, then renamed, then the folder flushed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convatlas.atomic import atomic_file, write_verified


@pytest.fixture
def calls(monkeypatch):
    """Every fsync and rename, which still happen: its name, the file, and the bytes a flush made durable."""
    recorded: list[tuple[str, str, bytes]] = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        recorded.append(("fsync", path.name, path.read_bytes() if path.is_file() else b""))
        fsync(descriptor)

    def recording_replace(source: Path, target: Path) -> None:
        recorded.append(("rename", Path(target).name, Path(source).read_bytes()))
        replace(source, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("the file of a descriptor is known through /proc only")
    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    return recorded


def test_the_whole_content_is_flushed_before_the_rename(tmp_path, calls):
    with atomic_file(tmp_path / "split.csv") as file:
        file.write(b"file,label\n")
    (flush, name, flushed), (rename, target, renamed) = calls
    assert (flush, flushed) == ("fsync", b"file,label\n")
    assert name.endswith(".tmp")
    assert (rename, target, renamed) == ("rename", "split.csv", b"file,label\n")


def test_of_a_checkpoint_the_new_name_is_flushed_too(tmp_path, calls):
    write_verified(tmp_path / "checkpoint-000000001.safetensors", b"weights")
    assert [(call, name) for call, name, _ in calls if not name.endswith(".tmp")] == [
        ("rename", "checkpoint-000000001.safetensors"),
        ("fsync", tmp_path.name),
    ]
    assert calls[0][0] == "fsync"
    assert calls[0][2] == b"weights"


def test_an_error_leaves_the_old_content_and_no_temporary_file(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
