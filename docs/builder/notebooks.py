"""The notebooks of docs/notebooks: executed, and shown as pages in both languages.

A notebook is one file of cells. Code is shared; a cell of text says its language (``# %% [markdown] lang="ko"``). The
outputs are kept in ``build/notebooks`` under the hash of the cells' code, so that only a changed notebook runs again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import jupytext
import nbformat
from docs.builder.page import ROOT, Page
from nbclient import NotebookClient

FOLDER = ROOT / "docs" / "notebooks"
KEPT = ROOT / "build" / "notebooks"
WORDS = {
    "en": ("Notebooks", "The chapters of the tutorial as notebooks, on the handwritten digits of scikit-learn. They are "
           "stored as text in `docs/notebooks`; `jupytext --to notebook FILE.py` makes a notebook of one, and Jupyter with "
           "jupytext opens it as it is. A test executes all of them. In Colab, the first cell must install convatlas from the "
           "repository's address, `!pip install git+ADDRESS`; that cell has not been tried.",
           "The file is `docs/notebooks/{name}.py`; its code runs in a test."),
    "ko": ("노트북", "튜토리얼의 장을 노트북으로 옮겼습니다. scikit-learn의 손글씨 숫자를 씁니다. `docs/notebooks`에 텍스트로 저장되어 있으며 "
           "`jupytext --to notebook FILE.py`로 노트북을 만들거나 jupytext가 있는 Jupyter에서 바로 엽니다. 모두 테스트가 실행합니다. Colab에서는 "
           "첫 셀에서 저장소 주소로 convatlas를 설치해야 합니다(`!pip install git+ADDRESS`). 이 셀은 시험해 보지 못했습니다.",
           "파일은 `docs/notebooks/{name}.py`이고, 코드는 테스트가 실행합니다."),
}  # fmt: skip
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.py"))


def pages(language: str) -> Iterator[Page]:
    """The list, then a page per notebook."""
    title, intro, note = WORDS[language]
    made = [notebook_page(name, language, note) for name in names()]
    lines = [f"# {title}", "", intro, "", *(f"- [{page.title}]({page.path.rpartition('/')[2]})" for page in made), ""]
    yield Page("notebooks/index.md", "\n".join(lines), "notebooks")
    yield from made


def notebook_page(name: str, language: str, note: str) -> Page:
    """The cells of a notebook that are in a language or in none, with the outputs of the code."""
    notebook = executed(name)
    lines: list[str] = []
    files: list[tuple[str, bytes]] = []
    for cell in notebook.cells:
        if cell.metadata.get("lang", language) != language:
            continue
        if cell.cell_type == "markdown":
            lines += [cell.source, ""]
            if cell.source.startswith("# "):
                lines += [note.format(name=name), ""]
        else:
            lines += ["```python", cell.source, "```", ""]
            for output in cell.outputs:
                shown, picture = shown_output(output, f"{name}-{len(files) + 1}")
                lines += [*shown, ""]
                files += picture
    return Page(f"notebooks/{name}.md", "\n".join(lines), "notebooks", files=tuple(files))


def shown_output(output: Any, name: str) -> tuple[list[str], list[tuple[str, bytes]]]:
    """An output as Markdown, and its picture if it is one."""
    data = output.get("data", {})
    if "image/png" in data:
        return [f"![Output of the cell above]({name}.png)"], [
            (f"notebooks/{name}.png", base64.b64decode(data["image/png"]))
        ]
    text = output.get("text") or data.get("text/plain", "")
    text = "\n".join(line.rstrip() for line in ESCAPES.sub("", text).splitlines())
    return ["```text", text, "```"] if text.strip() else [], []


def executed(name: str) -> Any:
    """The notebook with its outputs, from ``build/notebooks`` where its code was executed before."""
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    kept = KEPT / f"{name}-{hashlib.sha256(code.encode()).hexdigest()[:16]}.ipynb"
    if not kept.exists():
        execute(notebook)
        KEPT.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, kept)
        return notebook
    outputs = iter([cell.outputs for cell in nbformat.read(kept, 4).cells if cell.cell_type == "code"])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = next(outputs)
    return notebook


def execute(notebook: Any) -> None:
    """Run the cells in a folder of their own, in English.

    Raises:
        CellExecutionError: a cell fails.
    """
    before = {name: os.environ.get(name) for name in ("CONVATLAS_LANG", "PYTHONPATH", "PYDEVD_DISABLE_FILE_VALIDATION")}
    os.environ.update({"CONVATLAS_LANG": "en", "PYTHONPATH": str(ROOT / "src"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    try:
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
            ).execute()
    finally:
        for variable, value in before.items():
            os.environ.pop(variable) if value is None else os.environ.update({variable: value})
