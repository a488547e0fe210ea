"""The language of what the program explains: gettext catalogues in ``locale/``, English in the source.

``_("...")`` looks a message up when it is called, so a module may be imported before the language is known; what a room
below hands up as a `Message` (notes, reasons, errors), whoever prints it tells by `translated`. Numbers, names of
layers, flags and JSON are the same in every language.
"""

from __future__ import annotations

import functools
import gettext
import locale
import os
import re
from collections.abc import Mapping
from pathlib import Path

from convatlas.errors import UnknownNameError
from convatlas.message import Message

LANGUAGES = ("en", "ko")
_chosen: str | None = None


def set_language(language: str | None) -> None:
    """Choose the language of every later message; None goes back to the locale.

    Raises:
        UnknownNameError: a language there is no catalogue for.
    """
    global _chosen
    if language is not None and language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    _chosen = language


def language() -> str:
    """The language in use: the one chosen, else ``CONVATLAS_LANG``, else the locale's if we have it, else English."""
    if _chosen is not None:
        return _chosen
    variables = ("CONVATLAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    wanted = next((value for name in variables if (value := os.environ.get(name))), None)
    if wanted is None:
        wanted = locale.getlocale()[0] or "en"
    return wanted[:2] if wanted[:2] in LANGUAGES else "en"


def _(message: str, **values: object) -> str:
    """The message in the language in use, its ``{names}`` filled in; without a translation it stays as it is."""
    return _filled(message, values)


def translated(text: object) -> str:
    """A `Message`, or an error made of one, in the language in use; any other text as it is."""
    if isinstance(text, BaseException) and text.args and isinstance(text.args[0], Message):
        text = text.args[0]
    if not isinstance(text, Message) or not text:
        return str(text)
    return _filled(text.template, text.values)


def _filled(template: str, values: Mapping[str, object]) -> str:
    found = _catalogue(language()).gettext(template)
    if values:
        found = found.format(**{name: _told(value) for name, value in values.items()})
    return with_particles(found) if language() == "ko" else found


def _told(value: object) -> object:
    """A value of a message: told where it is one, else itself, for the template may format it."""
    return translated(value) if isinstance(value, Message | BaseException) else value


@functools.cache
def _catalogue(of: str) -> gettext.NullTranslations:
    return gettext.translation("convatlas", Path(__file__).with_name("locale"), languages=[of], fallback=True)


# --- Korean particles -------------------------------------------------------------------------------------------------

_PARTICLE = re.compile(r"""([가-힣0-9])(['")\]]*)(이\(가\)|을\(를\)|은\(는\)|와\(과\)|과\(와\)|\(으\)로)""")
_FORMS = {
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "은(는)": ("은", "는"),
    "와(과)": ("과", "와"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
}
_FINAL_OF_DIGIT = "영일이삼사오육칠팔구"  # as it is read
_RIEUL = 8  # the final consonant after which it is 로


def with_particles(text: str) -> str:
    """``resnet50이(가)`` -> ``resnet50이``, ``lenet5이(가)`` -> ``lenet5가``: by the sound before it.

    After a Latin letter both forms stay, for how a name is read cannot be known.
    """
    return _PARTICLE.sub(_chosen_form, text)


def _chosen_form(found: re.Match[str]) -> str:
    before, closing, particle = found.groups()
    syllable = _FINAL_OF_DIGIT[int(before)] if before.isdecimal() else before
    final = (ord(syllable) - ord("가")) % 28  # Unicode: 28 finals to a syllable, the first of them none
    closed, opened = _FORMS[particle]
    takes_opened = final == 0 or (particle == "(으)로" and final == _RIEUL)
    return before + closing + (opened if takes_opened else closed)
