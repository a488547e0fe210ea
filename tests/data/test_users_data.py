"""Folders, tables, links and names as users bring them: each kind of fault with siblings."""

from __future__ import annotations

import json
import lzma
import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from convatlas.data import Preprocessing, make_split, open_data, overlap, preprocessing_for
from convatlas.errors import BadImageError, DataError, UsageError


def images(write_image, root, *names):
    for k, name in enumerate(names):
        write_image(root / name, seed=hash(str(root.name) + name) % 10_000 + k)
    return root


def parts_of(data):
    return {part: counts.tolist() for part, counts in data.counts().items()}


# --- folders that are named after splits, pieces or contents ---------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("TrainImages", "TestImages"),
        ("catdog_train", "catdog_val"),
    ],
)
def test_folders_named_after_splits_are_splits(class_folders, tmp_path, train, test):
    class_folders({"cat": 3, "dog": 4}, tmp_path / "set" / train)
    class_folders({"cat": 2, "dog": 2}, tmp_path / "set" / test, first_seed=50)
    data = open_data(tmp_path / "set")
    given = "val" if "val" in test else "test"
    assert (data.layout, data.classes) == ("split folders", ("cat", "dog"))
    assert parts_of(data) == {"train": [3, 4], given: [2, 2]}


def test_unlabelled_images_beside_the_splits_are_left_out_and_counted(class_folders, write_image, tmp_path):
    for split in ("seg_train/seg_train", "seg_test/seg_test"):
        class_folders({"sea": 3, "street": 3}, tmp_path / "set" / split)
    images(write_image, tmp_path / "set/seg_pred/seg_pred", "1.png", "2.png")
    data = open_data(tmp_path / "set")
    assert data.classes == ("sea", "street")
    assert any("left out: seg_pred" in note for note in data.notes)


@pytest.mark.parametrize(
    "folders",
    [
        ("train_images", "test_images"),
        ("part_1", "part_2"),
        ("images_001", "images_002"),
        ("images", "masks"),
        ("img",),
    ],
)
def test_folders_that_are_no_classes_are_refused_with_what_was_seen(write_image, tmp_path, folders):
    for folder in folders:
        images(write_image, tmp_path / "set" / folder, "7.png", "8.png")
    with pytest.raises(DataError, match=rf"({'|'.join(folders)})/.*(nothing that says|without class)"):
        open_data(tmp_path / "set")
    if len(folders) > 1:
        with pytest.raises(DataError, match="--class-from top-folder"):
            open_data(tmp_path / "set")
        assert open_data(tmp_path / "set", class_from="top-folder").classes == tuple(sorted(folders))


@pytest.mark.parametrize("names", [("fish", "set 9"), ("1", "2", "10"), ("train", "bus"), ("class_1", "class_2")])
def test_names_that_look_a_little_like_splits_or_pieces_stay_classes(class_folders, names):
    data = open_data(class_folders(dict.fromkeys(names, 2)))
    assert (data.layout, set(data.classes)) == ("class folders", set(names))


def test_the_only_folder_of_images_is_found_beside_other_files(class_folders, tmp_path):
    class_folders({"n01-pug": 2, "n02-chow": 2}, tmp_path / "dogs/Images")
    (tmp_path / "dogs/Annotation/n01-pug").mkdir(parents=True)
    (tmp_path / "dogs/Annotation/n01-pug/0.txt").write_text("<annotation/>")
    assert open_data(tmp_path / "dogs").classes == ("n01-pug", "n02-chow")


def test_nested_class_folders_are_noted_and_a_choice(class_folders, tmp_path):
    class_folders({"cats": 2, "dogs": 2}, tmp_path / "set/animals")
    class_folders({"cars": 2, "ships": 3}, tmp_path / "set/vehicles")
    data = open_data(tmp_path / "set")
    assert data.classes == ("animals", "vehicles")
    assert any("animals/cats" in note and "--class-from folder" in note for note in data.notes)
    assert open_data(tmp_path / "set", class_from="folder").classes == ("cars", "cats", "dogs", "ships")
    quiet = open_data(tmp_path / "set", class_from="top-folder")
    assert not any("--class-from" in note for note in quiet.notes)


# --- published layouts ------------------------------------------------------------------------------------------------


def test_tiny_imagenet(write_image, tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for wnid in ("n01", "n02"):
        images(write_image, root / "train" / wnid / "images", f"{wnid}_0.JPEG", f"{wnid}_1.JPEG")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
    images(write_image, root / "val/images", "val_0.JPEG", "val_1.JPEG", "val_2.JPEG")
    (root / "val/val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n")
    images(write_image, root / "test/images", "test_0.JPEG")
    data = open_data(tmp_path)
    assert (data.layout, data.classes) == ("tiny-imagenet", ("n01", "n02"))
    assert parts_of(data) == {"train": [2, 2], "val": [1, 1]}
    assert data.labels[data.names.index("tiny-imagenet-200/val/images/val_0.JPEG")] == 1
    assert any(note.startswith("val/ holds 1 images") for note in data.notes)
    assert any(note.startswith("test/ holds 1 images") for note in data.notes)


def test_cub_200(write_image, tmp_path):
    paths = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/c.jpg", "002.Auklet/d.jpg"]
    images(write_image, tmp_path / "images", *paths)
    for name, rows in {
        "images.txt": [f"{i} {path}" for i, path in enumerate(paths, 1)],
        "image_class_labels.txt": ["1 1", "2 1", "3 2", "4 2"],
        "train_test_split.txt": ["1 1", "2 0", "3 1", "4 0"],
        "classes.txt": ["1 001.Albatross", "2 002.Auklet"],
    }.items():
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    data = open_data(tmp_path)
    assert (data.layout, data.classes) == ("cub-200", ("001.Albatross", "002.Auklet"))
    assert parts_of(data) == {"train": [1, 1], "test": [1, 1]}
    (tmp_path / "images/002.Auklet/d.jpg").unlink()
    with pytest.raises(DataError, match=r"images\.txt names '002\.Auklet/d\.jpg'"):
        open_data(tmp_path)


@pytest.mark.parametrize("layout", ["yolo", "yolo by split", "coco", "voc"])
def test_layouts_of_object_detection_are_named(write_image, tmp_path, layout):
    if layout == "yolo":
        images(write_image, tmp_path / "images/train", "a.jpg", "b.jpg")
        (tmp_path / "labels/train").mkdir(parents=True)
        (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.2\n3 .1 .1 1e-2 .1\n")
    elif layout == "yolo by split":
        for split in ("train", "valid"):
            images(write_image, tmp_path / split / "images", "a.jpg")
            (tmp_path / split / "labels").mkdir()
            (tmp_path / split / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    elif layout == "coco":
        images(write_image, tmp_path / "train2017", "a.jpg")
        (tmp_path / "annotations").mkdir()
        (tmp_path / "annotations/instances_train2017.json").write_text("{}")
    else:
        images(write_image, tmp_path / "JPEGImages", "a.jpg")
        (tmp_path / "Annotations").mkdir()
        (tmp_path / "Annotations/a.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match=r"object detection in the layout of (YOLO|COCO|Pascal VOC)"):
        open_data(tmp_path)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path, write_image):
    return images(write_image, tmp_path / "flat", *(f"train_images/{k}.png" for k in range(6)), "test_images/0.png")


ROWS = "".join(f"{k},{'ab'[k % 2]}\n" for k in range(6))


@pytest.mark.parametrize("heading", ["id_code,diagnosis", "image_name,species", "img_path,class_id"])
def test_usual_headings_are_known_and_the_table_names_its_folder(flat, heading):
    (flat / "train.csv").write_text(f"{heading}\n{ROWS}")
    data = open_data(flat)
    assert (data.layout, data.classes) == ("csv", ("a", "b"))
    assert data.names == tuple(f"train_images/{k}.png" for k in range(6))
    assert any("1 images are in no row of train.csv" in note for note in data.notes)
    image, label = heading.split(",")
    assert f"train.csv: images from the column {image}, classes from {label}" in data.notes


@pytest.mark.parametrize("heading", ["Foto,Art", "uuid,y"])
def test_other_headings_are_named_with_the_options_that_take_them(flat, heading):
    (flat / "train.csv").write_text(f"{heading}\n{ROWS}")
    image, label = heading.split(",")
    for where in (flat, flat / "train.csv"):
        with pytest.raises(
            DataError, match=rf"{heading.lower().replace(',', ', ')}.*--image-column and --label-column"
        ):
            open_data(where)
        data = open_data(where, image_column=image, label_column=label.upper())
        assert data.labels.tolist() == [0, 1] * 3
    with pytest.raises(DataError, match=r"has no column 'bild', which --image-column names; its columns are"):
        open_data(flat / "train.csv", image_column="bild", label_column=label)


def test_a_column_of_splits_can_be_named(flat):
    rows = "".join(f"train_images/{k}.png,{'ab'[k % 2]},{'train' if k < 4 else 'test'}\n" for k in range(6))
    (flat / "t.csv").write_text(f"file,label,usage\n{rows}")
    assert parts_of(open_data(flat / "t.csv", split_column="usage")) == {"train": [2, 2], "test": [1, 1]}
    assert parts_of(open_data(flat / "t.csv")) == {"": [3, 3]}


def test_columns_named_beside_class_folders_use_the_table(class_folders):
    root = class_folders({"x": 2, "y": 2})
    (root / "meta.csv").write_text("foto,art\nx/0,a\nx/1,b\ny/0,a\ny/1,b\n")
    assert any("meta.csv (columns foto, art) was not used" in note for note in open_data(root).notes)
    assert open_data(root, image_column="foto", label_column="art").classes == ("a", "b")


def test_a_table_for_each_split_is_one_data_set(flat, write_image):
    images(write_image, flat / "val_images", "0.png", "1.png")
    (flat / "train.csv").write_text(f"id_code,diagnosis\n{ROWS}")
    (flat / "val.csv").write_text("id_code,diagnosis\n0,a\n1,b\n")
    (flat / "sample_submission.csv").write_text("id_code,diagnosis\n0,a\n")
    data = open_data(flat)
    assert parts_of(data) == {"train": [3, 3], "val": [1, 1]}
    assert data.names[-1] == "val_images/1.png"


def test_an_exact_file_name_wins_over_one_without_extension(write_image, tmp_path):
    images(write_image, tmp_path, "0.png", "1.png", "0.png.png")
    (tmp_path / "l.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    assert open_data(tmp_path / "l.csv").names == ("0.png", "1.png")
    (tmp_path / "l.csv").write_text("file,label\n0,a\n1,b\n")
    assert open_data(tmp_path / "l.csv").names == ("0.png", "1.png")


@pytest.mark.parametrize("row", ["0.png,cat, small", '0.png,"cat",x', "0.png,a,b,c"])
def test_a_row_with_too_many_cells_is_named(write_image, tmp_path, row):
    images(write_image, tmp_path, "0.png", "1.png")
    (tmp_path / "l.csv").write_text(f"file,label\n1.png,dog,,\n{row}\n")
    with pytest.raises(DataError, match=r"line 3: \d cells, expected 2.*quotes"):
        open_data(tmp_path / "l.csv")


# --- classes in file names, archives in archives ------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["{}.{}.png", "{}_{:03}.png", "{} ({}).png"])
def test_classes_in_file_names_are_offered_and_read_on_request(write_image, tmp_path, pattern):
    names = [pattern.format(kind, k) for kind in ("cat", "big_dog") for k in range(1, 4)]
    images(write_image, tmp_path / "set", *names)
    with pytest.raises(DataError, match=r"big_dog 3, cat 3.*--class-from file-name"):
        open_data(tmp_path / "set")
    data = open_data(tmp_path / "set", class_from="file-name")
    assert (data.layout, data.classes, len(data)) == ("file names", ("big_dog", "cat"), 6)


def test_dogs_versus_cats_has_unlabelled_test_images(write_image, tmp_path):
    images(write_image, tmp_path / "set", *(f"train/{kind}.{k}.jpg" for kind in ("cat", "dog") for k in range(3)))
    images(write_image, tmp_path / "set", "test1/1.jpg", "test1/2.jpg")
    with pytest.raises(DataError, match="--class-from file-name"):
        open_data(tmp_path / "set")
    data = open_data(tmp_path / "set", class_from="file-name")
    assert parts_of(data) == {"train": [3, 3]}
    assert any("2 images whose names do not begin with a class" in note for note in data.notes)


def test_names_without_a_class_are_no_offer(write_image, tmp_path):
    images(write_image, tmp_path / "set", "1.png", "2.png", "3.png")
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / "set")
    assert "--class-from" not in str(caught.value)
    with pytest.raises(DataError, match="no file name begins with a class"):
        open_data(tmp_path / "set", class_from="file-name")


def test_archives_inside_are_named_with_the_way_out(class_folders, tmp_path):
    (tmp_path / "outer").mkdir()
    with zipfile.ZipFile(tmp_path / "outer/train.zip", "w") as inner:
        for file in sorted(class_folders({"cat": 2, "dog": 2}).rglob("*.png")):
            inner.write(file, file.relative_to(tmp_path / "photos"))
    with pytest.raises(DataError, match=r"archive .*train\.zip\. Pass that file itself"):
        open_data(tmp_path / "outer")
    assert open_data(tmp_path / "outer/train.zip").classes == ("cat", "dog")
    with zipfile.ZipFile(tmp_path / "kaggle.zip", "w") as outer:
        outer.write(tmp_path / "outer/train.zip", "train.zip")
    with pytest.raises(DataError, match=r"archives train\.zip.*unpack them"):
        open_data(tmp_path / "kaggle.zip")
    (tmp_path / "outer/test.7z").write_bytes(b"7z")
    with pytest.raises(DataError, match=r"archives test\.7z, train\.zip.*unpack them"):
        open_data(tmp_path / "outer")


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_are_counted_refused_and_followed_on_request(class_folders, tmp_path):
    source = class_folders({"cat": 3, "dog": 3}, tmp_path / "source")
    for kind in ("cat", "dog"):
        (tmp_path / "links" / kind).mkdir(parents=True)
        for file in (source / kind).iterdir():
            os.symlink(file, tmp_path / "links" / kind / file.name)
    with pytest.raises(DataError, match=r"6 links that lead outside .*--follow-links"):
        open_data(tmp_path / "links")
    data = open_data(tmp_path / "links", follow_links=True)
    assert len(data) == 6
    assert any("6 links" in note for note in data.notes)
    assert data.fingerprint == open_data(source).fingerprint


def test_links_to_folders_and_circles(class_folders, tmp_path):
    source = class_folders({"cat": 3, "dog": 3}, tmp_path / "source")
    root = tmp_path / "links"
    root.mkdir()
    for kind in ("cat", "dog"):
        os.symlink(source / kind, root / kind)
    os.symlink(root, root / "again")
    os.symlink(tmp_path, root / "above")
    data = open_data(root, follow_links=True, on_bad="skip", max_bad=0.5)
    assert (data.classes, len(data)) == (("cat", "dog"), 6)
    assert {problem.name for problem in data.problems} == {"again", "above"}


def test_a_link_to_nothing_is_named_for_what_it_is(class_folders):
    root = class_folders({"cat": 3, "dog": 3})
    os.symlink(root / "gone.png", root / "cat/broken.png")
    for follow in (False, True):
        with pytest.raises(BadImageError, match=r"broken\.png .*leads to nothing"):
            open_data(root, follow_links=follow)


# --- formats and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "words"), [(".HEIC", "pillow-heif"), (".dcm", "pydicom"), (".nii.gz", "nibabel")])
def test_formats_that_are_not_opened_are_named_with_the_package_that_reads_them(class_folders, tmp_path, ending, words):
    root = class_folders({"cat": 2, "dog": 2})
    (root / f"cat/x{ending}").write_bytes(b"")
    assert any(f"1 of them are" in note and words in note for note in open_data(root).notes)  # noqa: F541
    (tmp_path / "only/cat").mkdir(parents=True)
    (tmp_path / f"only/cat/x{ending}").write_bytes(b"")
    with pytest.raises(DataError, match=words):
        open_data(tmp_path / "only")
    (root / "ghost").mkdir()
    (root / f"ghost/x{ending}").write_bytes(b"")
    with pytest.raises(DataError, match=rf"class 'ghost' .*{words}"):
        open_data(root)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x00\x00\x18ftypheic", "pillow-heif"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\x93NUMPY\x01\x00", "numpy arrays"),
        (bytes(128) + b"DICM", "pydicom"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_what_is_inside_decides_whatever_the_file_is_called(class_folders, content, words):
    root = class_folders({"cat": 2, "dog": 2})
    (root / "cat/0.png").write_bytes(content + bytes(40))
    with pytest.raises(BadImageError, match=words):
        open_data(root)


def test_a_class_name_that_is_not_utf8_can_be_written_everywhere(class_folders):
    data = open_data(class_folders({"cat": 4, os.fsdecode(b"caf\xe9"): 4}))
    assert data.classes == ("caf\\xe9", "cat")
    json.dumps(data.classes, ensure_ascii=False).encode()
    assert data.read(0).shape == (12, 10, 3)


def test_twelve_bits_in_sixteen_are_noted(class_folders, write_image, tmp_path):
    def scans(folder, most):
        for kind in ("a", "b"):
            (tmp_path / folder / kind).mkdir(parents=True)
            for k in range(2):
                values = np.random.default_rng(k).integers(0, most, (9, 9)).astype(np.uint16)
                values[0, 0] = most
                Image.fromarray(values).save(tmp_path / folder / kind / f"{k}.png")
        return open_data(tmp_path / folder, verify=True).notes

    assert any("4095" in note and "12 bits" in note and "by 16" in note for note in scans("twelve", 4095))
    assert any("255" in note and "by 256" in note for note in scans("eight", 255))
    assert not scans("sixteen", 60_000)


# --- the shape of the images ------------------------------------------------------------------------------------------


def test_elongated_images_are_noted_and_fit_sees_them_whole(write_image, tmp_path):
    for k in range(2):
        write_image(tmp_path / f"set/a/{k}.png", size=(20, 100), seed=k)
        write_image(tmp_path / f"set/b/{k}.png", size=(30, 31), seed=k + 9)
    data = open_data(tmp_path / "set")
    (note,) = [note for note in data.report()["notes"] if "--fit" in note]
    assert note.startswith("2 images are more than 2 times as long as wide; the centre square shows 20%")
    assert preprocessing_for(data, 10).resize == preprocessing_for(data, 10, fit="crop").resize == "shorter-crop"
    marked = np.zeros((20, 100, 3), dtype=np.uint8)
    marked[:, :10] = 255  # the left end, outside of the centre
    crop, squash, pad = (preprocessing_for(data, 10, fit=fit) for fit in ("crop", "squash", "pad"))
    assert crop.apply(marked).max() == 0
    assert squash.apply(marked)[:, 0].min() > 200
    letterbox = Preprocessing((10, 10), 3, resize=pad.resize, background=(7, 7, 7)).apply(marked)
    assert letterbox.shape == (10, 10, 3)
    assert (letterbox[:4] == 7).all() and (letterbox[6:] == 7).all()  # noqa: PT018
    assert letterbox[4:6, 0].min() > 200
    with pytest.raises(UsageError, match="fit is 'stretch'"):
        preprocessing_for(data, 10, fit="stretch")


def test_pad_enlarges_small_images_to_the_longer_side():
    preprocessing = Preprocessing((8, 8), 1, resize="letterbox", background=(0,))
    assert (preprocessing.apply(np.full((2, 4, 1), 200, np.uint8)) > 0).sum() == 4 * 8


# --- rare classes -----------------------------------------------------------------------------------------------------


def test_rare_classes_are_refused_kept_or_left_out(class_folders):
    root = class_folders({"cat": 10, "dog": 10, "rare": 1, "two": 2})
    with pytest.raises(DataError, match="--rare keep-in-training"):
        make_split(open_data(root))
    data = open_data(root, rare="keep-in-training")
    split = make_split(data)
    names = [data.classes[k] for k in data.labels[split.train]]
    assert (names.count("rare"), names.count("two")) == (1, 1)
    assert "Rare classes in the training set only (2): rare, two." in split.rule
    assert make_split(open_data(root, rare="keep-in-training"), seed=0).train.tolist() == split.train.tolist()
    smaller = open_data(root, rare="leave-out")
    assert (smaller.classes, len(smaller), smaller.read(0).shape) == (("cat", "dog"), 20, (12, 10, 3))
    assert any(
        "classes with fewer than 3 images to train on were left out (2, with 3 images)" in note
        for note in smaller.notes
    )


def test_keeping_rare_classes_changes_no_split_of_others(class_folders):
    root = class_folders({"cat": 10, "dog": 12})
    plain, keeping = (make_split(open_data(root, rare=rare)) for rare in ("refuse", "keep-in-training"))
    assert [plain.train.tolist(), plain.rule] == [keeping.train.tolist(), keeping.rule]


def test_leaving_out_needs_two_classes_and_works_on_arrays(class_folders, shared):
    with pytest.raises(DataError, match="too few classes"):
        open_data(class_folders({"cat": 10, "b": 1}), rare="leave-out")
    with pytest.raises(UsageError, match="rare is 'drop'"):
        open_data("digits", rare="drop")
    data = open_data(shared("data/cifar-10/head100"))
    fewer = data.only(np.flatnonzero(data.labels < 3))
    assert fewer.classes == data.classes[:3]
    assert np.array_equal(fewer.read(0), data.read(int(np.flatnonzero(data.labels < 3)[0])))


# --- everything is reported -------------------------------------------------------------------------------------------


def test_all_faults_are_collected_on_request(class_folders):
    root = class_folders({"cat": 3, "dog": 3, "ghost": 0})
    (root / "cat/0.png").write_bytes(b"<html>")
    (root / "dog/1.png").write_bytes(b"")
    data = open_data(root, verify=True, collect_faults=True)
    assert len(data) == 4
    assert [problem.name for problem in data.problems] == ["cat/0.png", "dog/1.png"]
    assert len(data.faults) == 3


# --- the same images --------------------------------------------------------------------------------------------------


def test_overlap_is_by_content(class_folders, write_image, tmp_path):
    first = class_folders({"cat": 3, "dog": 3}, tmp_path / "first")
    second = class_folders({"x": 2, "y": 2}, tmp_path / "second", first_seed=500)
    (second / "y/renamed.png").write_bytes((first / "cat/1.png").read_bytes())
    a, b = open_data(first), open_data(second)
    assert [(a.names[i], b.names[j]) for i, j in overlap(a, b)] == [("cat/1.png", "y/renamed.png")]
    assert overlap(b, a) == [(j, i) for i, j in overlap(a, b)]
    assert len(overlap(a, a)) == 6


def test_overlap_of_an_array_and_files_compares_pixels(shared, tmp_path):
    array = open_data(shared("data/cifar-10/head100"))
    for k in range(4):
        folder = tmp_path / "set" / array.classes[array.labels[k]] if k else tmp_path / "set/other"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.read(k)).save(folder / f"{k}.png")
    pairs = overlap(array, open_data(tmp_path / "set"))
    assert {i for i, _ in pairs} == {0, 1, 2, 3}


# --- CIFAR's python batches ---------------------------------------------------------------------------------------


def python_batch(path, pixels, labels, key=b"labels"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({b"data": pixels, key: labels, b"batch_label": b"x"}, protocol=2))


def test_python_batches_give_what_the_binary_ones_give(shared, tmp_path):
    with lzma.open(shared("data/cifar-10/test_batch.xz")) as file:
        (tmp_path / "test_batch").write_bytes(file.read())
    binary = open_data(shared("data/cifar-10/head100"))
    pixels = np.stack([binary.read(k).transpose(2, 0, 1).reshape(-1) for k in range(100)])
    python_batch(tmp_path / "data_batch_1", pixels, binary.labels[:100].tolist())
    data = open_data(tmp_path)
    assert (data.layout, len(data), data.classes) == ("cifar-10 python", 10_100, binary.classes)
    assert np.array_equal(data.images.pixels[:200], binary.images.pixels)
    assert data.labels[:200].tolist() == binary.labels.tolist()


def test_cifar_100_python(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
    for name in ("train", "test"):
        python_batch(tmp_path / name, pixels, [0, 5, 99, 0, 5, 99], b"fine_labels")
    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"c%d" % k for k in range(100)]}, protocol=2))
    data = open_data(tmp_path)
    assert (data.layout, data.classes[99], parts_of(data)["test"][5]) == ("cifar-100 python", "c99", 2)


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _evil(path):
    """Pickles that would do something when an ordinary unpickler opened them."""
    return [
        _Runs(os.system, f"touch {path}"),
        _Runs(eval, f"open({str(path)!r}, 'w')"),
        _Runs(np.fromfile, "/etc/hostname"),
        _Runs(np.ndarray, (1 << 45,)),
        {b"data": _Runs(np.load, str(path)), b"labels": [0]},
        np.array([_Runs(os.system, f"touch {path}")], dtype=object),
    ]


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path, place, protocol):
    canary = tmp_path / "canary"
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data_batch_1").write_bytes(pickle.dumps(_evil(canary)[place], protocol=protocol))
    with pytest.raises(DataError, match=r"data_batch_1 is (a pickle that is not|damaged)"):
        open_data(tmp_path / "set")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, "damaged"),
        ({b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]}, "damaged"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "damaged"),
        ({b"other": 1}, "no batch of CIFAR"),
        ([1, 2], "holds no dictionary"),
    ],
)
def test_pickles_that_are_no_batches_are_named(tmp_path, values, words):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(values, protocol=2))
    with pytest.raises(DataError, match=words):
        open_data(tmp_path)


@pytest.mark.parametrize("name", ["photo.png", "labels.xlsx", "data_batch_1"])
def test_a_single_file_that_is_no_data_set_is_named(write_image, tmp_path, name):
    if name.endswith("png"):
        write_image(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=r"one image|spreadsheet|one file of a data set"):
        open_data(tmp_path / name)
