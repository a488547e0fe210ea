"""The notebooks: eight, in both languages, and every cell runs."""

from __future__ import annotations

import pytest

pytest.importorskip("jupytext", reason="needs the extra [docs]")
pytest.importorskip("nbclient", reason="needs the extra [docs]")

import jupytext
from docs.builder import notebooks


def cells(name: str) -> list:
    return jupytext.read(notebooks.FOLDER / f"{name}.py", fmt="py:percent").cells


def test_there_are_eight():
    assert len(notebooks.names()) == 8


@pytest.mark.parametrize("name", notebooks.names())
def test_each_text_is_in_both_languages(name):
    texts = [cell.metadata["lang"] for cell in cells(name) if cell.cell_type == "markdown"]
    assert texts == ["en", "ko"] * (len(texts) // 2)
    for cell in cells(name):
        if cell.metadata.get("lang") == "ko":
            assert any("가" <= letter <= "힣" for letter in cell.source)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel's own process
@pytest.mark.parametrize("name", notebooks.names())
def test_every_cell_runs_and_something_is_shown(name):
    notebook = jupytext.read(notebooks.FOLDER / f"{name}.py", fmt="py:percent")
    notebooks.execute(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert sum(bool(cell.outputs) for cell in code) >= len(code) // 2
