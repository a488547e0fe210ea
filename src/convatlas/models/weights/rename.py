"""A file of names: theirs = "ours", for weights whose names no source here has.

    "backbone.stem.conv.weight" = "conv1.weight"            # one name
    'blocks\\.(\\d+)\\.(.*)' = 'stage1.\\1.\\2'                  # a regular expression for a whole name
    "projector.weight" = ""                                 # left out

Theirs is a name as ``convatlas weights FILE`` lists it, or a regular expression that fits the whole of it; an exact
name comes first, then the first expression that fits. Names that no line fits stay as they are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.errors import UsageError
from convatlas.message import Message
from convatlas.models.weights.claims import Tensors
from convatlas.models.weights.wrappings import PREFIXES, without_infixes


@dataclass(frozen=True)
class Renaming:
    """Names and regular expressions of theirs -> ours; an empty one leaves the tensor out.

    Raises:
        UsageError: an expression that is none, or a value that is no text.
    """

    lines: Mapping[str, str]
    origin: str = "rename"

    def __post_init__(self) -> None:
        for theirs, ours in self.lines.items():
            if not isinstance(ours, str) or not isinstance(theirs, str):
                raise UsageError(
                    "{origin}: {theirs} = {ours!r}; a line is a name of the file and a name of the network.",
                    origin=self.origin,
                    theirs=theirs,
                    ours=ours,
                )
            try:
                re.compile(theirs).sub(ours, "")  # which looks at the replacement too
            except (re.error, IndexError) as error:
                raise UsageError(
                    "{origin}: {theirs!r} = {ours!r} is no name and no regular expression: {error}.",
                    origin=self.origin,
                    theirs=theirs,
                    ours=ours,
                    error=error,
                ) from error

    def of(self, name: str) -> tuple[str, str] | None:
        """(the line that fits, our name) of a name in the file; None where no line fits."""
        names = list(spellings(name))
        for each in names:
            if each in self.lines and "\\" not in self.lines[each]:
                return each, self.lines[each]
        for theirs, ours in self.lines.items():
            for each in names:
                if match := re.fullmatch(theirs, each):
                    return theirs, match.expand(ours)
        return None


def spellings(name: str) -> Iterator[str]:
    """A name as the file has it, and without each further prefix that a training program may have put before it."""
    yield name
    while (prefix := next((each for each in PREFIXES if name.startswith(each)), None)) is not None:
        name = name.removeprefix(prefix)
        yield name


def read_renaming(path: str | Path) -> Renaming:
    """The renaming in a TOML file; names that TOML takes for tables (``a.b = "c"``) are put together again.

    Raises:
        UsageError: not to be read, not TOML, or lines that are no names.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError("--rename {path} cannot be read: {error}.", path=path, error=error) from error
    lines = dict(flat(content))
    if not lines:
        raise UsageError('--rename {path} holds no line theirs = "ours".', path=path)
    return Renaming(lines, str(path))


def renaming_of(rename: Renaming | Mapping[str, str] | str | Path | None) -> Renaming | None:
    """A renaming from whatever names one: itself, a mapping, or the path of a TOML file."""
    if rename is None or isinstance(rename, Renaming):
        return rename
    return Renaming(dict(rename)) if isinstance(rename, Mapping) else read_renaming(rename)


def flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def applied(tensors: Tensors, renaming: Renaming) -> tuple[Tensors, Tensors, tuple[Message, ...]]:
    """The tensors that lines fit, under our names; the others, under theirs; and what there is to say.

    Raises:
        UsageError: two tensors of the file would have one name.
    """
    ours: Tensors = {}
    rest: Tensors = {}
    left_out: list[str] = []
    used: set[str] = set()
    for name, value in without_infixes(tensors).tensors.items():
        found = renaming.of(name)
        if found is None:
            rest[name] = value
            continue
        line, new = found
        used.add(line)
        if not new:
            left_out.append(name)
        elif new in ours:
            raise UsageError(
                "{origin} gives two tensors of the file the name {name}; one of them is {theirs}.",
                origin=renaming.origin,
                name=new,
                theirs=name,
            )
        else:
            ours[new] = value
    said = [Message("{n} names changed by {origin}", n=len(ours), origin=renaming.origin)]
    if left_out:
        said.append(Message("{n} tensors left out ({names})", n=len(left_out), names=few(left_out)))
    idle = [line for line in renaming.lines if line not in used]
    if idle:
        said.append(
            Message("{n} lines of {origin} fit no name ({names})", n=len(idle), origin=renaming.origin, names=few(idle))
        )
    return ours, rest, tuple(said)


def few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
