"""The pages of the documentation as steps: files to write, commands to run, and the output shown below them.

A block is a step: ``sh`` is typed into a shell, ``python`` is run as a program, and ``text`` is the output of the step
above it. A comment above a block says more:

    <!-- file: net.py -->          the block is saved under this name
    <!-- not run: REASON -->       it cannot be run here
    <!-- slow -->                  it trains, or needs what was trained; its numbers are measured
    <!-- measured -->              its numbers are measured, or depend on the machine
    <!-- Ctrl-C -->                the reader stops it

Several are separated by commas. ``<!-- given: FOLDER = data/hymenoptera -->`` on a page names what its reader has, and
``<!-- columns: 140 -->`` the width of the terminal, 100 by default.

    PYTHONPATH=src python tests/chapters.py docs/en/tutorial/shipping.md    fills in the outputs anew
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS, SHARED = ROOT / "docs", ROOT.parent / "shared"
_BLOCK = re.compile(r"(?:<!-- (?P<mark>[^\n]+?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
_GIVEN = re.compile(r"<!-- given: (\S+) = (\S+) -->")
RUN = ("sh", "python")  # the kinds of blocks that are run; the others are shown
# lines that depend on the processor: of a run's header, and below the table of a comparison
MACHINE = re.compile(r" *(machine|컴퓨터) {2}|(Training|학습): ")
ENOUGH = re.compile(r"(epoch|에포크) +3 ")  # of a training that is stopped


@dataclass
class Step:
    """What a reader does: writes ``file``, or types ``text`` and reads ``output``."""

    text: str
    kind: str = "sh"
    file: str = ""
    marks: tuple[str, ...] = ()
    output: str | None = None
    place: tuple[int, int] | None = None  # of the output in the page

    @property
    def not_run(self) -> str:
        """Why it is not run; empty where it is."""
        return next((mark.partition(": ")[2] for mark in self.marks if mark.startswith("not run")), "")

    @property
    def interrupted(self) -> bool:
        return "Ctrl-C" in self.marks

    @property
    def slow(self) -> bool:
        return "slow" in self.marks or self.interrupted

    @property
    def measured(self) -> bool:
        return self.slow or "measured" in self.marks


def steps_of(page: str) -> list[Step]:
    """The steps of a page, in order."""
    steps: list[Step] = []
    for block in _BLOCK.finditer(page):
        mark, kind = block["mark"] or "", block["kind"]
        if kind == "text" and steps and steps[-1].output is None:
            steps[-1].output, steps[-1].place = block["text"], block.span("text")
        elif kind in RUN:
            marks = (mark,) if mark.startswith(("not run", "file")) else tuple(mark.split(", "))
            file = mark.removeprefix("file: ") if mark.startswith("file: ") else ""
            steps.append(Step(block["text"], kind, file, tuple(each for each in marks if each)))
    return steps


def given(page: str) -> dict[str, str]:
    """What the reader of a page has -> the file or folder of real data that stands for it."""
    return dict(_GIVEN.findall(page))


def furnish(folder: Path, page: str, shared: Path = SHARED) -> None:
    """Put into the folder what the reader of the page has."""
    for name, source in given(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (shared / source).is_dir() else shutil.copy
        copy(shared / source, folder / name)


def environment(folder: Path, language: str, columns: str = "100") -> dict[str, str]:
    """That of a terminal in which ``convatlas`` and ``python`` are those of this test."""
    programs = folder.parent / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("convatlas", "-m convatlas")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src"), "CONVATLAS_LANG": language,
        "COLUMNS": columns, "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip


def carry_out(step: Step, folder: Path, variables: dict[str, str]) -> str:
    """Do in a folder what a step says; the text that the commands print, stdout and stderr together."""
    if step.file:
        (folder / step.file).write_text(step.text, encoding="utf-8")
        return ""
    shell = step.text if step.kind == "sh" else f"python - <<'END_OF_PROGRAM'\n{step.text}END_OF_PROGRAM"
    with (folder.parent / "printed").open("wb") as printed:
        typed = subprocess.Popen(
            ["bash", "-e", "-c", shell], cwd=folder, env=variables, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    if step.interrupted:
        while typed.poll() is None and not ENOUGH.search((folder.parent / "printed").read_text("utf-8", "ignore")):
            time.sleep(0.05)
        os.killpg(typed.pid, signal.SIGINT)  # as a terminal does
    code = typed.wait()
    text = (folder.parent / "printed").read_text("utf-8")
    assert code == (130 if step.interrupted else 0), f"exit code {code}:\n{step.text}\n{text}"
    return text


def follow(page: str, folder: Path, language: str, slow: bool) -> Iterator[tuple[Step, str]]:
    """Take the steps of a page, the slow ones only where ``slow``; each with what it printed."""
    columns = re.search(r"<!-- columns: (\d+) -->", page)
    variables = environment(folder, language, columns[1] if columns else "100")
    for step in steps_of(page):
        if not step.not_run and (slow or not step.slow):
            yield step, carry_out(step, folder, variables)


def missing_lines(shown: str, printed: str, measured: bool = True) -> list[str]:
    """The lines of a shown output that were not printed; ``…`` stands for lines that are left out.

    Of a measured output, digits, the widths of columns, the order of lines and which images are misclassified are not
    compared, since they depend on the processor. Of another every character is, and the order.
    """
    if measured:
        there = set(map(masked, printed.splitlines()))
        return [line for line in shown.splitlines() if line.strip() not in ("", "…") and masked(line) not in there]
    rest = iter([line.rstrip() for line in printed.splitlines()])
    return [line for line in shown.splitlines() if line.strip() not in ("", "…") and line.rstrip() not in rest]


def masked(line: str) -> str:
    line = re.sub(r"\S*/hour/", "", line)  # the reader's folder
    line = re.sub(r"\((?:onnxruntime|openvino) [^)]*\)", "(engine and processor)", line)
    line = re.sub(r"\d[\d.,]*(?:e-\d+)?", "#", line)
    line = re.sub(r"^#-.*", "#-name of an image", line)
    line = re.sub(r"# min # s|# (?:ns|µs|ms|s|B|[KM]iB)\b", "# unit", line)
    return re.sub(r"\s+|-{2,}|─+", "", line)


def renewed(page: str, language: str) -> str:
    """The page with the outputs that its steps print now, but those that leave lines out."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "hour"
        folder.mkdir()
        furnish(folder, page)
        printed = [(step, text) for step, text in follow(page, folder, language, slow=True)]
    for step, text in reversed(printed):
        if step.place is not None and "…" not in (step.output or ""):
            text = text.replace(f"{place}/hour", "/home/you/hour")
            text = "\n".join("…" if MACHINE.match(line) else line.rstrip() for line in text.splitlines())
            page = page[: step.place[0]] + text.strip("\n") + "\n" + page[step.place[1] :]
    return page


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(renewed(file.read_text("utf-8"), "ko" if "/ko/" in name or ".ko." in name else "en"), "utf-8")
        print(name)
