"""Compares the printed figures of a network with derived and measured ones. The only place that does so. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from convatlas.figures import FigureComparison, Measurement
from convatlas.models.registry import Entry, entry, list_models

DERIVED = ("params", "macs", "connections", "neurons")  # the quantities that can be derived


def compare_figures(
    network: Entry | str, measured: Mapping[str, Measurement] | None = None
) -> tuple[FigureComparison, ...]:
    """Every figure of a network's card with the derived and the measured value.

    Args:
        measured: quantity -> what a run measured; replaces the measurement on the card.
    Raises:
        UnknownNameError: no such network.
    """
    record = entry(network) if isinstance(network, str) else network
    measured = measured or {}
    return tuple(
        FigureComparison(
            network=record.full_name,
            printed=figure,
            source=", ".join(part for part in (figure.source or record.card.paper.citation, figure.where) if part),
            derived=getattr(record, figure.quantity) if figure.quantity in DERIVED else None,
            measured=measured.get(figure.quantity, figure.measured),
        )
        for figure in record.card.figures
    )


def all_figures(pattern: str = "*") -> list[FigureComparison]:
    """The figures of every network that matches, in the order of the atlas."""
    return [comparison for name in list_models(pattern) for comparison in compare_figures(name)]
