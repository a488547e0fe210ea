"""The atlas: one file per paper, read from top to bottom beside its PDF.

list_models(pattern)     names, no torch
entry(name), card(name)  what is known about a network, no torch
create_model(name, ...)  the network itself, a plain torch.nn.Module
initialise(net, name)    first weights by name: "modern" draws them by one rule for every network
load_weights(net, path)  other people's weights under our names
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver
from convatlas.models.cards import Card, Departure, Figure, Paper
from convatlas.models.create import create_model
from convatlas.models.registry import Entry, card, entry, list_models

if TYPE_CHECKING:
    from convatlas.models.initialisation import initialise
    from convatlas.models.weights.load import load_weights
else:  # these two need torch
    __getattr__ = resolver(__name__)

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
