"""One page of the site, and the words that generated pages have in two languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "ko")

# the sections of the navigation, in order -> their titles
SECTIONS = {
    "": {"en": "Home", "ko": "처음"},
    "tutorial": {"en": "Tutorial", "ko": "튜토리얼"},
    "how-to": {"en": "How-to guides", "ko": "활용 안내"},
    "notebooks": {"en": "Notebooks", "ko": "노트북"},
    "atlas": {"en": "Atlas", "ko": "아틀라스"},
    "reference": {"en": "Reference", "ko": "레퍼런스"},
    "evidence": {"en": "Evidence", "ko": "근거"},
}


@dataclass(frozen=True)
class Page:
    """A page before it is built.

    Args:
        path: below the folder of its language, ends in ``.md``; the same in both languages.
        text: Markdown.
        section: a key of `SECTIONS`.
        group: the heading in the navigation under which a section lists it.
        source: the file of the repository that holds it, from the root; empty for a generated page.
        listed: whether the navigation has it; the others are reached by links and by the search.
        files: pictures that belong to the page, by path below the folder of its language.
    """

    path: str
    text: str
    section: str
    group: str = ""
    source: str = ""
    listed: bool = True
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def title(self) -> str:
        heading = re.search(r"^# +(.+?) *$", self.text, re.M)
        assert heading, f"{self.path} has no heading"
        return re.sub(r"[`*]", "", heading[1])


def table(headings: list[str], rows: list[list[str]], numbers: tuple[int, ...] = ()) -> str:
    """A Markdown table; ``numbers`` are the columns that are aligned to the right."""
    rule = ["---:" if column in numbers else "---" for column in range(len(headings))]
    lines = [headings, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def html_table(headings: list[str], rows: list[list[str]], numbers: tuple[int, ...] = ()) -> str:
    """The same as HTML, for a long table of plain texts: Markdown need not be parsed."""

    def line(tag: str, cells: list[str]) -> str:
        aligned = (' style="text-align: right"' if column in numbers else "" for column in range(len(cells)))
        return "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for style, cell in zip(aligned, cells, strict=True))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{line('th', headings)}</tr></thead><tbody>{body}</tbody></table>"
