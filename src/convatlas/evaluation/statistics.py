"""Confidence intervals of accuracies, and tests of whether two networks differ on the same test images.

A measured accuracy varies for two reasons: another sample of test images would give another value, and so would another
seed, because training starts from other weights and sees the images in another order. One run shows only the first kind
of variation. Several runs show both, and the intervals then cover both. Each result says in words what it covers.

Legend: S seeds (runs of one network), N test images. ``hits`` is (S, N) bool: whether run s is correct on image i.

The tests:
- One run each: McNemar's exact test (Psychometrika 12, 1947, 153-157), which Dietterich recommends for networks that
  are too slow to train many times (Neural Computation 10, 1998, 1895-1923).
- Several runs each: the generalisation of McNemar's test, the exact sign-flip test on the difference per image (Pitman,
  Supplement to JRSS 4, 1937), which treats the images as the sample and the runs as fixed; and Welch's test with the
  variances of images and of seeds added (Bouthillier et al., MLSys 2021, explain why both are needed). The larger
  p-value counts, so a difference is reported only if neither kind of variation explains it.
- One network against several others: Holm's correction (Scandinavian Journal of Statistics 6, 1979, 65-70).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # distribution function and quantiles of Student's t

from convatlas.evaluation.metrics import Interval, wilson
from convatlas.message import Message

SIGNIFICANCE = 0.05
Z95 = NormalDist().inv_cdf(0.975)

Hits = NDArray[np.bool_]


# --- one network ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """Test top-1 accuracy of one network: the mean over its runs, and its confidence interval."""

    top1: float
    ci95: Interval
    n: int
    by_seed: tuple[float, ...]

    @property
    def covers(self) -> str:
        """What the interval covers, in words."""
        if len(self.by_seed) > 1:
            return Message("the choice of the test images and of the seeds")
        return Message("the choice of the test images, but not of the seed (one run)")

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over the seeds; None for one run."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None


def accuracy(hits: Hits) -> Accuracy:
    """Mean top-1 with a 95 % interval.

    One run: Wilson's interval over the images. Several runs: Wilson's interval over the images and Student's interval
    over the seeds, with their half-widths added in quadrature on each side (square-and-add: Newcombe, Statistics in
    Medicine 17, 1998, 873-890; Zou and Donner, Statistics in Medicine 27, 2008, 1693-1702).

    For Wilson's interval, S runs on N images count as an effective sample size between N and S * N, derived from the
    variance between images (Kish). Disagreement between runs on single images enters both parts, so the interval is
    conservative.
    """
    by_seed, by_image = hits.mean(axis=1), hits.mean(axis=0)
    seeds, n = hits.shape
    mean = float(hits.mean())
    if seeds == 1:
        return Accuracy(mean, wilson(mean * n, n), n, (mean,))
    variance = float(by_image.var())
    trials = n * min(mean * (1 - mean) / variance, seeds) if variance else n
    images = wilson(mean * trials, trials)
    half = float(stdtrit(seeds - 1, 0.975) * np.std(by_seed, ddof=1) / math.sqrt(seeds))
    low = max(0.0, mean - math.hypot(mean - images.low, half))
    high = min(1.0, mean + math.hypot(images.high - mean, half))
    return Accuracy(mean, Interval(low, high), n, tuple(map(float, by_seed)))


# --- two networks on the same images ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Accuracy of the first network minus that of the second, on the same N images.

    ``only_first`` and ``only_second`` count the images (summed over pairs of runs) on which only one of the two
    networks is correct; a paired test uses only these. ``p`` is the probability of a difference at least as large if
    both networks are equally accurate. ``p_of_these_runs`` treats the runs as fixed and ignores the variation between
    seeds; for one run each it equals ``p``. ``adjusted_p`` is ``p`` after Holm's correction, or ``p`` before the
    correction is applied. ``images_needed`` is the number of test images needed to detect a difference of this size.
    """

    first: str
    second: str
    difference: float
    ci95: Interval
    p: float
    p_of_these_runs: float
    adjusted_p: float
    only_first: int
    only_second: int
    n: int
    runs: tuple[int, int]
    images_needed: int | None

    @property
    def significant(self) -> bool:
        return self.adjusted_p < SIGNIFICANCE

    @property
    def test(self) -> str:
        """The name of the test."""
        return "exact McNemar" if self.runs == (1, 1) else "sign-flip and Welch"

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference,
            "ci95": list(self.ci95),
            "p": self.p,
            "p_of_these_runs": self.p_of_these_runs,
            "adjusted_p": self.adjusted_p,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "n": self.n,
            "test": self.test,
            "told_apart": self.significant,
        }


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test.

    Under the null hypothesis, each image on which only one network is correct is a fair coin flip.
    """
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def sign_flip(differences: NDArray[np.int64]) -> float:
    """Two-sided exact p-value of the sum of ``differences`` if every sign is a fair coin flip.

    With differences of -1, 0 and 1 this is McNemar's test.
    """
    sizes = np.abs(differences[differences != 0])
    probability = np.zeros(sizes.sum() + 1)  # probability of each sum of the sizes with a positive sign
    probability[0] = 1.0
    for size in sizes:
        shifted = probability[:-size].copy()
        probability *= 0.5
        probability[size:] += 0.5 * shifted
    sums = 2 * np.arange(len(probability)) - sizes.sum()
    return min(1.0, float(probability[np.abs(sums) >= abs(differences.sum())].sum()))


def difference(first: str, hits_first: Hits, second: str, hits_second: Hits) -> Difference:
    """Compare two networks image by image.

    The interval adds half an image to each of the four cells of the agreement table (Agresti and Min, Statistics in
    Medicine 24, 2005, 729-740), so its width is positive also if the runs never disagree. With several runs the
    variance between seeds is added, with Welch-Satterthwaite degrees of freedom. Part of that variance is also in the
    variance between images, so the interval is conservative.
    """
    assert hits_first.shape[1] == hits_second.shape[1], "a paired test needs the same images"
    n, runs = hits_first.shape[1], (len(hits_first), len(hits_second))
    right_first, right_second = hits_first.sum(axis=0), hits_second.sum(axis=0)  # (N,) number of correct runs
    by_image = right_first / runs[0] - right_second / runs[1]  # (N,) from -1 to 1

    centre = by_image.sum() / (n + 2)
    image_variance = ((by_image**2).sum() + 1) / (n + 2) - centre**2
    seed_parts = [  # variance of each network's mean over seeds, with its degrees of freedom
        (float(np.var(hits.mean(axis=1), ddof=1)) / len(hits), len(hits) - 1)
        for hits in (hits_first, hits_second)
        if len(hits) > 1
    ]
    variance = image_variance / (n + 2) + sum(part for part, _ in seed_parts)
    welch_sum = sum(part**2 / freedom for part, freedom in seed_parts)
    freedom = variance**2 / welch_sum if welch_sum else math.inf
    half = (float(stdtrit(freedom, 0.975)) if welch_sum else Z95) * math.sqrt(variance)

    p = p_images = sign_flip(right_first.astype(np.int64) * runs[1] - right_second.astype(np.int64) * runs[0])
    if welch_sum:
        p = max(p_images, 2 * float(stdtr(freedom, -abs(centre) / math.sqrt(variance))))

    observed = float(by_image.mean())
    return Difference(
        first=first,
        second=second,
        difference=observed,
        ci95=Interval(max(-1.0, float(centre) - half), min(1.0, float(centre) + half)),
        p=p,
        p_of_these_runs=p_images,
        adjusted_p=p,
        only_first=int((right_first * (runs[1] - right_second)).sum()),
        only_second=int((right_second * (runs[0] - right_first)).sum()),
        n=n,
        runs=runs,
        images_needed=_images_needed(observed, float(by_image.var())),
    )


def _images_needed(observed: float, image_variance: float) -> int | None:
    """Test images needed to detect a difference of this size with a power of 80 %; None if there is no difference."""
    if observed == 0:
        return None
    power80 = NormalDist().inv_cdf(0.8)
    return math.ceil((Z95 + power80) ** 2 * image_variance / observed**2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values, which control the probability of at least one false positive."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
