"""The Korean catalogue says everything the English source says, with the same placeholders."""

from __future__ import annotations

import ast
import gettext
import re
import string
from pathlib import Path

import pytest

import convatlas
from convatlas import i18n
from convatlas.arithmetic.layer import convolution
from convatlas.errors import UnknownNameError

PACKAGE = Path(convatlas.__file__).parent
CATALOGUE = PACKAGE / "locale" / "ko" / "LC_MESSAGES"


def messages():
    """Every literal passed to ``_`` in the package."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
                found.add(ast.literal_eval(node.args[0]))
    return sorted(found)


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.fixture(autouse=True)
def _language():
    yield
    i18n.set_language(None)


def test_every_message_is_translated_with_its_placeholders():
    korean = gettext.translation("convatlas", PACKAGE / "locale", languages=["ko"])
    for message in messages():
        translated = korean.gettext(message)
        assert placeholders(translated) == placeholders(message)
        assert translated != message, f"not translated, or convatlas.mo is stale: {message!r}"


def test_the_source_and_the_compiled_catalogue_hold_the_same():
    source = (CATALOGUE / "convatlas.po").read_text(encoding="utf-8")
    pairs = dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source, re.M))
    korean = gettext.translation("convatlas", PACKAGE / "locale", languages=["ko"])
    assert {message: korean.gettext(message) for message in pairs} == pairs
    assert set(pairs) == set(messages())


def test_the_numbers_are_the_same_in_both_languages():
    english = [(step.substitution, step.result) for step in convolution((3, 227, 227), 96, 11, 4).steps]
    i18n.set_language("ko")
    steps = convolution((3, 227, 227), 96, 11, 4).steps
    assert [(step.substitution, step.result) for step in steps] == english
    assert steps[1].quantity == "매개변수"


def test_which_language(monkeypatch):
    for name in ("CONVATLAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    assert i18n.language() == "ko"
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    assert i18n.language() == "en"
    i18n.set_language("ko")
    assert i18n.language() == "ko"
    with pytest.raises(UnknownNameError, match="unknown language 'kr'"):
        i18n.set_language("kr")
