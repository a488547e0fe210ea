"""A training that goes on elsewhere, as server-sent events: its journal is read again and again.

    id: 3
    event: epoch
    data: {"epoch": 3, "train_loss": ...}

The id is the number of epochs sent; a browser that lost the connection sends the last one, and gets what came after.
``restart`` says that the journal was cut back to that many epochs, as a resumed training does; ``done`` is the last.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from convatlas.explorer import run_documents

if TYPE_CHECKING:
    from convatlas.runs.run import Run

POLL_S = 0.5
SILENCE_S = 15.0  # after which a comment is sent, so that a closed connection is noticed


async def events(run: Run, seen: int, poll_s: float = POLL_S) -> AsyncIterator[bytes]:
    """Yield the events after the first ``seen`` epochs, until the run is done. One that stopped may be resumed."""
    silent = 0.0
    while True:
        lines = await anyio.to_thread.run_sync(run_documents.journal_of, run)
        epochs = [line for line in lines if line["event"] == "epoch"]
        done = next((line for line in reversed(lines) if line["event"] == "done"), None)
        if len(epochs) < seen:
            seen = len(epochs)
            yield _event("restart", seen, {"epochs": seen})
        for line in epochs[seen:]:
            seen += 1
            yield _event("epoch", seen, run_documents.epoch(line))
            silent = 0.0
        if done is not None:
            yield _event("done", seen, run_documents.result(done))
            return
        await anyio.sleep(poll_s)
        silent += poll_s
        if silent >= SILENCE_S:
            silent = 0.0
            yield b": waiting\n\n"


def _event(name: str, number: int, data: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
