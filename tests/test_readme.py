"""The README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from convatlas.cli import main

ROOT = Path(__file__).parents[1]
README, KOREAN = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
SHOWN = re.findall(r"<!-- output: convatlas (.+?) -->\n```\n(.+?)\n```", README + KOREAN, re.S)


@pytest.mark.parametrize(("arguments", "printed"), SHOWN, ids=[arguments for arguments, _ in SHOWN])
def test_an_output_in_the_readme_is_the_program_s(capsys, monkeypatch, arguments, printed):
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    with pytest.raises(SystemExit):
        main(shlex.split(arguments))
    assert capsys.readouterr().out.rstrip() == printed


def test_the_readme_names_its_two_commands():
    assert len(re.findall(r"<!-- ci: (?:first|second) -->\n```sh\n.+\n```", README)) == 2
    assert len(SHOWN) == 2  # one in each language


def test_both_languages_show_the_same_commands():
    english, korean = (re.findall(r"```(?:sh|python)\n.+?```", text, re.S) for text in (README, KOREAN))
    assert english == korean
