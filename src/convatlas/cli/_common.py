"""What several commands share: the common flags, JSON output, the console on stderr."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from convatlas import tables
from convatlas.errors import UsageError
from convatlas.message import Message
from convatlas.tables import Column

Command = TypeVar("Command", bound=Callable[..., Any])

SCHEMA = 1  # of every JSON document this program prints


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")(command)


def debug_option(command: Command) -> Command:
    # read from the arguments by main(), which decides what becomes of an error
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(command)


def data_option(default: str | None = "digits") -> Callable[[Command], Command]:
    return click.option(
        "--data",
        default=default,
        show_default=default is not None,
        help="A folder, archive or file whose layout is detected; 'digits' is embedded.",
    )


def reading_options(command: Command) -> Command:
    """How --data is read: every command that takes it has these, and receives them as ``reading``."""

    @functools.wraps(command)
    def with_reading(*args: Any, **values: Any) -> Any:
        from convatlas.data.reading import ReadingOptions

        names = ("image_column", "label_column", "split_column", "class_from", "follow_links", "rare")
        return command(*args, reading=ReadingOptions(**{name: values.pop(name) for name in names}), **values)

    options = (
        click.option("--on-bad", default="fail", type=click.Choice(["fail", "skip"]), show_default=True,
                     help="What to do about files that cannot be read: fail stops, skip leaves them out and lists "
                          "them."),
        click.option("--max-bad", default=0.05, show_default=True,
                     help="Largest share of the images that --on-bad skip may leave out."),
        click.option("--image-column", metavar="NAME",
                     help="Column of the table of labels that names the image, with or without its extension."),
        click.option("--label-column", metavar="NAME[,NAME...]",
                     help="Column of the table that states the class, or the columns of 0 and 1, one for each class."),
        click.option("--split-column", metavar="NAME", help="Column of the table that states train, val or test."),
        click.option("--class-from", default="auto", show_default=True,
                     type=click.Choice(["auto", "folder", "top-folder", "file-name"]),
                     help="What states the class of an image: the folder it lies in, the topmost folder, or the "
                          "beginning of its file name (cat.1.jpg); auto: what the layout suggests."),
        click.option("--follow-links", is_flag=True,
                     help="Read the files and folders outside of the data set that symbolic links lead to."),
        click.option("--rare", default="refuse", show_default=True,
                     type=click.Choice(["refuse", "keep-in-training", "leave-out"]),
                     help="What happens to a class with too few images for every split: an error, all of its images "
                          "go into the training set, or the class is left out."),
    )  # fmt: skip
    decorated: Any = with_reading
    for option in reversed(options):
        decorated = option(decorated)
    return cast(Command, decorated)


def process_number() -> int | None:
    """Which of several processes this is, where torchrun started several; None for a single one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "MASTER_ADDR" not in os.environ:
        return None
    return int(os.environ.get("RANK", "0"))


def print_json(document: dict[str, Any]) -> None:
    """One document on stdout, the schema first."""
    click.echo(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False, indent=2))


def print_json_line(document: dict[str, Any]) -> None:
    """One line of JSON on stdout, flushed: a reader may follow along."""
    click.echo(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False))  # which flushes


def print_table(columns: Iterable[Column], rows: Iterable[Iterable[object]], title: str = "") -> None:
    """A table on stdout, as wide as the terminal; messages in the language in use."""
    click.echo(tables.text(list(columns), rows, title))


def picture_format(file: Path, known: tuple[str, ...]) -> str:
    """The format that the ending of a picture's file decides.

    Raises:
        UsageError: the picture cannot be written in it.
    """
    ending = file.suffix.lower().removeprefix(".")
    if ending not in known:
        raise UsageError(
            "the picture {file} has the ending {ending}; this one is written as {known}.",
            file=file,
            ending=f".{ending}" if ending else Message("none"),
            known=" or ".join(f".{each}" for each in known),
        )
    return ending


def listed(names: Iterable[str]) -> Iterator[str]:
    """The names; in the place of - those that stdin lists, one to a line."""
    for name in names:
        if name == "-":
            yield from (line for line in (line.rstrip("\r\n") for line in sys.stdin) if line)
        else:
            yield name
