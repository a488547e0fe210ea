"""What every request passes before the page's server answers it.

The server is bound to 127.0.0.1, but any web page that is open in a browser on this machine may send requests there.
Therefore an address begins with a random token, the Host header must name the loopback interface (against DNS
rebinding), a request with an Origin must come from the page itself, and no answer allows another origin to read it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
METHODS = ("GET", "HEAD", "PUT", "POST")
LONGEST_TARGET = 4096  # bytes of path and query
LONGEST_HEADERS = 16 << 10  # bytes of all headers together
NOTEBOOKS = "http://127.0.0.1:* http://localhost:* vscode-webview:"  # may show the page in a frame


def new_token() -> str:
    return secrets.token_urlsafe(24)


class Guard:
    """Answers 404, 403 or 405 to requests that are not the page's, and adds the headers to every answer.

    Args:
        token: the first part of every address.
        hosts: names of this server with its port, such as "127.0.0.1:8000".
        framed: whether a notebook may show the page in a frame.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], framed: bool = False) -> None:
        self.app, self.token, self.hosts = app, token.encode(), frozenset(hosts)
        self.headers = HEADERS | {"content-security-policy": POLICY.format(ancestors=NOTEBOOKS if framed else "'none'")}
        if not framed:
            self.headers["x-frame-options"] = "DENY"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _value in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in self.headers.items() if k.encode() not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        status = self._refusal(scope)
        if status is not None:
            await _refuse(send_with_headers, status)
            return
        inner = scope["path"][1:].partition("/")[2]
        await self.app({**scope, "path": f"/{inner}", "raw_path": f"/{inner}".encode()}, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> int | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADERS:
            return 431
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [value.decode("latin-1").lower() for value in headers.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403
        origins = [value.decode("latin-1").lower() for value in headers.get(b"origin", [])]
        if origins and origins != [f"http://{hosts[0]}"]:
            return 403
        target = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        if len(target) + len(scope["query_string"]) > LONGEST_TARGET:
            return 414
        first, slash, _rest = scope["path"].removeprefix("/").partition("/")
        known = secrets.compare_digest(first.encode("utf-8", "replace"), self.token)
        if not known or not slash:
            return 404
        return None if scope["method"] in METHODS else 405


async def _refuse(send: Send, status: int) -> None:
    texts = {
        403: "not allowed",
        404: "not found",
        405: "this method is not allowed",
        414: "the address is too long",
        431: "the headers are too long",
    }
    body = json.dumps({"error": texts[status]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_FOLDERS = re.compile(r"""(?:(?<=[\s'"(=,\[])|^)(?:[A-Za-z]:)?[\\/](?:[^\\/\s'":,]+[\\/])+""")


def without_folders(text: str, folders: Iterable[Any] = ()) -> str:
    """A message without the folders of its paths: ``/home/me/nets/mine.py`` becomes ``mine.py``.

    Args:
        folders: known ones, whose names may contain blanks.
    """
    for folder in sorted(map(str, folders), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return _FOLDERS.sub("", text)
