"""Tables as users have them: a column per class, no heading, lists, paths of another machine, missing labels."""

from __future__ import annotations

import pytest

from convatlas.data import open_data
from convatlas.errors import DataError


@pytest.fixture
def flat(tmp_path, write_image):
    """Six images in images/ of a folder."""
    for k in range(6):
        write_image(tmp_path / f"flat/images/{k}.png", seed=k)
    return tmp_path / "flat"


def table(flat, text, name="labels.csv"):
    (flat / name).write_text(text, encoding="utf-8")
    return flat / name


def notes_of(data):
    return " | ".join(map(str, data.notes))


# --- a column of 0 and 1 for each class -------------------------------------------------------------------------------

ONE_HOT = "0,1,0,0\n1,0,1,0\n2,0,0,1\n3,1,0,0\n4,0,1,0\n5,0,0,1\n"


@pytest.mark.parametrize(
    ("zero", "one"), [("0", "1"), ("0.0", "1.0"), ("False", "True"), (" 0", " 1 ")], ids=["0", "0.0", "False", "spaces"]
)
def test_columns_of_0_and_1_are_the_classes(flat, zero, one):
    rows = ONE_HOT.replace(",1", ",one").replace(",0", f",{zero}").replace("one", one)
    for where in (table(flat, f"image_id,Healthy,Rust,Scab\n{rows}"), flat):
        data = open_data(where)
        assert data.classes == ("Healthy", "Rust", "Scab")
        assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert "the columns Healthy, Rust, Scab hold 1 for the class of a row" in notes_of(data)


def test_other_columns_beside_them_are_no_classes(flat):
    rows = "".join(f"{k},{line},{age},0.5\n" for k, (line, age) in enumerate([("1,0", 40), ("0,1", 51)] * 3))
    data = open_data(table(flat, f"image,cat,dog,age,score\n{rows}"))
    assert (data.classes, data.labels.tolist()) == (("cat", "dog"), [0, 1] * 3)


def test_a_column_of_splits_beside_them(flat):
    rows = "".join(f"{k},{'1,0' if k % 2 else '0,1'},{'train' if k < 4 else 'test'}\n" for k in range(6))
    data = open_data(table(flat, f"file,cat,dog,split\n{rows}"))
    assert {part: counts.tolist() for part, counts in data.counts().items()} == {"train": [2, 2], "test": [1, 1]}


def test_the_columns_can_be_named_where_another_one_holds_0_and_1_too(flat):
    male = "".join(f"{line},{k % 2}\n" for k, line in enumerate(ONE_HOT.splitlines()))
    path = table(flat, f"image,healthy,rust,scab,male\n{male}")
    with pytest.raises(DataError, match=r"line 3: '1' has 2 labels \(rust, male\).*--label-column"):
        open_data(path)
    data = open_data(path, label_column="healthy, rust,scab")
    assert (data.classes, data.labels.tolist()) == (("healthy", "rust", "scab"), [0, 1, 2] * 2)


@pytest.mark.parametrize(("cells", "words"), [("1,1", r"2 labels \(cat, dog\)"), ("0,0", r"0 labels \(none\)")])
def test_a_row_without_exactly_one_1_is_named_or_left_out(flat, cells, words):
    path = table(flat, f"file,cat,dog\n0,1,0\n1,0,1\n2,{cells}\n3,1,0\n4,0,1\n")
    with pytest.raises(DataError, match=rf"line 4: '2' has {words} in the columns cat, dog.*--on-bad skip"):
        open_data(path)
    data = open_data(path, on_bad="skip", max_bad=0.5)
    assert (len(data), len(data.problems)) == (4, 1)


def test_a_named_column_with_another_value_is_refused(flat):
    path = table(flat, "file,cat,dog\n0,1,0\n1,0,0.3\n")
    with pytest.raises(DataError, match=r"line 3: '0\.3' in the column dog; expected 0 or 1"):
        open_data(path, label_column="cat,dog")
    with pytest.raises(DataError, match="which one names the class is not known"):
        open_data(path)  # cat alone is no set of classes


def test_a_column_of_classes_wins_over_columns_of_0_and_1(flat):
    data = open_data(table(flat, "file,label,blurred,dark\n0,a,1,0\n1,b,0,1\n2,a,1,1\n3,b,0,0\n"))
    assert data.classes == ("a", "b")


# --- labels that are lists, or not there ------------------------------------------------------------------------------


@pytest.mark.parametrize("several", ["16 0", "0|16", "16;0"])
def test_lists_of_labels_are_noted(flat, several):
    data = open_data(table(flat, f"file,label\n0,0\n1,16\n2,{several}\n3,0\n".replace(",", "\t")))
    assert f"1 rows of labels.csv seem to have several labels, such as '{several}'" in notes_of(data)


@pytest.mark.parametrize("label", ["big dog", "cat, small"])
def test_names_of_several_words_are_no_lists(flat, label):
    data = open_data(table(flat, f'file,label\n0,dog\n1,"{label}"\n2,cat\n3,cat\n'))
    assert "several labels" not in notes_of(data)


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_a_row_without_a_label_can_be_left_out(flat, empty):
    path = table(flat, f"file,label\n0,a\n1,{empty}\n2,b\n")
    with pytest.raises(DataError, match=r"line 3: no label for '1'.*--on-bad skip"):
        open_data(path)
    data = open_data(path, on_bad="skip", max_bad=0.5)
    assert data.names == ("images/0.png", "images/2.png")
    assert "row 3 of labels.csv has no label for it" in str(data.problems[0].reason)


# --- tables without a heading, and lists ------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_first_row_that_names_an_image_is_no_heading(flat, separator):
    text = "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(6)).replace(",", separator)
    for where in (table(flat, text), flat):
        data = open_data(where)
        assert (len(data), data.classes) == (6, ("a", "b"))
        assert "labels.csv has no heading" in notes_of(data)


def test_the_third_column_may_be_the_split(flat):
    data = open_data(table(flat, "".join(f"{k}.png,{'ab'[k % 2]},{'train' if k < 4 else 'val'}\n" for k in range(6))))
    assert sorted(data.counts()) == ["train", "val"]


@pytest.mark.parametrize("name", ["images/a b {}.png", "./images/a b {}.png"])
def test_a_list_of_paths_and_classes(flat, write_image, name):
    for k in range(4):
        write_image(flat / f"images/a b {k}.png", seed=20 + k)
    path = table(flat, "".join(f"{name.format(k)} {k % 2}\n" for k in range(4)), "train.txt")
    for where in (path, flat):
        data = open_data(where)
        assert (len(data), data.classes) == (4, ("0", "1"))


def test_texts_that_are_no_lists_are_not_read(flat):
    table(flat, "0 cat\n1 dog\n", "classes.txt")
    table(flat, "Read me: 6 images\n", "README.txt")
    with pytest.raises(DataError, match="nothing that says their classes") as caught:
        open_data(flat)
    assert ".txt" not in str(caught.value).split("Layouts")[0]


# --- paths of another machine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/path/Data/images/{}.png", "C:\\Users\\me\\images\\{}.png", "../input/images/{}", "d:/x/{}.png"]
)
def test_a_path_of_another_place_is_found_by_its_end(flat, path):
    rows = "".join(f"{path.format(k)},{'ab'[k % 2]}\n" for k in range(6))
    data = open_data(table(flat, f"file,label\n{rows}"))
    assert data.names == tuple(f"images/{k}.png" for k in range(6))
    assert "6 rows of labels.csv name their image by a path of another place" in notes_of(data)


def test_the_longest_end_decides_and_another_split_is_no_match(tmp_path, write_image):
    for part in ("train", "test"):
        write_image(tmp_path / f"d/{part}/0.png", seed=len(part))
    write_image(tmp_path / "d/train/1.png", seed=9)
    path = table(tmp_path / "d", "file,label\n/x/test/0.png,a\n/x/train/0.png,b\n")
    assert open_data(path).names == ("test/0.png", "train/0.png")
    path.write_text("file,label\n/x/test/0.png,a\n/x/test/1.png,b\n")  # 1.png is an image of the training set only
    with pytest.raises(DataError, match="lies outside of"):
        open_data(path)
    path.write_text("file,label\n/elsewhere/0.png,a\n/x/train/0.png,b\n")
    with pytest.raises(DataError, match="fits several images"):
        open_data(path)


# --- headings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", ["ImageId,LabelName", "Image Name,Class Name", "file-name,category_id"])
def test_headings_are_known_however_their_words_are_joined(flat, heading):
    data = open_data(table(flat, f"{heading}\n" + "".join(f"{k},{'ab'[k % 2]}\n" for k in range(6))))
    assert data.classes == ("a", "b")


# --- what is no data set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data.yaml", "dataset.yml", "annotations.json"])
def test_a_description_for_another_program_names_its_folder(flat, name):
    with pytest.raises(DataError, match=rf"{name} describes .*pass the folder of the images, .*flat"):
        open_data(table(flat, "names: [a, b]\n", name))


def test_the_folder_of_one_class_leads_to_the_folder_of_all(class_folders, tmp_path):
    root = class_folders({"Dog": 3, "Cat": 3})
    for name in ("Dog", "Cat"):
        with pytest.raises(DataError, match=rf"images of one class, pass {root}, which holds one folder per class"):
            open_data(root / name)
    alone = class_folders({"only": 3}, tmp_path / "alone")
    with pytest.raises(DataError) as caught:
        open_data(alone / "only")
    assert "of one class, pass" not in str(caught.value)
