"""Published layouts that state classes in files of their own, and layouts for other tasks than classification.

CUB-200-2011     images.txt, image_class_labels.txt, train_test_split.txt, images/CLASS/FILE
Tiny ImageNet    train/ID/images/FILE, val/val_annotations.txt, val/images/FILE
refused          YOLO (images/, labels/*.txt), COCO (a JSON file of boxes), Pascal VOC (JPEGImages/, Annotations/)
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from convatlas.data.decode import is_image_name
from convatlas.data.folders import FolderView
from convatlas.data.table import Listed
from convatlas.data.tree import Tree
from convatlas.errors import DataError
from convatlas.message import Message, system_reason

CUB_IMAGES, CUB_LABELS, CUB_SPLIT, CUB_CLASSES = (
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "classes.txt",
)
_COCO_FILE = re.compile(r"(instances_.*|_?annotations(\.coco)?|.*\.coco)\.json$", re.IGNORECASE)
_YOLO_BOX = re.compile(r"\s*\d+(\s+[-+.\deE]+){4,}\s*$")


def lines_of(tree: Tree, name: str) -> list[list[str]]:
    """The words of each line of a text file that has any.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = tree.read(name).decode("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(
            "{place} cannot be read: {reason}", place=tree.display(name), reason=system_reason(error)
        ) from error
    return [line.split() for line in text.splitlines() if line.strip()]


def is_cub(view: FolderView) -> bool:
    return {CUB_IMAGES, CUB_LABELS} <= set(view.direct)


def cub_listing(view: FolderView) -> list[Listed]:
    """The images of CUB-200-2011 with their classes, and their splits if the file of the split is there.

    Raises:
        DataError: a file is damaged, or names an image that is not there.
    """
    paths = _by_number(view, CUB_IMAGES)
    labels = _by_number(view, CUB_LABELS)
    splits = _by_number(view, CUB_SPLIT) if CUB_SPLIT in view.direct else {}
    names = _by_number(view, CUB_CLASSES) if CUB_CLASSES in view.direct else {}
    listing = []
    for number, path in paths.items():
        name = next((each for each in (f"{view.base}images/{path}", view.base + path) if each in view.tree.files), None)
        if name is None:
            raise DataError(
                "{place} names {path!r}, and there is no such image",
                place=view.tree.display(view.base + CUB_IMAGES),
                path=path,
            )
        if number not in labels:
            raise DataError(
                "{place} has no class for image {number}",
                place=view.tree.display(view.base + CUB_LABELS),
                number=number,
            )
        split = {"1": "train", "0": "test"}.get(splits.get(number, ""), "")
        listing.append(Listed(name, names.get(labels[number], labels[number]), split))
    return listing


def _by_number(view: FolderView, file: str) -> dict[str, str]:
    """The second word of each line by the first."""
    place = view.base + file
    values = {}
    for line, each in enumerate(lines_of(view.tree, place), start=1):
        if len(each) < 2:
            raise DataError(
                "{place}, line {line}: expected a number and a value", place=view.tree.display(place), line=line
            )
        values[each[0]] = " ".join(each[1:])
    return values


def annotated_classes(view: FolderView, folder: str) -> dict[str, str]:
    """From the name of an image in ``folder`` to its class, by a file like Tiny ImageNet's ``val_annotations.txt``."""
    start = f"{view.base}{folder}/"
    for name in view.files:
        if name.startswith(start) and "/" not in name[len(start) :] and name.endswith("annotations.txt"):
            return {each[0]: each[1] for each in lines_of(view.tree, name) if len(each) >= 2}
    return {}


def refuse_other_tasks(source: str, view: FolderView) -> None:
    """Refuse the layouts of object detection.

    Raises:
        DataError: label files of YOLO lie beside the images, or the only folder of images has annotations beside it.
    """
    boxes = _yolo_labels(view)
    if boxes:
        raise DataError(
            "{source} is a data set for object detection in the layout of YOLO: {file} holds boxes, not the class of "
            "the image. Cut the boxes out into one folder per class, or pass a table of file and label.",
            source=source,
            file=view.relative(boxes),
        )
    if any(view.made_of_folders(folder) and len(view.folders) > 1 for folder in view.with_images):
        return
    annotations = [
        name
        for name in view.files
        if _COCO_FILE.match(PurePosixPath(name).name)
        or (name.lower().endswith(".xml") and "annotation" in view.relative(name).lower().split("/")[0])
    ]
    if annotations and len(view.with_images) <= 1:
        raise DataError(
            "{source} is a data set for object detection in the layout of {layout}: {file} holds boxes, not the class "
            "of an image. Cut the boxes out into one folder per class, or pass a table of file and label.",
            source=source,
            layout="Pascal VOC" if annotations[0].endswith(".xml") else "COCO",
            file=view.relative(annotations[0]),
        )


def _yolo_labels(view: FolderView) -> str | None:
    """A file of boxes of the layout of YOLO: it lies in labels/ as its image lies in images/."""
    stems = {str(PurePosixPath(name).with_suffix("")) for name in view.images}
    for name in view.files:
        folders = name.lower().split("/")[:-1]
        if not name.lower().endswith(".txt") or "labels" not in folders:
            continue
        place = folders.index("labels")
        parts = name.split("/")
        image = "/".join((*parts[:place], "images", *parts[place + 1 :]))
        if str(PurePosixPath(image).with_suffix("")) in stems:
            lines = lines_of(view.tree, name)
            if not lines or _YOLO_BOX.match(" ".join(lines[0])):
                return name
    return None


ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def nothing_here(source: str, tree: Tree, layouts: Message) -> DataError | None:
    """The error for a place whose images are inside of archives; None if there are images or no archives."""
    archives = [name for name in tree.files if name.lower().endswith(ARCHIVES) and not name.lower().endswith(".nii.gz")]
    if not archives or any(map(is_image_name, tree.files)):
        return None
    shown = ", ".join(archives[:3]) + (" ..." if len(archives) > 3 else "")
    readable = [name for name in archives if name.lower().endswith((".zip", ".tar"))]
    if tree.root.is_dir() and len(archives) == 1 and readable:
        return DataError(
            "{source} holds no images, but the archive {archive}. Pass that file itself.",
            source=source,
            archive=tree.display(readable[0]),
        )
    return DataError(
        "{source} holds no images, but the archives {archives}. Archives in a folder or in an archive are not opened: "
        "unpack them, and pass the folder of the images. Layouts that are read: {layouts_in_words}.",
        source=source,
        archives=shown,
        layouts_in_words=layouts,
    )
