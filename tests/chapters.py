"""The chapters of the tutorial as steps: files to write, commands to run, and the output shown below them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"(?:<!-- (?P<mark>.+?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
NOT_RUN, CTRL_C = "not run by the test", "Ctrl-C"
ENOUGH = re.compile(r"(epoch|에포크) +3 ")  # of a training that is stopped


@dataclass
class Step:
    """What a reader does: writes ``file``, or types ``commands`` and reads ``output``."""

    text: str
    file: str = ""
    interrupted: bool = False
    output: str | None = None

    @property
    def commands(self) -> list[str]:
        return [] if self.file else self.text.splitlines()


def steps_of(chapter: str) -> list[Step]:
    """The steps of a chapter, in order."""
    steps: list[Step] = []
    for block in _BLOCK.finditer(chapter):
        mark = block["mark"] or ""
        if block["kind"] == "text":
            steps[-1].output = block["text"]
        elif mark.startswith("file: "):
            steps.append(Step(block["text"], file=mark.removeprefix("file: ")))
        elif mark != NOT_RUN:
            steps.append(Step(block["text"], interrupted=mark == CTRL_C))
    return steps


def carry_out(step: Step, folder: Path, environment: dict[str, str]) -> str:
    """Do in a folder what a step says; the text that the commands print, stdout and stderr together."""
    if step.file:
        (folder / step.file).write_text(step.text, encoding="utf-8")
        return ""
    with (folder / "printed").open("wb") as printed:
        typed = subprocess.Popen(
            ["bash", "-e", "-c", step.text], cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    if step.interrupted:
        while typed.poll() is None and not ENOUGH.search((folder / "printed").read_text("utf-8", "ignore")):
            time.sleep(0.05)
        os.killpg(typed.pid, signal.SIGINT)  # as a terminal does
    code = typed.wait()
    text = (folder / "printed").read_text("utf-8")
    assert code == (130 if step.interrupted else 0), f"exit code {code}:\n{step.text}\n{text}"
    return text


def missing_lines(shown: str, printed: str) -> list[str]:
    """The lines of a shown output that were not printed.

    Results depend on the processor: digits, the widths of columns, the order of lines and which images are
    misclassified are not compared.
    """
    there = set(map(masked, printed.splitlines()))
    return [line for line in shown.splitlines() if line.strip() not in ("", "…") and masked(line) not in there]


def masked(line: str) -> str:
    line = re.sub(r"\S*/hour/", "", line)  # the reader's folder
    line = re.sub(r"\d[\d.,]*(?:e-\d+)?", "#", line)
    line = re.sub(r"^#-.*", "#-name of an image", line)
    line = re.sub(r"# min # s|# (?:ns|µs|ms|s|B|[KM]iB)\b", "# unit", line)
    return re.sub(r"\s+|-{2,}|─+", "", line)
