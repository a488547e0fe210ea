"""`Split`: training, validation and test set; drawn once at random, written to a file and reused.

The validation set chooses the weights, the test set is used once at the end; they share no images. Splits that the
source gives are kept. If it gives only train and val (as copies of ImageNet and the ants and bees do), val becomes the
test set and a new validation set is drawn from train.

The random choice depends on the names of the images, not on their order: the images of each class are sorted by a hash
of (seed, name), and the first ones are drawn. So a split is the same on every machine, and changes little when images
are added.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.atomic import written_atomically
from convatlas.data.dataset import PARTS, Dataset, nfc, part_names, printable
from convatlas.errors import DataError, UsageError
from convatlas.message import Message, joined, system_reason


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted, disjoint int64 indices into a data set; ``rule`` is a text that states how they were chosen.

    Attributes:
        train: (n,) int64, indices of the training images.
        val: (n,) int64, of the validation images.
        test: (n,) int64, of the test images.
        seed: of the drawing; None if nothing was drawn.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    seed: int | None
    rule: str

    def parts(self, n: int) -> np.ndarray:
        """(n,) part names, as ``Dataset.parts``."""
        return part_names(n, self.train, self.val, self.test)


def make_split(data: Dataset, *, seed: int = 0, val: float = 0.15, test: float = 0.2) -> Split:
    """Draw the splits that the source does not give at random, stratified by class; depends on names and seed only.

    Args:
        val: share of the training images (what is left once the test set is set aside) that becomes validation.
        test: share of all images that becomes the test set, if none is given.
        seed: of the drawing.
    Raises:
        DataError: a class has too few images for every split that must be drawn, unless ``data`` was opened with
            rare="keep-in-training".
        UsageError: shares that leave nothing to train on.
    """
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise UsageError(
                "{name} is {share}; expected a share from 0 up to, but not including, 1", name=name, share=share
            )
    given = {part for part in PARTS if (data.parts == part).any()}
    pool = np.flatnonzero((data.parts == "train") | (data.parts == ""))
    if not len(pool):
        raise DataError(
            "{source} gives no training images, only {given}",
            source=data.source,
            given=joined(sorted(given), Message(" and ")),
        )
    check_training_classes(data, pool)
    rare: set[str] = set()
    if "test" in given:
        held_out = np.flatnonzero(data.parts == "test")
        how = [Message("the test set is the one given")]
    elif "val" in given:
        held_out = np.flatnonzero(data.parts == "val")
        how = [
            Message(
                "no test set is given: the given validation set is used as the test set and not to choose the weights"
            )
        ]
    else:
        held_out, pool, rare = _draw(data, pool, test, seed, "test")
        drawn = Message("the test set is {share:.0%} of each class, drawn at random", share=test)
        how = [drawn if test else Message("there is no test set")]
    if {"test", "val"} <= given:
        chosen, train = np.flatnonzero(data.parts == "val"), pool
        how.append(Message("so is the validation set"))
    else:
        chosen, train, rare_now = _draw(data, pool, val, seed, "val")
        rare |= rare_now
        drawn = Message("the validation set is {share:.0%} of the rest of each class, drawn at random", share=val)
        how.append(drawn if val else Message("there is no validation set"))
    drawn_at_random = ("test" not in given and "val" not in given and test > 0) or (
        not {"test", "val"} <= given and val > 0
    )
    rule = Message(
        "{how} with seed {seed}. The validation set chooses the weights; the test set is used once."
        if drawn_at_random
        else "{how}. The validation set chooses the weights; the test set is used once.",
        how=joined(how, "; "),
        seed=seed,
    )
    if rare:
        names = ", ".join(map(printable, sorted(rare)[:5])) + (" ..." if len(rare) > 5 else "")
        kept = Message("Rare classes in the training set only ({n}): {names}.", n=len(rare), names=names)
        rule = joined((rule, kept), " ")
    return Split(train, chosen, held_out, seed, rule)


def _draw(
    data: Dataset, pool: np.ndarray, share: float, seed: int, part: str
) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Draw ``share`` of each class of ``pool``: (drawn, left), both sorted, and the classes too rare to be drawn."""
    nothing = np.array([], dtype=np.int64)
    if share == 0:
        return nothing, pool, set()
    drawn, rare = [nothing], set()
    for k, name in enumerate(data.classes):
        mine = pool[data.labels[pool] == k]
        if len(mine) < 2:
            if data.reading.rare != "keep-in-training":
                raise DataError(
                    "class {name!r} of {source} has {mine} image left when the {part} set is drawn; at least 2 are "
                    "needed. Add images, or pass --rare keep-in-training to train on it all the same, or "
                    "--rare leave-out to leave such classes out.",
                    name=printable(name),
                    source=data.source,
                    mine=len(mine),
                    part=Message("test") if part == "test" else Message("validation"),
                )
            rare.add(name)
            continue
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        ranked = sorted(mine.tolist(), key=lambda index: _rank(seed, part, data.names[index]))
        drawn.append(np.array(ranked[:count], dtype=np.int64))
    together = np.sort(np.concatenate(drawn))
    return together, np.setdiff1d(pool, together), rare


def check_training_classes(data: Dataset, training: np.ndarray) -> None:
    """Refuse training images ``training`` (indices) that lack a class: its images could only be classified wrongly.

    Args:
        data: the data set.
        training: (n,) int64, indices of the training images.

    Raises:
        DataError: with the name of the class.
    """
    trained = np.bincount(data.labels[training], minlength=len(data.classes)) > 0
    untrained = [name for name, has in zip(data.classes, trained, strict=True) if not has]
    if untrained and trained.any():
        raise DataError(
            "class {name!r} of {source} has no training image, only others ({n} such classes). Give it some, or pass "
            "--rare leave-out to leave such classes out.",
            name=printable(untrained[0]),
            source=data.source,
            n=len(untrained),
        )


def without_rare_classes(data: Dataset) -> Dataset:
    """The data without the classes that cannot be in every split: too few images to draw from, or none to train on."""
    given = {part for part in PARTS if (data.parts == part).any()}
    needed = 1 + (not given & {"val", "test"}) + (not {"val", "test"} <= given)
    training = (data.parts == "train") | (data.parts == "")
    counts = np.bincount(data.labels[training], minlength=len(data.classes))
    rare = np.flatnonzero(counts < needed)
    if not len(rare):
        return data
    if len(rare) > len(data.classes) - 2:
        raise DataError(
            "{source}: {n} of {all} classes have fewer than {needed} images to train on; without them too few classes "
            "are left. Add images.",
            source=data.source,
            n=len(rare),
            all=len(data.classes),
            needed=needed,
        )
    kept = np.flatnonzero(~np.isin(data.labels, rare))
    names = [printable(data.classes[k]) for k in rare.tolist()]
    note = Message(
        "classes with fewer than {needed} images to train on were left out ({n}, with {images} images): {names}",
        n=len(rare),
        needed=needed,
        images=len(data) - len(kept),
        names=", ".join(names[:10]) + (" ..." if len(names) > 10 else ""),
    )
    return data.only(kept, [note])


def _rank(seed: int, part: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{part}\0{nfc(name)}".encode("utf-8", "surrogatepass")).digest()


def write_split(path: str | Path, data: Dataset, split: Split) -> None:
    """Write ``name,label,part``, one row per image that is in a split; atomically.

    Args:
        path: of the split file; it is replaced.
        data: the data set.
        split: the split of these data.

    Raises:
        ConvAtlasError: the file cannot be written; what was there before is untouched.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "label", "part"))
    for index, part in enumerate(split.parts(len(data)).tolist()):
        if part:
            writer.writerow((data.names[index], data.classes[data.labels[index]], part))
    with written_atomically(Path(path)) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def read_split(path: str | Path, data: Dataset) -> Split:
    """Read the split of these images from a file.

    Args:
        path: of the split file.
        data: the data set.

    Raises:
        DataError: the file is missing or damaged, names an image that does not exist, states another label, or
            lacks an image of the data set.
    """
    place = Path(path)
    try:
        rows = list(csv.reader(io.StringIO(place.read_bytes().decode("utf-8-sig", "surrogateescape"), newline="")))
    except OSError as error:
        raise DataError(
            "the split {place} cannot be read: {reason}", place=place, reason=system_reason(error)
        ) from error
    except csv.Error as error:
        raise DataError("the split {place} is no CSV file: {error}", place=place, error=error) from error
    if not rows or [cell.strip().lower() for cell in rows[0]] != ["name", "label", "part"]:
        raise DataError("{place} is no split: expected the heading name,label,part", place=place)
    index_of = {nfc(name): index for index, name in enumerate(data.names)}
    parts = np.full(len(data), "", dtype="<U5")
    gone = []
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != 3 or row[2] not in PARTS:
            raise DataError(
                "{place}, line {line}: expected name,label,part with part train, val or test; found {row}",
                place=place,
                line=line,
                row=row,
            )
        index = index_of.get(nfc(row[0]))
        if index is None:
            gone.append(row[0])
            continue
        if parts[index]:
            raise DataError(
                "{place}, line {line}: {name} is listed twice", place=place, line=line, name=printable(row[0])
            )
        if nfc(row[1]) != data.classes[data.labels[index]]:
            raise DataError(
                "{place}, line {line}: {name} is {there!r} there and {here!r} in {source}",
                place=place,
                line=line,
                name=printable(row[0]),
                there=row[1],
                here=data.classes[data.labels[index]],
                source=data.source,
            )
        parts[index] = row[2]
    new = [data.names[index] for index in np.flatnonzero(parts == "").tolist()]
    if gone or new:
        raise DataError(
            "{place} is not the split of {source} as it is now: {gone}{new}draw a new split, or restore the images.",
            place=place,
            source=data.source,
            gone=_some(gone, Message("gone")),
            new=_some(new, Message("new")),
        )
    counts = Counter(parts.tolist())
    train, val, test = (np.flatnonzero(parts == part) for part in PARTS)
    return Split(
        train,
        val,
        test,
        seed=None,
        rule=Message(
            "as written in {place}: {parts}", place=place, parts=", ".join(f"{counts[part]} {part}" for part in PARTS)
        ),
    )


def _some(names: list[str], state: Message) -> str:
    if not names:
        return ""
    shown = ", ".join(map(printable, names[:3])) + (" ..." if len(names) > 3 else "")
    return Message(
        "{n} image is {state} ({names}); " if len(names) == 1 else "{n} images are {state} ({names}); ",
        n=len(names),
        state=state,
        names=shown,
    )
