"""Tar shards as WebDataset has them: read by index, refused by name, and said to be damaged when they are."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.data import Preprocessing, load_images, make_split, open_data, read_split, shards, write_split
from convatlas.data.workers import decode_files
from convatlas.errors import BadImageError, DataError


def picture(seed: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, seed: int, label: int | str) -> dict[str, bytes]:
    return {f"{key}.png": picture(seed), f"{key}.cls": str(label).encode()}


@pytest.fixture
def folder(tmp_path):
    """Three shards of four samples, two classes."""
    for shard in range(3):
        members: dict[str, bytes] = {}
        for k in range(4):
            members |= sample(f"{shard}_{k}", 10 * shard + k, k % 2)
        write_tar(tmp_path / f"set-{shard:06d}.tar", members)
    return tmp_path


def test_a_folder_a_range_and_the_files_are_one_data_set(folder):
    data, ranged = open_data(folder), open_data(f"{folder}/set-{{000000..000002}}.tar")
    assert (data.layout, data.classes, len(data)) == ("tar shards", ("0", "1"), 12)
    assert data.names == ranged.names
    assert data.labels.tolist() == [0, 1] * 6
    for index, name in enumerate(data.names):
        shard, k = name.removesuffix(".png").split("/")[1].split("_")
        expected = np.asarray(Image.open(io.BytesIO(picture(10 * int(shard) + int(k)))))
        assert np.array_equal(data.read(index), expected)
    assert data.fingerprint == ranged.fingerprint == open_data(folder).fingerprint
    write_split(folder / "split.csv", data, make_split(data))
    assert np.array_equal(read_split(folder / "split.csv", open_data(folder)).train, make_split(data).train)


def test_processes_read_the_same_from_shards(folder):
    data = open_data(folder)
    preprocessing = Preprocessing((8, 8), 3)
    found = dict(decode_files(data.images.tree, data.names, preprocessing, workers=2))
    assert all(np.array_equal(found[index], preprocessing.apply(data.read(index))) for index in range(12))
    assert torch.equal(
        load_images(data, preprocessing, workers=2).pixels, load_images(data, preprocessing, workers=1).pixels
    )


def test_names_of_classes_json_labels_and_parts(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\nunseen\n")
    for part, start in (("train", 0), ("val", 50)):
        members: dict[str, bytes] = {"readme.md": b"about"}
        for k in range(4):
            members[f"a/{k}.jpg"] = picture(start + k, "JPEG")
            members[f"a/{k}.json"] = json.dumps({"label": k % 2, "caption": "words"}).encode()
        write_tar(tmp_path / f"pets-{part}-0000.tar", members)
    data = open_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert any("1 of the 3 classes named have no image" in note for note in data.notes)
    assert {part: counts.tolist() for part, counts in data.counts().items()} == {"train": [2, 2], "val": [2, 2]}


def test_a_single_tar_may_hold_class_folders(tmp_path):
    members = {f"set/{name}/{k}.png": picture(k) for name in ("cat", "dog") for k in range(2)}
    data = open_data(write_tar(tmp_path / "pets.tar", members))
    assert (data.layout, data.classes, len(data)) == ("tar of class folders", ("cat", "dog"), 4)
    assert data.read(3).shape == (9, 11, 3)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("pipe:cat set-000000.tar", "a command, and none is run"),
        ("https://example.org/set-000000.tar", "an address, and none is fetched"),
        ("set.tar.gz", "is compressed"),
        ("{folder}/set-{{000000..000004}}.tar", "2 of 5 shards are missing, the first is .*set-000003.tar"),
        ("{folder}/set-{{000004..000001}}.tar", "empty or too long"),
        ("{folder}/other.tar", "there is no"),
    ],
)
def test_sources_that_are_not_shards_here(folder, source, words):
    with pytest.raises(DataError, match=words):
        open_data(source.format(folder=folder))


@pytest.mark.parametrize("name", ["x.pyd", "x.pickle", "a/x.PKL", "../x.png", "/etc/x.png", "a\\x.png"])
def test_members_that_are_refused_by_name(tmp_path, name):
    content = sample("0", 0, 0) | sample("1", 1, 1) | {name: b"cposix\nsystem\n(S'true'\ntR."}
    write_tar(tmp_path / "set.tar", content)
    with pytest.raises(BadImageError, match=r"a pickle, which can run code|leads outside"):
        open_data(tmp_path / "set.tar")
    data = open_data(tmp_path / "set.tar", on_bad="skip", max_bad=0.5)
    assert len(data) == 2
    assert len(data.problems) == 1


def test_links_and_giants_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_MEMBER_BYTES", 2000)
    path = write_tar(tmp_path / "set.tar", sample("0", 0, 0) | sample("1", 1, 1) | {"2.png": bytes(3000)})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("3.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    data = open_data(path, on_bad="skip", max_bad=0.9)
    reasons = {problem.name: problem.reason for problem in data.problems}
    assert reasons["set.tar/3.png"] == "it is a link, a device or a file with holes"
    assert "more than 1.953 KiB" in reasons["set.tar/2.png"]


@pytest.mark.parametrize("kept", [0.1, 0.25, 0.5])
def test_a_shard_cut_short_anywhere_is_said_to_be(folder, kept):
    path = folder / "set-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"set-000001.tar is damaged or cut short after member '1_\d.*Fetch it again"):
        open_data(folder)


def test_every_shard_cut_at_a_block_is_noticed_or_whole(tmp_path):
    """At a boundary of members a tar that was cut looks whole but for its end mark, which is missing."""
    content = write_tar(tmp_path / "a.tar", sample("0", 0, 0) | sample("1", 1, 1)).read_bytes()
    end = content.rstrip(b"\0")
    whole_from = -(-len(end) // 512) * 512 + 512  # one block of zeros marks the end
    for length in range(512, len(content), 512):
        (tmp_path / "a.tar").write_bytes(content[:length])
        if length >= whole_from:
            assert len(open_data(tmp_path / "a.tar")) == 2
        else:
            with pytest.raises(DataError, match="damaged or cut short"):
                open_data(tmp_path / "a.tar")


def test_a_damaged_header_is_not_taken_for_the_end(folder):
    path = folder / "set-000002.tar"
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        header = tar.getmembers()[4].offset
    content[header + 10] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"set-000002.tar is damaged or cut short after member '2_1.cls'"):
        open_data(folder)


def test_a_damaged_image_in_a_shard_is_named_with_its_index(folder):
    path = folder / "set-000001.tar"
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        start = tar.getmember("1_2.png").offset_data
    content[start + 20 : start + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=r"set-000001.tar!1_2.png \(index 6\) cannot be read"):
        open_data(folder, verify=True)
    data = open_data(folder, on_bad="skip", max_bad=0.1)
    assert len(data) == 11


def test_a_shard_cut_short_after_it_was_listed_is_said_when_it_is_read(folder):
    data = open_data(folder)
    path = folder / "set-000000.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(BadImageError, match=r"set-000000.tar!0_0.png \(index 0\).*the shard was cut short"):
        data.read(0)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"2.png": picture(2)}, "2.png has no label"),
        ({"2.cls": b"1"}, "2.cls has 0 images to its label"),
        ({"2.png": picture(2), "2.cls": b""}, "2.cls is no label: it has 0 characters"),
        ({"2.png": picture(2), "2.json": b"[1]"}, "2.json is no label: expected an object with cls or label"),
    ],
)
def test_a_sample_is_one_image_and_its_class(tmp_path, members, words):
    write_tar(tmp_path / "set.tar", sample("0", 0, 0) | sample("1", 1, 1) | members)
    with pytest.raises(DataError, match=words):
        open_data(tmp_path / "set.tar")


def test_a_label_beyond_the_classes_is_named(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    write_tar(tmp_path / "set.tar", sample("0", 0, 0) | sample("1", 1, 7))
    with pytest.raises(DataError, match=r"set.tar!1.png: its label '7' is none of the 2 classes"):
        open_data(tmp_path)
