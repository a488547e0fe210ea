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
    found = _catalogue(language()).gettext(message)
    return found.format(**{name: _told(value) for name, value in values.items()}) if values else found


def translated(text: object) -> str:
    """A `Message`, or an error made of one, in the language in use; any other text as it is."""
    if isinstance(text, BaseException) and text.args and isinstance(text.args[0], Message):
        text = text.args[0]
    if not isinstance(text, Message) or not text:
        return str(text)
    found = _catalogue(language()).gettext(text.template)
    return found.format(**{name: _told(value) for name, value in text.values.items()}) if text.values else found


def _told(value: object) -> object:
    """A value of a message: told where it is one, else itself, for the template may format it."""
    return translated(value) if isinstance(value, Message | BaseException) else value


@functools.cache
def _catalogue(of: str) -> gettext.NullTranslations:
    return gettext.translation("convatlas", Path(__file__).with_name("locale"), languages=[of], fallback=True)
