"""Digits, IDX and CIFAR: the published figures of the real files, and one clear error for every damaged one."""

from __future__ import annotations

import gzip
import shutil
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convatlas.data import open_data
from convatlas.errors import DataError

# counts of the labels 0..9 in the official files
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data, bunch = open_data("digits"), load_digits()
    assert np.array_equal(data.labels, bunch.target)
    for index in (0, 700, 1796):
        assert np.array_equal(np.rint(data.read(index)[:, :, 0] / 255 * 16), bunch.images[index])
    assert (data.layout, data.channels, data.uniform_size, data.names[5]) == ("digits", 1, (8, 8), "digits:5")


def test_mnist_has_the_published_counts(shared):
    data = open_data(shared("data/mnist"))
    assert (data.layout, data.classes, data.uniform_size) == ("idx", tuple("0123456789"), (28, 28))
    assert data.counts()["train"].tolist() == MNIST_TRAIN
    assert data.counts()["test"].tolist() == MNIST_TEST
    assert (data.names[0], data.names[60_000]) == ("train:0", "test:0")
    assert data.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_cifar10_head_has_names_and_colours_in_their_places(shared):
    data = open_data(shared("data/cifar-10/head100"))
    assert (data.layout, len(data), data.classes[6], data.channels) == ("cifar-10 binary", 200, "frog", 3)
    assert data.classes[data.labels[0]] == "frog"  # the well-known first training image
    record = np.fromfile(shared("data/cifar-10/head100") / "data_batch_1_head100.bin", dtype=np.uint8)[1:3073]
    red, green, blue = record.reshape(3, 32, 32)
    assert np.array_equal(data.read(0), np.stack([red, green, blue], axis=-1))


def test_cifar100_takes_the_fine_label(shared):
    data = open_data(shared("data/cifar-100-subset"))
    assert (data.layout, len(data.classes), data.classes[0]) == ("cifar-100 binary", 100, "apple")
    assert data.counts()["train"].tolist() == [10] * 100
    assert data.counts()["test"].tolist() == [5] * 100


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def write_idx(folder, images: bytes | None = None, labels: bytes | None = None, suffix="") -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    pack = gzip.compress if suffix else bytes
    images = idx(rng.integers(0, 256, (6, 4, 5))) if images is None else images
    labels = idx(np.array([0, 1, 2, 0, 1, 2])) if labels is None else labels
    (folder / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(images))
    (folder / f"train-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_with_and_without_gz_and_with_a_dot_in_the_name(tmp_path, suffix):
    write_idx(tmp_path / "set", suffix=suffix)
    shutil.move(tmp_path / f"set/train-images-idx3-ubyte{suffix}", tmp_path / f"set/train-images.idx3-ubyte{suffix}")
    data = open_data(tmp_path / "set")
    assert (len(data), data.uniform_size, data.classes) == (6, (4, 5), ("0", "1", "2"))


def test_labels_that_begin_at_one_are_classes_too(tmp_path):
    write_idx(tmp_path / "letters", labels=idx(np.array([1, 2, 3, 1, 2, 3])))  # as EMNIST's letters do
    data = open_data(tmp_path / "letters")
    assert (data.classes, data.labels.tolist()) == (("1", "2", "3"), [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:100], r"16|120 bytes.*cannot hold|expected 120 bytes after the header, found 84"),
        (lambda b: b + b"x", "expected 120 bytes after the header, found more"),
        (lambda b: b"\x00\x00\x09" + b[3:], "expected magic 2051, found magic 2307"),
        (lambda b: b[:10], "its header has 10 bytes, expected 16"),
        (lambda b: b[:4] + struct.pack(">III", 2**31, 2**31, 2**31) + b[16:], "cannot hold that"),
        (lambda b: b[:4] + struct.pack(">III", 0, 4, 5), "there is nothing in it"),
        (lambda b: b"", "expected magic 2051, found 0 bytes"),
    ],
)
def test_a_damaged_idx_file_is_named_with_what_was_expected_and_found(tmp_path, damage, message):
    whole = idx(np.zeros((6, 4, 5)))
    write_idx(tmp_path / "set", images=damage(whole))
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / "set")
    assert "train-images-idx3-ubyte" in str(caught.value)


def test_a_gz_file_cut_short_is_named(tmp_path):
    write_idx(tmp_path / "set", suffix=".gz")
    path = tmp_path / "set/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged after"):
        open_data(tmp_path / "set")


def test_as_many_labels_as_images_are_needed_and_both_files(tmp_path):
    write_idx(tmp_path / "set", labels=idx(np.array([0, 1])))
    with pytest.raises(DataError, match=r"holds 6 images and .* 2 labels"):
        open_data(tmp_path / "set")
    (tmp_path / "set/train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="has no labels file beside it"):
        open_data(tmp_path / "set")


def cifar(labels: list[int]) -> bytes:
    return b"".join(bytes([label]) + bytes([label] * 3072) for label in labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cifar([0, 1, 2])[:-1], r"multiple of 3,073 bytes .* found 9,218, which is 2 records and 3,072 bytes"),
        (b"", "found 0"),
        (cifar([0, 1, 10, 2]), r"label 10 of record 2 is out of range; expected one of the 10 labels 0 to 9"),
    ],
)
def test_a_damaged_cifar_batch_is_named_with_what_was_expected_and_found(tmp_path, content, message):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path)
    assert "data_batch_1.bin" in str(caught.value)


def test_cifars_python_batches_are_pickles_and_never_opened(tmp_path):
    canary = tmp_path / "canary"
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data_batch_1").write_bytes(b"cos\nsystem\n(S'touch " + bytes(canary) + b"'\ntR.")
    with pytest.raises(DataError, match=r"names something else than arrays \(os\.system\)"):
        open_data(tmp_path / "set")
    assert not canary.exists()


def test_one_class_only_is_refused(tmp_path):
    write_idx(tmp_path / "set", labels=idx(np.zeros(6)))
    with pytest.raises(DataError, match="one class only"):
        open_data(tmp_path / "set")


# --- any damage at all: an answer or a DataError, nothing else ----------------------------------------------------

bytes_changed = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), max_size=4)


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=bytes_changed, length=st.none() | st.integers(0, 140), zipped=st.booleans())
def test_any_bytes_as_an_idx_file_give_a_data_set_or_a_data_error(tmp_path, changes, length, zipped):
    content = bytearray(idx(np.zeros((6, 4, 5))))
    for place, value in changes:
        content[place] = value
    content = content[:length]
    shutil.rmtree(tmp_path / "set", ignore_errors=True)
    write_idx(tmp_path / "set", images=bytes(content), suffix=".gz" if zipped else "")
    with suppress(DataError):
        assert len(open_data(tmp_path / "set")) == 6


@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=bytes_changed, length=st.none() | st.integers(0, 9300))
def test_any_bytes_as_a_cifar_batch_give_a_data_set_or_a_data_error(tmp_path, changes, length):
    content = bytearray(cifar([0, 1, 2]))
    for place, value in changes:
        content[place * 200] = value
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(content[:length]))
    with suppress(DataError):
        assert len(open_data(tmp_path)) in (1, 2, 3)
