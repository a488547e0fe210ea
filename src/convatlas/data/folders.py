"""Names of files and folders: which split, class or kind of content they state."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from convatlas.data.decode import is_image_name
from convatlas.data.tree import Tree

SPLIT_OF_WORD = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# words of folder names that state neither a class nor a split
NEUTRAL_WORDS = frozenset("set data dataset images image imgs img photos pictures folder split jpg jpeg png".split())  # noqa: SIM905
PIECE_WORDS = NEUTRAL_WORDS | frozenset("part batch chunk shard fold volume vol dir".split())  # noqa: SIM905
MASK_WORDS = frozenset("mask masks annotation annotations label labels gt groundtruth segmentation".split())  # noqa: SIM905
_WORDS = re.compile(r"[^\W\d_]+")
_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
_CLASS_OF_FILE = re.compile(r"(?P<label>\D*?[^\W\d_])[\s._()-]*\d")


def words(name: str) -> list[str]:
    """The words of a name in lower case: ``trainImages_2`` has train and images."""
    return _WORDS.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())


def split_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The split that a name states and its other words: ``seg_train`` is ("train", ("seg",)); None without a split."""
    all_words = words(name)
    splits = [SPLIT_OF_WORD[word] for word in all_words if word in SPLIT_OF_WORD]
    if len(splits) != 1:
        return None
    return splits[0], tuple(word for word in all_words if word not in SPLIT_OF_WORD and word not in NEUTRAL_WORDS)


def class_of_file(name: str) -> str | None:
    """The text before the first number of a file name: ``cat.1.jpg`` is a cat; None without both."""
    match = _CLASS_OF_FILE.match(PurePosixPath(name).name)
    return match["label"] if match else None


def numbered_pieces(folders: Iterable[str]) -> bool:
    """Whether the names are those of numbered pieces of one set: part_1 and part_2, images_001 to images_012."""
    folders = list(folders)
    without = {_LAST_NUMBER.sub("", folder) for folder in folders}
    if len(folders) < 2 or len(without) != 1 or not all(_LAST_NUMBER.search(folder) for folder in folders):
        return False
    last = words(without.pop())[-1:]
    return bool(last) and last[0] in PIECE_WORDS


class FolderView:
    """A tree seen from one of its folders; ``base`` ends with a slash, or is empty at the root."""

    def __init__(self, tree: Tree, base: str) -> None:
        self.tree, self.base = tree, base
        self.files = [name for name in tree.files if name.startswith(base)]
        self.direct = [self.relative(name) for name in self.files if "/" not in self.relative(name)]
        self.images = [name for name in self.files if is_image_name(name)]
        self.folders = [self.relative(folder) for folder in tree.folders if folder.startswith(base)]
        self.top_folders = [folder for folder in self.folders if "/" not in folder]
        self.with_images = sorted({self.top(name) for name in self.images if "/" in self.relative(name)})
        self._of_files = {self.top(name) for name in self.files if "/" in self.relative(name)}
        self._with_direct_images = {str(PurePosixPath(self.relative(name)).parent) for name in self.images}

    def relative(self, name: str) -> str:
        return name[len(self.base) :]

    def top(self, name: str) -> str:
        return self.relative(name).split("/", 1)[0]

    def holds_images_itself(self, folder: str) -> bool:
        return folder in self._with_direct_images

    def has_folders(self, folder: str) -> bool:
        return any(other.startswith(folder + "/") for other in self.folders)

    def made_of_folders(self, folder: str) -> bool:
        return self.has_folders(folder) and not self.holds_images_itself(folder)

    def split_folders(self) -> dict[str, str]:
        """The split of each top folder that is named after one, if a training folder is made of class folders.

        A folder that is called "train" and holds images itself is a class. Names of several words (seg_train,
        test_images) count if the same other words occur with the training set and with another split.
        """
        groups: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for folder in self.top_folders:
            stated = split_of(folder)
            if stated is not None:
                groups[stated[1]][folder] = stated[0]
        for rest, group in sorted(groups.items()):
            plain = not rest and any(folder.casefold() in SPLIT_OF_WORD for folder in group)
            if not plain and len(set(group.values())) < 2:
                continue
            if any(split == "train" and self.made_of_folders(folder) for folder, split in group.items()):
                return group
        return {}

    def unwrapped(self, folder: str) -> str:
        """``folder``, or the only folder in it that is made of folders: seg_train/seg_train/ holds the classes."""
        while not self.holds_images_itself(folder):
            start = f"{self.base}{folder}/"
            below = {name[len(start) :].split("/", 1)[0] for name in self.images if name.startswith(start)}
            only = f"{folder}/{next(iter(below))}" if len(below) == 1 else ""
            if not only or not self.made_of_folders(only) or not self._several_with_images(only):
                break
            folder = only
        return folder

    def _several_with_images(self, folder: str) -> bool:
        start = f"{self.base}{folder}/"
        return len({name[len(start) :].split("/", 1)[0] for name in self.images if name.startswith(start)}) > 1

    def only_folder(self) -> str | None:
        """The one folder that holds all images there are, if it has folders or no images of its own."""
        if any("/" not in self.relative(name) for name in self.images):
            return None
        if len(self.top_folders) == 1:
            folder = self.top_folders[0]
            return None if self.holds_images_itself(folder) and not self.has_folders(folder) else folder
        # beside the images lie other files, as in Images/ and Annotation/ of Stanford Dogs
        if len(self.with_images) == 1 and set(self.top_folders) == self._of_files:
            folder = self.with_images[0]
            return folder if self.made_of_folders(folder) and self._several_with_images(folder) else None
        return None

    def innermost(self, name: str) -> str:
        """The name of the folder that the image lies in; "" at the base."""
        return PurePosixPath(self.relative(name)).parent.name

    def nested_classes(self) -> tuple[int, int, str] | None:
        """Numbers of top folders and of innermost folders, and an example path, if most images lie two folders deep.

        None if the innermost folders are the same everywhere, as ID/images/ in Tiny ImageNet.
        """
        deep = [name for name in self.images if self.relative(name).count("/") >= 2]
        if len(deep) < 0.9 * len(self.images) or not deep:
            return None
        innermost = {self.innermost(name) for name in self.images if "/" in self.relative(name)}
        if len(innermost) <= len(self.with_images):
            return None
        return len(self.with_images), len(innermost), str(PurePosixPath(self.relative(deep[0])).parent)

    def not_classes(self) -> bool:
        """Whether the folders with images are named as splits, numbered pieces, or images and masks are."""
        names = self.with_images
        if not names:
            return False
        all_words = [set(words(name)) for name in names]
        of_splits = all(split_of(name) is not None for name in names)
        neutral = all(each and each <= NEUTRAL_WORDS | MASK_WORDS for each in all_words)
        return of_splits or numbered_pieces(names) or neutral

    def classes_of_file_names(self) -> Counter[str]:
        """How many images each class would have if the beginnings of the file names were the classes; unnamed: ""."""
        return Counter(class_of_file(name) or "" for name in self.images)
