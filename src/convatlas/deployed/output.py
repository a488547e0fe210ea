"""What `predict`, `evaluate` and `speed` give, as text and JSON: the result on stdout, everything else on stderr.

``convatlas`` and ``convatlas-runtime`` print through these functions, so that both say the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from convatlas import tables, units
from convatlas.data.dataset import printable
from convatlas.deployed.files import preparation, remarks
from convatlas.deployed.speed import FileSpeed
from convatlas.errors import DataError
from convatlas.evaluation import text
from convatlas.evaluation.result import Evaluation
from convatlas.exports.exported import ExportedModel
from convatlas.i18n import _, translated
from convatlas.runs.predictions import Prediction, hidden_images, other_files, write_table
from convatlas.tables import Column

SCHEMA = 1  # of every JSON document
PROGRAM = __name__.partition(".")[0].replace("_", "-")  # convatlas, or convatlas-runtime


def listed(names: Iterable[str]) -> Iterator[str]:
    """The names; in the place of - those that stdin lists, one to a line."""
    for name in names:
        if name == "-":
            yield from (line for line in (line.rstrip("\r\n") for line in sys.stdin) if line)
        else:
            yield name


def say(text: str) -> None:
    """A line on stderr."""
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


def print_remarks(model: ExportedModel) -> None:
    for remark in remarks(model):
        say(translated(remark))


def print_files_left_out(paths: Sequence[str]) -> None:
    """Name the files below the folders that are not labelled."""
    hidden, others = hidden_images(paths), other_files(paths)
    if hidden:
        say(_("{n} hidden files were skipped, such as {file}", n=len(hidden), file=printable(str(hidden[0]))))
    if others:
        file = printable(str(others[0]))
        say(_("{n} files that are no images were skipped, such as {file}", n=len(others), file=file))


def print_predictions(predictions: Iterable[Prediction], table: Path | None, as_json: bool) -> None:
    """A line for each image, or a table in a file.

    Raises:
        DataError: an image could not be read; the others are printed.
        ConvAtlasError: the table cannot be written.
    """
    bad, answers = 0, []
    for prediction in predictions:
        answers.append(prediction)
        if prediction.error is not None:
            bad += 1
            reason = translated(prediction.error.reason)
            say(_("{file} cannot be read: {reason}", file=printable(prediction.file), reason=reason))
        if as_json:
            print(json.dumps({"schema": SCHEMA, **prediction.to_dict()}, ensure_ascii=False), flush=True)
        elif prediction.error is None and table is None:
            labels = "   ".join(f"{label} {100 * probability:.1f} %" for label, probability in prediction.top)
            print(f"{printable(prediction.file)}   {labels}", flush=True)
    if table is not None:
        write_table(answers, table)
        if not as_json:
            print(_("{n} images: {file}", n=len(answers), file=table))
    if bad:
        raise DataError(
            "{n} image could not be read; the labels of the others are above."
            if bad == 1
            else "{n} images could not be read; the labels of the others are above.",
            n=bad,
        )


def print_evaluation(found: Evaluation, model: ExportedModel, as_json: bool) -> None:
    """The evaluation of an exported file."""
    if as_json:
        about = {
            "preparation": model.description.preprocessing.to_dict(),
            "preparation_from": str(preparation(model)),
            "engine": model.engine.name,
            "precision": model.description.precision,
        }
        print_json(found.to_dict() | about)
    else:
        for line in text.lines(found, [translated(preparation(model))]):
            print(line)


def print_speeds(speeds: Sequence[FileSpeed], as_json: bool) -> None:
    """The speeds of exported files: a table, or a JSON document with a row for each."""
    if as_json:
        print_json({"rows": [each.to_dict() for each in speeds]})
        return
    columns = (
        Column(_("file")),
        Column(_("engine"), drop=4),
        Column(_("precision"), drop=5),
        Column(_("batch"), number=True, drop=6),
        Column("p50", number=True),
        Column("p95", number=True),
        Column(_("images/s"), number=True),
        Column(_("peak memory"), number=True, drop=1),
        Column(_("size"), number=True, drop=3),
        Column(_("start-up"), number=True, drop=2),
    )
    print(tables.text(columns, map(_row, speeds)))
    print()
    first = speeds[0]
    about = _(
        "Measured: {threads} threads, {instructions}; {input} pixels, decoded and prepared. p50 and p95 are of one "
        "batch. Peak memory is that of the whole process. Start-up is from the start of the process to its first "
        "label, the median of {n}.",
        threads=first.threads,
        instructions=first.instruction_set,
        input=" x ".join(map(str, first.input)),
        n=len(first.start_ups_s),
    )
    for line in tables.wrapped(about, tables.available_width()):
        print(line)
    loads = [each.load for each in speeds if each.load is not None and each.loaded]
    if loads:
        print(_("Other programs used the processors (load {load:.1f}): these times are too long.", load=max(loads)))


def _row(speed: FileSpeed) -> tuple[str, ...]:
    memory = "-" if speed.peak_memory_bytes is None else units.bytes_(speed.peak_memory_bytes)
    return (
        speed.file,
        speed.engine,
        speed.precision,
        str(speed.batch_size),
        units.duration(speed.p50_ms / 1e3),
        units.duration(speed.p95_ms / 1e3),
        f"{speed.images_per_s:,.0f}" if speed.images_per_s >= 100 else f"{speed.images_per_s:.3g}",
        memory,
        units.bytes_(speed.size_bytes),
        units.duration(speed.start_up_s),
    )


def print_json(document: dict[str, Any]) -> None:
    """One document on stdout, the schema first."""
    print(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False, indent=2))


class Progress:
    """Images done, on one line of stderr where that is a terminal."""

    def __init__(self, label: str) -> None:
        self._label, self._shown = label, sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            end = "\r" if done < total else "\n"
            print(f"{self._label} {done}/{total}", end=end, file=sys.stderr, flush=True)
