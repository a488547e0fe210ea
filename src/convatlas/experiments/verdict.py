"""From the outcomes of all seeds to a verdict: supported, contradicted, or not decided at this scale.

The sample is the paired difference of two arms, one value per seed. Its interval is Student's, at a level that Holm's
correction gives for several contrasts. A contrast is

    supported      where the whole interval is above 0 and the mean difference counts (is at least ``smallest``); with a
                   negative ``smallest``, where the whole interval is above it (the first arm is not worse by more)
    contradicted   where the whole interval is below ``smallest``: a difference that counts is ruled out
    not decided    otherwise

A claim of several contrasts is supported where all are, and contradicted where one is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev
from typing import Any, Literal

from scipy.special import stdtr, stdtrit

from convatlas.experiments.form import Contrast, Experiment, Outcome

Decision = Literal["supported", "contradicted", "not decided"]
SIGNIFICANCE, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Result:
    """A contrast after the run, in the unit of its metric. Measured.

    Attributes:
        differences: of each seed, ``higher`` minus ``lower``.
        level: of the interval: 1 - 0.05, or higher with several contrasts (Holm).
        effect: mean difference over its standard deviation (Cohen's d of pairs); None where all differences are equal.
        detectable: the smallest difference that this many seeds show with a power of 80 %.
    """

    contrast: Contrast
    differences: tuple[float, ...]
    mean: float
    interval: tuple[float, float]
    level: float
    p: float
    effect: float | None
    detectable: float
    decision: Decision

    def to_dict(self) -> dict[str, Any]:
        return {
            "metric": self.contrast.metric,
            "higher": self.contrast.higher,
            "lower": self.contrast.lower,
            "smallest": self.contrast.smallest,
            "differences": list(self.differences),
            "mean": self.mean,
            "interval": [finite(bound) for bound in self.interval],
            "level": self.level,
            "p": self.p,
            "effect": self.effect,
            "detectable": finite(self.detectable),
            "decision": self.decision,
        }


def finite(value: float) -> float | None:
    """The value for JSON; None for the infinite bounds of a single seed."""
    return value if math.isfinite(value) else None


def results(experiment: Experiment, outcomes: Mapping[str, Sequence[Outcome]]) -> tuple[Result, ...]:
    """The result of every contrast.

    Args:
        outcomes: of each arm, in the order of the seeds.
    """
    differences = []
    for contrast in experiment.contrasts:
        scale = experiment.metric(contrast.metric).scale
        pairs = zip(outcomes[contrast.higher], outcomes[contrast.lower], strict=True)
        differences.append(tuple(scale * (a.metrics[contrast.metric] - b.metrics[contrast.metric]) for a, b in pairs))
    ps = [p_value(values) for values in differences]
    levels = holm_levels(ps)
    return tuple(
        _result(contrast, values, p, level)
        for contrast, values, p, level in zip(experiment.contrasts, differences, ps, levels, strict=True)
    )


def decision(found: Sequence[Result]) -> Decision:
    """The verdict on a claim from those on its contrasts."""
    decisions = {each.decision for each in found}
    if "contradicted" in decisions:
        return "contradicted"
    return "supported" if decisions == {"supported"} else "not decided"


def p_value(values: Sequence[float]) -> float:
    """Two-sided p-value of Student's paired test that the mean difference is 0; 1 with a single seed."""
    if len(values) < 2:
        return 1.0
    spread, centre = stdev(values), mean(values)
    if spread == 0:
        return 0.0 if centre else 1.0
    return 2 * float(stdtr(len(values) - 1, -abs(centre) * math.sqrt(len(values)) / spread))


def holm_levels(ps: Sequence[float]) -> list[float]:
    """The confidence level of each interval that agrees with Holm's step-down test of all of them at 0.05."""
    levels = [0.0] * len(ps)
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        levels[index] = 1 - SIGNIFICANCE / (len(ps) - place)
    return levels


def detectable_difference(spread: float, seeds: int) -> float:
    """The smallest mean difference that a paired test of ``seeds`` differences shows with a power of 80 %.

    The usual approximation (t + z) * s / sqrt(n); infinite for one seed.
    """
    if seeds < 2:
        return math.inf
    return (float(stdtrit(seeds - 1, 1 - SIGNIFICANCE / 2)) + NormalDist().inv_cdf(POWER)) * spread / math.sqrt(seeds)


def _result(contrast: Contrast, values: tuple[float, ...], p: float, level: float) -> Result:
    seeds, centre = len(values), mean(values)
    spread = stdev(values) if seeds > 1 else math.nan
    half = float(stdtrit(seeds - 1, (1 + level) / 2)) * spread / math.sqrt(seeds) if seeds > 1 else math.inf
    low, high = centre - half, centre + half
    decided: Decision = "not decided"
    if high < contrast.smallest:
        decided = "contradicted"
    elif low > min(0.0, contrast.smallest) and centre >= contrast.smallest:
        decided = "supported"
    return Result(
        contrast=contrast,
        differences=values,
        mean=centre,
        interval=(low, high),
        level=level,
        p=p,
        effect=centre / spread if seeds > 1 and spread else None,
        detectable=detectable_difference(spread, seeds),
        decision=decided,
    )
