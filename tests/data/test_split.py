"""Splits: disjoint, complete, stratified, the same everywhere; given parts are kept; written and read back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data import make_split, open_data, read_split, write_split
from convatlas.data.dataset import ArrayImages, Dataset
from convatlas.errors import ConvAtlasError, DataError, UsageError


def data_set(counts: list[int], parts: list[str] | None = None) -> Dataset:
    """A data set of so many images per class, their labels shuffled, 1 x 1 pixel each."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset(
        source="made",
        layout="made",
        classes=tuple(f"class {k}" for k in range(len(counts))),
        labels=labels.astype(np.int64),
        names=tuple(f"image {i}" for i in range(len(labels))),
        parts=np.array(parts if parts is not None else [""] * len(labels), dtype="<U5"),
        images=ArrayImages(np.zeros((len(labels), 1, 1, 1), dtype=np.uint8)),
    )


@given(
    counts=st.lists(st.integers(3, 60), min_size=2, max_size=6),
    seed=st.integers(0, 5),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_parts_are_disjoint_complete_sorted_and_stratified(counts, seed, val, test):
    data = data_set(counts)
    split = make_split(data, seed=seed, val=val, test=test)
    together = np.concatenate([split.train, split.val, split.test])
    assert np.array_equal(np.sort(together), np.arange(len(data)))
    for part in (split.train, split.val, split.test):
        assert np.array_equal(part, np.sort(part))
        assert set(data.labels[part].tolist()) == set(range(len(counts)))  # every class in every part
    for k, count in enumerate(counts):
        of_class = int((data.labels[split.test] == k).sum())
        assert abs(of_class - test * count) <= 1
        assert abs(int((data.labels[split.val] == k).sum()) - val * (count - of_class)) <= 1


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_listing():
    data = data_set([30, 40])
    order = np.random.default_rng(1).permutation(len(data))
    shuffled = Dataset(
        "made", "made", data.classes, data.labels[order], [data.names[i] for i in order], data.parts, data.images
    )
    first, second = make_split(data, seed=3), make_split(shuffled, seed=3)
    assert {data.names[i] for i in first.test} == {shuffled.names[i] for i in second.test}
    assert {data.names[i] for i in first.val} == {shuffled.names[i] for i in second.val}
    assert set(make_split(data, seed=4).test.tolist()) != set(first.test.tolist())


def test_a_split_is_the_same_on_every_machine():
    # SHA-256 of (seed, part, name) is all there is to it: no generator whose stream a release could change
    data = data_set([10, 10])

    def rank(index: int) -> str:
        return hashlib.sha256(f"7\0test\0image {index}".encode()).hexdigest()

    of_class = [np.flatnonzero(data.labels == k).tolist() for k in (0, 1)]
    assert make_split(data, seed=7).test.tolist() == sorted(i for mine in of_class for i in sorted(mine, key=rank)[:2])


def test_a_given_test_part_is_kept(shared):
    data = open_data(shared("data/cifar-10/head100"))
    split = make_split(data)
    assert np.array_equal(split.test, np.arange(100, 200))
    assert split.rule.startswith(
        "the test set is the one given; the validation set is 15% of the rest of each class, drawn at random with"
    )


def test_a_given_val_without_test_is_held_out_and_never_chooses(shared):
    data = open_data(shared("data/hymenoptera"))
    split = make_split(data)
    assert set(data.parts[split.test].tolist()) == {"val"}
    assert set(data.parts[split.val].tolist()) == {"train"}
    assert (len(split.train), len(split.val), len(split.test)) == (86, 16, 60)
    assert "the given validation set is used as the test set" in split.rule
    assert "The validation set chooses the weights" in split.rule


def test_three_given_parts_are_kept():
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    split = make_split(data_set([6, 6], parts))
    assert [split.train.tolist(), split.val.tolist(), split.test.tolist()] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]
    assert "drawn" not in split.rule


def test_a_class_with_one_image_cannot_be_split_and_the_way_out_is_named(shared):
    with pytest.raises(DataError, match=r"class 'n01440764_tench' .* has 1 image left .* pass --rare keep-in-training"):
        make_split(open_data(shared("data/photos")))
    assert len(make_split(open_data(shared("data/photos")), val=0, test=0).train) == 50


def test_shares_that_leave_nothing_to_train_on():
    with pytest.raises(UsageError, match=r"test is 1\.0"):
        make_split(data_set([5, 5]), test=1.0)


def test_a_written_split_is_read_back(tmp_path):
    data = data_set([20, 30])
    split = make_split(data, seed=5)
    write_split(tmp_path / "out/split.csv", data, split)
    assert (tmp_path / "out/split.csv").read_text().splitlines()[0] == "name,label,part"
    again = read_split(tmp_path / "out/split.csv", data)
    for part in ("train", "val", "test"):
        assert np.array_equal(getattr(again, part), getattr(split, part))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], r"1 image is new \(image 9\)"),
        (lambda lines: [*lines, "image 99,class 0,train"], r"1 image is gone \(image 99\)"),
        (lambda lines: [*lines, lines[1]], "listed twice"),
        (lambda lines: [lines[0], lines[1].replace("class", "kind"), *lines[2:]], "is 'kind 0' there and 'class"),
        (lambda lines: [lines[0], lines[1] + "ing", *lines[2:]], "line 2: expected name,label,part"),
        (lambda lines: lines[1:], "expected the heading"),
    ],
)
def test_a_split_of_other_images_is_refused(tmp_path, change, message):
    data = data_set([5, 5])
    write_split(tmp_path / "split.csv", data, make_split(data))
    lines = (tmp_path / "split.csv").read_text().splitlines()
    (tmp_path / "split.csv").write_text("\n".join(change(lines)))
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.csv", data)


def test_a_missing_split_file(tmp_path):
    with pytest.raises(DataError, match=r"split\.csv cannot be read: No such file"):
        read_split(tmp_path / "split.csv", data_set([5, 5]))


def test_a_split_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    data = data_set([5, 5])
    write_split(tmp_path / "split.csv", data, make_split(data))
    before = (tmp_path / "split.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConvAtlasError, match=r"split\.csv cannot be written: No space left on device"):
        write_split(tmp_path / "split.csv", data, make_split(data, seed=9))
    assert (tmp_path / "split.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
