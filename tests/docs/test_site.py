"""The documentation site: both languages have the same pages, links resolve, nothing is loaded from elsewhere.

The site is built once for the tests marked slow; the others look at the pages before they are built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("zensical", reason="needs the extra [docs]")
pytest.importorskip("latex2mathml", reason="needs the extra [docs]")

from docs.builder import atlas, families, lectures, maths, reference, site, written
from docs.builder.links import resolved
from docs.builder.page import LANGUAGES, ROOT, Page

import convatlas as ca
from convatlas.i18n import in_language

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "use": "href"}


class Elements(HTMLParser):
    """The ids of a page, its links, and the files that a browser loads for it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.without_text: list[str] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id"):
            self.ids.add(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if (
            tag in LOADED
            and values.get(LOADED[tag])
            and values.get("rel") not in ("canonical", "alternate", "prev", "next")
        ):
            self.loaded.append(values[LOADED[tag]])
        if tag == "img" and not values.get("alt"):
            self.without_text.append(str(values.get("src")))


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    site.build(folder)
    return folder


def html_pages(folder: Path) -> Iterator[Path]:
    # 404.html is served for any address, so that its links are absolute
    return (file for file in sorted(folder.rglob("*.html")) if file.name != "404.html")


def test_each_page_written_by_hand_has_its_twin():
    english, korean = (
        {file.relative_to(ROOT / "docs" / language).as_posix() for file in (ROOT / "docs" / language).rglob("*.md")}
        for language in LANGUAGES
    )
    assert english - korean == set(), "without a Korean page"
    assert {page for page in korean - english if not page.startswith("decisions/")} == set(), "without an English page"


def test_a_korean_page_is_written_in_korean():
    for file in (ROOT / "docs/ko").rglob("*.md"):
        prose = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->", "", file.read_text("utf-8"), flags=re.S)
        assert len(re.findall("[가-힣]", prose)) > 0.15 * len(prose), file


def test_every_network_has_a_page_in_each_language():
    for language in LANGUAGES:
        with in_language(language):
            paths = {
                page.path
                for page in [atlas.network_page(atlas.entry(name), language) for name in ca.list_models("lenet*")]
            }
    assert paths == {f"atlas/{name}.md" for name in ca.list_models("lenet*")}


def test_a_page_of_the_atlas_has_printed_beside_derived_and_what_others_deploy():
    with in_language("en"):
        text = atlas.network_page(atlas.entry("resnet50"), "en").text
    for part in ("25,557,032", "resnet50@torchvision", "--recipe paper", "conv1", "arXiv:1512.03385"):
        assert part in text, part


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_line_on_a_family_has_a_number(language):
    with in_language(language):
        text = families.page(language).text
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    assert len(sections) == len({atlas.entry(name).family for name in ca.list_models()})
    for section in sections:
        family, *lines = [line for line in section.splitlines() if line]
        if family in families.WHEN:
            assert all(re.search(r"\d", line) for line in lines), section


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_that_lectures_get_wrong_carry_their_derivation(language):
    with in_language(language):
        text = lectures.page(language).text
    assert "290,400 * (363 + 1) = 105,705,600" in text
    assert "105,750,600" in text
    assert "11*11*3*96      = 34,848" in text
    assert "6,998,552" in text
    assert text.count("```text") == len(lectures.FIGURES) >= 13


def test_the_reference_has_every_public_name_with_its_errors():
    pages = {page.path: page.text for page in reference.pages("en")}
    text = pages["reference/python/convatlas.md"]
    for name in ca.__all__:
        if name != "__version__":
            assert f"## `{name}`" in text, name
    train = text.partition("## `train`")[2].partition("\n## ")[0]
    assert "**Raises**" in train
    assert "- **TrainingError**" in train
    assert "epochs" in train
    source = reference.docstring(__import__("convatlas.arithmetic.formulas", fromlist=["x"]).output_size, "ko")
    assert any(line.startswith("**출처**") for line in source)


def test_formulas_become_mathml_and_code_stays():
    made = maths.with_mathml("$K^2$ and `$K$`, 5 $ and 6 $\n\n```sh\necho $HOME $PATH\n```\n\n$$\\frac{a}{b} * c$$\n")
    assert made.count("<math") == 2
    assert "`$K$`, 5 $ and 6 $" in made
    assert "echo $HOME $PATH" in made
    assert "<mfrac>" in made
    assert "*" not in made.partition("<mfrac>")[2]
    assert maths.with_mathml("한 변이 $K$인 커널").count("<math") == 1


def test_links_to_files_become_links_to_pages_or_names():
    page = Page("how-to/a.md", "# A\n\n[b](b.md#x) [r](../../../results/atlas/README.md) "
                "[`s`](../../../src/x.py) [ko](../../ko/how-to/a.md)",
                "how-to", source="docs/en/how-to/a.md")  # fmt: skip
    pages = {"docs/en/how-to/b.md": "how-to/b.md", "results/atlas/README.md": "results/atlas.md"}
    text, _ = resolved(page, "en", pages)
    assert "[b](b.md#x)" in text
    assert "[r](../results/atlas.md)" in text
    assert "s (`src/x.py`)" in text.replace("`s`", "s")
    assert '<a href="../../ko/how-to/a.html" hreflang="ko" lang="ko">ko</a>' in text


def test_a_table_shared_with_the_english_page_is_filled_in(tmp_path):
    english = tmp_path / "a.md"
    english.write_text("# A\n\n| a |\n|---|\n| 1 |\n\nText.\n")
    assert written.with_english_tables("# 가\n\n<!-- table of the English page -->\n", english).endswith("| 1 |\n")


@pytest.mark.slow
def test_both_languages_have_the_same_pages(built):
    english, korean = (
        {file.relative_to(built / language) for file in html_pages(built / language)} for language in LANGUAGES
    )
    assert english == korean
    assert len(english) > 270
    for language in LANGUAGES:
        for file in html_pages(built / language):
            assert f'<html lang="{language}"' in file.read_text("utf-8")[:200], file


@pytest.mark.slow
def test_links_and_anchors_resolve_and_nothing_is_loaded_from_elsewhere(built):
    pages = {file: Elements(file) for file in html_pages(built)}
    broken, elsewhere = [], []
    for file, page in pages.items():
        assert page.without_text == [], file
        for target in page.loaded:
            if re.match(r"(?:[a-z]+:)?//", target):
                elsewhere.append((file.name, target))
            elif (
                not target.startswith("data:")
                and not (file.parent / target.partition("?")[0].partition("#")[0]).exists()
            ):
                broken.append((file.name, target))
        for target in page.links:
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (file.parent / path).resolve() if path else file
            if not there.exists() or (
                anchor and there in pages and anchor not in pages[there].ids and anchor != "__skip"
            ):
                broken.append((str(file.relative_to(built)), target))
    assert elsewhere == []
    assert broken == []
    styles = "".join(file.read_text("utf-8") for file in built.rglob("*.css"))
    assert re.findall(r"url\([\"']?https?:[^)]*|@import[^;]*", styles) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "word"), [("en", "receptive field"), ("ko", "수용 영역"), ("ko", "학습률"), ("ko", "resnet50")]
)
def test_the_search_index_has_the_words_of_its_language(built, language, word):
    index = json.loads((built / language / "search.json").read_text("utf-8"))
    assert index["config"]["lang"] == [language]
    assert sum(word in f"{item['title']} {item['text']}" for item in index["items"]) > 3
