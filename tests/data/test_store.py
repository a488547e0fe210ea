"""The resident images, their statistics, the decoding processes and the decode-once cache."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convatlas.data import Preprocessing, channel_stats, load_images, make_split, open_data, preprocessing_for, workers
from convatlas.data.decode import Header
from convatlas.data.workers import decode_files
from convatlas.errors import BadImageError, ConvAtlasError

RULE = Preprocessing((8, 8), 3)


def test_mnists_statistics_are_the_published_ones(shared):
    data = open_data(shared("data/mnist"))
    store = load_images(data, preprocessing_for(data, 28))
    mean, std = channel_stats(store, np.flatnonzero(data.parts == "train"))
    assert (round(mean[0], 4), round(std[0], 4)) == (0.1307, 0.3081)


def test_statistics_are_of_the_images_named_and_no_others(shared):
    data = open_data(shared("data/cifar-10/head100"))
    store, split = load_images(data, preprocessing_for(data, 32)), make_split(data)
    pixels = store.pixels[torch.from_numpy(split.train)].reshape(-1, 3).double() / 255
    mean, std = channel_stats(store, split.train)
    assert mean == pytest.approx(pixels.mean(0).tolist())
    assert std == pytest.approx(pixels.std(0, correction=0).tolist())


def test_an_array_of_the_right_size_is_used_as_it_is(shared):
    data = open_data(shared("data/cifar-10/head100"))
    store = load_images(data, preprocessing_for(data, 32))
    assert store.pixels.data_ptr() == data.images.pixels.ctypes.data  # type: ignore[attr-defined]


def test_progress_is_told(class_folders):
    told = []
    load_images(
        open_data(class_folders({"a": 2, "b": 1})), RULE, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_file_that_broke_after_it_was_listed_is_named_with_its_index(class_folders):
    root = class_folders({"a": 2, "b": 2})
    data = open_data(root)
    (root / "b/1.png").write_bytes(b"gone bad")
    with pytest.raises(BadImageError, match=r"b/1\.png \(index 3\)"):
        load_images(data, RULE)
    (root / "b/1.png").unlink()
    with pytest.raises(BadImageError, match=r"b/1\.png \(index 3\) cannot be read: No such file"):
        load_images(data, RULE)


# --- decoding processes ---------------------------------------------------------------------------------------------


def test_processes_decode_what_one_process_decodes(class_folders):
    data = open_data(class_folders({"a": 12, "b": 12}))
    assert torch.equal(load_images(data, RULE, workers=2).pixels, load_images(data, RULE, workers=1).pixels)


def test_processes_name_the_bad_file_and_end(class_folders):
    root = class_folders({"a": 12, "b": 12})
    data = open_data(root)
    (root / "b/7.png").write_bytes(b"<html>")
    with pytest.raises(BadImageError, match=r"b/7\.png"):
        load_images(data, RULE, workers=2)
    assert not [thread for thread in threading.enumerate() if isinstance(thread, workers._Worker) and thread.is_alive()]


def test_without_a_rule_files_are_only_checked(class_folders):
    data = open_data(class_folders({"a": 3, "b": 3}))
    found = dict(decode_files(data.images.tree, data.names, None, workers=2))  # type: ignore[attr-defined]
    assert found == {index: Header(12, 10, False) for index in range(6)}


def test_a_killed_process_is_replaced_and_no_image_is_lost(class_folders):
    data = open_data(class_folders({"a": 60, "b": 60}))
    results = decode_files(data.images.tree, data.names, RULE, workers=2)  # type: ignore[attr-defined]
    seen = dict([next(results)])
    victims = [thread for thread in threading.enumerate() if isinstance(thread, workers._Worker)]
    for thread in victims:
        os.kill(thread._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    started = time.monotonic()
    seen.update(results)
    assert time.monotonic() - started < 10
    assert sorted(seen) == list(range(120))
    expected = load_images(data, RULE).pixels.numpy()
    assert all(np.array_equal(seen[index], expected[index]) for index in seen)


def test_an_image_on_which_the_process_dies_is_bad_and_the_others_are_not(class_folders, monkeypatch):
    # the process meets such a file as it would a crash in a decoder: it is gone
    deadly = (
        "import os; from convatlas.data import workers\n"
        "whole = workers.decode_one\n"
        "workers.decode_one = lambda tree, name, how: os._exit(11) if name == 'a/3.png' else whole(tree, name, how)\n"
        "workers.serve()"
    )
    popen = workers.subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda args, **kw: popen([*args[:2], deadly], **kw))
    data = open_data(class_folders({"a": 12, "b": 12}))
    found = dict(decode_files(data.images.tree, data.names, RULE, workers=2))  # type: ignore[attr-defined]
    reasons = {data.names[index]: result for index, result in found.items() if isinstance(result, str)}
    assert reasons == {"a/3.png": "the process that decoded it died or was stopped (exit code 11)"}
    assert len(found) == 24


def test_a_process_that_is_stuck_is_stopped(class_folders, monkeypatch):
    monkeypatch.setattr(workers, "SILENCE_S", 0.2)
    monkeypatch.setattr(workers, "POLL_S", 0.1)
    stuck = "import time, sys; sys.stdin.readline(); time.sleep(100)"
    popen = workers.subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda args, **kw: popen([*args[:2], stuck], **kw))
    data = open_data(class_folders({"a": 1, "b": 1}))
    found = dict(decode_files(data.images.tree, data.names, RULE, workers=2))  # type: ignore[attr-defined]
    assert set(found.values()) == {"the process that decoded it died or was stopped (signal 9)"}


# --- the decode-once cache ------------------------------------------------------------------------------------------


def cached(data, folder, **more):
    return load_images(data, RULE, cache_dir=folder, **more)


def test_the_cache_gives_the_same_pixels_resident_and_mapped(class_folders, tmp_path):
    data = open_data(class_folders({"a": 4, "b": 4}))
    decoded = load_images(data, RULE)
    made, used = cached(data, tmp_path / "cache"), cached(data, tmp_path / "cache")
    mapped = cached(data, tmp_path / "cache", memory_share=0)
    assert "made now: there was none yet" in made.origin
    assert "made now" not in used.origin
    assert (used.resident, mapped.resident) == (True, False)
    for store in (made, used, mapped):
        assert torch.equal(store.pixels, decoded.pixels)


def test_images_too_large_for_the_share_of_memory_are_mapped(class_folders, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    data = open_data(class_folders({"a": 4, "b": 4}))
    assert load_images(data, RULE).resident
    assert not load_images(data, RULE, memory_share=1e-12).resident
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("offset", [10, 4096, 4096 + 777, -1])
def test_a_damaged_cache_is_found_and_made_again(class_folders, tmp_path, offset):
    data = open_data(class_folders({"a": 4, "b": 4}))
    whole = cached(data, tmp_path / "cache").pixels.clone()
    (path,) = (tmp_path / "cache").iterdir()
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    again = cached(data, tmp_path / "cache")
    assert "made now" in again.origin
    assert torch.equal(again.pixels, whole)


def test_a_cache_cut_short_is_made_again(class_folders, tmp_path):
    data = open_data(class_folders({"a": 4, "b": 4}))
    cached(data, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes, expected" in cached(data, tmp_path / "cache").origin


def test_a_changed_image_makes_the_cache_anew(class_folders, write_image, tmp_path):
    root = class_folders({"a": 4, "b": 4})
    cached(open_data(root), tmp_path / "cache")
    write_image(root / "a/2.png", seed=99)
    data = open_data(root)
    again = cached(data, tmp_path / "cache")
    assert "the images or their preprocessing changed" in again.origin
    assert torch.equal(again.pixels, load_images(data, RULE).pixels)
    assert len(list((tmp_path / "cache").iterdir())) == 1  # in the place of the old one


def test_a_failure_while_the_cache_is_made_leaves_nothing_and_the_old_one(class_folders, write_image, tmp_path):
    root = class_folders({"a": 4, "b": 4})
    cached(open_data(root), tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    before = path.read_bytes()
    write_image(root / "a/2.png", seed=99)
    data = open_data(root)
    (root / "b/3.png").write_bytes(b"broken")
    with pytest.raises(BadImageError):
        cached(data, tmp_path / "cache")
    assert [file.read_bytes() for file in (tmp_path / "cache").iterdir()] == [before]


def test_no_room_for_the_cache_is_said_before_anything_is_decoded(class_folders, tmp_path, monkeypatch):
    data = open_data(class_folders({"a": 4, "b": 4}))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(ConvAtlasError, match=r"need 1\.500 KiB in .* which has 100 B left"):
        cached(data, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
