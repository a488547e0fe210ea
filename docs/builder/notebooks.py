"""The notebooks as pages."""

from __future__ import annotations

from collections.abc import Iterator

from docs.builder.page import Page


def pages(language: str) -> Iterator[Page]:
    """A page per notebook."""
    yield from ()
