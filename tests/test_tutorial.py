"""The tutorial can be followed: its commands run as they stand, and print what it shows.

The commands are read from the Markdown, so that text and test cannot drift apart.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from chapters import DOCS, carry_out, missing_lines, steps_of

CHAPTER = "tutorial/first-hour.md"
CHAPTERS = {language: (DOCS / language / CHAPTER).read_text(encoding="utf-8") for language in ("en", "ko")}
TRAINS = ("convatlas train", "convatlas compare", "runs/ants", "convatlas runs")  # minutes, or what needs a training


@pytest.fixture
def hour(tmp_path, shared):
    """The folder of a reader who has the photos and the weights."""
    folder = tmp_path / "hour"
    folder.mkdir()
    shutil.copytree(shared("data/hymenoptera"), folder / "hymenoptera_data")
    shutil.copy(shared("data/weights/squeezenet_v1.1.caffemodel"), folder)
    return folder


def environment(folder: Path, language: str) -> dict[str, str]:
    """That of a terminal of 100 columns, in which ``convatlas`` and ``python`` are those of this test."""
    programs = folder.parent / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("convatlas", "-m convatlas")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    source = str(Path(__file__).parents[1] / "src")
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": source, "CONVATLAS_LANG": language, "COLUMNS": "100",
    }  # fmt: skip


def follow(folder: Path, language: str, quick_only: bool) -> int:
    """Take the steps of a chapter; how many outputs were held against it."""
    variables, compared = environment(folder, language), 0
    for step in steps_of(CHAPTERS[language]):
        if quick_only and any(word in step.text for word in TRAINS):
            continue
        printed = carry_out(step, folder, variables)
        if step.output is not None:
            missing = missing_lines(step.output, printed)
            assert not missing, "\n".join([step.text, *missing, "was printed otherwise:", printed])
            compared += 1
    return compared


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_needs_no_training_prints_what_the_chapter_shows(hour, language):
    assert follow(hour, language, quick_only=True) == 4


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_whole_chapter_can_be_followed(hour, language):
    shown = sum(step.output is not None for step in steps_of(CHAPTERS[language]))
    assert follow(hour, language, quick_only=False) == shown


def test_both_languages_have_the_same_steps():
    english, korean = (
        [(step.file, step.text, step.interrupted) for step in steps_of(CHAPTERS[language])] for language in ("en", "ko")
    )
    assert english == korean
    assert any(interrupted for *_, interrupted in english)


def test_a_line_that_was_not_printed_is_found():
    assert missing_lines("top-1  80.00 %\n…\nbees  30", "top-1  7.5 %\nants  30\nbees  1,030\n") == []
    assert missing_lines("bees  30\nwasps  3", "top-1  7.5 %\nbees  30\n") == ["wasps  3"]
    assert missing_lines("data  /home/you/hour/a: 12.1 ms", "data  hour\ndata  /tmp/x/hour/a: 1 min 03 s") == []
