"""What the user of an exported file should know about it, in words."""

from __future__ import annotations

from collections.abc import Iterator

from convatlas.exports.exported import ExportedModel
from convatlas.message import Message


def remarks(model: ExportedModel) -> Iterator[Message]:
    """What the user of a file should know before trusting its labels."""
    if model.sidecar.contract.get("state") == "broken":
        yield Message(
            "{file} breaks its contract: it does not compute what the network computed. See contract.html beside it.",
            file=model.file,
        )
    if not model.description.trained:
        yield Message("{file} has random weights: its labels mean nothing.", file=model.file)


def preparation(model: ExportedModel) -> Message:
    """How images are prepared for the file, in words."""
    return model.description.preprocessing.in_words(
        Message("inside the file") if model.description.accepts_any_size else Message("as its sidecar states")
    )
