"""The Korean catalogue says everything the English source says, with the same placeholders."""

from __future__ import annotations

import ast
import gettext
import pickle
import string

import pytest

from convatlas import i18n
from convatlas.arithmetic.layer import convolution
from convatlas.cli._messages import (
    KOREAN,
    PACKAGE,
    called,
    calls,
    click_messages,
    error_names,
    has_words,
    messages,
    read,
)
from convatlas.errors import BadImageError, DataError, MissingDependencyError, UnknownNameError
from convatlas.i18n import translated
from convatlas.message import Message, joined


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.fixture(autouse=True)
def _language():
    yield
    i18n.set_language(None)


def test_every_message_is_translated_and_nothing_else_is():
    """A message that is new, changed or gone:  make messages  brings the catalogue in step, and names what it lacks."""
    catalogue = read(KOREAN / "convatlas.po")
    assert set(catalogue) == messages()
    assert [text for text, told in catalogue.items() if not told or (told == text and has_words(text))] == []


def test_the_placeholders_are_the_same():
    for name in ("convatlas.po", "click.po"):
        for text, told in read(KOREAN / name).items():
            if "{" in text and not text.startswith("DATA is"):  # which shows a range of shards
                of_plural = text.rpartition("\0")[2]
                assert placeholders(told) == placeholders(of_plural), text


@pytest.mark.parametrize("name", ["convatlas", "click"])
def test_the_compiled_catalogue_is_that_of_the_source(name):
    compiled = gettext.translation(name, PACKAGE / "locale", languages=["ko"])
    for text, told in read(KOREAN / f"{name}.po").items():
        one, _, many = text.partition("\0")
        assert (compiled.ngettext(one, many, 2) if many else compiled.gettext(text)) == told, "stale: make messages"


def test_click_says_in_korean_what_a_user_may_meet():
    assert {"Usage:", "No such option {name!r}.", "default: {default}"} <= read(KOREAN / "click.po").keys()
    assert all(read(KOREAN / "click.po").values())
    assert len(click_messages()) > 20  # they are where we look for them


def test_a_message_is_its_english_text_and_can_be_told_again():
    message = Message("{n} images of {k} classes: {train} training, {val} validation, {test} test",
                      n=9, k=2, train=5, val=2, test=2)  # fmt: skip
    assert message == "9 images of 2 classes: 5 training, 2 validation, 2 test"
    i18n.set_language("ko")
    assert translated(message) == "클래스 2개의 이미지 9장: 학습 5장, 검증 2장, 테스트 2장"
    assert translated(pickle.loads(pickle.dumps(message))) == translated(message)  # from another process
    assert translated("as it is") == "as it is"


def test_values_are_told_too_and_formats_kept():
    words = joined((Message("input"), Message("{value} points", value=Message("limit {value} ms", value=3))))
    assert words == "input, limit 3 ms points"
    i18n.set_language("ko")
    assert translated(words) == "입력, 한도 3 ms%p"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("lenet5이(가)", "lenet5가"),
        ("resnet50이(가)", "resnet50이"),
        ("'vgg16'을(를)", "'vgg16'을"),
        ("train.csv(번호 2)은(는)", "train.csv(번호 2)는"),
        ("신경망와(과)", "신경망과"),
        ("사과과(와)", "사과와"),
        ("8(으)로", "8로"),
        ("3(으)로", "3으로"),
        ("영상(으)로", "영상으로"),
        ("alexnet이(가)", "alexnet이(가)"),
    ],
)
def test_particles_follow_the_sound_before_them(text, read):
    assert i18n.with_particles(text) == read


def test_an_error_is_english_to_python_and_korean_to_the_reader():
    error = UnknownNameError("network", "resnet51", ["resnet50", "vgg16"])
    assert str(error) == "unknown network 'resnet51'. Did you mean resnet50?"
    i18n.set_language("ko")
    assert str(error) == "unknown network 'resnet51'. Did you mean resnet50?"
    assert translated(error) == "신경망 'resnet51': 없는 이름입니다. 혹시 이것을 찾으셨습니까? resnet50"
    assert "cat.jpg(번호 3)" in translated(BadImageError("cat.jpg", Message("Permission denied"), 3))
    assert "권한이 없습니다" in translated(BadImageError("cat.jpg", Message("Permission denied"), 3))
    assert "pip install 'convatlas[hf]'" in translated(MissingDependencyError("datasets", "hf", "x"))
    assert translated(DataError("{braces} without values stay")) == "{braces} without values stay"


def test_the_numbers_are_the_same_in_both_languages():
    english = [(step.substitution, step.result) for step in convolution((3, 227, 227), 96, 11, 4).steps]
    i18n.set_language("ko")
    steps = convolution((3, 227, 227), 96, 11, 4).steps
    assert [(step.substitution, step.result) for step in steps] == english
    assert i18n.translated(steps[1].quantity) == "파라미터"


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


def test_what_is_said_is_a_literal_template():
    """An f-string cannot be looked up: its values are in it already."""
    making = {"message.py", "errors.py", "_help.py", "_grouped.py"}  # where texts are made of other texts
    errors = error_names()
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in calls(file, {"_", "Message"} | errors) if file.name not in making else ():
            first = node.args[0]
            for each in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
                place = f"{file.name}, line {node.lineno}: {ast.unparse(node)[:80]}"
                assert not isinstance(each, ast.JoinedStr | ast.BinOp), place
                assert called(node) in errors or isinstance(each, ast.Constant), place
