"""The page has a title for every family of the atlas: a chart's legend never shows the name of a file."""

from __future__ import annotations

import re
from pathlib import Path

from convatlas.models import entry, list_models

MEASURES = Path(__file__).parents[2] / "web" / "src" / "history" / "measures.ts"


def test_every_family_of_the_atlas_has_a_title():
    titles = MEASURES.read_text("utf-8").split("const TITLES", 1)[1].split("};", 1)[0]
    known = set(re.findall(r"(\w+): \"", titles))
    assert {entry(name).family for name in list_models()} <= known
