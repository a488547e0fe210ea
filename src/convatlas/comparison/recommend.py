"""Which network to take, in words that say how sure that is.

1. Networks that break the budget are out.
2. The most accurate of the rest leads. Every other is tested against it on the same test images, Holm-corrected.
3. Those that cannot be told apart from the leader are as good as it, as far as these images can say; of them and the
   leader the fastest (median latency) is recommended, and how much accuracy that may cost is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from convatlas import units
from convatlas.comparison.budget import Budget, Limit
from convatlas.comparison.result import Recommendation, Row
from convatlas.comparison.statistics import SIGNIFICANCE, Difference, Hits, difference, holm


def recommend(rows: Sequence[Row], hits: Mapping[str, Hits], budget: Budget) -> Recommendation:
    """Choose among ``rows``; ``hits[row.model]`` is (seeds, images), the same images for all."""
    fitting = [row for row in rows if not budget.broken_by(row.costs())]
    if not fitting:
        return Recommendation(None, _nothing_fits(rows, budget))
    leader = max(fitting, key=lambda row: (row.test_top1, -row.latency.p50_s))
    differences = _against(leader, fitting, hits)
    tied = [d.second for d in differences if not d.told_apart]
    equals = [row for row in fitting if row is leader or row.model in tied]
    chosen = min(equals, key=lambda row: (row.latency.p50_s, row.size_bytes))
    why = " ".join(
        sentence
        for sentence in (
            _choice(chosen, leader, fitting, differences, budget),
            _over_budget(rows, fitting, leader, budget),
        )
        if sentence
    )
    ties = tuple(row.model for row in equals if row is not chosen)
    return Recommendation(chosen.model, why, ties, tuple(differences))


def _against(leader: Row, rows: Sequence[Row], hits: Mapping[str, Hits]) -> list[Difference]:
    raw = [
        difference(leader.model, hits[leader.model], row.model, hits[row.model]) for row in rows if row is not leader
    ]
    return [replace(d, adjusted_p=p) for d, p in zip(raw, holm([d.p for d in raw]), strict=True)]


# --- the words --------------------------------------------------------------------------------------------------------


def _choice(chosen: Row, leader: Row, fitting: Sequence[Row], differences: Sequence[Difference], budget: Budget) -> str:
    right = (
        f"{units.percent(chosen.test_top1, 1)} of {units.exact(chosen.accuracy.n)} test images "
        f"(95 % interval {units.interval(*chosen.accuracy.ci95)})"
    )
    if len(fitting) == 1:
        only = f"the only network that fits {budget}" if budget else "the only network that was compared"
        return f"{chosen.model} is {only}: {right}."
    within = f" within {budget}" if budget else ""
    tied = [d for d in differences if not d.told_apart]
    if not tied:
        nearest = min(differences, key=lambda d: d.difference)
        worse = _points(nearest.difference)
        if len(differences) == 1:
            verdict = f"{nearest.second} is worse by {worse}, more than chance explains ({_p(nearest)})"
        else:
            verdict = (
                "Every other network is worse by more than chance explains; the nearest, "
                f"{nearest.second}, by {worse} ({_p(nearest)})"
            )
        return f"{chosen.model} is the most accurate{within}: {right}. {verdict}."
    if chosen is leader:
        names = _list([d.second for d in tied])
        return (
            f"{chosen.model} is the most accurate{within}: {right}. {names} cannot be told apart from it by these "
            f"{_sample(tied[0])} ({_p(min(tied, key=lambda d: d.adjusted_p))}), but "
            f"{'is' if len(tied) == 1 else 'are'} not faster.{_more_seeds(tied)}"
        )
    between = next(d for d in tied if d.second == chosen.model)
    also = [d.second for d in tied if d.second != chosen.model]
    return (
        f"{chosen.model}: {right}. It cannot be told apart from {leader.model}, the most accurate{within} "
        f"({units.percent(leader.test_top1, 1)}): {_disagreement(between)}, which chance explains ({_p(between)}). "
        f"It is the faster one: {units.duration(chosen.latency.p50_s)} against "
        f"{units.duration(leader.latency.p50_s)} per image. {_room(between)}"
        f"{f' {_list(also)} cannot be told apart from {leader.model} either.' if also else ''}{_more_seeds([between])}"
    )


def _disagreement(d: Difference) -> str:
    pairs = "" if d.runs == (1, 1) else ", added up over pairs of runs"
    first, second = _images(d.only_first), units.exact(d.only_second)
    return f"{first} right with {d.first} alone and {second} with {d.second} alone{pairs}"


def _sample(d: Difference) -> str:
    return "images" if d.runs == (1, 1) else "images and seeds"


def _more_seeds(tied: Sequence[Difference]) -> str:
    """Where the runs at hand differ beyond the chance of images, and only their number keeps the verdict open."""
    open_ones = [d.second for d in tied if d.p_of_these_runs < SIGNIFICANCE <= d.p]
    if not open_ones:
        return ""
    return (
        f" The runs at hand do differ ({_list(open_ones)}), but so few seeds cannot say whether that is the network or "
        "the seed; --seeds 3 or more would."
    )


def _images(count: int) -> str:
    return f"{units.exact(count)} image{' is' if count == 1 else 's are'}"


def _room(d: Difference) -> str:
    """How much worse the faster network may be, and how many images would tell."""
    room = (
        f"It may be up to {_points(d.ci95.high)} less accurate"
        f" (95 % interval of the difference {100 * d.ci95.low:+.1f} to {100 * d.ci95.high:+.1f} points)"
    )
    if d.images_needed is None or d.images_needed <= d.n:
        return f"{room}."
    return (
        f"{room}; to notice a difference as large as the one measured, about {_about(d.images_needed)} test images "
        "are needed."
    )


def _p(d: Difference) -> str:
    p = "p < 0.001" if d.adjusted_p < 0.001 else f"p = {d.adjusted_p:.2g}"
    runs = "" if d.runs == (1, 1) else f", {d.runs[0]} and {d.runs[1]} runs"
    return f"{d.test}, {p}{runs}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _about(count: int) -> str:
    """Two significant digits: a forecast is not a count."""
    digits = max(0, len(str(count)) - 2)
    return units.exact(round(count, -digits))


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _over_budget(rows: Sequence[Row], fitting: Sequence[Row], leader: Row, budget: Budget) -> str:
    """What the budget has cost: the more accurate networks it has left out."""
    better = [row for row in rows if row not in fitting and row.test_top1 > leader.test_top1]
    if not better:
        return ""
    told = [
        f"{row.model} ({units.percent(row.test_top1, 1)}; {', '.join(budget.broken_by(row.costs()))})" for row in better
    ]
    return f"More accurate here, but over the budget: {_list(told)}."


def _nothing_fits(rows: Sequence[Row], budget: Budget) -> str:
    nearest = min(rows, key=lambda row: _excess(row, budget.limits))
    return (
        f"none of the {len(rows)} networks fits {budget}. {nearest.model} comes nearest, with "
        f"{', '.join(budget.broken_by(nearest.costs()))}. Raise the limit, or name smaller networks."
    )


def _excess(row: Row, limits: Sequence[Limit]) -> float:
    """By which factor the worst limit is exceeded."""
    costs = row.costs()
    values = [(costs.get(limit.quantity.name), limit.at_most) for limit in limits]
    return max(float("inf") if value is None else value / at_most for value, at_most in values)
