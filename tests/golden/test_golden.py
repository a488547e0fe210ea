"""What the commands print, compared with the files in ``expected/`` that were read in review.

python -m pytest tests/golden --renew      writes the files anew; read the difference before you commit it
"""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

import pytest
from cases import CASES, Case
from rendering import expected_of, files, rendered

from convatlas.cli._app import COMMANDS

EXPECTED = Path(__file__).with_name("expected")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_output_is_as_reviewed(case: Case, in_workplace, recorder, request):
    texts = {}
    for language in case.languages:
        for width in case.widths:
            shutil.rmtree("fresh", ignore_errors=True)
            texts[language, width] = rendered(case, language, width, recorder)
    now, then = files(case, texts), expected_of(case, EXPECTED)
    if request.config.getoption("--renew"):
        for name in then.keys() - now.keys():
            (EXPECTED / name).unlink()
        for name, text in now.items():
            (EXPECTED / name).write_text(text, "utf-8", newline="\n")
        return
    assert now == then, difference(then, now)


def difference(then: dict[str, str], now: dict[str, str]) -> str:
    """Unified diffs of the files of one case; a file that only one side has is shown in full."""
    diffs = []
    for name in sorted(then.keys() | now.keys()):
        lines = (side.get(name, "").splitlines(keepends=True) for side in (then, now))
        diffs.append("".join(difflib.unified_diff(*lines, f"expected/{name}", f"{name}, printed now")))
    return "\n" + "".join(diffs) + "Renew with  python -m pytest tests/golden --renew  if this is meant."


def test_every_file_belongs_to_a_case():
    names = {case.name for case in CASES}
    assert [path.name for path in EXPECTED.iterdir() if path.name.partition(".")[0] not in names] == []


def test_every_case_has_a_name_of_its_own():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert not any("." in name for name in names)


def test_every_command_is_there():
    used = {case.arguments[0] for case in CASES if "--help" not in case.arguments}
    assert set(COMMANDS) <= used
