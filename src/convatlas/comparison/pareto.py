"""The Pareto front: the networks for which no other is at least as good in accuracy and cost, and better in one."""

from __future__ import annotations

from collections.abc import Sequence


def front(gains: Sequence[float], costs: Sequence[float]) -> list[bool]:
    """Whether each point is on the Pareto front, with gains to maximise and costs to minimise.

    A point is not on the front if another point is at least as good in both and better in one. Of equal points, either
    all or none are on the front.
    """
    points = list(zip(gains, costs, strict=True))
    return [not any(g >= gain and c <= cost and (g, c) != (gain, cost) for g, c in points) for gain, cost in points]
