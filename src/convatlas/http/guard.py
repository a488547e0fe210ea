"""What every request passes before a server of this program answers it.

A server is bound to 127.0.0.1 by default, but any web page that is open in a browser on this machine may send requests
there. Therefore a request needs the server's random token, the Host header must name the server (against DNS
rebinding), a request with an Origin must come from the server's own address, and no answer allows another origin to
read it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from convatlas.i18n import in_language, translated
from convatlas.message import Message

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LONGEST_TARGET = 4096  # bytes of path and query
LONGEST_HEADERS = 16 << 10  # bytes of all headers together
REFUSALS = {
    401: Message("the token is missing or wrong; send it as  Authorization: Bearer TOKEN"),
    403: Message("not allowed"),
    404: Message("not found"),
    405: Message("this method is not allowed"),
    414: Message("the address is too long"),
    431: Message("the headers are too long"),
}


def new_token() -> str:
    return secrets.token_urlsafe(24)


class Access(Protocol):
    """Decides by its token whether a request is one of ours.

    Attributes:
        refusal: the status of the answer to others.
    """

    refusal: int

    def __call__(self, scope: Scope) -> Scope | None:
        """The request as the application sees it, or None if it has not the token."""


class PathToken:
    """The token is the first part of every address, as a browser can keep it: ``/TOKEN/page``."""

    refusal = 404

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def __call__(self, scope: Scope) -> Scope | None:
        first, slash, rest = scope["path"].removeprefix("/").partition("/")
        known = secrets.compare_digest(first.encode("utf-8", "replace"), self._token)
        return {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()} if known and slash else None


class BearerToken:
    """The token is a header, as programs send it: ``Authorization: Bearer TOKEN`` (RFC 6750).

    Args:
        public: paths that need no token.
    """

    refusal = 401

    def __init__(self, token: str, public: Collection[str] = ()) -> None:
        self._token, self._public = token.encode(), frozenset(public)

    def __call__(self, scope: Scope) -> Scope | None:
        if scope["path"] in self._public:
            return scope
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        known = secrets.compare_digest(token.strip(), self._token)
        return scope if known and scheme.lower() == b"bearer" else None


class Guard:
    """Answers 401, 403, 404, 405, 414 or 431 to requests that are not ours, and adds the headers to every answer.

    Args:
        hosts: names of this server with its port, such as "127.0.0.1:8000"; None where others reach it by a name that
            is not known here.
        methods: that are answered.
        headers: of every answer that does not set them itself.
        language: of the refusal of a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        hosts: Iterable[str] | None,
        methods: Collection[str],
        headers: Mapping[str, str] = HEADERS,
        language: Callable[[Scope], str] = lambda scope: "en",
    ) -> None:
        self._app, self._access, self._methods, self._language = app, access, frozenset(methods), language
        self._hosts = None if hosts is None else frozenset(hosts)
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(event: Event) -> None:
            if event["type"] == "http.response.start":
                own = {name.lower() for name, _value in event["headers"]}
                added = [pair for pair in self._headers if pair[0] not in own]
                event = {**event, "headers": [*event["headers"], *added]}
            await send(event)

        status = self._refusal(scope)
        inner = None if status is not None else self._access(scope)
        if inner is None:
            await self._refuse(scope, send_with_headers, status or self._access.refusal)
        elif scope["method"] not in self._methods:
            await self._refuse(scope, send_with_headers, 405)
        else:
            await self._app(inner, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> int | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADERS:
            return 431
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [value.decode("latin-1").lower() for value in headers.get(b"host", [])]
        if len(hosts) != 1 or (self._hosts is not None and hosts[0] not in self._hosts):
            return 403
        origins = [value.decode("latin-1").lower() for value in headers.get(b"origin", [])]
        if origins and origins != [f"http://{hosts[0]}"]:
            return 403
        target = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        return 414 if len(target) + len(scope["query_string"]) > LONGEST_TARGET else None

    async def _refuse(self, scope: Scope, send: Send, status: int) -> None:
        with in_language(self._language(scope)):
            body = json.dumps({"error": translated(REFUSALS[status])}, ensure_ascii=False).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
