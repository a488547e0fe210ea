"""The documents by their addresses: ``api/NAME`` -> a function of (session, query).

The server's routes and a saved page both call `document`, so that they give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convatlas.errors import UnknownNameError
from convatlas.explorer import exercises, networks, playground
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


DOCUMENTS: dict[str, Callable[[Session, Query], Document]] = {
    "session": _session,
    "models": _models,
    "network": _network,
    "layer": _layer,
    "playground/presets": _presets,
    "playground/exercises": _exercises,
}

# answers to POST api/NAME: functions of (session, the JSON that was sent)
POSTED: dict[str, Callable[[Session, object], Document]] = {
    "playground/layer": lambda session, body: playground.layer(body),
    "playground/network": lambda session, body: playground.network(body),
}

RUN_A_NETWORK: frozenset[str] = frozenset()  # documents that need a forward pass or weights; one of them at a time


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
