"""The tests against hand-worked and printed values; the intervals against what they promise: coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convatlas.comparison.pareto import front
from convatlas.evaluation import statistics, wilson


def hits(*rows: str) -> np.ndarray:
    """``hits("110", "011")``: two runs on three images."""
    return np.array([[letter == "1" for letter in row] for row in rows])


# --- McNemar and its generalisation -----------------------------------------------------------------------------------


def test_mcnemar_by_hand():
    # 1 against 5: the tail is (1 + 6) / 64, both tails 14/64
    assert statistics.mcnemar(1, 5) == pytest.approx(14 / 64)
    assert statistics.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert statistics.mcnemar(0, 6) == pytest.approx(2 / 64)  # the fewest that tell two networks apart
    assert statistics.mcnemar(4, 4) == 1
    assert statistics.mcnemar(0, 0) == 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_scipys_binomial_test(b, c):
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert statistics.mcnemar(b, c) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_with_one_run_each_the_sign_flip_test_is_mcnemars(b, c, agreeing):
    differences = np.array([1] * b + [-1] * c + [0] * agreeing, dtype=np.int64)
    assert statistics.sign_flip(differences) == pytest.approx(statistics.mcnemar(b, c), rel=1e-9)


@settings(max_examples=30)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_sign_flip_test_is_what_trying_every_sign_gives(values):
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(values))).reshape(len(values), -1)
    sums = (np.array(values, dtype=np.int64)[:, None] * signs).sum(axis=0)
    assert statistics.sign_flip(np.array(values, dtype=np.int64)) == pytest.approx(
        np.mean(np.abs(sums) >= abs(sum(values)))
    )


def test_a_difference_by_hand():
    one = statistics.difference("a", hits("1111110"), "b", hits("1100001"))
    assert (one.only_first, one.only_second, one.n) == (4, 1, 7)
    assert one.difference == pytest.approx(3 / 7)
    assert one.p == pytest.approx(12 / 32)  # (1 + 5) / 32, twice
    # Agresti and Min: 4.5 and 1.5 of 9, (3/9) ± 1.96 sqrt(6/9 - 1/9)/3
    assert one.ci95 == pytest.approx((1 / 3 - 1.959964 * math.sqrt(5) / 9, 1 / 3 + 1.959964 * math.sqrt(5) / 9))
    assert not one.significant


def test_exchanging_the_networks_exchanges_the_signs():
    a, b = hits("11011", "11110"), hits("10011", "01100")
    there, back = statistics.difference("a", a, "b", b), statistics.difference("b", b, "a", a)
    assert there.p == pytest.approx(back.p)
    assert there.difference == -back.difference
    assert there.ci95 == pytest.approx((-back.ci95.high, -back.ci95.low))
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)


def test_networks_that_agree_everywhere_do_not_differ_significantly_and_the_interval_has_a_width():
    same = statistics.difference("a", hits("1" * 50), "b", hits("1" * 50))
    assert (same.p, same.difference, same.images_needed) == (1, 0, None)
    assert same.ci95.low < 0 < same.ci95.high


def test_seed_noise_can_explain_what_images_cannot():
    """Three runs each that differ wildly: on these images the difference is certain, for a new seed it is not."""
    generator = np.random.default_rng(0)
    first = np.stack([generator.random(1000) < share for share in (0.99, 0.80, 0.95)])
    second = np.stack([generator.random(1000) < share for share in (0.90, 0.70, 0.96)])
    result = statistics.difference("a", first, "b", second)
    flips = (first.sum(0) - second.sum(0)) * 3
    assert statistics.sign_flip(flips) < 0.001
    assert result.p > 0.3
    assert not result.significant


def test_images_needed_grows_with_the_square_of_how_small_the_difference_is():
    large = statistics.difference("a", hits("1" * 40 + "0" * 10 + "1" * 50), "b", hits("1" * 100))
    small = statistics.difference("a", hits("1" * 45 + "0" * 5 + "1" * 50), "b", hits("1" * 100))
    # 7.849 p(1-p)/p², p = 0.1 and 0.05
    assert (large.images_needed, small.images_needed) == (71, 150)


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 become 3*0.01, 2*0.03, and 0.04 not below its predecessor
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1, 1]
    assert statistics.holm([]) == []


# --- intervals --------------------------------------------------------------------------------------------------------


def test_one_run_has_wilsons_interval_and_says_what_it_does_not_cover():
    result = statistics.accuracy(hits("1110"))
    assert result.ci95 == wilson(3, 4)
    assert result.spread is None
    assert "but not of the seed" in result.covers


def test_several_seeds_by_hand():
    runs = np.zeros((2, 100), dtype=bool)
    runs[0, :90], runs[1, :94] = True, True
    result = statistics.accuracy(runs)
    assert (result.top1, result.by_seed) == (pytest.approx(0.92), pytest.approx((0.90, 0.94)))
    assert result.spread == pytest.approx(0.04 / math.sqrt(2))
    # 90 images are right twice, 4 once: their means vary by 0.9 + 0.04/4 - 0.92² = 0.0636, those of one run by 0.0736
    trials = 100 * 0.0736 / 0.0636
    low, high = wilson(0.92 * trials, trials)
    half = 12.7062 * 0.02  # t with one degree of freedom, printed in every table; s / sqrt(2) = 0.02
    assert result.ci95.low == pytest.approx(0.92 - math.hypot(0.92 - low, half), abs=1e-4)
    assert result.ci95.high == 1.0
    assert high < 1


def test_seeds_that_agree_leave_the_images_interval():
    run = "1" * 95 + "0" * 5
    assert statistics.accuracy(hits(run, run, run)).ci95 == pytest.approx(wilson(95, 100))


def simulated_hits(generator: np.random.Generator, mean: float, seed_sd: float, seeds: int, n: int) -> np.ndarray:
    """Runs that differ by seed, images that differ in difficulty; the truth is ``mean`` on average."""
    by_seed = generator.normal(0, seed_sd, size=(seeds, 1))
    by_image = generator.beta(mean * 3, (1 - mean) * 3, size=(1, n))
    return generator.random((seeds, n)) < np.clip(by_image + by_seed, 0, 1)


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (3, 0.0), (3, 0.03), (5, 0.03)])
def test_the_interval_covers_the_true_accuracy(seeds, seed_sd):
    """At least 93.5 % of 1000 intervals of a promised 95 % hold the truth (the standard error is 0.7 points)."""
    generator = np.random.default_rng(seeds)
    held = 0
    for _ in range(1000):
        low, high = statistics.accuracy(simulated_hits(generator, 0.7, seed_sd, seeds, 200)).ci95
        held += low <= 0.7 <= high
    assert held >= 935


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_networks_differ_significantly_in_at_most_one_case_of_twenty(seeds):
    generator = np.random.default_rng(7)
    alarms = 0
    for _ in range(500):
        truth = generator.beta(2.1, 0.9, size=(1, 150))  # the difficulty of each image, shared by both networks
        noise = generator.normal(0, 0.03 if seeds > 1 else 0, size=(2, seeds, 1))
        first, second = generator.random((2, seeds, 150)) < np.clip(truth + noise, 0, 1)
        alarms += statistics.difference("a", first, "b", second).significant
    assert alarms <= 35  # 25 expected at the level itself, standard deviation 4.9


# --- Pareto -----------------------------------------------------------------------------------------------------------


def test_the_front_by_hand():
    #           best  dominated  cheapest  equal to the first
    gains, costs = [0.99, 0.95, 0.90, 0.99], [5.0, 6.0, 1.0, 5.0]
    assert front(gains, costs) == [True, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_everything_off_the_front_is_beaten_by_something_on_it(points):
    gains, costs = [float(g) for g, _ in points], [float(c) for _, c in points]
    on = front(gains, costs)
    assert any(on)
    for (gain, cost), is_on in zip(points, on, strict=True):
        beaten = any(
            g >= gain and c <= cost and (g > gain or c < cost)
            for (g, c), other_on in zip(points, on, strict=True)
            if other_on
        )
        assert is_on != beaten
