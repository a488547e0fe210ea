"""Translation of the program's texts: English in the source, gettext catalogues in ``locale/``.

``_("...")`` translates a text when it is called, so a module may be imported before the language is known. Notes,
reasons and errors are `Message` objects; the code that prints them calls `translated`. Numbers, layer names, flags and
JSON are the same in every language.
"""

from __future__ import annotations

import functools
import gettext
import itertools
import locale
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from convatlas.errors import UnknownNameError
from convatlas.message import Message

LANGUAGES = ("en", "ko")
_chosen: str | None = None
_here: ContextVar[str | None] = ContextVar("language", default=None)  # of one thread or task, where it has its own


def set_language(language: str | None) -> None:
    """Choose the language of all later texts; None returns to the locale's.

    Raises:
        UnknownNameError: there is no catalogue for this language.
    """
    global _chosen
    if language is not None and language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    _chosen = language


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Use a language for the texts made inside the ``with`` block, in this thread or task only.

    Raises:
        UnknownNameError: there is no catalogue for this language.
    """
    if language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    before = _here.set(language)
    try:
        yield
    finally:
        _here.reset(before)


def choose_language(arguments: Sequence[str], domain: str) -> None:
    """Choose the language that ``--lang`` names, before the arguments are parsed: the errors of parsing are in it too.

    Args:
        domain: the catalogue in ``locale/`` for what the library that parses says itself, which asks `gettext`.
    """
    said = [value for flag, value in itertools.pairwise(arguments) if flag == "--lang"]
    said += [argument.removeprefix("--lang=") for argument in arguments if argument.startswith("--lang=")]
    set_language(said[-1] if said and said[-1] in LANGUAGES else None)
    os.environ["LANGUAGE"] = language()  # where gettext looks
    gettext.bindtextdomain(domain, str(Path(__file__).with_name("locale")))
    gettext.textdomain(domain)


def language() -> str:
    """The language in use: the chosen one, else ``CONVATLAS_LANG``, else the locale's if known, else English."""
    here = _here.get()
    if here is not None:
        return here
    if _chosen is not None:
        return _chosen
    variables = ("CONVATLAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    wanted = next((value for name in variables if (value := os.environ.get(name))), None)
    if wanted is None:
        wanted = locale.getlocale()[0] or "en"
    return wanted[:2] if wanted[:2] in LANGUAGES else "en"


def _(message: str, **values: object) -> str:
    """The message in the language in use, with its ``{names}`` filled in; English where there is no translation."""
    return _formatted(message, values)


def translated(text: object) -> str:
    """A `Message`, or an error with one, in the language in use. Any other object becomes its ``str``."""
    if isinstance(text, BaseException) and text.args and isinstance(text.args[0], Message):
        text = text.args[0]
    if not isinstance(text, Message) or not text:
        return str(text)
    return _formatted(text.template, text.values)


def _formatted(template: str, values: Mapping[str, object]) -> str:
    text = _catalogue(language()).gettext(template)
    if values:
        text = text.format(**{name: _translated_value(value) for name, value in values.items()})
    return with_particles(text) if language() == "ko" else text


def _translated_value(value: object) -> object:
    """A value of a message: translated where it is itself a message, else unchanged, as the template may format it."""
    return translated(value) if isinstance(value, Message | BaseException) else value


@functools.cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("convatlas", Path(__file__).with_name("locale"), languages=[language], fallback=True)


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
_DIGITS = "영일이삼사오육칠팔구"  # how the digits 0 to 9 are read
_RIEUL = 8  # number of the final consonant ㄹ, after which the particle is 로


def with_particles(text: str) -> str:
    """Choose particles by the sound before: ``resnet50이(가)`` -> ``resnet50이``, ``lenet5이(가)`` -> ``lenet5가``.

    After a Latin letter both forms stay, because the pronunciation of the name is not known.
    """
    return _PARTICLE.sub(_choose_form, text)


def _choose_form(match: re.Match[str]) -> str:
    before, closing, particle = match.groups()
    syllable = _DIGITS[int(before)] if before.isdecimal() else before
    final = (ord(syllable) - ord("가")) % 28  # Unicode order: each vowel has 28 finals, and final 0 is none
    after_consonant, after_vowel = _FORMS[particle]
    vowel_form = final == 0 or (particle == "(으)로" and final == _RIEUL)
    return before + closing + (after_vowel if vowel_form else after_consonant)
