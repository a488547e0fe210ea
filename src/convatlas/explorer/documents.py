"""The documents by their addresses: ``api/NAME`` -> a function of (session, query).

The server's routes and a saved page both call `document`, so that they give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convatlas.errors import UnknownNameError
from convatlas.explorer import exercises, history, networks, playground, run_documents
from convatlas.explorer.query import Query
from convatlas.explorer.session import Session

Document = dict[str, Any]


def _session(session: Session, query: Query) -> Document:
    return session.to_dict()


def _models(session: Session, query: Query) -> Document:
    return networks.models_document()


def _network(session: Session, query: Query) -> Document:
    return networks.network_document(session.subjects[query.text("subject")], query.shape("input"))


def _layer(session: Session, query: Query) -> Document:
    subject = session.subjects[query.text("subject")]
    return networks.layer_document(subject, query.text("layer"), query.shape("input"))


def _presets(session: Session, query: Query) -> Document:
    return exercises.presets()


def _exercises(session: Session, query: Query) -> Document:
    return exercises.exercises(query.integer("seed", 0, 999_999))


def _history(session: Session, query: Query) -> Document:
    return history.history_document()


def _runs(session: Session, query: Query) -> Document:
    return run_documents.runs_document(session)


def _run(session: Session, query: Query) -> Document:
    return run_documents.run_document(session, query.text("id"))


def _evaluation(session: Session, query: Query) -> Document:
    return run_documents.evaluation_document(session, query.text("id"))


def _mistakes(session: Session, query: Query) -> Document:
    actual, predicted = (query.optional_integer(name, 0, 10**6) for name in ("actual", "predicted"))
    surest = query.optional_integer("surest", 1, run_documents.MOST_IMAGES) or 20
    return run_documents.mistakes_document(session, query.text("id"), actual, predicted, surest)


def _comparison(session: Session, query: Query) -> Document:
    return run_documents.comparison_document(session, query.text("id"))


DOCUMENTS: dict[str, Callable[[Session, Query], Document]] = {
    "session": _session,
    "models": _models,
    "network": _network,
    "layer": _layer,
    "history": _history,
    "runs": _runs,
    "run": _run,
    "evaluation": _evaluation,
    "mistakes": _mistakes,
    "comparison": _comparison,
    "playground/presets": _presets,
    "playground/exercises": _exercises,
}

# answers to POST api/NAME: functions of (session, the JSON that was sent)
POSTED: dict[str, Callable[[Session, object], Document]] = {
    "playground/layer": lambda session, body: playground.layer(body),
    "playground/network": lambda session, body: playground.network(body),
    "recommend": run_documents.recommend_document,
}

RUN_A_NETWORK = frozenset(
    {"evaluation", "mistakes", "recommend"}
)  # documents that need a forward pass or weights; one of them at a time


def document(session: Session, name: str, query: Query) -> Document:
    """The answer to ``GET api/NAME``.

    Raises:
        UnknownNameError: no such document.
        ConvAtlasError: what the document says of a bad parameter.
    """
    if name not in DOCUMENTS:
        raise UnknownNameError("address", name[:40], list(DOCUMENTS))
    return DOCUMENTS[name](session, query)


def posted(session: Session, name: str, body: object) -> Document:
    """The answer to ``POST api/NAME`` with a JSON body.

    Raises:
        UnknownNameError: no such document.
        ConvAtlasError: what the document says of the body.
    """
    if name not in POSTED:
        raise UnknownNameError("address", name[:40], list(POSTED))
    return POSTED[name](session, body)
