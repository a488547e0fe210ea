"""Exported files as the argument of `predict`, `evaluate` and `bench`, and where other commands meet one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.exports.exported import ExportedModel

SUFFIXES = (".onnx", ".xml", ".pt2")  # spelt out, for --help does not wait for numpy; a test compares them
TAKE_FILES = ("predict", "evaluate", "bench", "check-export", "serve")  # commands whose argument may be such a file


def is_exported(name: str) -> bool:
    """Whether an argument is the name of an exported file: model.onnx, model.xml, model.pt2."""
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).is_dir()


def opened(file: str) -> ExportedModel:
    """The exported file in its engine; what should be known about it goes to stderr.

    Raises:
        CheckpointError: the file or its sidecar is missing, is damaged, or the two do not belong together.
        MissingDependencyError: the engine is not installed.
    """
    from convatlas.deployed.output import print_remarks
    from convatlas.exports.exported import open_exported

    model = open_exported(file)
    print_remarks(model)
    return model


def refuse_flags(file: str, flags: Mapping[str, Any]) -> None:
    """Raise UsageError for options that have no meaning for an exported file.

    Args:
        flags: the values of these options by name; given are those that are neither None nor False.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value not in (None, False)]
    if given:
        raise UsageError(
            "{flags} cannot be used with {file}: an exported file has its weights, classes, preparation and precision "
            "inside. Leave it out, or give the run or the network that the file was exported from.",
            flags=", ".join(given),
            file=file,
        )


def refuse_elsewhere(command: click.Command, arguments: Sequence[str]) -> None:
    """Raise UsageError for an exported file given to a command that needs the run or the network."""
    if command.name in TAKE_FILES:
        return
    flags = {
        name
        for each in command.params
        if getattr(each, "is_flag", False)
        for name in (*each.opts, *each.secondary_opts)
    }
    before = ("", *arguments)
    for previous, argument in zip(before, arguments, strict=False):
        of_an_option = previous.startswith("-") and "=" not in previous and previous not in flags
        if is_exported(argument) and not argument.startswith("-") and not of_an_option:
            raise UsageError(
                "{file} is an exported file, which {command} cannot use: it needs the run or the network that the file "
                "was exported from. Exported files are for {commands}.",
                file=argument,
                command=command.name,
                commands=", ".join(TAKE_FILES),
            )
