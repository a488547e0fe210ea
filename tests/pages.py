"""A check for pages: well-formed, nothing loaded from elsewhere, nothing only for the eye."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Strict(HTMLParser):
    """Every tag that opens closes, in order; ids are unique."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def check_page(document: str) -> Strict:
    """Well-formed, without any reference to the outside, readable without the pictures."""
    parser = Strict()
    parser.feed(document)
    parser.close()
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert document.startswith("<!DOCTYPE html>")
    for reference in re.findall(r"\b(?:src|href)=\"([^\"]*)\"", document):
        assert reference.startswith(("data:image/png;base64,", "#"))
    assert all(target in parser.ids for target in re.findall(r"(?:href=\"|url\()#([\w.-]+)", document))
    without_images = re.sub(r"data:image/png;base64,[^\"]*", "", document)
    assert not re.search(r"https?:|url\(\s*[^#]|@import|<script|<link|<iframe", without_images)
    assert all("aria-label=" in tag for tag in re.findall(r"<svg[^>]*>", document))
    assert all(re.search(r"alt=\"[^\"]", tag) for tag in re.findall(r"<img[^>]*>", document))
    return parser
