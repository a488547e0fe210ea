"""One file per source of weights, each with a ``SOURCE``; a file added here is a source, without a list to edit."""

from __future__ import annotations

import importlib
import pkgutil

from convatlas.models.weights.source import Source

_modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
SOURCES: dict[str, Source] = {
    source.name: source for source in sorted((module.SOURCE for module in _modules), key=lambda each: each.order)
}
