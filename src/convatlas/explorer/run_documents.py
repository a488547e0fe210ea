"""The documents of past runs: the list, one run, its evaluation and its mistakes, comparisons and their budgets.

A run is measured once per session. The files of a run, and the user's images, are only read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import DataError, UnknownNameError, UsageError
from convatlas.explorer.subjects import damaged
from convatlas.http.answers import without_folders
from convatlas.i18n import translated

if TYPE_CHECKING:
    from convatlas.comparison.result import ComparisonRow
    from convatlas.evaluation import Evaluation
    from convatlas.explorer.measurements import Measured
    from convatlas.explorer.session import Session
    from convatlas.runs.overview import Overview
    from convatlas.runs.run import Run

SCHEMA = 1
MOST_IMAGES = 60  # of one answer with images
PICTURE = 448  # longer side in pixels of an image that is looked at
COSTS = ("latency", "latency_p50", "size", "memory", "params", "macs")


# ------------------------------------------------------------------ runs


def runs_document(session: Session) -> dict[str, Any]:
    """``api/runs``: the runs of the folder, the one written to last first, and its comparisons."""
    from convatlas.runs.overview import list_runs, overview

    if session.out is None:
        return {"schema": SCHEMA, "runs": [], "comparisons": []}
    runs = [_overview(overview(run, session.out), session) for run in list_runs(session.out)]
    comparisons = [{"id": folder.name, "title": folder.name} for folder in _comparisons(session.out)]
    return {"schema": SCHEMA, "runs": runs, "comparisons": comparisons}


def _overview(found: Overview, session: Session) -> dict[str, Any]:
    record = found.to_dict()
    del record["path"]
    problem = None if found.problem is None else without_folders(translated(found.problem), session.folders)
    return {**record, "id": found.name, "problem": problem}


def run_document(session: Session, name: str) -> dict[str, Any]:
    """``api/run``: the settings of a run, its epochs so far and its result."""
    from convatlas.runs.overview import overview

    run = session.subjects.run(name).run
    summary = _overview(overview(run, session.out or run.path.parent), session)
    with damaged(name):
        lines = journal_of(run)
        return {
            "schema": SCHEMA,
            "overview": {**summary, "id": name, "name": name},
            "classes": list(run.classes),
            "recipe": {**run.config["recipe"], **run.config.get("options", {})},
            "epochs": [epoch(line) for line in lines if line["event"] == "epoch"],
            "result": next((result(line) for line in reversed(lines) if line["event"] == "done"), None),
        }


def journal_of(run: Run) -> list[dict[str, Any]]:
    """The lines of a run's journal; none before the first epoch."""
    from convatlas.runs.run import METRICS

    return run.metrics() if (run.path / METRICS).exists() else []


def epoch(line: Mapping[str, Any]) -> dict[str, Any]:
    """One epoch for the page, counted from 1; ``seconds`` since the training began."""
    names = ("train_loss", "val_loss", "train_top1", "val_top1", "lr")
    return {"epoch": line["epoch"] + 1, **{name: line.get(name) for name in names}, "seconds": line.get("train_s")}


def result(line: Mapping[str, Any]) -> dict[str, Any]:
    """The last line of a journal for the page, without the path of the run; epochs are counted from 1."""
    names = ("model", "epochs", "train_s", "images_per_s", "seed", "val_top1", "test_top1", "test_top5", "test_n",
             "test_ci95", "protocol")  # fmt: skip
    chosen = line.get("chosen_epoch")
    return {name: line.get(name) for name in names} | {"chosen_epoch": None if chosen is None else chosen + 1}


# ------------------------------------------------------------------ evaluation and mistakes


def evaluation_document(session: Session, name: str) -> dict[str, Any]:
    """``api/evaluation``: measured on the test set of the run's own data."""
    from convatlas.evaluation import metrics

    found = _measured(session, name).evaluation
    bins = metrics.reliability(found.logits, found.labels)
    return {
        "schema": SCHEMA,
        "run": name,
        "n": found.n,
        "top1": found.top1,
        "ci95": list(found.ci95),
        "protocol": found.protocol,
        "classes": list(found.classes),
        "confusion": found.confusion.tolist(),
        "reliability": [
            {key: None if math.isnan(value) else value for key, value in row._asdict().items()} for row in bins
        ],
        "calibration_error": found.calibration_error,
    }


def mistakes_document(
    session: Session, name: str, actual: int | None, predicted: int | None, surest: int
) -> dict[str, Any]:
    """``api/mistakes``: the images of one cell of the confusion matrix, or the surest mistakes of all.

    The images with the highest probability come first; at most `MOST_IMAGES` are sent, of ``total``.

    Raises:
        UsageError: there is no such class, or only one of the two was given.
    """
    measured = _measured(session, name)
    found = measured.evaluation
    if (actual is None) != (predicted is None):
        raise UsageError("the parameters actual and predicted belong together.")
    if actual is None or predicted is None:
        places = [place for place, *_ in found.surest_mistakes(found.n)]
        total, places = len(places), places[: min(surest, MOST_IMAGES)]
    else:
        for each in (actual, predicted):
            if each >= len(found.classes):
                raise UsageError(
                    "there is no class {index}; the last is {last}.", index=each, last=len(found.classes) - 1
                )
        places = _cell(found, actual, predicted)
        total, places = len(places), places[:MOST_IMAGES]
    return {"schema": SCHEMA, "total": total, "images": [_image(measured, place) for place in places]}


def _measured(session: Session, name: str) -> Measured:
    run = session.subjects.run(name).run
    with damaged(name):
        return session.measurements.of(run)


def _cell(found: Evaluation, actual: int, predicted: int) -> list[int]:
    """The images of one cell, the surest first."""
    import numpy as np

    from convatlas.evaluation import metrics

    inside = np.flatnonzero((found.labels == actual) & (found.predictions == predicted))
    confidence = metrics.probabilities(found.logits[inside]).max(axis=1) if len(inside) else np.zeros(0)
    return [int(place) for place in inside[np.argsort(-confidence, kind="stable")]]


def _image(measured: Measured, place: int) -> dict[str, Any]:
    from convatlas.data.dataset import printable
    from convatlas.evaluation import metrics
    from convatlas.explorer.pixels import thumbnail

    found, index = measured.evaluation, int(measured.indices[place])
    pixels = measured.dataset.read(index)
    return {
        "index": index,
        "file": printable(measured.dataset.names[index]),
        "actual": int(found.labels[place]),
        "predicted": int(found.predictions[place]),
        "probability": float(metrics.probabilities(found.logits[place : place + 1]).max()),
        "thumbnail": thumbnail(pixels),
        "picture": thumbnail(pixels, PICTURE),
    }


# ------------------------------------------------------------------ comparisons


def _comparisons(out: Path) -> list[Path]:
    """The folders of finished comparisons, the last one first."""
    files = sorted(out.glob("*/comparison.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in files]


def _comparison_folder(session: Session, name: str) -> Path:
    """The folder of a comparison: its name is compared with those found, never joined to a path."""
    folders = {} if session.out is None else {folder.name: folder for folder in _comparisons(session.out)}
    if name not in folders:
        raise UnknownNameError("comparison", name, list(folders))
    return folders[name]


def comparison_document(session: Session, name: str) -> dict[str, Any]:
    """``api/comparison``: the document of ``convatlas compare --json``, with the costs that a budget can limit."""
    from convatlas.comparison.budget import QUANTITIES
    from convatlas.comparison.stored import read_comparison, rows_of

    folder = _comparison_folder(session, name)
    document = read_comparison(folder)
    known = {path.parent.name for path in folder.glob("*/config.toml")}
    rows = [
        {
            **record,
            "costs": row.costs(),
            "runs": [f"{name}/{run.name}" for run in row.runs if run.name in known],
        }
        for record, row in zip(document["rows"], rows_of(document, folder), strict=True)
    ]
    with damaged(name):
        conditions = dict(document["conditions"])
        kept = {key: document[key] for key in ("budget", "majority", "failures", "skipped")}
        data = Path(document["data"]).name
    conditions.pop("command", None)
    quantities = [
        {"id": each.name, "title": translated(each.description), "example": each.example}
        for each in QUANTITIES.values()
    ]
    return {
        "schema": SCHEMA,
        "id": name,
        "data": data,
        **kept,
        "conditions": conditions,
        "rows": rows,
        "deployments": [_deployment(record) for record in document.get("deployments", ())],
        "quantities": quantities,
    }


def _deployment(record: dict[str, Any]) -> dict[str, Any]:
    """A network as an exported file, without the places of its files."""
    return {key: value for key, value in record.items() if key != "files"}


def recommend_document(session: Session, body: object) -> dict[str, Any]:
    """``POST api/recommend`` with {id, budget, cost}: the recommendation within a budget, and the front for a cost.

    Raises:
        UsageError: the budget cannot be read.
        DataError: a run of the comparison, whose hits the statistics need, is missing or cannot be evaluated.
    """
    import numpy as np

    from convatlas.comparison import pareto
    from convatlas.comparison.budget import Budget
    from convatlas.comparison.recommend import recommend
    from convatlas.comparison.stored import read_comparison, rows_of
    from convatlas.runs.run import Run

    if not isinstance(body, dict):
        raise UsageError("the request must be a JSON object.")
    name, text, cost = (
        body.get(key, default) for key, default in (("id", ""), ("budget", ""), ("cost", "latency_p50"))
    )
    if not (isinstance(name, str) and isinstance(text, str) and len(text) <= 400):
        raise UsageError("id and budget must be texts.")
    if cost not in COSTS:
        raise UsageError("cost must be one of {known}.", known=", ".join(COSTS))
    folder = _comparison_folder(session, name)
    budget = Budget.parse(text)
    rows = rows_of(read_comparison(folder), folder)
    missing = [run.name for row in rows for run in row.runs if not run.is_dir()]
    if missing:
        raise DataError(
            "the run {run} of this comparison is not in its folder any more, so its networks cannot be compared.",
            run=missing[0],
        )
    hits = {
        row.model: np.stack([session.measurements.of(Run(run)).evaluation.hits for run in row.runs]) for row in rows
    }
    found = recommend(rows, hits, budget)
    return {
        "schema": SCHEMA,
        "budget": str(budget),
        "limits": [{"quantity": limit.quantity.name, "at_most": limit.at_most} for limit in budget.limits],
        "recommendation": {
            "model": found.model,
            "why": translated(found.why),
            "ties": list(found.ties),
        },
        "rows": _fitting(rows, budget, front_of(rows, cost, pareto.front)),
    }


def front_of(rows: Sequence[ComparisonRow], cost: str, front: Any) -> dict[str, bool]:
    """Whether each network is on the front of accuracy and a cost; one whose cost was not measured is not."""
    known = [row for row in rows if row.costs()[cost] is not None]
    on_front = front([row.test_top1 for row in known], [row.costs()[cost] for row in known])
    return dict.fromkeys((row.model for row in rows), False) | {
        row.model: on for row, on in zip(known, on_front, strict=True)
    }


def _fitting(rows: Sequence[ComparisonRow], budget: Any, on_front: Mapping[str, bool]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        over = [translated(each) for each in budget.broken_by(row.costs())]
        found.append({"model": row.model, "fits": not over, "over": over, "pareto": on_front[row.model]})
    return found
