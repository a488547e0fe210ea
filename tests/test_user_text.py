"""Texts for the reader can be translated; rooms keep their underscore files to themselves."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("lint_texts", REPOSITORY / ".ci" / "lint_texts.py")
assert _spec is not None
assert _spec.loader is not None
lint_texts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lint_texts)


def test_no_text_for_the_reader_is_out_of_the_catalogue_s_sight():
    assert [each for file in sorted(lint_texts.SOURCE.rglob("*.py")) for each in lint_texts.findings(file)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('click.echo(f"{n} images were left out")', True),
        ('click.echo("wrote the file")', True),
        ('raise DataError(f"{path} holds no images")', True),
        ('notes.append(f"folders left out: {names}")', True),
        ('return f"unpacks to {size}"', True),
        ('raise OSError(f"the shard was cut short: {n}")', True),
        ('click.echo(_("{n} images were left out", n=n))', False),
        ('click.echo(f"{name}: {value}")', False),
        ('raise TypeError(f"no TOML form for {value}")', False),
        ("html = f'<p class=\"note\">{text}</p>'", False),
        ('option("--x", help=f"one of these: {names}")', False),
    ],
)
def test_the_lint_can_fail(tmp_path, code, found):
    file = tmp_path / "command.py"
    file.write_text(code)
    assert bool(list(lint_texts.findings(file, tmp_path))) is found


def test_what_is_allowed_is_still_there():
    for place, texts in lint_texts.ALLOWED.items():
        tree = ast.parse((lint_texts.SOURCE / place).read_text(encoding="utf-8"))
        there = {
            "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
        }
        assert set(texts) <= there, f"{place}: take what is gone out of ALLOWED"


def foreign_underscores(file: Path, room: str) -> list[str]:
    """The modules with an underscore that a file imports from another room."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            private = re.match(r"convatlas\.(\w+)\.(?:\w+\.)*_[a-z]\w*", name)
            if private and private[1] != room and (SOURCE / f"{name.replace('.', '/')}.py").exists():
                found.append(f"{file}: {name}")
    return found


SOURCE = REPOSITORY / "src"


def room_of(file: Path) -> str:
    """The room of a file, or of the mirror of a room in tests; other tests run the command line, so it is theirs."""
    top, *parts = file.relative_to(REPOSITORY / "src" if REPOSITORY / "src" in file.parents else REPOSITORY).parts
    is_room = (SOURCE / "convatlas" / parts[0]).is_dir()
    return parts[0] if is_room else "cli" if top == "tests" else ""


def test_no_room_imports_another_room_s_underscore_file():
    files = [file for top in ("src", "benchmarks", "tests") for file in (REPOSITORY / top).rglob("*.py")]
    assert len(files) > 200
    found = [each for file in files for each in foreign_underscores(file, room_of(file))]
    assert found == []


def test_the_check_of_underscore_files_can_fail(tmp_path):
    file = tmp_path / "cheating.py"
    file.write_text("from convatlas.cli import _messages\nimport convatlas.cli._app\nfrom convatlas.cli import main\n")
    assert len(foreign_underscores(file, "models")) == 2
    assert foreign_underscores(file, "cli") == []
