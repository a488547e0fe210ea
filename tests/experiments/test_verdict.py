"""Verdicts by hand: the paired interval over seeds, Holm's correction, and the three decisions."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convatlas.experiments.form import Contrast, Outcome
from convatlas.experiments.registry import get_experiment
from convatlas.experiments.verdict import decision, detectable_difference, holm_levels, p_value, results


@pytest.fixture
def decide():
    """``decide([differences, ...], smallest)``: the results of as many contrasts between two arms, in points."""
    import dataclasses

    base = get_experiment("relu-against-tanh")

    def make(differences, smallest=1.0):
        metrics = [
            dataclasses.replace(base.metrics[0], key=f"m{place}", scale=1.0) for place in range(len(differences))
        ]
        contrasts = tuple(Contrast(metric.key, "tanh", "relu", smallest) for metric in metrics)
        experiment = dataclasses.replace(base, metrics=tuple(metrics), contrasts=contrasts)
        seeds = range(len(differences[0]))
        higher = [Outcome({m.key: 10.0 + values[seed] for m, values in zip(metrics, differences, strict=True)})
                  for seed in seeds]  # fmt: skip
        lower = [Outcome({m.key: 10.0 for m in metrics}) for _ in seeds]
        return results(experiment, {"tanh": higher, "relu": lower})

    return make


def test_a_difference_that_counts_in_every_seed_is_supported(decide):
    (found,) = decide([[2.0, 2.2, 1.9, 2.1, 2.0]])
    assert found.decision == "supported"
    # Student with four degrees of freedom: 2.04 +- 2.776 * 0.114 / sqrt(5)
    assert found.mean == pytest.approx(2.04)
    assert found.interval == pytest.approx((2.04 - 0.1416, 2.04 + 0.1416), abs=1e-3)


def test_a_difference_too_small_to_count_is_contradicted_although_it_is_not_zero(decide):
    (found,) = decide([[0.2, 0.22, 0.19, 0.21, 0.2]])
    assert found.interval[0] > 0
    assert found.decision == "contradicted"


def test_the_opposite_direction_is_contradicted(decide):
    assert decide([[-2.0, -2.2, -1.9]])[0].decision == "contradicted"


def test_wide_intervals_are_not_decided(decide):
    assert decide([[4.0, -1.0, 2.0]])[0].decision == "not decided"


def test_not_worse_by_more_than_a_margin(decide):
    """A negative smallest difference: the interval has to lie above the margin."""
    assert decide([[-0.2, 0.1, -0.1]], smallest=-1.0)[0].decision == "supported"
    assert decide([[-2.0, -2.1, -1.9]], smallest=-1.0)[0].decision == "contradicted"
    assert decide([[-2.0, 1.0, -0.5]], smallest=-1.0)[0].decision == "not decided"


def test_one_seed_decides_nothing(decide):
    (found,) = decide([[5.0]])
    assert found.decision == "not decided"
    assert found.p == 1.0
    assert found.to_dict()["interval"] == [None, None]  # JSON has no infinity
    assert found.to_dict()["detectable"] is None


def test_a_claim_of_several_contrasts_needs_all_of_them(decide):
    yes, no, open_ = [2.0, 2.1, 1.9], [0.0, 0.1, -0.1], [4.0, -1.0, 2.0]
    assert decision(decide([yes, yes])) == "supported"
    assert decision(decide([yes, open_])) == "not decided"
    assert decision(decide([yes, no])) == "contradicted"


def test_holm_gives_the_smallest_p_the_widest_interval():
    assert holm_levels([0.5, 0.001, 0.02]) == pytest.approx([0.95, 1 - 0.05 / 3, 0.975])


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=9).filter(lambda values: stdev(values) > 1e-3))
def test_the_p_value_is_scipys(values):
    assert p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-9)


def test_the_detectable_difference_is_found_four_times_in_five():
    """Simulated: paired differences with this mean and standard deviation 1, tested with five seeds."""
    import numpy as np

    size, seeds = detectable_difference(1.0, 5), 5
    drawn = np.random.default_rng(0).normal(size, 1.0, (20_000, seeds))
    found = np.abs(drawn.mean(1)) * math.sqrt(seeds) / drawn.std(1, ddof=1) > stats.t.ppf(0.975, seeds - 1)
    assert found.mean() == pytest.approx(0.8, abs=0.05)
    assert mean([detectable_difference(2.0, 5)]) == pytest.approx(2 * size)
