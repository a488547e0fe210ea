"""Pages written by hand: docs/LANGUAGE, and the records of the repository, which are in English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docs.builder.page import ROOT, Page

# the chapters of the tutorial, in the order in which they are read
CHAPTERS = (
    "index", "arithmetic-of-a-layer", "a-network-and-its-paper", "first-hour", "comparing-and-choosing",
    "looking-inside", "shipping", "a-claim-put-to-the-test",
)  # fmt: skip
ENGLISH_ONLY = {"en": "", "ko": '!!! note "영어 기록"\n\n    이 기록은 저장소에 있는 영어 원문 그대로입니다.\n\n'}
# file of the repository -> page
RECORDS = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "docs/log.md": "log.md"}
GROUPS = {
    "results": {"en": "Results", "ko": "측정 기록"},
    "decisions": {"en": "Decisions", "ko": "설계 결정"},
}
DECISIONS = {
    "en": "# Decisions\n\nWhat was decided, why, and what follows from it. One page each, never rewritten afterwards.",
    "ko": "# 설계 결정\n\n무엇을, 왜 정했고, 그 결과가 무엇인지 적은 기록입니다. 결정마다 한 쪽이며, 원문은 영어입니다.",
}
RESULTS = {
    "en": "# Results\n\nMeasurements with their conditions. `benchmarks/` in the repository has the scripts that made "
    "them.",
    "ko": "# 측정 기록\n\n측정값과 측정 조건입니다. 측정에 쓴 스크립트는 저장소의 `benchmarks/`에 있습니다. 원문은 영어입니다.",
}
TABLES = re.compile(r"(?:^\|.*\n)+", re.M)


def written(language: str) -> Iterator[Page]:
    """The pages of docs/LANGUAGE."""
    folder = ROOT / "docs" / language
    for file in sorted(folder.rglob("*.md"), key=lambda file: (file.parent, _place(file))):
        path = file.relative_to(folder).as_posix()
        section = path.partition("/")[0] if "/" in path else ("" if path == "index.md" else "evidence")
        if section == "decisions":
            continue  # summaries, which stand above the records
        text = with_english_tables(file.read_text("utf-8"), ROOT / "docs/en" / path)
        yield Page(path, text, section, source=file.relative_to(ROOT).as_posix())


def _place(file: Path) -> tuple[int, str]:
    chapter = CHAPTERS.index(file.stem) if file.stem in CHAPTERS else len(CHAPTERS)
    return chapter, file.stem


def with_english_tables(text: str, english: Path) -> str:
    """The text with each ``<!-- table of the English page -->`` replaced by the next table of that page.

    So a table of names and numbers, which both languages share, stands in one file.
    """
    mark = "<!-- table of the English page -->\n"
    if mark in text:
        for found in TABLES.findall(english.read_text("utf-8")):
            text = text.replace(mark, found, 1)
    assert mark not in text, f"{english} has fewer tables than its translation takes"
    return text


def records(language: str) -> Iterator[Page]:
    """The decisions, the results, the log and the changes, with their lists."""
    kinds = {
        "results": (RESULTS, sorted(ROOT.glob("results/*/README.md"))),
        "decisions": (DECISIONS, sorted(ROOT.glob("docs/decisions/*.md"))),
    }
    for kind, (head, files) in kinds.items():
        pages = [_record(file, kind, language) for file in files]
        lines = [f"- [{page.title}]({Path(page.path).name})" for page in pages]
        text = head[language] + "\n\n" + "\n".join(lines) + "\n"
        yield Page(f"{kind}/index.md", text, "evidence", GROUPS[kind][language])
        yield from pages
    for name, path in RECORDS.items():
        yield Page(path, _marked((ROOT / name).read_text("utf-8"), language), "evidence", source=name)


def _record(file: Path, kind: str, language: str) -> Page:
    name = file.parent.name if file.name == "README.md" else file.stem
    text = file.read_text("utf-8")
    summary = ROOT / "docs" / language / kind / f"{name}.md"
    if summary.exists():
        heading, _, rest = summary.read_text("utf-8").partition("\n")
        text = re.sub(r"^# .*\n", lambda _: f"{heading}\n\n{rest.strip()}\n\n", text, count=1)
    source = file.relative_to(ROOT).as_posix()
    return Page(f"{kind}/{name}.md", _marked(text, language), "evidence", GROUPS[kind][language], source)


def _marked(text: str, language: str) -> str:
    """The text of a record, with a note below its heading where the site is in another language."""
    heading, _, rest = text.partition("\n")
    return f"{heading}\n\n{ENGLISH_ONLY[language]}{rest.lstrip()}"
