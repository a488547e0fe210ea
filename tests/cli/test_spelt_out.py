"""What the command line spells out, so that --help waits for neither numpy nor torch, is what the library has."""

from __future__ import annotations

from convatlas.cli._app import COMMANDS
from convatlas.cli._exported import SUFFIXES
from convatlas.cli._messages import KOREAN, read
from convatlas.deployed.command import OF_THE_FULL_PROGRAM
from convatlas.exports.engines import OF_SUFFIX


def test_the_endings_of_exported_files():
    assert tuple(OF_SUFFIX) == SUFFIXES


def test_the_commands_that_the_runtime_sends_to_the_full_program():
    assert {*OF_THE_FULL_PROGRAM, "predict", "evaluate", "bench"} >= set(COMMANDS)


def test_what_argparse_says_is_translated():
    translations = read(KOREAN / "argparse.po")
    assert len(translations) > 10
    assert all(translations.values())
