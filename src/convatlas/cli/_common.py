"""What several commands share: the common flags, JSON output, the console on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from convatlas import tables
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
