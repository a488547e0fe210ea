"""An attribution of many passes as server-sent events: how far it is, then its document.

    event: progress
    data: {"done": 320, "total": 1000}

``done`` has the document of ``api/attribution``, ``problem`` an error; either is the last. A browser that closes the
connection cancels the computation. Between two batches other documents may use the network.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor

import anyio

from convatlas.explorer.turns import Turns
from convatlas.inspection.methods import Progress

POLL_S = 0.1

Make = Callable[[Progress], bytes]


class Cancelled(Exception):
    """Nobody waits for the computation any more."""


class Job:
    """A computation in a thread that can be watched and cancelled."""

    def __init__(self, make: Make, turns: Turns) -> None:
        self._make, self._turns = make, turns
        self._cancelled = threading.Event()
        self.done, self.total = 0, 0
        self.finished = threading.Event()
        self.answer = b""

    def run(self) -> None:
        try:
            with self._turns:
                self._check()
                self.answer = self._make(self.progress)
        except Cancelled:
            pass
        finally:
            self.finished.set()

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self._check()
        self._turns.pass_on()
        self._check()

    def cancel(self) -> None:
        self._cancelled.set()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


async def events(job: Job, executor: Executor, poll_s: float = POLL_S) -> AsyncIterator[bytes]:
    """Start the job, and yield its events until it is finished. It is cancelled where the reader goes away."""
    future = executor.submit(job.run)
    told = -1
    try:
        while not job.finished.is_set():
            if job.done != told:
                told = job.done
                yield _event("progress", json.dumps({"done": job.done, "total": job.total}).encode())
            await anyio.sleep(poll_s)
        yield job.answer
    finally:
        job.cancel()
        future.cancel()


def outcome(status: int, document: bytes) -> bytes:
    """The last event: the document, or the error."""
    return _event("done" if status == 200 else "problem", document)


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
