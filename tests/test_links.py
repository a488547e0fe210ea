"""Links in the documentation resolve: files, anchors, and the paths of scripts and tests that a page names."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPPED_FOLDERS = {"build", "dist", "runs", "node_modules"}
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in SKIPPED_FOLDERS for part in page.relative_to(ROOT).parts[:-1])
)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
# pages that the documentation site generates; its own build checks links to them (tests/docs)
GENERATED = re.compile(
    r"docs/(?:en|ko)/(?:atlas/|reference/|notebooks/|results/|lectures\.md|how-to/choosing-a-family\.md)"
)
NAMED_PATH = re.compile(r"(?<![\w./-])(?:benchmarks|tests|docs|results|src)/[\w./-]+\.(?:py|md|json|jsonl|csv|png)\b")


def without_code(text: str) -> str:
    return FENCED.sub("", text)


def links(text: str) -> list[str]:
    """Targets of the inline links of a page, images included, without those on the web."""
    return [target for target in LINK.findall(without_code(text)) if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives a page's headings: lower case, punctuation removed, spaces as hyphens."""
    headings = re.findall(r"^#+ +(.+?) *#*$", without_code(text), re.MULTILINE)
    seen: dict[str, int] = {}
    result = set()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        result.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return result


def broken_links(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    broken = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        if GENERATED.match(os.path.relpath(page.parent / path, ROOT)):
            continue
        file = (page.parent / path) if path else page
        missing_anchor = anchor and file.suffix == ".md" and file.is_file() and anchor not in anchors(file.read_text())
        if not file.exists() or missing_anchor:
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_resolves(page):
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page):
    named = set(NAMED_PATH.findall(page.read_text("utf-8")))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_a_broken_link_and_a_missing_anchor_are_reported(tmp_path):
    (tmp_path / "a.md").write_text("# One thing\n\n## Two: `things`\n")
    page = tmp_path / "b.md"
    page.write_text("[x](a.md) [x](a.md#two-things) [x](none.md) [x](a.md#three) ![x](https://example.org/none.png)\n")
    assert broken_links(page) == ["none.md", "a.md#three"]
