"""Lays the pages of a language out in a folder, with a configuration, and calls Zensical."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

from docs.builder import atlas, commands, families, lectures, notebooks, reference
from docs.builder.links import resolved
from docs.builder.maths import with_mathml
from docs.builder.page import LANGUAGES, ROOT, SECTIONS, Page
from docs.builder.written import records, written

from convatlas.experiments.page import page as experiments_page
from convatlas.i18n import in_language
from convatlas.recipes.page import markdown as recipes_page

FOLDER = Path(__file__).parent
NAMES = {"en": "English", "ko": "한국어"}
SHIM = "https://unpkg.com/iframe-worker/shim"
REDIRECT = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>convatlas</title>'
    '<meta http-equiv="refresh" content="0; url=en/index.html"></head><body>'
    '<main><h1>convatlas</h1><p><a href="en/index.html">English</a> <a href="ko/index.html" lang="ko">한국어</a></p></main>'
    "</body></html>\n"
)


def all_pages(language: str) -> list[Page]:
    """Every page of the site in one language, in the order of the navigation."""
    with in_language(language):
        pages = [
            *(page for page in written(language) if page.path != "experiments.md"),
            families.page(language),
            *notebooks.pages(language),
            *atlas.pages(language),
            *reference.pages(language),
            *commands.pages(language),
            recipes(language),
            lectures.page(language),
            Page("experiments.md", experiments_page(ROOT / "results/experiments"), "evidence"),
            *records(language),
        ]
    order = list(SECTIONS)
    return sorted(pages, key=lambda page: order.index(page.section))


def recipes(language: str) -> Page:
    """The recipes; their descriptions quote papers and are in English."""
    text = recipes_page()
    if language == "ko":
        text = text.replace("# Recipes", "# 레시피\n\n논문의 설정을 그대로 옮긴 것이라 설명은 영어입니다.", 1)
    return Page(
        "reference/recipes.md",
        text.replace("Written by `make catalogue` from the recipes; a test fails when it is stale.\n\n", ""),
        "reference",
    )


def lay_out(language: str, folder: Path) -> list[Page]:
    """Write the pages, their pictures and the style of a language below ``folder``; the pages."""
    pages = all_pages(language)
    by_source = {page.source: page.path for page in pages if page.source}
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages:
        text, pictures = resolved(page, language, by_source)
        write(folder / page.path, with_mathml(text).encode())
        for path, content in (*page.files, *((path, file.read_bytes()) for path, file in pictures.items())):
            write(folder / path, content)
    for name in ("site.css", "site.js"):
        shutil.copy(FOLDER / name, folder / name)
    return pages


def write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def navigation(pages: list[Page], language: str) -> str:
    """The navigation as a value of a TOML file."""

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    def lines() -> Iterator[str]:
        for section, titles in SECTIONS.items():
            groups: dict[str, list[str]] = {}
            for page in pages:
                if page.section == section and page.listed:
                    groups.setdefault(page.group, []).append(f"{{ {text(page.title)} = {text(page.path)} }}")
            if not section:
                yield from groups.get("", [])
                continue
            parts = list(groups.pop("", []))
            parts += [f"{{ {text(group)} = [{', '.join(members)}] }}" for group, members in groups.items()]
            yield f"{{ {text(titles[language])} = [{', '.join(parts)}] }}"

    return "[\n  " + ",\n  ".join(lines()) + "\n]"


def configuration(pages: list[Page], language: str, source: Path, site: Path) -> str:
    """The configuration of a language: the template with its folders, its words and its navigation."""
    korean = language == "ko"
    return Template((FOLDER / "zensical.toml").read_text("utf-8")).substitute(
        language=language,
        docs_dir=source.as_posix(),
        site_dir=site.as_posix(),
        description="합성곱 이미지 분류기 워크벤치" if korean else "A workbench for convolutional image classifiers",
        to_dark="어두운 화면으로 바꾸기" if korean else "Switch to the dark colours",
        to_light="밝은 화면으로 바꾸기" if korean else "Switch to the light colours",
        navigation=navigation(pages, language),
    )


def build(out: Path, languages: tuple[str, ...] = LANGUAGES) -> dict[str, int]:
    """Build the site below ``out``; the number of pages by language. Ends the program where Zensical finds a fault."""
    work = ROOT / "build" / "docs"
    shutil.rmtree(out, ignore_errors=True)
    counts, running = {}, {}
    for language in languages:  # Zensical builds one language while the next is laid out
        start = time.perf_counter()
        pages = lay_out(language, work / language)
        # Zensical takes folders from the configuration's own
        file = work / f"{language}.toml"
        file.write_text(configuration(pages, language, Path(language), Path("site") / language), "utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(file)]
        running[language] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        counts[language] = len(pages)
        print(f"{language}: {len(pages)} pages, laid out in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    for language, zensical in running.items():
        printed, _ = zensical.communicate()
        if zensical.returncode:
            sys.exit(f"the site in {NAMES[language]} cannot be built:\n{printed}")
        (work / "site" / language).rename(_parent(out / language))
        without_shim(out / language)
    (out / "index.html").write_text(REDIRECT, "utf-8")
    return counts


def without_shim(site: Path) -> None:
    """Take the script that lets the search run in a page opened as a file from the site, not from the web."""
    shutil.copy(FOLDER / "iframe-worker.js", site / "assets" / "javascripts")
    for file in site.rglob("*.html"):
        up = "../" * (len(file.relative_to(site).parts) - 1)
        text = file.read_text("utf-8")
        file.write_text(text.replace(SHIM, f"{up}assets/javascripts/iframe-worker.js"), "utf-8")


def _parent(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder
