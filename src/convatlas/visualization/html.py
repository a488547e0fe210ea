"""Building blocks of a report: functions from values to HTML. A report is one file without scripts or other resources.

Text is escaped unless it is already ``Html``, so that a class called ``<b>`` is shown as text.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO

import numpy as np

from convatlas.i18n import _, translated
from convatlas.visualization.style import SeriesStyle


class Html(str):
    """Text that is already markup."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as markup: escaped unless it is markup, and translated if it is a message.

    The space before a percent sign becomes a no-break space.
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(translated(value), quote=True).replace(" %", "\u00a0%"))


def join(*parts: object) -> Html:
    return Html("".join(text(part) for part in parts))


# with this policy the browser loads no external resource, even if the page requests one by mistake
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, *body: Html, lang: str = "en") -> str:
    """A complete document."""
    css = resources.files("convatlas.visualization").joinpath("page.css").read_text("utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="{text(lang)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def header(title: str, lead: object, more: object = "", note: object = "") -> Html:
    """The head of a report: title, main result in a sentence (``lead``), details (``more``), a note in small type."""
    quiet = f'<p class="note">{text(note)}</p>' if note else ""
    return Html(f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>{text(more)}{quiet}</header>')


def section(heading: str, *content: Html) -> Html:
    return Html(f"<section><h2>{text(heading)}</h2>\n" + "\n".join(content) + "</section>")


def block(*content: Html) -> Html:
    """Several elements as one item of ``figures``."""
    return Html(f"<div>{''.join(content)}</div>")


def paragraph(*parts: object) -> Html:
    return Html(f"<p>{join(*parts)}</p>")


def note(*parts: object) -> Html:
    return Html(f'<p class="note">{join(*parts)}</p>')


def strong(value: object) -> Html:
    return Html(f"<strong>{text(value)}</strong>")


def code(value: object) -> Html:
    return Html(f"<code>{text(value)}</code>")


def kind(word: str) -> Html:
    """A tag with the kind of a value: printed, derived or measured."""
    labels = {"printed": _("printed"), "derived": _("derived"), "measured": _("measured")}
    assert word in labels, word
    return Html(f'<span class="kind {word}">{labels[word]}</span>')


def name(label: str, style: SeriesStyle | None = None) -> Html:
    """A network's name, with its marker and colour in the plots."""
    if style is None:
        return code(label)
    colour = PALETTE_VARIABLE.format(style.number % 6 + 1)
    glyph = f'<span class="glyph" style="color: {colour}" aria-hidden="true">{style.glyph}</span>'
    return Html(f'<span class="model">{glyph}{code(label)}</span>')


PALETTE_VARIABLE = "var(--series-{})"


@dataclass(frozen=True)
class Column:
    """A column: its heading, the kind of its values ("printed", "derived", "measured"), whether they are numbers."""

    heading: str
    kind: str = ""
    number: bool = True


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], caption: str, marked: int | None = None) -> Html:
    """A table whose first column names its rows; row number ``marked`` is highlighted."""
    head = "".join(
        f'<th scope="col"{_number(column)}>{text(column.heading)}{kind(column.kind) if column.kind else ""}</th>'
        for column in columns
    )
    body = []
    for place, row in enumerate(rows):
        first, *rest = row
        cells = "".join(
            f'<td{_number(column)} data-label="{text(column.heading)}">{text(cell)}</td>'
            for column, cell in zip(columns[1:], rest, strict=True)
        )
        mark = ' class="marked"' if place == marked else ""
        body.append(f'<tr{mark}><th scope="row">{text(first)}</th>{cells}</tr>')
    return Html(
        f'<figure><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _number(column: Column) -> str:
    return ' class="number"' if column.number else ""


def figure(svg: str, caption: object) -> Html:
    """An SVG with its caption. The SVG is not escaped, so it must come from this package."""
    return Html(f'<figure><div class="wide">{svg}</div><figcaption>{text(caption)}</figcaption></figure>')


def figures(*items: Html, small: bool = False) -> Html:
    """Figures side by side where there is room: two in a row, or three small ones."""
    return Html(f'<div class="figures{" small" if small else ""}">{"".join(items)}</div>')


def facts(pairs: Iterable[tuple[object, object]]) -> Html:
    """A list of names and values."""
    rows = "".join(f"<div><dt>{text(term)}</dt><dd>{text(value)}</dd></div>" for term, value in pairs)
    return Html(f'<dl class="facts">{rows}</dl>')


def bullets(items: Iterable[object]) -> Html:
    return Html(f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>")


def pre(value: object) -> Html:
    """A command to copy into a terminal."""
    return Html(f"<pre><code>{text(value)}</code></pre>")


def thumbnails(images: Sequence[np.ndarray], captions: Sequence[object], labels: Sequence[str]) -> Html:
    """Small images, each with a caption below.

    Args:
        images: uint8 (h, w) or (h, w, 1 or 3).
        labels: text alternative of each image, for screen readers.
    """
    items = "".join(
        f'<figure><img{_enlarged(image)} src="data:image/png;base64,{_png(image)}" alt="{text(label)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
        for image, caption, label in zip(images, captions, labels, strict=True)
    )
    return Html(f'<div class="thumbnails">{items}</div>')


THUMBNAIL_SIDE = 160  # pixels; keeps a report with a dozen photos below a megabyte


def _enlarged(image: np.ndarray) -> str:
    """The attribute that enlarges small images without smoothing; empty for larger images."""
    return ' class="pixels"' if max(np.shape(image)[:2]) <= 64 else ""


def _png(image: np.ndarray) -> str:
    from PIL import Image

    pixels = np.asarray(image, dtype=np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
