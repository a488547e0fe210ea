"""The atlas: one file per paper, read from top to bottom beside its PDF.

list_models(pattern)     names, no torch
entry(name), card(name)  what is known about a network, no torch
create_model(name, ...)  the network itself, a plain torch.nn.Module
initialise(net, name)    first weights by name: "modern" draws them by one rule for every network
load_weights(net, path)  other people's weights under our names
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convatlas.models.cards import Card, Departure, Figure, Paper
from convatlas.models.create import create_model
from convatlas.models.registry import Entry, card, entry, list_models

if TYPE_CHECKING:
    from convatlas.models.initialisation import initialise
    from convatlas.models.weights import load_weights

__all__ = [
    "list_models",
    "create_model",
    "card",
    "entry",
    "initialise",
    "load_weights",
    "Entry",
    "Card",
    "Figure",
    "Departure",
    "Paper",
]


def __getattr__(name: str) -> Any:
    if name == "initialise":  # this and the next need torch
        from convatlas.models.initialisation import initialise

        return initialise
    if name == "load_weights":
        from convatlas.models.weights import load_weights

        return load_weights
    raise AttributeError(f"module 'convatlas.models' has no attribute {name!r}")
