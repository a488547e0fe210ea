"""``convatlas data DATA``: what was found there, and how it would be split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from convatlas import units
from convatlas.cli._bar import bar
from convatlas.cli._benchmark import print_benchmark
from convatlas.cli._common import debug_option, json_option, picture_format, print_json, print_table, reading_options
from convatlas.cli._completion import network_names, recipe_names
from convatlas.cli._lang import lang_option
from convatlas.cli.train import print_notices, settings_options
from convatlas.errors import DataError, UsageError
from convatlas.i18n import _, translated
from convatlas.recipes.recipe import SETTINGS
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.data import Dataset, ReadingOptions, Split

MAX_ROWS = 40  # classes shown in the table; --json has them all
IMAGE_SETTINGS = tuple(name for name, each in SETTINGS.items() if each.group == "images")


@click.command("data", short_help="What was found in a data set.")
@click.argument("data", default="digits")
@click.option("--seed", default=0, show_default=True, help="Random seed of the parts that are drawn.")
@click.option("--val", default=0.15, show_default=True, help="Share of the training images that becomes validation.")
@click.option("--test", default=0.2, show_default=True, help="Share of the images that becomes the test part.")
@click.option("--split", "split_file", type=click.Path(path_type=Path), help="Reuse the split in this file.")
@click.option("--write-split", type=click.Path(path_type=Path), help="Write the split to this file.")
@reading_options
@click.option("--download", is_flag=True, help="Let hf:ID use the network; train then finds it in the cache.")
@click.option("--show-batch", type=click.Path(path_type=Path), metavar="FILE.png",
              help="Write a picture of augmented training images.")  # fmt: skip
@click.option(
    "--model", shell_complete=network_names, help="For --show-batch: the network whose recipe and input size are taken."
)
@click.option(
    "--recipe", shell_complete=recipe_names, help="For --show-batch: modern (default), paper, or a recipe's own name."
)
@click.option("--config", type=click.Path(path_type=Path), help="For --show-batch: a TOML file of settings.")
@settings_options(*IMAGE_SETTINGS)
@json_option
@lang_option
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
    reading: ReadingOptions,
    download: bool,
    show_batch: Path | None,
    model: str | None,
    recipe: str | None,
    config: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Report on DATA: layout, classes, counts, sizes, problems, duplicates, split. Every image is decoded once.

    DATA is 'digits' (embedded), or a path: one folder per class; train/, val/, test/ of such folders; a CSV of
    file,label[,split]; IDX files as of MNIST; CIFAR's binary or python batches; CUB-200; Tiny ImageNet; a zip of any of
    these; tar shards of WebDataset, as a folder or as a-{000000..000003}.tar; hf:ID or hf:FOLDER of Hugging Face.
    Nothing is moved. The report is complete even if something is wrong with the data; the exit code is then 3.

    --show-batch takes the settings that train takes, from the same places, and shows what they do.

    \b
    convatlas data photos/
    convatlas data photos/ --on-bad skip --write-split split.csv
    convatlas data photos/ --show-batch batch.png --crop random-resized --policy trivial --erasing 0.25
    convatlas data photos/ --show-batch batch.png --model vgg16 --recipe paper
    """
    from convatlas import data as room
    from convatlas.data.benchmarks import compare_with_benchmark

    given = [name for name, value in {"model": model, "recipe": recipe, "config": config, **flags}.items() if value]
    if show_batch is not None:
        picture_format(show_batch, ("png",))
    if given and show_batch is None:
        raise UsageError(
            "--{option} is for the picture of a batch: add --show-batch FILE.png.", option=given[0].replace("_", "-")
        )

    with bar(_("looking at the images")) as progress:
        dataset = room.open_data(
            data,
            on_bad=on_bad,
            max_bad=max_bad,
            verify=True,
            download=download,
            progress=progress,
            collect_faults=True,
            **reading.to_dict(),
        )
    faults = dataset.faults
    split, no_split = _split(dataset, split_file, seed, val, test)
    if write_split is not None and not faults:
        if split is None:
            raise DataError(no_split)
        room.write_split(write_split, dataset, split)
    report = dataset.report(None if split is None else split.parts(len(dataset)))
    benchmark = compare_with_benchmark(dataset)
    report["benchmark"] = None if benchmark is None else benchmark.to_dict()
    report["layout_parts"] = {part or "unassigned": int(n.sum()) for part, n in dataset.counts().items()}
    report["split"] = None if split is None else {"rule": split.rule, "seed": split.seed}
    if split is None:
        report["problems"].append({"index": None, "name": "split", "reason": no_split})
    if show_batch is not None and not faults:
        _show_batch(show_batch, dataset, split, seed, model, recipe or "modern", config, flags)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if faults:
        raise _as_one(faults)


def _as_one(faults: list[DataError]) -> DataError:
    """The first fault, and how many others there are: the report above the error lists them all."""
    if len(faults) == 1:
        return faults[0]
    return DataError(
        "{first} There are {n} more faults; the report lists what cannot be read.",
        first=faults[0].message,
        n=len(faults) - 1,
    )


def _split(data: Dataset, split_file: Path | None, seed: int, val: float, test: float) -> tuple[Split | None, str]:
    """The split, or why there is none: a data set that cannot be split is still worth a report."""
    from convatlas import data as room

    if split_file is not None:
        return room.read_split(split_file, data), ""
    try:
        return room.make_split(data, seed=seed, val=val, test=test), ""
    except DataError as error:
        return None, error.message


def _print_report(report: dict[str, Any]) -> None:
    height, width = report["sizes"]["height"], report["sizes"]["width"]
    size = (
        _("{height} x {width} pixels", height=height[0], width=width[0])
        if report["sizes"]["uniform"]
        else _(
            "height {least} to {most} (median {median}), width {least_width} to {most_width} (median {median_width}) "
            "pixels",
            least=height[0],
            median=height[1],
            most=height[2],
            least_width=width[0],
            median_width=width[1],
            most_width=width[2],
        )
    )
    click.echo(f"{report['source']}: {report['layout']}")
    click.echo(
        _(
            "{n} images, {classes} classes, {colour}, {size}",
            n=units.exact(report["n"]),
            classes=len(report["classes"]),
            colour=_("grey") if report["channels"] == 1 else _("colour"),
            size=size,
        )
    )
    click.echo()
    parts = list(report["parts"])
    rows = [[each["name"], *(each[part] for part in parts), each["n"]] for each in report["classes"]]
    hidden = len(rows) - MAX_ROWS
    if hidden > 0:
        rows = [*rows[:MAX_ROWS], [_("... {n} more (--json)", n=hidden), *[""] * (len(parts) + 1)]]
    rows.append([_("all"), *report["parts"].values(), report["n"]])
    columns = (
        Column(_("class")),
        *(Column(part, number=True, drop=place) for place, part in enumerate(parts, 1)),
        Column(_("images"), number=True),
    )
    print_table(columns, rows)
    click.echo()
    if report["split"] is not None:
        click.echo(_("split: {rule}", rule=translated(report["split"]["rule"])))
    if report["benchmark"] is not None:
        print_benchmark(report["benchmark"])
    for note in report["notes"]:
        click.echo(_("note: {text}", text=translated(note)))
    for problem in report["problems"]:
        place, index = problem["name"], problem["index"]
        if index is not None:
            place = _("{path} (index {index})", path=place, index=index)
        click.echo(_("problem: {place}: {reason}", place=place, reason=translated(problem["reason"])))
    duplicates = report["duplicates"]
    for title, groups in (
        (_("the same image in two parts"), duplicates["across_parts"]),
        (_("the same image with two labels"), duplicates["with_different_labels"]),
    ):
        for group in groups[:10]:
            click.echo(_("problem: {place}: {reason}", place=title, reason=", ".join(group)))
        if len(groups) > 10:
            more = _("{n} more (--json)", n=len(groups) - 10)
            click.echo(_("problem: {place}: {reason}", place=title, reason=more))
    click.echo(
        _(
            "exact duplicates: {n} groups, {across} across parts",
            n=duplicates["groups"],
            across=len(duplicates["across_parts"]),
        )
    )


def _show_batch(
    path: Path,
    data: Dataset,
    split: Split | None,
    seed: int,
    model: str | None,
    recipe: str,
    config: Path | None,
    flags: dict[str, Any],
) -> None:
    import numpy as np

    from convatlas import models
    from convatlas.data import Split
    from convatlas.data.picture import batch_picture, write_picture
    from convatlas.recipes.registry import recipe_by_name, recipe_for
    from convatlas.runs.configuration import configure
    from convatlas.runs.header import describe_augmentation
    from convatlas.runs.training_data import TrainingData

    configuration = configure(recipe_for(model, recipe) if model else recipe_by_name(recipe), flags, config)
    print_notices(configuration.notices)
    chosen = configuration.recipe
    nothing = np.array([], dtype=np.int64)
    with bar(_("decoding")) as progress:
        everything = Split(np.arange(len(data)), nothing, nothing, seed, "all of them")
        training_data = TrainingData(data, seed=seed, split=split or everything, progress=progress)
        preprocessing, store = training_data.prepared(models.entry(model) if model else None, chosen)
    batches = training_data.training_batches(preprocessing, store, chosen, seed, "cpu")
    write_picture(path, batch_picture(batches))
    click.echo(
        _(
            "wrote {file}: a row per image, plain and then in seven epochs; recipe {recipe}; {preprocessing}; "
            "{augmentation}",
            file=path,
            recipe=chosen.name,
            preprocessing=translated(preprocessing.why),
            augmentation=translated(describe_augmentation(batches.augment)),
        ),
        err=True,
    )
