"""The routes of a prediction server."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from convatlas import i18n
from convatlas.data.decode import UnreadableImage
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.exports.engines import available_threads
from convatlas.exports.exported import ExportedModel
from convatlas.http.answers import json_response, status_of, without_folders
from convatlas.http.bodies import Busy, Held, read_body
from convatlas.i18n import LANGUAGES, in_language, translated
from convatlas.message import Message
from convatlas.serve import openapi
from convatlas.serve.batching import Batcher, Image, Probabilities
from convatlas.serve.decoding import Sent, files_of, prepared, reason
from convatlas.serve.metrics import CONTENT_TYPE, Metrics
from convatlas.serve.options import ServeOptions

SCHEMA = 1
RETRY_S = 1  # after which a refused request may be sent again
HELD_REQUESTS = 8  # bodies of the largest size that are in memory at once
ROUTES = ("/predict", "/health", "/metrics", "/openapi.json")
Handler = Callable[[Request], Awaitable[Response]]


class Application:
    """The routes for one model.

    Args:
        debug: print the traceback of an internal error on stderr.
    """

    def __init__(self, model: ExportedModel, options: ServeOptions, debug: bool = False) -> None:
        self.model, self.options, self.debug = model, options, debug
        self.about = {
            "network": model.description.network,
            "precision": model.description.precision,
            "engine": model.engine.name,
            "sha256": model.sidecar.sha256,
        }
        self.language = i18n.language()  # of answers to requests that do not ask for another
        self.metrics = Metrics(self.about)
        self.batcher = Batcher(model, options, self.metrics)
        self.held = Held(HELD_REQUESTS * options.max_bytes)
        self.decoding = anyio.CapacityLimiter(available_threads())  # images decoded at once, each with its memory
        self.asgi = Starlette(
            routes=[
                Route("/predict", self.answered(self.predict), methods=["POST"]),
                Route("/health", self.answered(self.health), methods=["GET"]),
                Route("/metrics", self.answered(self.counters), methods=["GET"]),
                Route("/openapi.json", self.answered(self.openapi), methods=["GET"]),
            ],
            exception_handlers={HTTPException: self.refusal},
            lifespan=self.lifespan,
        )
        self.asgi.router.redirect_slashes = False  # /predict/ does not exist, and no header decides on an address

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.batcher.start()
        yield
        await self.batcher.stop()

    # --- the routes ---------------------------------------------------------------------------------------------------

    async def predict(self, request: Request) -> Response:
        top = self.asked_top(request)
        too_long = Message("the request has more than {most:,} bytes.", most=self.options.max_bytes)
        content = await read_body(request, self.options.max_bytes, too_long, held=self.held)
        held = len(content)
        try:
            files = files_of(content, request.headers.get("content-type", ""), self.options)
            del content
            self.batcher.enter(len(files))
            try:
                results = await self.labelled(files)
            finally:
                self.batcher.leave(len(files))
        finally:
            self.held.give_back(held)
        readable = sum(not isinstance(each, UnreadableImage) for each in results)
        self.metrics.images(readable, len(results) - readable)
        with in_language(self.language_of(request.scope)):
            if not readable and len(files) == 1:
                assert isinstance(results[0], UnreadableImage)
                return json_response({"error": translated(reason(results[0]))}, 422)
            rows = [self.row(file, result, top) for file, result in zip(files, results, strict=True)]
        return json_response(
            {"schema": SCHEMA, "model": self.about, "predictions": rows}
            if readable
            else {"error": rows[0]["error"], "predictions": rows},
            200 if readable else 422,
        )

    async def health(self, _request: Request) -> Response:
        return json_response({"schema": SCHEMA, "status": "ok", "model": self.about})

    async def counters(self, _request: Request) -> Response:
        return Response(self.metrics.text(self.batcher.inside), media_type=CONTENT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        return json_response(openapi.description(self.about, len(self.model.classes), self.options))

    # --- of a prediction ----------------------------------------------------------------------------------------------

    async def labelled(self, files: Sequence[Sent]) -> list[Probabilities | UnreadableImage]:
        """Probabilities of each file, or why it cannot be read. The images have places in the batcher."""
        images: list[Image | UnreadableImage] = [await self.decoded(file) for file in files]
        rows = iter(await self.batcher.probabilities([each for each in images if isinstance(each, np.ndarray)]))
        return [each if isinstance(each, UnreadableImage) else next(rows) for each in images]

    async def decoded(self, file: Sent) -> Image | UnreadableImage:
        work = functools.partial(prepared, file.content, self.model, self.options)
        try:
            return await anyio.to_thread.run_sync(work, limiter=self.decoding)
        except UnreadableImage as error:
            return error

    def row(self, file: Sent, result: Probabilities | UnreadableImage, top: int) -> dict[str, Any]:
        if isinstance(result, UnreadableImage):
            return {"file": file.name, "error": translated(reason(result))}
        likeliest = np.argsort(-result, kind="stable")[:top]
        return {"file": file.name, "top": [[self.model.classes[k], float(result[k])] for k in likeliest]}

    def asked_top(self, request: Request) -> int:
        """Raises:
        UsageError: it is no whole number from 1 to the number of classes.
        """
        most = len(self.model.classes)
        asked = request.query_params.get("top", str(min(openapi.TOP, most)))
        if not (asked.isascii() and asked.isdigit() and len(asked) < 8 and 1 <= int(asked) <= most):
            raise UsageError("top={asked}: expected a whole number from 1 to {most}.", asked=asked[:20], most=most)
        return int(asked)

    # --- of every answer ----------------------------------------------------------------------------------------------

    def answered(self, handler: Handler) -> Handler:
        """The handler with its errors as JSON and its answers counted."""

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            try:
                response = await handler(request)
            except Exception as error:
                response = self.failure(error, request.scope)
            self.metrics.answered(request.url.path, response.status_code, time.perf_counter() - started)
            return response

        return answer

    def failure(self, error: Exception, scope: Scope) -> Response:
        """An error as JSON, in the language asked for and without the folders of this machine."""
        with in_language(self.language_of(scope)):
            if isinstance(error, Busy):
                return json_response({"error": translated(error)}, 503, {"retry-after": str(RETRY_S)})
            if isinstance(error, ConvAtlasError):
                return json_response({"error": without_folders(translated(error))}, status_of(error))
            if self.debug:
                traceback.print_exception(error)
            else:
                text = Message("{kind} in the server; --debug shows where", kind=type(error).__name__)
                print("convatlas:", translated(text), file=sys.stderr)
            text = Message("an internal error ({kind}); the terminal shows more", kind=type(error).__name__)
            return json_response({"error": translated(text)}, 500)

    async def refusal(self, request: Request, error: Exception) -> Response:
        """The answer to an address or a method that does not exist."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        headers = error.headers if isinstance(error, HTTPException) else None
        text = Message("this address does not exist; there are {routes}", routes=", ".join(ROUTES))
        if status == 405:
            text = Message("this method is not allowed here")
        self.metrics.answered("other", status, 0)
        with in_language(self.language_of(request.scope)):
            return json_response({"error": translated(text)}, status, headers)

    def language_of(self, scope: Scope) -> str:
        """The first language of the header Accept-Language that there are texts in."""
        given = b",".join(value for name, value in scope["headers"] if name.lower() == b"accept-language")
        asked = [part.strip()[:2].lower() for part in given.decode("latin-1").split(",")]
        return next((each for each in asked if each in LANGUAGES), self.language)
