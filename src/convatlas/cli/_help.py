"""``--help`` and click's own words in the reader's language, in one place: the commands themselves are in English.

A text is looked up when it is shown, so that no command need know of it. What click says itself ("Usage:", "No such
option") goes through `gettext.gettext`, whose domain the program may choose: ``locale/ko/LC_MESSAGES/click.po``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator

import click

from convatlas import i18n, units
from convatlas.i18n import choose_language, language

WITH_EXTRA = re.compile(r"(.*?)((?:  \[[^][]*\])?)", re.DOTALL)  # what click puts after a help: [default: 0]


class Formatter(click.HelpFormatter):
    """Tells descriptions and options in the language in use, wrapped by what is seen in a terminal."""

    def write_text(self, text: str) -> None:
        if language() == "en":
            super().write_text(text)
            return
        margin = " " * self.current_indent
        told = (
            [margin + line for line in paragraph.splitlines()[1:]]
            if paragraph.startswith("\b")
            else [margin + line for line in wrapped(i18n._(flat(paragraph)), self.width - self.current_indent)]
            for paragraph in paragraphs(text)
        )
        self.write("\n\n".join("\n".join(lines) for lines in told) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        if language() == "en":
            super().write_dl(rows, col_max, col_spacing)
            return
        margin = " " * self.current_indent
        column = min(max((len(term) for term, _ in rows), default=0), col_max) + col_spacing
        for term, text in rows:
            lines = list(wrapped(told_help(text), max(self.width - column - self.current_indent, 10)))
            if lines and len(term) <= column - col_spacing:
                self.write(margin + term.ljust(column) + lines.pop(0) + "\n")
            else:
                self.write(margin + term + "\n")
            for line in lines:
                self.write(margin + " " * column + line + "\n")


class Context(click.Context):
    formatter_class = Formatter


def with_translated_help(command: click.Command) -> click.Command:
    """The command; its help, and that of the commands below it, is told in the language in use."""
    command.context_class = Context
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])  # also where it is called by itself
    for below in getattr(command, "commands", {}).values():
        with_translated_help(below)
    return command


def help_where_no_command(ctx: click.Context) -> None:
    """``convatlas --lang ko`` prints the help, as ``convatlas`` does: an option alone is no command either."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        sys.exit(click.UsageError.exit_code)


def speak(arguments: list[str]) -> None:
    """Choose the language before the arguments are parsed: the errors of parsing are in it too."""
    choose_language(arguments, "click")


def told_help(text: str) -> str:
    """The help of an option, its ``[default: 0]`` kept."""
    found = WITH_EXTRA.fullmatch(text)
    return text if found is None or not found[1] else i18n._(flat(found[1])) + found[2]


def paragraphs(text: str) -> list[str]:
    return inspect.cleandoc(text).split("\n\n")


def flat(text: str) -> str:
    """One line: as the catalogue has it, however the source wraps it."""
    return " ".join(text.split())


def wrapped(text: str, columns: int) -> Iterator[str]:
    """Lines of at most so many columns, broken at spaces; a Korean syllable takes two."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and units.width(longer) > columns:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line


def help_messages(command: click.Command) -> Iterator[str]:
    """Every text of a command's help that the catalogue should hold."""
    for text in (command.help, command.short_help):
        if text:
            yield from (flat(each) for each in paragraphs(text) if not each.startswith("\b"))
    for parameter in command.params:
        if text := getattr(parameter, "help", None):
            yield flat(text)
    for below in getattr(command, "commands", {}).values():
        yield from help_messages(below)
