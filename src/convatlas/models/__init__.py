"""The atlas: one file per paper, read from top to bottom beside its PDF.

list_models(pattern)     names, no torch
entry(name), card(name)  what is known about a network, no torch
create_model(name, ...)  the network itself, a plain torch.nn.Module
"""

from convatlas.models._card import Card, Departure, Figure, Paper
from convatlas.models._registry import Entry, card, create_model, entry, list_models

__all__ = ["list_models", "create_model", "card", "entry", "Entry", "Card", "Figure", "Departure", "Paper"]
