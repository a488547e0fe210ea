"""Which layout is it? Real folders, small trees, tables, archives; and an error with the way out for each bad one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import unicodedata
import zipfile

import numpy as np
import pytest

from convatlas.data import make_split, open_data
from convatlas.errors import BadImageError, DataError, UsageError


def test_ants_and_bees_are_split_folders(shared):
    data = open_data(shared("data/hymenoptera"))
    assert (data.layout, data.classes, data.channels, data.uniform_size) == ("split folders", ("ants", "bees"), 3, None)
    assert {part: counts.tolist() for part, counts in data.counts().items()} == {"train": [52, 50], "val": [30, 30]}
    assert "train/ants/imageNotFound.gif" in data.names
    assert "train/ants/formica.jpeg" in data.names
    assert data.read(data.names.index("train/ants/imageNotFound.gif")).shape[2] == 3


def test_fifty_photos_are_class_folders_and_the_table_beside_them_is_mentioned(shared):
    data = open_data(shared("data/photos"))
    assert (data.layout, len(data), len(data.classes)) == ("class folders", 50, 50)
    assert "n01440764_tench" in data.classes


def test_detection_and_decoding_need_no_torch(class_folders):
    root = class_folders({"cat": 2, "dog": 2})
    program = (
        "import sys; from convatlas.data import open_data, make_split\n"
        f"data = open_data({str(root)!r}); data.read(0); make_split(data, test=0.5, val=0); data.report()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_class_folders_in_a_wrapper_with_other_files_and_deeper_folders(class_folders, write_image, tmp_path):
    root = class_folders({"2": 2, "10": 1}, tmp_path / "archive/set")
    write_image(root / "10/deeper/more.jpg")
    (root / "readme.txt").write_text("about")
    (root / "2/.hidden.png").write_bytes(b"no image")
    (root / "2/Thumbs.db").write_bytes(b"no image")
    data = open_data(tmp_path / "archive")
    assert data.classes == ("2", "10")  # whole numbers in their order
    assert data.names == ("set/10/0.png", "set/10/deeper/more.jpg", "set/2/0.png", "set/2/1.png")
    assert any("2 files are no images by their extension" in note for note in data.notes)


def test_a_class_may_be_called_train(class_folders):
    data = open_data(class_folders({"train": 2, "bus": 2, "car": 2}))
    assert (data.layout, data.classes) == ("class folders", ("bus", "car", "train"))


def test_the_parts_have_many_names(class_folders, tmp_path):
    for part in ("Training", "valid", "testing"):
        class_folders({"a": 2, "b": 2}, tmp_path / "set" / part)
    assert set(open_data(tmp_path / "set").parts.tolist()) == {"train", "val", "test"}


def test_korean_names_from_a_mac_and_from_windows_are_one_class(class_folders, write_image, tmp_path):
    composed, decomposed = unicodedata.normalize("NFC", "고양이"), unicodedata.normalize("NFD", "고양이")
    assert composed != decomposed
    root = class_folders({"개": 2}, tmp_path / "동물")
    write_image(root / composed / "a.png")
    write_image(root / decomposed / "b.png", seed=1)
    data = open_data(root)
    assert data.classes == ("개", composed)
    assert data.counts()[""].tolist() == [2, 2]
    assert data.read(data.names.index(f"{decomposed}/b.png")).shape == (12, 10, 3)  # the real path is kept


def test_grey_images_make_a_grey_data_set_and_one_colour_image_a_colour_one(write_image, tmp_path):
    for k in range(2):
        write_image(tmp_path / "set/a" / f"{k}.png", mode="L", seed=k)
        write_image(tmp_path / "set/b" / f"{k}.png", mode="L", seed=k + 5)
    assert open_data(tmp_path / "set").channels == 1
    write_image(tmp_path / "set/b/2.png")
    data = open_data(tmp_path / "set")
    assert (data.channels, data.read(0).shape) == (3, (12, 10, 3))


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path, write_image):
    for k in range(6):
        write_image(tmp_path / f"flat/images/p{k}.png", seed=k)
    return tmp_path / "flat"


ROWS = ["images/p0.png,cat,train", "images/p1.png,dog,train", "images/p2.png,cat,val", "images/p3.png,dog,val"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_in_each_encoding_and_with_each_delimiter(flat, encoding, delimiter):
    text = "\r\n".join(["File,Label,Split", *ROWS]).replace("cat", "고양이").replace(",", delimiter)
    (flat / "labels.csv").write_bytes(text.encode(encoding))
    data = open_data(flat)
    assert (data.layout, data.classes, data.parts.tolist()) == ("csv", ("dog", "고양이"), ["train"] * 2 + ["val"] * 2)
    assert data.names[0] == "images/p0.png"
    assert any("cp949" in note for note in data.notes) == (encoding == "cp949")


def test_ids_without_extension_and_without_folder_as_on_kaggle(flat):
    (flat / "train.csv").write_text("id,breed\np0,pug\np1,beagle\np4,pug\n")
    data = open_data(flat / "train.csv")
    assert data.names == ("images/p0.png", "images/p1.png", "images/p4.png")
    assert (data.classes, data.labels.tolist()) == (("beagle", "pug"), [1, 0, 1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["images/p0.png,cat", "images/p9.png,dog"], r"row 3: there is no image 'images/p9\.png'"),
        (["images/p0.png,cat", "images/p1.png,"], "line 3: no label"),
        (["images/p0.png,cat", "../../etc/passwd,dog"], "outside of"),
        (["images/p0.png,cat", "/etc/passwd,dog"], "outside of"),
        (["images/p0.png,cat", "images/p0.png,dog"], "listed before with another label"),
        (["images/p0.png,cat", "images/p1.png"], "line 3: 1 cells, expected 2"),
        ([], "no rows"),
    ],
)
def test_a_bad_row_is_named(flat, rows, message):
    (flat / "labels.csv").write_text("\n".join(["file,label", *rows]))
    with pytest.raises(DataError, match=message):
        open_data(flat / "labels.csv")


def test_a_table_without_a_label_column_says_which_columns_would_do(flat):
    (flat / "labels.csv").write_text("name,kind\np0,cat\n")
    with pytest.raises(
        DataError,
        match=r"has the columns name, kind; .* Name it with --image-column and --label-column",
    ):
        open_data(flat / "labels.csv")


def test_an_unknown_part_is_named(flat):
    (flat / "labels.csv").write_text("file,label,split\np0,cat,train\np1,dog,holdout\n")
    with pytest.raises(DataError, match="'holdout' is no part"):
        open_data(flat)


# --- archives -------------------------------------------------------------------------------------------------------


def zipped(root, path, rename=lambda name: name) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, rename(file.relative_to(root).as_posix()))


def test_a_zip_is_read_as_the_folder_in_it_and_nothing_is_extracted(class_folders, tmp_path):
    root = class_folders({"cat": 3, "dog": 3})
    zipped(root, tmp_path / "set.zip", lambda name: "wrapper/" + name)
    before = sorted(tmp_path.rglob("*"))
    archive, folder = open_data(tmp_path / "set.zip"), open_data(root)
    assert (archive.layout, archive.classes) == ("zip of class folders", ("cat", "dog"))
    assert np.array_equal(archive.read(4), folder.read(4))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_of_idx_files(shared, tmp_path):
    with zipfile.ZipFile(tmp_path / "mnist.zip", "w") as archive:
        for part in ("images-idx3", "labels-idx1"):
            # the test part alone, called train: one file of 1.6 MB rather than of 10
            archive.write(shared("data/mnist") / f"t10k-{part}-ubyte.gz", f"raw/train-{part}-ubyte.gz")
    assert (open_data(tmp_path / "mnist.zip").layout, len(open_data(tmp_path / "mnist.zip"))) == ("zip of idx", 10_000)


class Cp949Info(zipfile.ZipInfo):
    """A member whose name is written as Korean Windows does: in cp949, without the UTF-8 flag."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("cp949"), self.flag_bits


def test_cp949_names_of_korean_windows_are_read(tmp_path, write_image):
    image = write_image(tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("개", "새"):
            archive.writestr(Cp949Info(f"{name}/1.png"), image)
    assert open_data(tmp_path / "set.zip").classes == ("개", "새")


@pytest.mark.parametrize("name", ["../outside.png", "/etc/cron.d/x.png", "a/../../b.png", "C:/x.png", "a\\..\\b.png"])
def test_a_member_that_leads_outside_is_refused(tmp_path, write_image, name):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(write_image(tmp_path / "a.png"), "cat/1.png")
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
    with pytest.raises(DataError, match="archive is not read"):
        open_data(tmp_path / "set.zip")


def test_a_link_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("cat/1.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        open_data(tmp_path / "set.zip")


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.bmp", bytes(80 << 20))
    with pytest.raises(DataError, match="over 100 times what is stored"):
        open_data(tmp_path / "set.zip")


def test_overlapping_members_are_refused(tmp_path, write_image):
    zipped(write_image(tmp_path / "set/cat/1.png").parents[1], tmp_path / "set.zip")
    content = (tmp_path / "set.zip").read_bytes()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], bytearray(content[content.index(b"PK\x05\x06") :])
    end[8:10] = end[10:12] = (2).to_bytes(2, "little")
    end[12:16] = (2 * len(entry)).to_bytes(4, "little")
    (tmp_path / "set.zip").write_bytes(content[:start] + entry + entry.replace(b"cat/1", b"dog/1") + bytes(end))
    with pytest.raises(DataError, match="overlap"):
        open_data(tmp_path / "set.zip")


def test_what_is_no_zip_says_so(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"PK not really")
    with pytest.raises(DataError, match="is not a zip archive"):
        open_data(tmp_path / "set.zip")


# --- bad input ------------------------------------------------------------------------------------------------------


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*nowhere.*'digits', which is embedded"):
        open_data(tmp_path / "nowhere")


def test_an_empty_folder_and_one_without_images(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        open_data(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"none of them is an image by its extension \(1 \.txt\)"):
        open_data(tmp_path)


def test_images_without_labels(write_image, tmp_path):
    write_image(tmp_path / "1.png")
    with pytest.raises(DataError, match="nothing that says their classes"):
        open_data(tmp_path)


def test_parts_of_images_without_classes(write_image, tmp_path):
    write_image(tmp_path / "train/1.png")
    write_image(tmp_path / "test/1.png")
    with pytest.raises(DataError, match="holds images without class folders"):
        open_data(tmp_path)


def test_an_empty_class(class_folders):
    root = class_folders({"cat": 2, "dog": 2, "ghost": 0})
    with pytest.raises(DataError, match=r"class 'ghost' of .* is empty: no image .* remove the folder"):
        open_data(root)


def test_a_class_of_which_no_image_can_be_read(class_folders):
    root = class_folders({"cat": 20, "dog": 20, "sick": 1})
    (root / "sick/0.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"class 'sick' .* none of its 1 images can be read"):
        open_data(root, on_bad="skip")


def test_one_class(class_folders):
    with pytest.raises(DataError, match=r"one class only \(cat\)"):
        open_data(class_folders({"cat": 3}))


def test_a_class_that_is_never_trained_on(class_folders, tmp_path):
    class_folders({"a": 2, "b": 2}, tmp_path / "set/train")
    class_folders({"a": 2, "b": 2, "c": 2}, tmp_path / "set/test")
    data = open_data(tmp_path / "set")  # a network that knows the class may be evaluated on it
    with pytest.raises(DataError, match=r"class 'c' .* has no training image.*--rare leave-out"):
        make_split(data)
    assert open_data(tmp_path / "set", rare="leave-out").classes == ("a", "b")


def test_an_image_that_is_no_image_stops_and_is_named_with_its_index(class_folders):
    root = class_folders({"cat": 3, "dog": 3})
    (root / "dog/1.png").write_bytes(b"<!doctype html>")
    with pytest.raises(BadImageError, match=r"dog/1\.png \(index 4\) cannot be read: it is a web page") as caught:
        open_data(root)
    assert caught.value.index == 4


def test_skip_leaves_damaged_images_out_lists_them_and_stops_above_the_limit(class_folders):
    root = class_folders({"cat": 20, "dog": 20})
    whole = (root / "dog/3.png").read_bytes()
    (root / "dog/3.png").write_bytes(whole[: len(whole) // 2])  # its header is good: only decoding shows it
    data = open_data(root, on_bad="skip")
    assert len(data) == 39
    assert "dog/3.png" not in data.names
    (problem,) = data.problems
    assert (problem.index, problem.name) == (33, "dog/3.png")  # in order of the names: 0, 1, 10 ... 19, 2, 3
    with pytest.raises(DataError, match=r"1 of 40 images cannot be read, more than the limit of 2%"):
        open_data(root, on_bad="skip", max_bad=0.02)


def test_a_file_cut_short_is_found_when_it_is_read_or_at_once_on_request(class_folders):
    root = class_folders({"cat": 3, "dog": 3})
    whole = (root / "cat/2.png").read_bytes()
    (root / "cat/2.png").write_bytes(whole[:-40])
    data = open_data(root)
    with pytest.raises(BadImageError, match=r"cat/2\.png \(index 2\)"):
        data.read(2)
    with pytest.raises(BadImageError, match=r"cat/2\.png \(index 2\)"):
        open_data(root, verify=True)


def test_a_link_that_leads_outside_is_never_followed(class_folders, write_image, tmp_path):
    root = class_folders({"cat": 40, "dog": 40})
    os.symlink(write_image(tmp_path / "secret.png"), root / "cat/link.png")
    with pytest.raises(BadImageError, match=r"link\.png .* leads outside of"):
        open_data(root)
    data = open_data(root, on_bad="skip")
    assert [problem.name for problem in data.problems] == ["cat/link.png"]


def test_a_pipe_is_no_image_and_does_not_hang(class_folders):
    root = class_folders({"cat": 2, "dog": 2})
    os.mkfifo(root / "cat/pipe.png")
    with pytest.raises(BadImageError, match="not a regular file"):
        open_data(root)


def test_unusable_settings(tmp_path):
    with pytest.raises(UsageError, match="on_bad is 'ignore'"):
        open_data("digits", on_bad="ignore")
    with pytest.raises(UsageError, match="max_bad is 7"):
        open_data("digits", max_bad=7)


# --- the report and the fingerprint ------------------------------------------------------------------------------


def test_the_fingerprint_follows_the_data_and_nothing_else(class_folders, write_image, tmp_path):
    root, copy = class_folders({"cat": 2, "dog": 2}), class_folders({"cat": 2, "dog": 2}, tmp_path / "copy")
    first = open_data(root).fingerprint
    assert first == open_data(copy).fingerprint
    write_image(copy / "dog/0.png", seed=77)
    assert open_data(copy).fingerprint != first
    (root / "dog/1.png").rename(root / "cat/5.png")
    assert open_data(root).fingerprint != first


def test_the_same_image_in_two_parts_is_reported(class_folders, tmp_path):
    class_folders({"a": 2, "b": 2}, tmp_path / "set/train")
    class_folders({"a": 2, "b": 2}, tmp_path / "set/test", first_seed=50)
    (tmp_path / "set/test/b/9.png").write_bytes((tmp_path / "set/train/a/0.png").read_bytes())
    duplicates = open_data(tmp_path / "set").report()["duplicates"]
    assert duplicates["across_parts"] == [["test/b/9.png", "train/a/0.png"]]
    assert duplicates["with_different_labels"] == duplicates["across_parts"]


def test_a_name_that_is_no_utf8_and_one_with_a_newline_are_read_and_can_be_printed(class_folders, tmp_path):
    root = class_folders({"cat": 2, "dog": 2})
    odd = os.fsdecode(b"\xff\xfe.png")
    (root / "cat/0.png").rename(root / "cat" / odd)
    (root / "cat/1.png").rename(root / "cat/line\nbreak.png")
    (root / "dog/9.png").write_bytes((root / "cat" / odd).read_bytes())
    data = open_data(root)
    assert data.read(data.names.index(f"cat/{odd}")).shape == (12, 10, 3)
    assert data.report()["duplicates"]["with_different_labels"] == [["cat/\\xff\\xfe.png", "dog/9.png"]]


def test_digits_are_the_embedded_ones_whatever_lies_in_the_folder(class_folders, tmp_path, monkeypatch):
    class_folders({"a": 2, "b": 2}, tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert open_data("digits").layout == "digits"
    assert open_data("./digits").layout == "class folders"
