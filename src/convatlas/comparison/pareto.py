"""Which networks are not beaten at everything at once."""

from __future__ import annotations

from collections.abc import Sequence


def front(gains: Sequence[float], costs: Sequence[float]) -> list[bool]:
    """Whether each point is on the Pareto front: more gain is better, less cost is better.

    A point is off the front when another is at least as good in both and better in one. Equal points stay together.
    """
    points = list(zip(gains, costs, strict=True))
    return [not any(g >= gain and c <= cost and (g, c) != (gain, cost) for g, c in points) for gain, cost in points]
