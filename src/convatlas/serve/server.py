"""`PredictionServer`: the application on uvicorn, behind a guard."""

from __future__ import annotations

import ipaddress
import threading

import uvicorn

from convatlas.exports.exported import ExportedModel
from convatlas.http.guard import BearerToken, Guard, new_token
from convatlas.http.listening import LOOPBACK, bound
from convatlas.http.patience import SLOWEST_HEADERS, PatientProtocol
from convatlas.serve.application import Application
from convatlas.serve.options import ServeOptions

METHODS = ("GET", "HEAD", "POST")
HEADER_BYTES = 32 << 10
CONNECTIONS = 512  # below the usual limit of 1,024 open files
GRACE_S = 30  # for requests that are being answered when the server is told to stop


class PredictionServer:
    """A prediction server; `serve` blocks, `start` runs it in a thread.

    SIGTERM and Ctrl-C stop it: it accepts no new connection, answers the requests that it has, and ends.

    Args:
        host: the address that it listens on.
        port: 0 for a free one.
        token: that requests need, except for /health; by default a new random one.
        debug: print the traceback of an internal error on stderr.
        model: the opened exported file.
        options: limits and address of the server.

    Raises:
        UsageError: the address or the port cannot be used.
    """

    def __init__(
        self,
        model: ExportedModel,
        options: ServeOptions = ServeOptions(),  # noqa: B008
        *,
        host: str = LOOPBACK,
        port: int = 0,
        token: str | None = None,
        debug: bool = False,
    ) -> None:
        self.socket = bound(port, host, waiting=CONNECTIONS)
        self.host, self.port = host, int(self.socket.getsockname()[1])
        self.token = token or new_token()
        self.application = Application(model, options, debug)
        names = [f"{name}:{self.port}" for name in (LOOPBACK, "localhost", "[::1]")] if is_loopback(host) else None
        guard = Guard(
            self.application.asgi,
            BearerToken(self.token, public=["/health"]),
            names,
            METHODS,
            language=self.application.language_of,
        )
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                guard,
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                log_level="critical",
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=HEADER_BYTES,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=SLOWEST_HEADERS,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def serve(self) -> None:
        """Answer requests until the process is told to stop."""
        self._uvicorn.run(sockets=[self.socket])

    def start(self) -> None:
        """Answer requests in a thread, until `close`."""
        self._thread = threading.Thread(target=self.serve, name="convatlas serve", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop a server that `start` started; requests that it has are answered."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=GRACE_S + 5)
        self.socket.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
