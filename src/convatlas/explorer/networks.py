"""The documents of a network and of its layers. From stored tables for the atlas, so without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from convatlas.arithmetic.explanation import explain
from convatlas.arithmetic.records import LayerRow
from convatlas.errors import ShapeError
from convatlas.explorer.subjects import Shape, Subject
from convatlas.figures import ERRORS
from convatlas.i18n import translated
from convatlas.models.registry import entry, list_models

if TYPE_CHECKING:
    from convatlas.arithmetic.summary import Summary

SCHEMA = 1


def models_document() -> dict[str, Any]:
    """``api/models``: the atlas, in the order of publication."""
    return {"schema": SCHEMA, "models": [_model(name) for name in list_models()]}


def _model(name: str) -> dict[str, Any]:
    record = entry(name)
    card = record.card
    return {
        "name": name,
        "title": card.paper.title,
        "paper": card.paper.citation,
        "year": record.year,
        "summary": translated(card.summary),
        "input": list(record.input),
        "params": record.params,
        "macs": record.macs,
        "errors": [
            {
                "quantity": figure.quantity,
                "printed": figure.text,
                "protocol": translated(figure.protocol),
                "source": ", ".join(part for part in (figure.source or card.paper.citation, figure.where) if part),
                "verified": figure.verified,
            }
            for figure in card.figures
            if figure.quantity in ERRORS
        ],
    }


def network_document(subject: Subject, shape: Shape | None = None) -> dict[str, Any]:
    """``api/network``: the rows of ``convatlas show --json`` with the blocks and the card.

    A module whose forward pass fails answers with the rows until then and a ``failure``.
    """
    failure: dict[str, Any] | None = None
    try:
        summary = subject.summary(shape)
    except ShapeError as error:
        partial = getattr(error, "summary", None)  # of a ForwardError, whose module imports torch
        if partial is None:
            raise
        summary = partial
        failure = {
            "layer": getattr(error, "layer", ""),
            "inputs": [list(each) for each in getattr(error, "input_shapes", ())],
            "message": translated(error),
        }
    model, variant = subject.model
    document = summary.to_dict()
    usual = shape is None
    return {
        "schema": SCHEMA,
        **document,
        "subject": subject.id,
        "model": model,
        "variant": variant,
        "title": subject.title,
        "blocks": blocks(summary),
        "figures": _figures(subject) if usual else [],
        "departures": [departure.to_dict() for departure in subject.departures()],
        "notes": [translated(note) for note in summary.notes],
        "failure": failure,
    }


def blocks(summary: Summary) -> list[dict[str, Any]]:
    """The modules that contain rows, outermost first. A module whose rows are not neighbours is left out.

    Returns:
        path, class, the path of the block around it, the range of its rows, and their sums.
    """
    types = {block.path: block.type for block in summary.blocks}
    inside: dict[str, list[int]] = {}
    for index, row in enumerate(summary.rows):
        for path in _around(row):
            inside.setdefault(path, []).append(index)
    neighbours = {path: rows for path, rows in inside.items() if rows[-1] - rows[0] + 1 == len(rows)}
    return [_block(summary, path, types.get(path, ""), rows, neighbours) for path, rows in neighbours.items()]


def _around(row: LayerRow) -> list[str]:
    """The paths of the modules that contain a row, outermost first, without the network itself."""
    runs_here = row.path == "" or row.name.startswith(f"{row.path}.")  # an operator of the module itself
    module = row.path if runs_here else row.path.rpartition(".")[0]
    parts = module.split(".") if module else []
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _block(summary: Summary, path: str, type_: str, rows: Sequence[int], known: dict[str, list[int]]) -> dict[str, Any]:
    parent = path.rpartition(".")[0]
    while parent and parent not in known:
        parent = parent.rpartition(".")[0]
    chosen = [summary.rows[index] for index in rows]
    return {
        "path": path,
        "type": type_,
        "parent": parent,
        "rows": [rows[0], rows[-1] + 1],
        "params": sum(row.params for row in chosen),
        "macs": sum(row.macs or 0 for row in chosen),
        "activation_bytes": sum(row.activation_bytes for row in chosen),
    }


def layer_document(subject: Subject, layer: str, shape: Shape | None = None) -> dict[str, Any]:
    """``api/layer``: the lines of ``convatlas explain``, and the receptive field.

    Raises:
        UnknownNameError: no such row or block.
    """
    try:
        summary = subject.summary(shape)
    except ShapeError as error:
        partial = getattr(error, "summary", None)
        if partial is None:
            raise
        summary = partial
    explanation = explain(summary, layer)
    row = explanation.row
    whole = row.receptive_field is not None and row.jump is None
    usual = shape is None
    return {
        "schema": SCHEMA,
        "row": _plain(row),
        "heading": translated(explanation.heading),
        "steps": [
            {
                "quantity": translated(step.quantity),
                "formula": translated(step.formula),
                "substitution": translated(step.substitution),
                "result": translated(step.result),
                "note": translated(step.note),
            }
            for step in explanation.steps
        ],
        "field": _field(row),
        "whole": whole,
        "filters": row.kind == "conv"
        and row.kernel is not None
        and len(row.kernel) == 2
        and row.own_params > 0
        and not row.stated,  # such as LeNet-5's C3, whose weights are a list of kernels
        "maps": len(row.output) == 3,
        "figures": [
            each
            for each in (_figures(subject) if usual else ())
            if names_layer(row.name, each["source"], each["protocol"], each["explanation"])
        ],
        "departures": [
            each.to_dict()
            for each in subject.departures()
            if names_layer(row.name, each.topic, each.paper, each.here, each.why)
        ],
    }


def names_layer(row: str, *texts: str) -> bool:
    """Whether texts of a card name a row, a block around it, or its module by the last part of its name.

    "conv1" names the row conv1 and not layer1.0.conv1; "4c" names the rows of inception_4c.
    """
    words = {word for text in texts for word in re.findall(r"[\w.]*\w", translated(text))}
    parts = row.split(".")
    names = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    names |= {row.partition(":")[0]} | {name.rpartition("_")[2] for name in parts[:1] if "_" in name}
    return any(name in words and any(letter.isalpha() for letter in name) and len(name) > 1 for name in names)


def _figures(subject: Subject) -> list[dict[str, Any]]:
    return [{**figure.to_dict(), "explanation": translated(figure.explanation)} for figure in subject.figures()]


def _plain(row: LayerRow) -> dict[str, Any]:
    from convatlas.arithmetic.records import plain_row

    return plain_row(row)


def _field(row: LayerRow) -> dict[str, Any] | None:
    """The receptive field of position (y, x): it begins at origin + (y, x) * jump. None where unknown or the whole."""
    if row.receptive_field is None or row.jump is None or row.start is None or len(row.receptive_field) != 2:
        return None
    return {
        "origin": list(row.start),
        "jump": [_number(jump) for jump in row.jump],
        "size": list(row.receptive_field),
    }


def _number(jump: Fraction) -> int | float:
    return int(jump) if jump.denominator == 1 else float(jump)
