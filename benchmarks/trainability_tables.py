"""Write the tables of results/atlas/README.md anew from the records:  python benchmarks/trainability_tables.py

Each stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. Of several attempts the one that passed is shown,
else the best; ``tried`` counts networks, and what was never tried is listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import convatlas as ca
from trainability import asked_of

FOLDER = Path(__file__).parents[1] / "results" / "atlas"
Record = dict[str, Any]


def best_attempts(file: str, score: str) -> dict[str, Record]:
    """Network -> its best attempt, in the order of the atlas."""
    lines = [json.loads(line) for line in (FOLDER / file).read_text().splitlines()]
    found: dict[str, Record] = {}
    for line in sorted(lines, key=lambda line: (line["passed"], line[score])):
        found[line["network"]] = line
    return {name: found[name] for name in ca.list_models() if name in found}


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(columns)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def summary(found: dict[str, Record], classes: int) -> str:
    known = [name for name in ca.list_models() if asked_of(name, classes)]
    missing = [name for name in known if name not in found]
    passed = sum(line["passed"] for line in found.values())
    modern = sum(line["passed"] and line["init"] == "modern" for line in found.values())
    text = f"{passed} of {len(found)} tried pass ({modern} of them from the modern start), of {len(known)} networks."
    return text + (f" Not tried: {', '.join(missing)}." if missing else "")


def mark(line: Record) -> str:
    return "" if line["passed"] else ", **not met**"


def photos() -> list[str]:
    found = best_attempts("overfit_32_photos.jsonl", "train_top1")
    rows = (
        (
            name,
            line["init"],
            line["image_size"],
            line["updates"],
            f"{round(line['train_top1'] * line['images'])} / {line['images']}{mark(line)}",
            line["cpu_s"],
        )
        for name, line in found.items()
    )
    columns = ("network", "start", "image", "updates", "right", "processor s")
    return [summary(found, 1000), "", *table(columns, rows)]


def cifar() -> list[str]:
    found = best_attempts("three_epochs_cifar10.jsonl", "test_top1")
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
        for name, line in found.items()
    )
    columns = ("network", "start", "images", "image", "loss by epoch", "test top-1 %", "processor s")
    return [summary(found, 10), "", *table(columns, rows)]


TABLES: dict[str, Callable[[], list[str]]] = {"photos": photos, "cifar": cifar}


def main() -> None:
    page = FOLDER / "README.md"
    text = page.read_text("utf-8")
    for name, lines in TABLES.items():
        between = re.compile(rf"(<!-- table: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = between.sub(lambda found, lines=lines: found[1] + "\n".join(lines()) + found[2], text)
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
