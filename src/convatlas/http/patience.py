"""A connection on which no request arrives is closed, so that slow or silent ones do not use up all of them."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SLOWEST_HEADERS = 15  # seconds until the headers of a request must have arrived


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it. From its opening, or its last answer, a connection has ``SLOWEST_HEADERS`` seconds
    to send the headers of a request.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        super().handle_events()
        if self._in_a_request() and self._late is not None:
            self._late.cancel()
            self._late = None

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(SLOWEST_HEADERS, self._close)

    def _close(self) -> None:
        if not self._in_a_request() and not self.transport.is_closing():
            self.transport.close()

    def _in_a_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
