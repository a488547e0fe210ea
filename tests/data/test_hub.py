"""hf: data sets from the disk, without a network; needs the extra ``hf``."""

from __future__ import annotations

import io
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from convatlas.data import Preprocessing, load_images, open_data
from convatlas.errors import BadImageError, DataError, MissingDependencyError

datasets = pytest.importorskip("datasets", reason="the extra hf is not installed")


def pixels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)


def table(seeds: range, names: tuple[str, ...] = ("wolf", "cat")):
    """Images of the seeds, labels alternating."""
    rows = []
    for seed in seeds:
        file = io.BytesIO()
        Image.fromarray(pixels_of(seed)).save(file, "PNG")
        rows.append({"bytes": file.getvalue(), "path": None})
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))})
    labels = [k % 2 for k in range(len(rows))]
    return datasets.Dataset.from_dict({"image": rows, "label": labels}, features=features)


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Any connection fails the test; the library's own cache lies in the test's folder."""

    def refuse(*args, **more):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def saved(tmp_path):
    datasets.DatasetDict(train=table(range(8)), test=table(range(100, 104))).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_what_save_to_disk_wrote(saved):
    data = open_data(f"hf:{saved}")
    assert (data.layout, data.classes, len(data)) == ("hugging face", ("wolf", "cat"), 12)  # in their own order
    assert {part: counts.tolist() for part, counts in data.counts().items()} == {"train": [4, 4], "test": [2, 2]}
    assert np.array_equal(data.read(3), pixels_of(3))
    assert np.array_equal(data.read(9), pixels_of(101))
    assert data.fingerprint == open_data(f"hf:{saved}").fingerprint


def test_parquet_files_and_decoding_processes(tmp_path):
    (tmp_path / "pets").mkdir()
    table(range(8)).to_parquet(str(tmp_path / "pets/train-00000-of-00001.parquet"))
    table(range(100, 104)).to_parquet(str(tmp_path / "pets/validation-00000-of-00001.parquet"))
    data = open_data(f"hf:{tmp_path / 'pets'}")
    assert set(data.parts.tolist()) == {"train", "val"}
    preprocessing = Preprocessing((9, 11), 3)
    expected = np.stack([pixels_of(seed) for seed in (*range(8), *range(100, 104))])
    assert np.array_equal(load_images(data, preprocessing, workers=2).pixels.numpy(), expected)


def test_a_selection_of_rows_is_read_in_its_order(tmp_path):
    table(range(8)).select([6, 1, 4, 3]).save_to_disk(str(tmp_path / "some"))
    data = open_data(f"hf:{tmp_path / 'some'}")
    assert [bool(np.array_equal(data.read(row), pixels_of(seed))) for row, seed in enumerate((6, 1, 4, 3))] == [
        True
    ] * 4
    assert data.labels.tolist() == [0, 1, 0, 1]


def test_parts_that_are_none_are_left_out_and_said(tmp_path):
    both = datasets.DatasetDict(train=table(range(4)), extra=table(range(4)))
    both.save_to_disk(str(tmp_path / "both"))
    data = open_data(f"hf:{tmp_path / 'both'}")
    assert len(data) == 4
    assert any("left out: extra" in note for note in data.notes)


def test_without_download_the_hub_is_not_asked():
    with pytest.raises(
        DataError, match=r"hf:someone/something cannot be opened: .*data hf:someone/something --download"
    ):
        open_data("hf:someone/something")


def test_what_is_no_set_of_labelled_images_is_said(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"], "label": [0]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(DataError, match="no column of images; its columns are text, label"):
        open_data(f"hf:{tmp_path / 'text'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither what save_to_disk writes nor parquet files"):
        open_data(f"hf:{tmp_path / 'empty'}")
    unlabelled = table(range(4)).map(lambda row: {"label": -1})
    unlabelled.save_to_disk(str(tmp_path / "unlabelled"))
    with pytest.raises(DataError, match="image 0 of all has no class"):
        open_data(f"hf:{tmp_path / 'unlabelled'}")


def test_a_damaged_image_is_named_by_part_and_row(tmp_path):
    features = table(range(1)).features
    rows = [{"bytes": b"no image", "path": None}, *(table(range(3)).cast_column("image", datasets.Image(decode=False)))]
    rows = [row if "bytes" in row else row["image"] for row in rows]
    made = datasets.Dataset.from_dict({"image": rows, "label": [0, 1, 0, 1]}, features=features)
    made.save_to_disk(str(tmp_path / "bad"))
    with pytest.raises(BadImageError, match=r"!all/0 \(index 0\) cannot be read"):
        open_data(f"hf:{tmp_path / 'bad'}")


def test_without_the_package_the_line_that_installs_it(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'convatlas\[hf\]'"):
        open_data(f"hf:{saved}")
