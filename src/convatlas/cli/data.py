"""``convatlas data DATA``: what was found there, and how it would be split."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from convatlas.data import Augment, Dataset, Split

MAX_ROWS = 40  # classes shown in the table; --json has them all


@click.command("data", short_help="What was found in a data set.")
@click.argument("data", default="digits")
@click.option("--seed", default=0, show_default=True, help="Of the parts that are drawn.")
@click.option("--val", default=0.15, show_default=True, help="Share of the training images that becomes validation.")
@click.option("--test", default=0.2, show_default=True, help="Share of the images that becomes the test part.")
@click.option("--split", "split_file", type=click.Path(path_type=Path), help="Reuse the split in this file.")
@click.option("--write-split", type=click.Path(path_type=Path), help="Write the split to this file.")
@click.option("--on-bad", default="fail", type=click.Choice(["fail", "skip"]), show_default=True,
              help="A damaged image stops, or is left out and listed.")  # fmt: skip
@click.option("--max-bad", default=0.05, show_default=True, help="The largest share that skip may leave out.")
@click.option("--show-batch", type=click.Path(path_type=Path), metavar="FILE.png",
              help="Write a picture of augmented training images.")  # fmt: skip
@click.option("--augment", multiple=True, metavar="NAME=VALUE", help="For --show-batch: pad=4, flip, rotate=10 ...")
@click.option("--image-size", type=click.IntRange(min=1), help="For --show-batch: side of the network's input.")
@json_option
@debug_option
def command(
    data: str,
    seed: int,
    val: float,
    test: float,
    split_file: Path | None,
    write_split: Path | None,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    show_batch: Path | None,
    augment: tuple[str, ...],
    image_size: int | None,
    as_json: bool,
) -> None:
    """What was found in DATA: layout, classes, counts, sizes, problems, duplicates, split. Every image is decoded once.

    DATA is 'digits' (embedded), or a path: one folder per class; train/, val/, test/ of such folders; a CSV of
    file,label[,split]; IDX files as of MNIST; CIFAR's binary batches; a zip of any of these. Nothing is moved.

    \b
    convatlas data photos/
    convatlas data photos/ --on-bad skip --write-split split.csv
    convatlas data photos/ --show-batch batch.png --augment random_resized=0.25,1 --augment flip
    """
    from convatlas import data as room

    with _bar("looking at the images") as progress:
        found = room.open_data(data, on_bad=on_bad, max_bad=max_bad, verify=True, progress=progress)
    split, no_split = _split(found, split_file, seed, val, test)
    if write_split is not None:
        if split is None:
            raise DataError(no_split)
        room.write_split(write_split, found, split)
    report = found.report(None if split is None else split.parts(len(found)))
    report["layout_parts"] = {part or "unassigned": int(n.sum()) for part, n in found.counts().items()}
    report["split"] = None if split is None else {"rule": split.rule, "seed": split.seed}
    if split is None:
        report["problems"].append({"index": None, "name": "split", "reason": no_split})
    if show_batch is not None:
        _show_batch(show_batch, found, split, augment, image_size, seed)
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _split(data: Dataset, split_file: Path | None, seed: int, val: float, test: float) -> tuple[Split | None, str]:
    """The split, or why there is none: a data set that cannot be split is still worth a report."""
    from convatlas import data as room

    if split_file is not None:
        return room.read_split(split_file, data), ""
    try:
        return room.make_split(data, seed=seed, val=val, test=test), ""
    except DataError as error:
        return None, str(error)


def _print_report(report: dict[str, Any]) -> None:
    height, width = report["sizes"]["height"], report["sizes"]["width"]
    size = (
        f"{height[0]} x {width[0]} pixels"
        if report["sizes"]["uniform"]
        else f"height {height[0]} to {height[2]} (median {height[1]}), width {width[0]} to {width[2]} "
        f"(median {width[1]}) pixels"
    )
    colour = "grey" if report["channels"] == 1 else "colour"
    click.echo(f"{report['source']}: {report['layout']}")
    click.echo(f"{units.exact(report['n'])} images, {len(report['classes'])} classes, {colour}, {size}")
    click.echo()
    parts = list(report["parts"])
    rows = [[each["name"], *(each[part] for part in parts), each["n"]] for each in report["classes"]]
    hidden = len(rows) - MAX_ROWS
    if hidden > 0:
        rows = [*rows[:MAX_ROWS], [f"... {hidden} more (--json)", *[""] * (len(parts) + 1)]]
    rows.append(["all", *report["parts"].values(), report["n"]])
    print_table([("class", "left"), *((part, "right") for part in parts), ("images", "right")], rows)
    if report["split"] is not None:
        click.echo(f"split: {report['split']['rule']}")
    for note in report["notes"]:
        click.echo(f"note: {note}")
    for problem in report["problems"]:
        place = "" if problem["index"] is None else f" (index {problem['index']})"
        click.echo(f"problem: {problem['name']}{place}: {problem['reason']}")
    duplicates = report["duplicates"]
    for title, groups in (
        ("the same image in two parts", duplicates["across_parts"]),
        ("the same image with two labels", duplicates["with_different_labels"]),
    ):
        for group in groups[:10]:
            click.echo(f"problem: {title}: {', '.join(group)}")
        if len(groups) > 10:
            click.echo(f"problem: {title}: {len(groups) - 10} more (--json)")
    click.echo(f"exact duplicates: {duplicates['groups']} groups, {len(duplicates['across_parts'])} across parts")


def _show_batch(
    path: Path, data: Dataset, split: Split | None, augment: tuple[str, ...], image_size: int | None, seed: int
) -> None:
    import numpy as np

    from convatlas import data as room
    from convatlas.data.picture import batch_picture, write_picture

    size = image_size if image_size is not None else data.uniform_size or 224
    rule = room.preprocessing_for(data, size)
    indices = np.arange(len(data)) if split is None else split.train
    chosen = _augment(augment, rule.size, data.channels)
    with _bar("decoding") as progress:
        store = room.load_images(data, rule, progress=progress)
    rule = rule.with_stats(*room.channel_stats(store, indices))
    batches = room.Batches(store, data.labels, indices, batch_size=8, seed=seed, rule=rule, augment=chosen)
    write_picture(path, batch_picture(batches))
    click.echo(f"wrote {path}: a row per image, plain and then in seven epochs; {rule.why}", err=True)


def _augment(settings: tuple[str, ...], size: tuple[int, int], channels: int) -> Augment:
    """``("pad=4", "flip", "random_resized=0.25,1")`` as an Augment; without any, a crop out of an eighth, and flips."""
    from convatlas.data import Augment
    from convatlas.data.picture import augment_names

    if not settings:
        return Augment(pad=min(size) // 8, flip=channels == 3)
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in augment_names():
            raise UnknownNameError("augmentation", name, augment_names())
        values[name] = _value(setting, text)
    try:
        return Augment(**values)
    except TypeError as error:
        raise UsageError(f"--augment {' '.join(settings)}: a value is missing or of the wrong kind") from error


def _value(setting: str, text: str) -> bool | int | float | tuple[float, ...]:
    if not text:
        return True
    try:
        numbers = tuple(int(word) if word.strip().isdecimal() else float(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(f"--augment {setting!r}: {text!r} is no number; write for example pad=4, or flip") from error
    return numbers if len(numbers) > 1 else numbers[0]


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
