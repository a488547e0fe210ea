"""The README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from convatlas.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- output: convatlas (.+?) -->\n```\n(.+?)\n```", README, re.S)


@pytest.mark.parametrize(("arguments", "printed"), SHOWN, ids=[arguments for arguments, _ in SHOWN])
def test_an_output_in_the_readme_is_the_program_s(capsys, monkeypatch, arguments, printed):
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    with pytest.raises(SystemExit):
        main(shlex.split(arguments))
    assert capsys.readouterr().out.rstrip() == printed


def test_the_readme_names_its_two_commands():
    assert len(re.findall(r"<!-- ci: (?:first|second) -->\n```sh\n.+\n```", README)) == 2
    assert SHOWN  # at least one output is held against the program
