"""The guard of the page's server: a token in the address, and what a page may load and who may frame it."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp

from convatlas.http.guard import HEADERS, Guard, PathToken

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)
METHODS = ("GET", "HEAD", "PUT", "POST")
NOTEBOOKS = "http://127.0.0.1:* http://localhost:* vscode-webview:"  # may show the page in a frame


def guarded(app: ASGIApp, token: str, hosts: Iterable[str], framed: bool = False) -> Guard:
    """The application behind a guard.

    Args:
        token: the first part of every address.
        hosts: names of this server with its port, such as "127.0.0.1:8000".
        framed: whether a notebook may show the page in a frame.
    """
    headers = HEADERS | {
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "content-security-policy": POLICY.format(ancestors=NOTEBOOKS if framed else "'none'"),
    }
    if not framed:
        headers["x-frame-options"] = "DENY"
    return Guard(app, PathToken(token), hosts, METHODS, headers)
