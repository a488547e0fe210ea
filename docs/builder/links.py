"""Links between files of the repository become links between pages of the site."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from docs.builder.maths import CODE
from docs.builder.page import LANGUAGES, ROOT, Page

LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
PICTURES = (".png", ".svg", ".jpg")


def resolved(page: Page, language: str, pages: Mapping[str, str]) -> tuple[str, dict[str, Path]]:
    """The text of a page with its links, and the pictures of the repository that it shows.

    A link to a file that is a page leads to that page; one to another file of the repository becomes the file's name,
    as the site does not carry it.

    Args:
        pages: file of the repository -> path of its page, of this language.
    """
    pictures: dict[str, Path] = {}
    here = PurePosixPath(page.source).parent

    def replaced(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not page.source or not target or re.match(r"[a-z]+:", target):
            return link[0]
        file = os.path.normpath(here / target)
        anchor = f"#{anchor}" if anchor else ""
        if file in pages:
            return f"{link['picture']}[{link['text']}]({relative(pages[file], page.path)}{anchor})"
        for other in LANGUAGES:
            if other != language and file.startswith(f"docs/{other}/"):
                place = f"../{other}/" + file.removeprefix(f"docs/{other}/")
                address = relative(place, page.path).removesuffix(".md") + f".html{anchor}"
                return f'<a href="{address}" hreflang="{other}" lang="{other}">{link["text"]}</a>'
        if link["picture"] and file.endswith(PICTURES):
            kept = "pictures/" + file.replace("/", "-")
            pictures[kept] = ROOT / file
            return f"![{link['text']}]({relative(kept, page.path)})"
        inside = f"{file.rstrip('/')}/README.md"
        if inside in pages:
            return f"[{link['text']}]({relative(pages[inside], page.path)}{anchor})"
        name = link["text"].strip("`")
        return f"`{name}`" if name in (target, file, Path(file).name) else f"{link['text']} (`{file}`)"

    parts = CODE.split(page.text)
    # a link may hold code, so that a text in code marks is only left alone where it spans lines
    text = "".join(part if part.startswith("```") else LINK.sub(replaced, part) for part in _joined(parts))
    return text, pictures


def _joined(parts: list[str]) -> list[str]:
    """The parts of a text between fenced blocks, with code in the line put back."""
    joined = [""]
    for part in parts:
        if part.startswith("```"):
            joined += [part, ""]
        else:
            joined[-1] += part
    return joined


def relative(target: str, start: str) -> str:
    """The path from a page to another, or to a picture."""
    return os.path.relpath(target, PurePosixPath(start).parent).replace(os.sep, "/")
