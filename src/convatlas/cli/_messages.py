"""Every message of the program, and the upkeep of its Korean catalogue.

``make messages`` (``python -m convatlas.cli._messages``) sorts the catalogues, drops what is no longer said, adds what
is new with an empty translation, compiles them and names what is left to translate. A test fails until that is nothing.
"""

from __future__ import annotations

import ast
import functools
import string
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

import convatlas
from convatlas.cli._app import COMMANDS, app, imported
from convatlas.cli._help import help_messages

PACKAGE = Path(convatlas.__file__).parent
KOREAN = PACKAGE / "locale" / "ko" / "LC_MESSAGES"
HEADER = "Content-Type: text/plain; charset=utf-8\nLanguage: ko\nPlural-Forms: nplurals=1; plural=0;\n"
TERMS = (
    "# Terms follow the glossary: 합성곱, 커널, 특징 맵, 수용 영역, 보폭, 패딩, 팽창, 풀링, 배치 정규화, 병목.\n"
    "# Sorted and compiled by  make messages.\n"
)
# errors whose own first argument is no message: theirs is made in errors.py
OTHERWISE = {"BadImageError", "MissingDependencyError"}
# helps that click makes once and keeps: told by us when they are shown, so that the language may still change
KEPT_BY_CLICK = {"Show this message and exit.", "Show the version and exit."}


def messages() -> set[str]:
    """Every message of convatlas: the literals in its source, and the help of its commands."""
    from convatlas.runs.configuration import ALL_SETTINGS

    files, told = sorted(PACKAGE.rglob("*.py")), {"_", "Message", "__init__"} | error_names()
    found = {text for file in files for text in literals(file, told)}
    found |= set(COMMANDS.values()) | {each.group for each in ALL_SETTINGS.values()}
    for command in (app, *(imported(name) for name in COMMANDS)):
        found |= set(help_messages(command))
    return found | KEPT_BY_CLICK


def error_names() -> set[str]:
    """The exceptions of `errors`, and those the rooms derive from them, whose first argument is a message."""
    found = {"ConvAtlasError"}
    classes = [
        node for file in PACKAGE.rglob("*.py") for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef)
    ]
    while more := {each.name for each in classes if {ast.unparse(base) for base in each.bases} & found} - found:
        found |= more
    return found - OTHERWISE


def click_messages() -> set[str]:
    """What the installed click says to a user of a command line; of two forms by number, both, with a NUL between."""
    folder = Path(click.__file__).parent
    files = [folder / name for name in ("core.py", "exceptions.py", "formatting.py", "parser.py", "types.py")]
    found = {text for file in files for text in literals(file, {"_"})} | {"required"}  # which it looks up by a variable
    for file in files:
        for node in calls(file, {"ngettext"}):
            found.add("\0".join(ast.literal_eval(form) for form in node.args[:2]))
    return found - KEPT_BY_CLICK


def literals(file: Path, functions: set[str]) -> Iterator[str]:
    """The constant first arguments of calls of these functions; of ``a if b else c`` both."""
    for node in calls(file, functions):
        first = node.args[0]
        for each in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value:
                yield each.value


def calls(file: Path, functions: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and called(node) in functions and node.args:
            yield node


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def called(node: ast.Call) -> str:
    function = node.func
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def read(path: Path) -> dict[str, str]:
    """The pairs of a catalogue, in which each text is on one line; two forms by number have a NUL between."""
    pairs: dict[str, str] = {}
    text = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        keyword, _, literal = line.partition(" ")
        if keyword == "msgid":
            text = ast.literal_eval(literal)
        elif keyword == "msgid_plural":
            text += "\0" + ast.literal_eval(literal)
        elif keyword.startswith("msgstr") and text:
            pairs[text] = ast.literal_eval(literal)
    return pairs


def write(path: Path, pairs: dict[str, str]) -> None:
    """The catalogue, sorted, and its compiled form beside it."""
    lines = [TERMS + 'msgid ""\nmsgstr ""', *map(quoted, HEADER.splitlines(keepends=True))]
    for text in sorted(pairs):
        one, many, plural = text.partition("\0")
        lines += ["", f"msgid {quoted(one)}"]
        lines += [f"msgid_plural {quoted(plural)}"] if many else []
        lines += [f"msgstr{'[0]' if many else ''} {quoted(pairs[text])}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".mo").write_bytes(compiled(pairs))


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def compiled(pairs: dict[str, str]) -> bytes:
    """The binary form (GNU gettext manual, section 10.3): two tables of lengths and places, then the texts."""
    entries = sorted((text.encode(), told.encode()) for text, told in ({"": HEADER} | pairs).items() if told)
    count = len(entries)
    place, texts = 28 + 16 * count, b""
    tables: list[bytes] = []
    for column in (0, 1):
        for entry in entries:
            tables.append(struct.pack("<II", len(entry[column]), place + len(texts)))
            texts += entry[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 28 + 16 * count)
    return head + b"".join(tables) + texts


def has_words(text: str) -> bool:
    """Whether anything is left to translate beside the values."""
    return any(character.isalpha() for literal, *_ in string.Formatter().parse(text) for character in literal)


def update(name: str, wanted: Iterable[str]) -> list[str]:
    """Bring a catalogue in step with what is said; what it lacks."""
    path = KOREAN / name
    known = read(path)
    pairs = {text: known.get(text) or ("" if has_words(text) else text) for text in wanted}
    write(path, pairs)
    return sorted(text for text, told in pairs.items() if not told)


def main() -> None:
    of_any_click = read(KOREAN / "click.po").keys() | click_messages()  # the next version may say it otherwise
    missing = [
        *update("convatlas.po", messages()),
        *update("click.po", of_any_click),
        *update("argparse.po", read(KOREAN / "argparse.po")),  # what convatlas-runtime shows of it
    ]
    for text in missing:
        print(f"not translated: {text!r}")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
