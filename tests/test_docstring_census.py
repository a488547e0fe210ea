"""Every public name has a complete docstring: summary, arguments, errors, and the shapes of arrays.

Public are the names of ``convatlas`` and those in ``__all__`` of each room. A docstring is complete if

- it has a summary;
- it names every parameter: in a section Args, Parameters or Attributes, or in double backquotes in the text; a field of
  a dataclass may have a comment beside it instead;
- it has a section Raises, if the function itself raises;
- it states a shape, such as (N, K), wherever an array or a tensor is taken or returned.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
import textwrap
import typing

import pytest

import convatlas

ARRAYS = re.compile(r"\b(ndarray|NDArray|Tensor)\b")
# (N, K), (n, H, W, C), (N,), a scalar or an array of any shape
SHAPE = re.compile(r"\([\w*+. ]+,[\w*+., ]*\)|\b(any|same|its|whose) shape\b|0-dim|scalar|of any shape|as their shape")


def rooms() -> list[str]:
    found = ["convatlas"]
    for each in pkgutil.iter_modules(convatlas.__path__, "convatlas."):
        if each.ispkg and hasattr(importlib.import_module(each.name), "__all__"):
            found.append(each.name)
    return found


def public() -> dict[str, typing.Any]:
    """Public functions and classes by their full names; each once, under the first name it has."""
    names: dict[str, typing.Any] = {}
    seen: set[int] = set()
    for room in rooms():
        module = importlib.import_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isroutine(value) or inspect.isclass(value)) and id(value) not in seen:
                seen.add(id(value))
                names[f"{room}.{name}"] = value
    return names


def parameters(value: typing.Any) -> list[str]:
    if inspect.isclass(value) and (
        issubclass(value, enum.Enum | BaseException) or getattr(value, "_is_protocol", False)
    ):
        return []
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    hidden = set()
    if dataclasses.is_dataclass(value):
        hidden = {f.name for f in dataclasses.fields(value) if f.name.startswith("_") or "help" in f.metadata}
        hidden |= {f.name for f in dataclasses.fields(value) if f.metadata}  # settings state their own help
    return [
        each.name
        for each in found
        if each.name not in ("self", "cls") and each.name not in hidden and not each.name.startswith("_")
        and each.kind not in (each.VAR_POSITIONAL,)
    ]  # fmt: skip


def documented(value: typing.Any) -> str:
    """The docstring; of a class also that of its constructor."""
    doc = inspect.getdoc(value) if value.__doc__ else ""
    if inspect.isclass(value) and value.__init__.__doc__ and value.__init__ is not object.__init__:
        doc = f"{doc}\n{inspect.getdoc(value.__init__)}"
    return doc or ""


def names_parameter(doc: str, name: str) -> bool:
    entry = rf"^\s*(?:[\w*]+, )*\**{name}(?:, [\w*]+)*(?: \([^)]*\))? ?:"
    return re.search(entry, doc, re.MULTILINE) is not None or re.search(rf"``[^`]*\b{name}\b[^`]*``", doc) is not None


def commented_fields(value: typing.Any) -> set[str]:
    """The fields of a class that have a comment on their line."""
    if not inspect.isclass(value):
        return set()
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        return set()
    return set(re.findall(r"^    (\w+): [^\n]*?  # \S", source, re.MULTILINE))


def raises(value: typing.Any) -> bool:
    """Whether the function itself has a raise statement; a bare ``raise`` hands on what it caught."""
    if not inspect.isfunction(value):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, SyntaxError):
        return False
    inner = {
        id(node)
        for nested in ast.walk(tree)
        if isinstance(nested, ast.FunctionDef | ast.Lambda) and nested is not tree.body[0]
        for node in ast.walk(nested)
    }
    return any(isinstance(node, ast.Raise) and node.exc and id(node) not in inner for node in ast.walk(tree))


def lacks(value: typing.Any) -> list[str]:
    """What the docstring of a public name lacks."""
    doc = documented(value)
    if not doc.strip() or (dataclasses.is_dataclass(value) and doc.startswith(f"{value.__name__}(")):
        return ["a docstring"]
    commented = commented_fields(value)
    named = [name for name in parameters(value) if name not in commented]
    missing = [f"the parameter {name}" for name in named if not names_parameter(doc, name)]
    if raises(value) and "Raises" not in doc:
        missing.append("Raises")
    annotations = getattr(value, "__annotations__", {})
    if inspect.isfunction(value) and ARRAYS.search(" ".join(map(str, annotations.values()))) and not SHAPE.search(doc):
        missing.append("the shapes of its arrays")
    return missing


CENSUS = public()


def test_public_names_are_found():
    assert len(CENSUS) > 100
    assert "convatlas.train" in CENSUS


@pytest.mark.parametrize("name", CENSUS)
def test_the_docstring_is_complete(name):
    missing = lacks(CENSUS[name])
    assert not missing, f"{name} lacks {', '.join(missing)}"


def test_the_test_can_fail():
    def nothing(a: int) -> None: ...

    def some(a: int, b: int) -> None:
        """A summary.

        Args:
            a: the first.
        """
        raise ValueError(b)

    assert lacks(nothing) == ["a docstring"]
    assert lacks(some) == ["the parameter b", "Raises"]
