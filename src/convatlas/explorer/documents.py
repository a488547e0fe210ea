"""The documents by their addresses: ``api/NAME`` -> a function of (session, query).

The server's routes and a saved page both call `document`, so that they give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convatlas.errors import UnknownNameError
from convatlas.explorer import attributions, exercises, history, networks, playground, run_documents
from convatlas.explorer.images import Picture
from convatlas.explorer.query import Query
from convatlas.explorer.session import Session
from convatlas.explorer.subjects import OwnModule, Subject
from convatlas.inspection.methods import Progress

Document = dict[str, Any]
Maker = Callable[[Session, Query], Document]

LARGEST_PLACE = 1_000_000  # of a channel, a position, a class


def _session(session: Session, query: Query) -> Document:
    return session.to_dict()


def _models(session: Session, query: Query) -> Document:
    return networks.models_document()


def _network(session: Session, query: Query) -> Document:
    return networks.network_document(session.subjects[query.text("subject")], query.shape("input"))


def _layer(session: Session, query: Query) -> Document:
    subject = session.subjects[query.text("subject")]
    return networks.layer_document(subject, query.text("layer"), query.shape("input"))


def _methods(session: Session, query: Query) -> Document:
    return attributions.methods_document()


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


# --- with torch, which the first of them imports ---------------------------------------------------------------------


def _prepared(session: Session, query: Query) -> Document:
    from convatlas.explorer.image_documents import prepared_document

    return prepared_document(session.bench, *_subject_and_image(session, query))


def _predict(session: Session, query: Query) -> Document:
    from convatlas.explorer.image_documents import predict_document

    return predict_document(session.bench, *_subject_and_image(session, query))


def _maps(session: Session, query: Query) -> Document:
    from convatlas.explorer.image_documents import maps_document

    return maps_document(session.bench, *_subject_and_image(session, query), query.text("layer"))


def _filters(session: Session, query: Query) -> Document:
    from convatlas.explorer.image_documents import filters_document

    return filters_document(session.bench, session.subjects[query.text("subject")], query.text("layer"))


def _window(session: Session, query: Query) -> Document:
    from convatlas.explorer.window import window_document

    place = tuple(query.integer(name, 0, LARGEST_PLACE) for name in ("channel", "y", "x"))
    subject, image = _subject_and_image(session, query)
    return window_document(session.bench, subject, image, query.text("layer"), (place[0], place[1], place[2]))


def attribution(session: Session, query: Query, progress: Progress | None = None) -> Document:
    """``api/attribution``, with its progress."""
    subject, image = _subject_and_image(session, query)
    class_ = query.optional_integer("class", 0, LARGEST_PLACE)
    return attributions.attribution_document(
        session.bench, subject, image, query.text("method"), query.optional("layer"), class_, progress
    )


def _effective(session: Session, query: Query) -> Document:
    subject = session.subjects[query.text("subject")]
    return attributions.effective_document(session.bench, subject, session.pictures, query.text("layer"))


def _times(session: Session, query: Query) -> Document:
    from convatlas.explorer.times import times_document

    return times_document(session.bench, session.subjects[query.text("subject")])


def _subject_and_image(session: Session, query: Query) -> tuple[Subject, Picture]:
    return session.subjects[query.text("subject")], session.pictures[query.text("image")]


WITHOUT_A_NETWORK: dict[str, Maker] = {
    "session": _session,
    "models": _models,
    "network": _network,
    "layer": _layer,
    "methods": _methods,
    "history": _history,
    "runs": _runs,
    "run": _run,
    "comparison": _comparison,
    "playground/presets": _presets,
    "playground/exercises": _exercises,
}
# documents that need weights or a forward pass; the server makes them in turn
WITH_A_NETWORK: dict[str, Maker] = {
    "prepared": _prepared,
    "predict": _predict,
    "maps": _maps,
    "filters": _filters,
    "window": _window,
    "attribution": attribution,
    "effective": _effective,
    "times": _times,
    "evaluation": _evaluation,
    "mistakes": _mistakes,
}
DOCUMENTS = WITHOUT_A_NETWORK | WITH_A_NETWORK

# answers to POST api/NAME: functions of (session, the JSON that was sent); a recommendation evaluates runs
POSTED: dict[str, Callable[[Session, object], Document]] = {
    "playground/layer": lambda session, body: playground.layer(body),
    "playground/network": lambda session, body: playground.network(body),
    "recommend": run_documents.recommend_document,
}


def uses_a_network(session: Session, name: str, query: Query) -> bool:
    """Whether a document must wait for others that use a network."""
    if name in WITH_A_NETWORK or name == "recommend":
        return True
    # a module given in Python is one object: it is not traced while it runs
    subject = session.subjects.given.get(query.values.get("subject", ""))
    return isinstance(subject, OwnModule) and not isinstance(subject.module, str)


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
