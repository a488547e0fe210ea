"""The page's server: Starlette on uvicorn, bound to 127.0.0.1. No torch until a document needs it.

An answer is one JSON document (`documents`), a file of the built page, or a stream of events. Everything in `safety`
comes before. Documents run in threads, those that need a network one at a time (`turns`). A long attribution passes its
turn on after every batch, so that it holds up nothing else.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from convatlas.errors import ConvAtlasError, UsageError
from convatlas.explorer import attribution_events, documents, run_events, safety
from convatlas.explorer.images import MAX_BYTES, too_large
from convatlas.explorer.query import Query
from convatlas.explorer.session import Session
from convatlas.http.answers import json_response, status_of, without_folders
from convatlas.http.bodies import read_body
from convatlas.http.guard import new_token
from convatlas.http.listening import LOOPBACK, bound
from convatlas.i18n import LANGUAGES, in_language, translated
from convatlas.inspection.methods import Progress
from convatlas.message import Message

HOST = LOOPBACK
STATIC = "static"
MEDIA_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
DRAINED = 8 * MAX_BYTES  # of a body that is too large, read and dropped so that the sender sees the answer
JSON_BYTES = 64 << 10  # of a body in JSON
HEADER_BYTES = 32 << 10
CONNECTIONS = 64
LONG_AT_ONCE = 2  # attributions of many passes that are computed side by side


def static_files() -> dict[str, bytes]:
    """The built page: name -> content. Only these names are served."""
    folder = resources.files("convatlas.explorer").joinpath(STATIC)
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in MEDIA_TYPES}


class Application:
    """The routes of one session.

    Args:
        debug: print the traceback of an internal error on stderr.
    """

    def __init__(self, session: Session, debug: bool = False) -> None:
        self.session, self.debug = session, debug
        self.static = static_files()
        self.running = anyio.CapacityLimiter(16)  # documents that run a network, most of them waiting for their turn
        self.counting = anyio.CapacityLimiter(4)  # all others
        self.jobs = ThreadPoolExecutor(
            LONG_AT_ONCE, thread_name_prefix="attribution"
        )  # starts no thread before it must
        self.asgi = Starlette(
            routes=[
                Route("/", self.page, methods=["GET"]),
                Route("/api/image", self.image, methods=["PUT"]),
                Route("/api/run/events", self.events, methods=["GET"]),
                Route("/api/attribution/events", self.attribution, methods=["GET"]),
                Route("/api/{name:path}", self.get, methods=["GET"]),
                Route("/api/{name:path}", self.post, methods=["POST"]),
                Route("/{name}", self.page, methods=["GET"]),
            ],
            exception_handlers={HTTPException: self.refusal},
        )

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in self.static:
            raise HTTPException(404)
        return Response(self.static[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    async def get(self, request: Request) -> Response:
        name = request.path_params["name"]
        query = Query(dict(request.query_params))
        return await self.in_turn(name, query, lambda: documents.document(self.session, name, query))

    async def in_turn(self, name: str, query: Query, make: Callable[[], Mapping[str, Any]]) -> Response:
        """The document, made in its turn where it uses a network."""
        if not documents.uses_a_network(self.session, name, query):
            return await self.answered(query, make, self.counting)

        def wait_and_make() -> Mapping[str, Any]:
            with self.session.turns:
                return make()

        return await self.answered(query, wait_and_make, self.running)

    async def post(self, request: Request) -> Response:
        name = request.path_params["name"]
        query = Query(dict(request.query_params))
        too_long = Message("the request has more than {most} KiB.", most=JSON_BYTES >> 10)
        try:
            body = json_of(await read_body(request, JSON_BYTES, too_long, DRAINED))
        except ConvAtlasError as error:
            return self.failure(error, query)
        return await self.in_turn(name, query, lambda: documents.posted(self.session, name, body))

    async def events(self, request: Request) -> Response:
        """A training that goes on: the epochs after the last one that the browser has."""
        query = Query(dict(request.query_params))
        seen = request.headers.get("last-event-id") or query.values.get("after", "0")
        try:
            run = self.session.subjects.run(query.text("id")).run
        except ConvAtlasError as error:
            return self.failure(error, query)
        after = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 8 else 0
        return StreamingResponse(run_events.events(run, after), media_type="text/event-stream")

    async def attribution(self, request: Request) -> Response:
        """An attribution with its progress; closing the connection cancels it."""
        query = Query(dict(request.query_params))

        def make(progress: Progress) -> bytes:
            found = self.made(query, lambda: documents.attribution(self.session, query, progress))
            return attribution_events.outcome(found.status_code, bytes(found.body))

        job = attribution_events.Job(make, self.session.turns)
        return StreamingResponse(attribution_events.events(job, self.jobs), media_type="text/event-stream")

    async def image(self, request: Request) -> Response:
        query = Query(dict(request.query_params))
        try:
            content = await read_body(request, MAX_BYTES, too_large().message, DRAINED)
        except ConvAtlasError as error:
            return self.failure(error, query)
        keep = functools.partial(self.session.pictures.add, content, query.values.get("name", ""))
        return await self.answered(query, lambda: keep().to_dict(), self.counting)

    async def refusal(self, request: Request, error: Exception) -> Response:
        """The answer to an address that does not exist."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        text = Message("this address does not exist") if status == 404 else Message("this method is not allowed here")
        with in_language(_language(request.query_params)):
            return json_response({"error": translated(text)}, status)

    async def answered(
        self, query: Query, make: Callable[[], Mapping[str, Any]], limiter: anyio.CapacityLimiter
    ) -> Response:
        """The document made in a thread, or the error that it raises."""
        return await anyio.to_thread.run_sync(self.made, query, make, limiter=limiter)

    def made(self, query: Query, make: Callable[[], Mapping[str, Any]]) -> Response:
        try:
            with in_language(_language(query.values)):
                return json_response(make())
        except attribution_events.Cancelled:
            raise
        except Exception as error:
            return self.failure(error, query)

    def failure(self, error: Exception, query: Query) -> Response:
        """An error as a document, in the language asked for and without the folders of this machine."""
        with in_language(_language(query.values)):
            if isinstance(error, ConvAtlasError):
                text = without_folders(translated(error), self.session.folders)
                return json_response({"error": text}, status_of(error))
            if self.debug:
                traceback.print_exception(error)
            else:
                text = Message("{kind} in the server of the page; --debug shows where", kind=type(error).__name__)
                print("convatlas:", translated(text), file=sys.stderr)
            text = translated(Message("an internal error ({kind}); the terminal shows more", kind=type(error).__name__))
            return json_response({"error": text}, 500)


def json_of(content: bytes) -> object:
    """The JSON of a body.

    Raises:
        UsageError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is not JSON.") from error


def _language(parameters: Mapping[str, str]) -> str:
    asked = parameters.get("lang", "")
    return asked if asked in LANGUAGES else "en"


class Server:
    """A running server; `serve` blocks, `start` runs it in a thread.

    Args:
        port: of the loopback interface; 0 for a free one.
        framed: whether a notebook may show the page in a frame.
        debug: print the traceback of an internal error on stderr.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(self, session: Session, port: int = 0, framed: bool = False, debug: bool = False) -> None:
        self.socket = bound(port, waiting=CONNECTIONS)
        self.port = int(self.socket.getsockname()[1])
        self.token = new_token()
        hosts = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        app: ASGIApp = safety.guarded(Application(session, debug).asgi, self.token, hosts, framed)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",  # the one with a limit for headers
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=HEADER_BYTES,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer requests until the process is interrupted."""
        self._uvicorn.run(sockets=[self.socket])

    def start(self) -> None:
        """Answer requests in a thread, until `close`."""
        self._thread = threading.Thread(target=self.serve, name="convatlas explore", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop a server that `start` started."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=10)
        self.socket.close()
