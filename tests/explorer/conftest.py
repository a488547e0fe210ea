"""A server on this machine, and what a page would ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from convatlas.explorer.opening import open_session
from convatlas.explorer.server import Server
from convatlas.explorer.session import Session


class Page:
    """The page's side: addresses below the token, answers as documents."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.server = Server(session, debug=True)
        self.server.start()
        self.client = httpx.Client(base_url=self.server.url, timeout=120)

    def get(self, name: str, **parameters: object) -> dict[str, Any]:
        answer = self.client.get(f"api/{name}", params={key: str(value) for key, value in parameters.items()})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refused(self, name: str, **parameters: object) -> tuple[int, str]:
        """The status and the text of an error."""
        answer = self.client.get(f"api/{name}", params={key: str(value) for key, value in parameters.items()})
        assert 400 <= answer.status_code < 500, answer.text
        return answer.status_code, str(answer.json()["error"])

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture(scope="module")
def page_of() -> Iterator[Callable[..., Page]]:
    """``page_of("resnet18", data=...)``: the page of these subjects."""
    pages: list[Page] = []

    def opened(*subjects: object, **options: Any) -> Page:
        pages.append(Page(open_session(subjects, **options)))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def page(page_of: Callable[..., Page]) -> Page:
    """A page without a subject: every network of the atlas may be named."""
    return page_of()
