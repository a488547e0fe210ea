"""Names of a package that are imported when first used, so that commands without tensors never wait for torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def resolver(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package`` (PEP 562): ``places`` tells the module each public name stands in.

    A place that begins with a dot is relative to the package.
    """

    def resolve(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(places[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve
