"""Every block of code in the documentation runs as it stands, and prints what the page shows below it.

The blocks are read from the Markdown, so that text and test cannot drift apart. Blocks that train are run by
``pytest -m slow``.
"""

from __future__ import annotations

import pytest

from chapters import DOCS, SHARED, Step, carry_out, follow, furnish, given, missing_lines, steps_of

PAGES = {
    file.relative_to(DOCS).as_posix(): file.read_text("utf-8")
    for language in ("en", "ko")
    for file in sorted((DOCS / language).rglob("*.md"))
}
# the commands of the experiments' page are generated, one per claim; tests/experiments runs the claims
WITH_STEPS = {name: text for name, text in PAGES.items() if not name.endswith("/experiments.md") and steps_of(text)}
QUICK = [
    name for name, text in WITH_STEPS.items() if any(not step.slow and not step.not_run for step in steps_of(text))
]
SLOW = [name for name, text in WITH_STEPS.items() if any(step.slow and not step.not_run for step in steps_of(text))]


def check(name: str, folder, slow: bool) -> int:
    """Follow a page; how many outputs were compared."""
    page, compared = PAGES[name], 0
    for source in given(page).values():
        if not (SHARED / source).exists():
            pytest.skip(f"needs {source} in ../shared")
    folder.mkdir()
    furnish(folder, page)
    for step, printed in follow(page, folder, name[:2], slow):
        if step.output is not None:
            missing = missing_lines(step.output, printed, step.measured)
            assert not missing, "\n".join([step.text, *missing, "was printed otherwise:", printed])
            compared += 1
    return compared


@pytest.mark.parametrize("name", QUICK)
def test_blocks_that_need_no_training_print_what_the_page_shows(name, tmp_path):
    expected = sum(step.output is not None and not step.slow and not step.not_run for step in steps_of(PAGES[name]))
    assert check(name, tmp_path / "hour", slow=False) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_whole_page_can_be_followed(name, tmp_path):
    if "convatlas export" in PAGES[name]:
        pytest.importorskip("openvino", reason="needs the extra [export]")
    expected = sum(step.output is not None and not step.not_run for step in steps_of(PAGES[name]))
    assert check(name, tmp_path / "hour", slow=True) == expected


def test_both_languages_have_the_same_steps():
    for name, text in PAGES.items():
        if name.startswith("en/"):
            # a word that is searched for in an output is of the output's language
            english, korean = (
                [(step.file, step.kind, step.marks, step.text.partition(" | grep")[0]) for step in steps_of(page)]
                for page in (text, PAGES["ko/" + name[3:]])
            )
            assert english == korean, name


def test_a_block_that_is_not_run_says_why():
    for name, text in WITH_STEPS.items():
        for step in steps_of(text):
            marked = [mark for mark in step.marks if mark.startswith("not run")]
            assert not marked or step.not_run, f"{name}: {step.text}"


def test_chapters_show_outputs():
    for chapter in (DOCS / "en/tutorial").glob("*.md"):
        if chapter.stem != "index":
            shown = [step.output for step in steps_of(chapter.read_text("utf-8")) if step.output is not None]
            assert shown, chapter
            assert all(output.strip() for output in shown), f"{chapter}: an output is empty"


def test_what_a_page_says_above_a_block_is_understood():
    page = (
        "<!-- given: a/b = data/x -->\n<!-- file: n.py -->\n```python\nx\n```\n<!-- Ctrl-C, slow -->\n```sh\nrun\n```\n"
        "```text\nout\n```\n<!-- not run: no network -->\n```sh\nget\n```\n```toml\nlr = 1\n```\n"
    )
    assert given(page) == {"a/b": "data/x"}
    file, run, get = steps_of(page)
    assert (file.file, file.slow) == ("n.py", False)
    assert (run.interrupted, run.slow, run.output) == (True, True, "out\n")
    assert get.not_run == "no network"


def test_a_step_that_fails_is_reported(tmp_path):
    (tmp_path / "hour").mkdir()
    with pytest.raises(AssertionError, match="exit code 3"):
        carry_out(Step("exit 3\n"), tmp_path / "hour", {"PATH": "/usr/bin:/bin"})


def test_a_line_that_was_not_printed_is_found():
    assert missing_lines("top-1  80.00 %\n…\nbees  30", "top-1  7.5 %\nants  30\nbees  1,030\n") == []
    assert missing_lines("bees  30\nwasps  3", "top-1  7.5 %\nbees  30\n") == ["wasps  3"]
    assert missing_lines("data  /home/you/hour/a: 12.1 ms", "data  hour\ndata  /tmp/x/hour/a: 1 min 03 s") == []
    assert missing_lines("params  34,944", "params  34,848\n", measured=False) == ["params  34,944"]
    assert missing_lines("a\n…\nc", "a\nb\nc  \n", measured=False) == []
    assert missing_lines("c\na", "a\nc\n", measured=False) == ["a"]
