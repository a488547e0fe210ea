"""The atlas as a chart: every network with its year, its counts and the errors that its paper prints. No torch."""

from __future__ import annotations

from typing import Any

from convatlas.figures import ERRORS, Figure
from convatlas.i18n import translated
from convatlas.message import Message
from convatlas.models.registry import Entry, entry, list_models

SCHEMA = 1
FEWEST = 3  # networks that a kind of error must have to be drawn


def history_document() -> dict[str, Any]:
    """``api/history``: the points of the chart, and the kinds of errors that can be drawn.

    Of several errors of one kind a point has the one that the card lists first, with its protocol.
    """
    points = [_point(entry(name)) for name in list_models()]
    kinds = dict.fromkeys(kind for point in points for kind in point["errors"])
    counts = {kind: sum(kind in point["errors"] for point in points) for kind in kinds}
    return {
        "schema": SCHEMA,
        "errors": [
            {"id": kind, "title": _title(kind), "networks": counts[kind]} for kind in kinds if counts[kind] >= FEWEST
        ],
        "points": points,
    }


def _point(record: Entry) -> dict[str, Any]:
    card = record.card
    errors: dict[str, dict[str, Any]] = {}
    for figure in card.figures:
        if figure.quantity in ERRORS:
            errors.setdefault(kind_of(figure), _error(figure, card.paper.citation))
    return {
        "name": record.full_name,
        "title": card.paper.title,
        "paper": card.paper.citation,
        "family": record.family,
        "variant": record.variant,
        "year": record.year,
        "input": list(record.input),
        "params": record.params,
        "macs": record.macs,
        "errors": errors,
    }


def kind_of(figure: Figure) -> str:
    """``top5_error:ILSVRC-2012``: the quantity and the data set, with which every protocol begins."""
    return f"{figure.quantity}:{figure.protocol.partition(' ')[0]}"


def _title(kind: str) -> str:
    quantity, _, data = kind.partition(":")
    titles = {
        "error": Message("error, {data}", data=data),
        "top1_error": Message("top-1 error, {data}", data=data),
        "top5_error": Message("top-5 error, {data}", data=data),
    }
    return translated(titles[quantity])


def _error(figure: Figure, citation: str) -> dict[str, Any]:
    return {
        "percent": float(figure.value),
        "printed": figure.printed,
        "protocol": translated(figure.protocol),
        "source": ", ".join(part for part in (figure.source or citation, figure.where) if part),
        "verified": figure.verified,
    }
