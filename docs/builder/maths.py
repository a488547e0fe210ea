"""Formulas between dollar signs as MathML, which browsers draw without a script or a font of their own.

``$K^2 C F + F$`` stands in a line, ``$$...$$`` on lines of its own. Code is left alone.
"""

from __future__ import annotations

import re

from latex2mathml.converter import convert

CODE = re.compile(r"(^```.*?^```[ \t]*$|`[^`\n]+`)", re.S | re.M)
DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.S)
# a Korean particle may follow at once
INLINE = re.compile(r"(?<![\\$A-Za-z0-9])\$(?=\S)([^$\n]+?)(?<=\S)\$(?![A-Za-z0-9$])")
# what Markdown would read inside the formula
ENTITIES = {"*": "&#42;", "_": "&#95;", "\\": "&#92;", "`": "&#96;", "|": "&#124;", "[": "&#91;"}


def with_mathml(text: str) -> str:
    """The text with its formulas converted."""
    parts = CODE.split(text)
    parts[::2] = [INLINE.sub(_inline, DISPLAYED.sub(_displayed, part)) for part in parts[::2]]
    return "".join(parts)


def _inline(found: re.Match[str]) -> str:
    return mathml(found[1])


def _displayed(found: re.Match[str]) -> str:
    formula = mathml(" ".join(found[1].split()), "block")
    return f'<div class="formula" tabindex="0">{formula}</div>'


def mathml(formula: str, display: str = "inline") -> str:
    """One formula as MathML on one line, with its TeX as the text that is read where MathML is not."""
    made = " ".join(convert(formula, display=display).split())
    return re.sub(r"(?<=>)([^<]+)(?=<)", lambda text: "".join(ENTITIES.get(sign, sign) for sign in text[1]), made)
