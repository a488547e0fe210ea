"""Every command in Korean: help, results, progress and complaints, with no English sentence left over."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import click
import pytest

from convatlas import i18n, units
from convatlas.cli._app import COMMANDS, app, imported
from convatlas.cli._help import wrapped

# four words of small letters in a row; what is quoted, named or typed is shorter or looks otherwise
SENTENCE = re.compile(r"\b[a-z]{2,} [a-z]{1,} [a-z]{2,} [a-z]{2,}\b")


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    yield
    i18n.set_language(None)


def english(text):
    """What is left of it; lines to be typed are the same in every language."""
    return [line for line in text.splitlines() if SENTENCE.search(line) and "convatlas " not in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_korean_and_fits_the_terminal(convatlas, command):
    code, out, _ = convatlas(command, "--help", "--lang", "ko")
    assert code == 0
    assert "사용법: convatlas" in out
    assert english(out) == []
    assert [line for line in out.splitlines() if units.width(line) > 100 and "convatlas " not in line] == []


def test_help_changes_back(convatlas):
    assert "이 도움말" in convatlas("--lang", "ko", "--help")[1]
    assert "Show this message and exit." in convatlas("--lang", "en", "--help")[1]


def test_every_option_says_what_it_does():
    """Nothing to translate would be nothing to read."""
    for name in COMMANDS:
        command = imported(name)
        assert command.help
        for each in (command, *getattr(command, "commands", {}).values()):
            for option in each.params:
                assert isinstance(option, click.Argument) or option.help, f"{name} {option.name}"
    assert app.help


def test_train_evaluate_and_predict_speak_korean(convatlas, tmp_path):
    from sklearn.datasets import load_digits

    arguments = ("--lang", "ko", "train", "lenet5", "--epochs", "1", "--threads", "1", "--out", tmp_path)
    code, out, err = convatlas(*arguments)
    assert code == 0
    assert "테스트 top-1" in out
    assert "보고서: " in out
    assert "에포크   1  학습 손실" in err
    assert english(out) == english(err) == []
    run = next(tmp_path.iterdir())

    code, out, err = convatlas("evaluate", run, "--lang", "ko")
    assert code == 0
    assert "95 % 신뢰 구간" in out
    assert english(out) == english(err) == []

    from PIL import Image

    Image.fromarray((load_digits().images[3] * 15).astype("uint8")).save(tmp_path / "3.png")
    (tmp_path / "damaged.png").write_bytes(b"<html>")
    code, out, err = convatlas("--lang", "ko", "predict", run, tmp_path / "3.png", tmp_path / "damaged.png")
    assert code == 3
    assert "damaged.png" in err
    assert english(out) == english(err) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("layer", "conv", "--input", "3x227x227", "--kernel", "11", "--stride", "4", "--out", "96"),
        ("explain", "lenet5", "C3"),
        ("explain", "--comparison", "bottleneck"),
        ("show", "lenet5", "--conventions"),
        ("data", "digits"),
    ],
)
def test_a_document_is_the_same_in_every_language(convatlas, arguments):
    korean, english = (convatlas("--lang", lang, *arguments, "--json")[1] for lang in ("ko", "en"))
    assert korean == english
    assert korean.isascii()


def test_the_lines_of_a_training_are_the_same_in_every_language(convatlas, tmp_path):
    arguments = ("train", "lenet5", "--epochs", "1", "--threads", "1", "--json")
    (korean, start), (_, other) = (
        (out, json.loads(out.splitlines()[0]))
        for out in (convatlas("--lang", lang, *arguments, "--out", tmp_path / lang)[1] for lang in ("ko", "en"))
    )
    assert start == other
    assert korean.isascii()


def test_data_speaks_korean(convatlas, tmp_path):
    code, out, err = convatlas("--lang", "ko", "data", "digits")
    assert code == 0
    assert "이미지 1,797장, 클래스 10개, 흑백, 8 x 8픽셀" in out
    assert english(out) == english(err) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("train", "lenet6"), 2, "신경망 'lenet6': 없는 이름입니다. 혹시 이것을 찾으셨습니까? lenet5 또는 "),
        (("trian",), 2, "혹시 이것을 찾으셨습니까? train"),
        (("train", "lenet5", "--data", "nowhere"), 3, "nowhere: 찾을 수 없습니다"),
        (("train", "lenet5", "--lr", "-1"), 2, "lr = -1.0: 0보다 커야 합니다."),
        (("train", "resnet50", "--image-size", "8"), 2, "8 x 8 이미지에는 신경망이 너무 깊습니다"),
        (("train", "lenet5", "--bogus"), 2, "그런 옵션이 없습니다"),
        (("train", "lenet5", "--seed", "x"), 2, "'--seed'의 값이 잘못되었습니다: 'x'은(는) integer 값이 아닙니다."),
        (("train",), 2, "신경망 이름과 --resume RUN 가운데 하나를 지정하십시오"),
        (("evaluate", "resnet50"), 2, "실행이 아니라 신경망입니다"),
        (("predict",), 2, "인자가 없습니다"),
        (("evaluate", "nothing"), 3, "실행 디렉터리가 아닙니다"),
        (("show", "lenet5", "--bars", "macs"), 2, "저장할 파일을 --svg FILE로"),
        (("layer", "conv", "--input", "3x2x2", "--kernel", "5", "--out", "3"), 2, "들어가지 않습니다"),
    ],
)
def test_complaints_are_korean(convatlas, arguments, code, said):
    left, out, err = convatlas("--lang", "ko", *arguments)
    assert left == code
    assert said in err
    assert english(out) == english(err) == []


def test_the_effective_field_of_a_layer(convatlas, tmp_path):
    picture = tmp_path / "field.png"
    arguments = ("explain", "lenet5", "S2", "--effective-field", picture)
    code, out, err = convatlas(*arguments, "--lang", "ko")
    assert code == 0
    assert "수용 영역(receptive field)" in out
    assert english(out) == english(err) == []
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(convatlas(*arguments, "--json")[1])
    assert found["receptive_field"] == [6, 6]
    assert 0 < found["effective_pixels"] <= found["field_pixels"] == 36
    assert convatlas("explain", "lenet5", "--effective-field", picture)[0] == 2


def test_an_empty_folder_and_a_damaged_image(convatlas, tmp_path):
    assert "비어 있습니다" in convatlas("--lang", "ko", "train", "lenet5", "--data", tmp_path)[2]
    for name in ("cats/1.png", "dogs/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    code, _, err = convatlas("--lang", "ko", "train", "lenet5", "--data", tmp_path)
    assert code == 3
    assert "1.png(번호 0)" in err
    assert "파일이 비어 있습니다" in err
    assert "--on-bad skip" in err


def test_lines_are_broken_by_what_is_seen():
    lines = list(wrapped("합성곱 신경망은 특징 맵을 만듭니다", 14))
    assert lines == ["합성곱", "신경망은 특징", "맵을 만듭니다"]
    assert all(units.width(line) <= 14 for line in lines)


@pytest.mark.parametrize("group", [(), ("layer",)])
def test_a_group_with_a_language_and_no_command_prints_its_help(convatlas, group):
    code, out, err = convatlas(*group, "--lang", "ko")
    assert (code, out) == (2, "")
    assert "명령:" in err
    assert (code, out, err) == convatlas("--lang", "ko", *group)
    english_help = convatlas(*group, "--lang", "en")
    assert (english_help[0], english_help[1]) == (2, "")
    assert english_help[2] == convatlas(*group)[2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp949", "utf-8"])
@pytest.mark.parametrize("arguments", [("models", "lenet*"), ("show", "lenet5"), ("models", "lenet5", "--json")])
def test_korean_in_a_terminal_that_cannot_show_it_is_no_traceback(encoding, arguments):
    command = [sys.executable, "-m", "convatlas", "--lang", "ko", *arguments]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"lenet5" in done.stdout or b"60,000" in done.stdout
    if arguments[0] == "show":
        assert ("층" in done.stdout.decode(encoding, "replace")) is (encoding in ("cp949", "utf-8"))
