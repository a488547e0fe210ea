"""``--lang``: the language of what is printed."""

from __future__ import annotations

from typing import Any

import click

from convatlas.cli._common import Command
from convatlas.i18n import LANGUAGES, set_language


def lang_option(command: Command) -> Command:
    def choose(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        if value is not None:  # where not given, what `main` settled stays: a flag before the command, or the locale
            set_language(value)
        return value

    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        expose_value=False,
        is_eager=True,
        callback=choose,
        help="Language of the output; by default that of the locale.",
    )(command)
