"""Who trains, who chooses, who reports: a split that is drawn once, written to a file, and reused.

*Validation chooses, test reports, never the same images.* What the layout gives is kept: a given test part stays the
test part. Where only train and val are given (as in ImageNet's copies and the ants and bees), the given val is held
out as the test part and a validation part is carved out of train.

The drawing is keyed by each image's name, not by its place: images are ordered by a hash of (seed, name), and each
class gives its first ones away. So the split is the same on every machine, does not depend on the order of the
listing, and hardly moves when images are added.
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
    """Sorted int64 indices into a data set, disjoint; ``rule`` says in words how they came about."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    seed: int | None
    rule: str

    def parts(self, n: int) -> np.ndarray:
        """(n,) part names, as ``Dataset.parts``."""
        return part_names(n, self.train, self.val, self.test)


def make_split(data: Dataset, *, seed: int = 0, val: float = 0.15, test: float = 0.2) -> Split:
    """Draw the parts that the layout does not give; stratified by class, the same for the same names and seed.

    Args:
        val: share of the training images (what is left once the test part is set aside) that becomes validation.
        test: share of all images that becomes the test part, where none is given.
    Raises:
        DataError: a class has too few images to be in every part that must be drawn.
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
    if "test" in given:
        held_out = np.flatnonzero(data.parts == "test")
        how = [Message("the test part is the one given")]
    elif "val" in given:
        held_out = np.flatnonzero(data.parts == "val")
        how = [
            Message("no test part is given: the given val part is held out as the test part, and never used to choose")
        ]
    else:
        held_out, pool = _draw(data, pool, test, seed, "test")
        drawn = Message("the test part is {share:.0%} of each class, drawn", share=test)
        how = [drawn if test else Message("there is no test part")]
    if {"test", "val"} <= given:
        chosen, train = np.flatnonzero(data.parts == "val"), pool
        how.append(Message("so is the validation part"))
    else:
        chosen, train = _draw(data, pool, val, seed, "val")
        drawn = Message("validation is {share:.0%} of each class of the rest, drawn", share=val)
        how.append(drawn if val else Message("there is no validation part"))
    rule = Message(
        "{how} by seed {seed}. Validation chooses, test reports."
        if any("drawn" in each for each in how)
        else "{how}. Validation chooses, test reports.",
        how=joined(how, "; "),
        seed=seed,
    )
    return Split(train, chosen, held_out, seed, rule)


def _draw(data: Dataset, pool: np.ndarray, share: float, seed: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Give ``share`` of each class of ``pool`` away; (given, kept), both sorted."""
    if share == 0:
        return np.array([], dtype=np.int64), pool
    given: list[np.ndarray] = []
    for k, name in enumerate(data.classes):
        mine = pool[data.labels[pool] == k]
        if len(mine) < 2:
            raise DataError(
                "class {name!r} of {source} has {mine} image left when the {part} part is drawn; "
                "at least 2 are needed. Add images, or pass {part}=0 (--{part} 0) to do without.",
                name=printable(name),
                source=data.source,
                mine=len(mine),
                part=part,
            )
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        ranked = sorted(mine.tolist(), key=lambda index: _rank(seed, part, data.names[index]))
        given.append(np.array(ranked[:count], dtype=np.int64))
    drawn = np.sort(np.concatenate(given))
    return drawn, np.setdiff1d(pool, drawn)


def _rank(seed: int, part: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{part}\0{nfc(name)}".encode("utf-8", "surrogatepass")).digest()


def write_split(path: str | Path, data: Dataset, split: Split) -> None:
    """Write ``name,label,part``, one row per image that is in a part; whole or not at all.

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
    """The split a file states, for the same images.

    Raises:
        DataError: the file is missing or damaged, names an image that is gone, gives another label, or leaves an
            image of the data set out: then it is not the split of these data.
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
