"""How `export` and `check-export` print a contract."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from convatlas.cli._common import print_table
from convatlas.i18n import _, translated
from convatlas.message import Message
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.exports.contract import Contract

STAGES = {
    "converting": Message("converting"),
    "checking": Message("checking"),
    "quantizing": Message("quantizing"),
    "searching": Message("searching for the layers to leave in float"),
}


def print_contract(contract: Contract) -> None:
    """The checks as a table, and the result in one line."""
    from convatlas.exports.contract import CHECKS
    from convatlas.exports.description import STATES

    rows = [
        (translated(CHECKS[each.name]), translated(STATES[each.state]), translated(each.statement))
        for each in contract.checks
    ]
    print_table((Column(_("check")), Column(_("state")), Column(_("what was found"), wraps=True)), rows)
    click.echo()
    click.echo(
        _(
            "{headline} ({engine} {version}, {processor})",
            headline=translated(contract.headline),
            engine=contract.conditions["engine"],
            version=contract.conditions["engine_version"],
            processor=contract.conditions["instruction_set"],
        )
    )
    for note in contract.notes:
        click.echo(_("note: {text}", text=translated(note)))


class Stages:
    """A line on stderr for each stage of an export, with the images counted where stderr is a terminal."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        text = translated(STAGES[stage])
        if stage != self._last:
            click.echo(text, err=True)
        self._last = stage
        if total > 1 and sys.stderr.isatty():
            click.echo(f"\r{text} {done:,}/{total:,}" + ("\n" if done == total else ""), err=True, nl=False)

    def of(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self(stage, done, total)
