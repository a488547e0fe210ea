"""The networks of the atlas, one file per paper, in the order and with the names of the paper.

list_models(pattern)     names, no torch
entry(name), card(name)  the record and the card of a network, no torch
create_model(name, ...)  the network, a torch.nn.Module
initialise(net, name)    draw new initial weights: "modern" is one rule for all networks
load_weights(net, path)  load weights of other libraries
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
