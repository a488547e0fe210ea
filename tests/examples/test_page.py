"""The page about other loops shows lines of the scripts in examples/, in both languages the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.name: path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")}


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / language / "how-to" / "other-loops.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_block_is_part_of_a_script(language):
    found = blocks(language)
    assert len(found) == 5
    for block in found:
        assert any(block in script for script in SCRIPTS.values()), block


def test_both_languages_show_the_same():
    assert blocks("en") == blocks("ko")
