"""Write the tables of results/atlas/README.md from the records of atlas_trainability.py.

    python benchmarks/atlas_tables.py

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. Of several attempts, the one that passed is shown,
else the best. The line above the table counts the networks that pass and lists those that were not tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import convatlas as ca
from atlas_trainability import is_tested

FOLDER = Path(__file__).parents[1] / "results" / "atlas"
Record = dict[str, Any]


def best_attempts(file: str, score: str) -> dict[str, Record]:
    """Network -> its best attempt, in the order of the atlas."""
    lines = [json.loads(line) for line in (FOLDER / file).read_text().splitlines()]
    best: dict[str, Record] = {}
    for line in sorted(lines, key=lambda line: (line["passed"], line[score])):
        best[line["network"]] = line
    return {name: best[name] for name in ca.list_models() if name in best}


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(columns)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def summary(best: dict[str, Record], classes: int) -> str:
    known = [name for name in ca.list_models() if is_tested(name, classes)]
    missing = [name for name in known if name not in best]
    passed = sum(line["passed"] for line in best.values())
    modern = sum(line["passed"] and line["init"] == "modern" for line in best.values())
    text = f"{passed} of {len(known)} networks pass ({modern} with the modern initialisation)."
    return text + (f" Not tried: {', '.join(missing)}." if missing else "")


def mark(line: Record) -> str:
    return "" if line["passed"] else ", **not met**"


def photos() -> list[str]:
    best = best_attempts("overfit_32_photos.jsonl", "train_top1")
    rows = (
        (
            name,
            line["init"],
            line["image_size"],
            line["updates"],
            f"{round(line['train_top1'] * line['images'])} / {line['images']}{mark(line)}",
            line["cpu_s"],
        )
        for name, line in best.items()
    )
    columns = ("network", "initialisation", "image size", "updates", "correct", "processor s")
    return [summary(best, 1000), "", *table(columns, rows)]


def cifar() -> list[str]:
    best = best_attempts("three_epochs_cifar10.jsonl", "test_top1")
    rows = (
        (
            name,
            line["init"],
            f"{line['images']:,}",
            line["image_size"],
            ", ".join(f"{loss:.2f}" for loss in line["loss_by_epoch"]),
            f"{100 * line['test_top1']:.1f}{mark(line)}",
            line["cpu_s"],
        )
        for name, line in best.items()
    )
    columns = ("network", "initialisation", "images", "image size", "loss by epoch", "test top-1 %", "processor s")
    return [summary(best, 10), "", *table(columns, rows)]


TABLES: dict[str, Callable[[], list[str]]] = {"photos": photos, "cifar": cifar}


def main() -> None:
    page = FOLDER / "README.md"
    text = page.read_text("utf-8")
    for name, lines in TABLES.items():
        between = re.compile(rf"(<!-- table: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = between.sub(lambda match, lines=lines: match[1] + "\n".join(lines()) + match[2], text)
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
