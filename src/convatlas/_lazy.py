"""Lazy imports of a package's names, so that commands that need no tensors do not import torch.

A package declares its names once, in imports that only type checkers and editors execute::

    if TYPE_CHECKING:
        from convatlas.arithmetic.network import summarize
    else:
        __getattr__ = resolver(__name__)

At run time these lines are parsed to find the module of a name.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def resolver(package: str) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of ``package`` (PEP 562)."""

    def resolve(name: str) -> Any:
        module = declared(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve


@functools.cache
def declared(package: str) -> dict[str, str]:
    """Name -> module, from the imports of the package under ``if TYPE_CHECKING``."""
    spec = find_spec(package)
    source = None if spec is None else getattr(spec.loader, "get_source")(package)  # noqa: B009  (typed without it)
    if source is None:
        raise ImportError(f"the source of {package} is needed to resolve its names, and was not found")
    return {
        alias.name: statement.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }
