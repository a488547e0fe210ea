"""Recommend a network, or a deployment of one, and state how certain the recommendation is.

1. Networks over the budget, and networks at chance level, are excluded.
2. The most accurate of the others is the leader. It is tested against each of them on the same test images, with Holm's
   correction.
3. Networks whose difference from the leader is not significant count as equally accurate. Of these and the leader, the
   one with the lowest median latency is recommended, and the accuracy that this may cost is stated. Of deployments
   whose latencies differ by less than the noise of their timing, it is the most accurate one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convatlas import units
from convatlas.comparison.budget import Budget, Limit
from convatlas.comparison.result import Choice, Recommendation
from convatlas.evaluation.statistics import SIGNIFICANCE, Difference, Hits, difference, holm
from convatlas.message import Message, joined


@dataclass(frozen=True)
class Words:
    """The sentences that name what is recommended: networks, or deployments of networks."""

    only_learned: str
    only_fitting: str
    only_compared: str
    others_worse: str
    nothing_fits: str
    raise_limit: str
    nothing_learned: str
    not_faster: str  # of one that cannot be distinguished from the recommended one
    not_faster_many: str


NETWORKS = Words(
    Message("{model} is the only network significantly more accurate than the majority class: {accuracy}."),
    Message("{model} is the only network that fits {budget}: {accuracy}."),
    Message("{model} is the only network that was compared: {accuracy}."),
    Message("Every other network is significantly less accurate; the closest, {model}, by {points} ({p})."),
    Message("none of the {count} networks fits {budget}."),
    Message("Raise the limit, or name smaller networks."),
    Message("nothing was learned: no network is significantly more accurate than the majority class."),
    Message("{names} cannot be distinguished from it on these {sample} ({p}), but is not faster."),
    Message("{names} cannot be distinguished from it on these {sample} ({p}), but are not faster."),
)
DEPLOYMENTS = Words(
    Message("{model} is the only deployment significantly more accurate than the majority class: {accuracy}."),
    Message("{model} is the only deployment that fits {budget}: {accuracy}."),
    Message("{model} is the only deployment that was compared: {accuracy}."),
    Message("Every other deployment is significantly less accurate; the closest, {model}, by {points} ({p})."),
    Message("none of the {count} deployments fits {budget}."),
    Message("Raise the limit, or name smaller networks, other engines or other precisions."),
    Message("nothing was learned: no deployment is significantly more accurate than the majority class."),
    Message("{names} cannot be distinguished from it on these {sample} ({p}), but is not faster by more than 10 %."),
    Message("{names} cannot be distinguished from it on these {sample} ({p}), but are not faster by more than 10 %."),
)
SAME_TIME = 0.1  # deployments of one network are often as fast as one another; the share that the noise of timing takes


def recommend(
    rows: Sequence[Choice],
    hits: Mapping[str, Hits],
    budget: Budget,
    words: Words = NETWORKS,
    same_time: float = 0.0,
) -> Recommendation:
    """Recommend one of ``rows``; ``hits[row.label]`` is (seeds, images), for the same images in all of them.

    Args:
        budget: the limits that a recommended network must meet.
        words: the words of the budget, for the message.
        same_time: rows whose median latency is at most this share above the lowest count as equally fast, and the most
            accurate of them is recommended.
    """
    fitting = [row for row in rows if not budget.broken_by(row.costs())]
    if not fitting:
        return Recommendation(None, *_nothing_fits(rows, budget, words))
    at_chance = [row for row in fitting if row.at_chance]
    fitting = [row for row in fitting if not row.at_chance]
    if not fitting:
        return Recommendation(None, *_nothing_learned(at_chance, words))
    leader = max(fitting, key=lambda row: (row.test_top1, -row.latency.p50_s))
    differences = _against(leader, fitting, hits)
    tied = [d.second for d in differences if not d.significant]
    equals = [row for row in fitting if row is leader or row.label in tied]
    chosen = min(equals, key=lambda row: (row.latency.p50_s, row.size_bytes))
    if same_time:
        quick = [row for row in equals if row.latency.p50_s <= chosen.latency.p50_s * (1 + same_time)]
        chosen = max(quick, key=lambda row: (row.test_top1, -row.latency.p50_s, -row.size_bytes))
    answer, *reasons = _choice(chosen, leader, fitting, differences, budget, bool(at_chance), words)
    reasons += _over_budget([row for row in rows if row not in at_chance], fitting, leader, budget)
    reasons += _at_chance(at_chance)
    ties = tuple(row.label for row in equals if row is not chosen)
    return Recommendation(chosen.label, answer, tuple(reasons), ties, tuple(differences))


def _against(leader: Choice, rows: Sequence[Choice], hits: Mapping[str, Hits]) -> list[Difference]:
    raw = [
        difference(leader.label, hits[leader.label], row.label, hits[row.label]) for row in rows if row is not leader
    ]
    return [replace(d, adjusted_p=p) for d, p in zip(raw, holm([d.p for d in raw]), strict=True)]


# --- sentences --------------------------------------------------------------------------------------------------------


def _choice(
    chosen: Choice,
    leader: Choice,
    fitting: Sequence[Choice],
    differences: Sequence[Difference],
    budget: Budget,
    others_at_chance: bool,
    words: Words,
) -> list[Message]:
    """The sentences for the recommendation, the answer first."""
    accuracy = Message(
        "{share} of {n} test images ({level} confidence interval {interval})",
        level="95 %",
        share=units.percent(chosen.test_top1, 1),
        n=units.exact(chosen.accuracy.n),
        interval=units.interval(*chosen.accuracy.ci95),
    )
    if len(fitting) == 1:
        if others_at_chance:
            return [Message(words.only_learned, model=chosen.label, accuracy=accuracy)]
        if budget:
            return [Message(words.only_fitting, model=chosen.label, budget=budget, accuracy=accuracy)]
        return [Message(words.only_compared, model=chosen.label, accuracy=accuracy)]
    within = Message(" within {budget}", budget=budget) if budget else ""
    best = Message(
        "{model} is the most accurate{within}: {accuracy}.", model=chosen.label, within=within, accuracy=accuracy
    )
    tied = [d for d in differences if not d.significant]
    if not tied:
        nearest = min(differences, key=lambda d: d.difference)
        points = _points(nearest.difference)
        if len(differences) == 1:
            verdict = Message(
                "{model} is less accurate by {points}, which is significant ({p}).",
                model=nearest.second,
                points=points,
                p=_p(nearest),
            )
        else:
            verdict = Message(words.others_worse, model=nearest.second, points=points, p=_p(nearest))
        return [best, verdict]
    if chosen is leader:
        p = _p(min(tied, key=lambda d: d.adjusted_p))
        names, sample = _list([d.second for d in tied]), _sample(tied[0])
        template = words.not_faster if len(tied) == 1 else words.not_faster_many
        verdict = Message(template, names=names, sample=sample, p=p)
        return [best, verdict, *_more_seeds(tied)]
    between = next(d for d in tied if d.second == chosen.label)
    also = [d.second for d in tied if d.second != chosen.label]
    sentences = [
        Message("{model}: {accuracy}.", model=chosen.label, accuracy=accuracy),
        Message(
            "It cannot be distinguished from {leader}, the most accurate{within} ({share}): {disagreement}, a "
            "difference that is not significant ({p}).",
            leader=leader.label,
            within=within,
            share=units.percent(leader.test_top1, 1),
            disagreement=_disagreement(between),
            p=_p(between),
        ),
        Message(
            "It is faster: {fast} instead of {slow} per image.",
            fast=units.duration(chosen.latency.p50_s),
            slow=units.duration(leader.latency.p50_s),
        ),
        _possible_loss(between),
    ]
    if also:
        sentences.append(
            Message("{names} cannot be distinguished from {leader} either.", names=_list(also), leader=leader.label)
        )
    return [*sentences, *_more_seeds([between])]


def _disagreement(d: Difference) -> str:
    pairs = "" if d.runs == (1, 1) else Message(", summed over pairs of runs")
    counts = {"n": units.exact(d.only_first), "first": d.first, "m": units.exact(d.only_second), "second": d.second}
    if d.only_first == 1:
        return Message("only {first} is right on {n} image and only {second} on {m}{pairs}", **counts, pairs=pairs)
    return Message("only {first} is right on {n} images and only {second} on {m}{pairs}", **counts, pairs=pairs)


def _sample(d: Difference) -> str:
    return Message("images") if d.runs == (1, 1) else Message("images and seeds")


def _more_seeds(tied: Sequence[Difference]) -> list[Message]:
    """Return the sentence for networks whose runs differ significantly over images, but not over so few seeds."""
    undecided = [d.second for d in tied if d.p_of_these_runs < SIGNIFICANCE <= d.p]
    if not undecided:
        return []
    return [
        Message(
            "These runs do differ ({names}), but with so few seeds the seed may be the reason; use --seeds 3 or more.",
            names=_list(undecided),
        )
    ]


def _possible_loss(d: Difference) -> Message:
    """Return how much less accurate the faster network may be, and how many images would show it."""
    loss = Message(
        "It may be up to {points} less accurate ({level} confidence interval of the difference: {low} to {high} "
        "points)",
        level="95 %",
        points=_points(d.ci95.high),
        low=f"{100 * d.ci95.low:+.1f}",
        high=f"{100 * d.ci95.high:+.1f}",
    )
    if d.images_needed is None or d.images_needed <= d.n:
        return Message("{text}.", text=loss)
    needed = Message(
        "to detect a difference of this size, about {count} test images are needed.",
        count=_about(d.images_needed),
    )
    return joined((loss, needed), "; ")


def _p(d: Difference) -> str:
    p = "p < 0.001" if d.adjusted_p < 0.001 else f"p = {d.adjusted_p:.2g}"
    runs = "" if d.runs == (1, 1) else Message(", {first} and {second} runs", first=d.runs[0], second=d.runs[1])
    return joined((d.test, f", {p}", runs), "")


def _points(share: float) -> str:
    return Message("{value} points", value=f"{100 * share:.1f}")


def _about(count: int) -> str:
    """Return an estimated count, rounded to two significant digits."""
    digits = max(0, len(str(count)) - 2)
    return units.exact(round(count, -digits))


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else Message("{names} and {last}", names=joined(names[:-1]), last=names[-1])


def _over_budget(rows: Sequence[Choice], fitting: Sequence[Choice], leader: Choice, budget: Budget) -> list[Message]:
    """The sentence that names the more accurate networks that exceed the budget, if there are any."""
    better = [row for row in rows if row not in fitting and row.test_top1 > leader.test_top1]
    if not better:
        return []
    names = [
        Message(
            "{model} ({top1}; {costs})",
            model=row.label,
            top1=units.percent(row.test_top1, 1),
            costs=joined(budget.broken_by(row.costs())),
        )
        for row in better
    ]
    return [Message("More accurate here, but over the budget: {names}.", names=_list(names))]


def _nothing_fits(rows: Sequence[Choice], budget: Budget, words: Words) -> tuple[Message, tuple[Message, ...]]:
    """The answer and the reasons if no network fits the budget."""
    nearest = min(rows, key=lambda row: _excess(row, budget.limits))
    return (
        Message(words.nothing_fits, count=len(rows), budget=budget),
        (
            Message(
                "{model} comes nearest, with {costs}.",
                model=nearest.label,
                costs=joined(budget.broken_by(nearest.costs())),
            ),
            Message(words.raise_limit),
        ),
    )


def _nothing_learned(rows: Sequence[Choice], words: Words) -> tuple[Message, tuple[Message, ...]]:
    """The answer and the reasons if no network is more accurate than the majority class."""
    best = max(rows, key=lambda row: row.test_top1)
    return (
        Message(words.nothing_learned),
        (
            Message(
                "{model} is the most accurate, with {share} of {n} test images.",
                model=best.label,
                share=units.percent(best.test_top1, 1),
                n=units.exact(best.accuracy.n),
            ),
            Message(
                "Train longer (--epochs), start from trained weights (--start-from), or give more images: few test "
                "images do not show a small difference."
            ),
        ),
    )


def _at_chance(rows: Sequence[Choice]) -> list[Message]:
    """The sentence that names the networks that are out because they have learned nothing, if there are any."""
    if not rows:
        return []
    return [
        Message(
            "Not considered, because not significantly more accurate than the majority class: {names}.",
            names=_list([row.label for row in rows]),
        )
    ]


def _excess(row: Choice, limits: Sequence[Limit]) -> float:
    """Return the largest ratio of a cost to its limit; infinite if a cost could not be measured."""
    costs = row.costs()
    values = [(costs.get(limit.quantity.name), limit.at_most) for limit in limits]
    return max(float("inf") if value is None else value / at_most for value, at_most in values)
