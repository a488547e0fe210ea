"""Every option that writes a picture refuses an ending in which it is not written, before it computes anything."""

from __future__ import annotations

import click
import pytest

from convatlas.cli._app import COMMANDS, imported

# command line, option, endings in which it writes
PICTURES = [
    (("show", "lenet5"), "--svg", ("svg",)),
    (("show", "lenet5", "--bars", "params"), "--svg", ("svg",)),
    (("explain", "lenet5", "C1"), "--effective-field", ("png", "svg", "pdf")),
    (("data", "digits"), "--show-batch", ("png",)),
    (("inspect", "lenet5", "--what", "filters"), "--out", ("png", "svg", "pdf")),
]
DIRECTORIES = {"x", ".png"}  # names without an ending, which are directories to inspect --out
ENDINGS = ["x.jpg", "x.txt", "x.svgz", "x", "x.png.bak", ".png"]


@pytest.mark.parametrize(("line", "option", "known"), PICTURES, ids=lambda value: str(value))
@pytest.mark.parametrize("name", [*ENDINGS, "x.png", "x.svg", "x.pdf"])
def test_another_ending_is_refused_and_nothing_is_written(convatlas, tmp_path, line, option, known, name):
    if name in {f"x.{each}" for each in known}:
        return  # the endings that are right: below
    if option == "--out" and name in DIRECTORIES:
        return
    code, _, err = convatlas(*line, option, str(tmp_path / name))
    assert code == 2, err
    assert "has the ending" in err
    assert all(f".{each}" in err or each in err for each in known)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("line", "option", "known"), PICTURES, ids=lambda value: str(value))
def test_the_right_endings_are_written_whatever_their_case(convatlas, tmp_path, line, option, known):
    for ending in (*known, known[0].upper()):
        code, _, err = convatlas(*line, option, str(tmp_path / f"picture.{ending}"))
        assert code == 0, err
    first = {"svg": (b"<svg", b"<?xml"), "png": (b"\x89PNG",), "pdf": (b"%PDF",)}
    for file in tmp_path.iterdir():
        assert file.read_bytes().startswith(first[file.suffix[1:].lower()]), file.name


def test_these_are_all_options_that_write_a_picture():
    found = {
        (name, option)
        for name in COMMANDS
        for parameter in imported(name).params
        if isinstance(parameter, click.Option) and isinstance(parameter.type, click.Path)
        if any(word in f"{parameter.help} {parameter.metavar}".lower() for word in ("picture", "draw", ".png", ".svg"))
        for option in parameter.opts
    }
    assert found == {(line[0], option) for line, option, _ in PICTURES}
