"""Finds texts for the reader that the catalogue of translations cannot see:  python .ci/lint_texts.py

An f-string has its values in it before anybody could look it up; so words in one are reported, unless nobody reads them
as words: markup, the errors of Python's own classes (for programmers), helps of options (the catalogue reads those from
the commands). What is printed without a translation, ``click.echo("some words")``, is reported too.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "convatlas"
# two words in a row, or a word beside a value
WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? [a-z]{2,}|\b[a-z]{3,} \{\}|\{\} [a-z]{3,}")
MARKUP = re.compile(r"<[^<>]*>?")
# papers' facts are in English in every language; the upkeep of the catalogue speaks to developers
# and so is a model card
EXEMPT = ("models/", "cli/_messages.py", "runs/pretrained.py")
# file -> what its f-strings hold, where that is not for translation
ALLOWED = {
    "comparison/account.py": ("{}, fp32, PyTorch eager, batch 1", "convatlas {}, torch {}, Python {}, {}"),
    "data/workers.py": ("from {} import serve; serve()",),  # a program
    "data/policy.py": ("policy operation {}", "policy sign {}"),  # names of random streams
    "experiments/page.py": ("convatlas experiment {} --scale standard --data DATA",),  # a command
    "experiments/report.py": ("convatlas experiment {} --scale {}{}",),  # a command
    "runs/configuration.py": ("# {} is not set",),  # a comment of a TOML file
    "runs/lr_range.py": ("{}, {}, batch {}",),  # the title of a picture
    "runs/speed.py": ("{}, {} threads, torch {}",),  # a key
    "runs/train.py": ("{}, {} test images, {}",),  # of a JSON document
    "units.py": ("{} h {} min", "{} min {} s"),  # symbols of units
}


def findings(file: Path, root: Path = SOURCE) -> Iterator[tuple[int, str]]:
    """(line, text) for each text of a file that cannot be translated."""
    place = file.relative_to(root).as_posix()
    if place.startswith(EXEMPT):
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unread = {id(each) for node in ast.walk(tree) for part in not_read(node) for each in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and id(node) not in unread:
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            if WORDS.search(MARKUP.sub(" ", text)) and text not in ALLOWED.get(place, ()):
                yield node.lineno, text
        if isinstance(node, ast.Call) and name_of(node.func) in ("echo", "secho") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and WORDS.search(str(first.value)):
                yield node.lineno, str(first.value)


def not_read(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node whose texts are for programmers, or come to the catalogue in another way."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        error = name_of(node.exc.func)
        if hasattr(builtins, error) and error != "OSError":  # the text of an OSError is shown
            yield node.exc
    if isinstance(node, ast.Assert) and node.msg is not None:
        yield node.msg
    if isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "help")


def name_of(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def main() -> None:
    found = [(file, *each) for file in sorted(SOURCE.rglob("*.py")) for each in findings(file)]
    for file, line, text in found:
        print(f"{file}:{line}: no catalogue can see {text!r}: use _(...) or Message(...) with {{names}} and values")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
