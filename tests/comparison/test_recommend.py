"""The recommended network, and the sentences of the recommendation."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

from convatlas.comparison import Budget, recommend
from convatlas.evaluation.statistics import difference

N = 400


@pytest.fixture
def case(row, one_run):
    """``case(("a", range of wrong images, ms), ...)``: rows and hits, one run each on the same 400 images."""

    def make(*networks, **columns):
        hits = {model: one_run(N, wrong) for model, wrong, _ in networks}
        rows = [row(model, hits[model], ms, **columns.get(model, {})) for model, _, ms in networks]
        return rows, hits

    return make


def test_a_clear_winner(case):
    advice = recommend(*case(("small", range(60), 1.0), ("large", range(50, 60), 9.0)), Budget())
    assert (advice.model, advice.ties) == ("large", ())
    assert advice.why == (
        "large is the most accurate: 97.5 % of 400 test images (95 % confidence interval 95.5 to 98.6 %). "
        "small is less accurate by 12.5 points, which is significant (exact McNemar, p < 0.001)."
    )


def test_of_equal_networks_the_faster_is_recommended_with_the_possible_loss(case):
    # only large is right about 10 images, only small about 4: 2 * P(at most 4 of 14) = 0.18
    advice = recommend(*case(("small", range(20), 1.0), ("large", range(10, 24), 9.0)), Budget())
    assert (advice.model, advice.ties) == ("small", ("large",))
    assert advice.why == (
        "small: 95.0 % of 400 test images (95 % confidence interval 92.4 to 96.7 %). It cannot be distinguished from "
        "large, the most accurate (96.5 %): only large is right on 10 images and only small on 4, a difference that is "
        "not significant (exact McNemar, p = 0.18). It is faster: 1.000 ms instead of 9.000 ms per image. It may be up "
        "to 3.4 points less accurate (95 % confidence interval of the difference: -0.4 to +3.4 points); to detect a "
        "difference of this size, about 1,200 test images are needed."
    )


def test_a_tie_in_which_the_most_accurate_is_the_faster(case):
    advice = recommend(*case(("slow", range(20), 9.0), ("quick", range(10, 24), 1.0)), Budget())
    assert (advice.model, advice.ties) == ("quick", ("slow",))
    assert (
        "slow cannot be distinguished from it on these images (exact McNemar, p = 0.18), but is not faster."
        in advice.why
    )


def test_equal_networks_are_a_tie_and_the_faster_is_taken(case):
    advice = recommend(*case(("slow", range(20), 9.0), ("quick", range(20), 1.0)), Budget())
    assert (advice.model, advice.ties) == ("quick", ("slow",))


def test_the_other_ties_are_named_too(case):
    advice = recommend(
        *case(("tiny", range(100), 0.1), ("a", range(20), 1.0), ("b", range(1, 20), 2.0), ("c", range(2, 20), 3.0)),
        Budget(),
    )
    assert (advice.model, advice.ties) == ("a", ("b", "c"))
    assert "b cannot be distinguished from c either." in advice.why


def test_many_comparisons_are_corrected(case):
    """Seven images against none are significant for two networks (p = 0.016), but not for one against five others."""
    alone = recommend(*case(("best", range(0), 9.0), ("other", range(7), 1.0)), Budget())
    assert alone.model == "best"
    others = [(f"other{i}", range(7), 1.0) for i in range(5)]
    among = recommend(*case(("best", range(0), 9.0), *others), Budget())
    assert among.model == "other0"
    assert among.differences[0].p == pytest.approx(2 / 2**7)
    assert among.differences[0].adjusted_p == pytest.approx(5 * 2 / 2**7)


def test_the_budget_takes_out_the_most_accurate_and_says_so(case):
    rows, hits = case(("small", range(60), 1.0), ("large", range(5), 9.0), large={"p95_ms": 30.0})
    advice = recommend(rows, hits, Budget.parse("latency<=20ms"))
    assert (advice.model, advice.ties) == ("small", ())
    assert advice.why == (
        "small is the only network that fits latency ≤ 20 ms: 85.0 % of 400 test images "
        "(95 % confidence interval 81.2 to 88.2 %). More accurate here, but over the budget: large "
        "(98.8 %; p95 latency 30 ms)."
    )


def test_the_latency_limit_applies_to_the_95th_percentile(case):
    rows, hits = case(("only", range(5), 9.0), only={"p95_ms": 30.0})
    assert recommend(rows, hits, Budget.parse("latency<=20ms")).model is None
    assert recommend(rows, hits, Budget.parse("latency_p50<=20ms")).model == "only"


def test_nothing_fits(case):
    rows, hits = case(("small", range(60), 1.0), ("large", range(5), 9.0))
    advice = recommend(rows, hits, Budget.parse("latency<=0.5ms,size<=20MB"))
    assert (advice.model, advice.ties, advice.differences) == (None, (), ())
    assert advice.why == (
        "none of the 2 networks fits latency ≤ 500 µs, size ≤ 20 MB. small comes nearest, with p95 latency 1 ms. "
        "Raise the limit, or name smaller networks."
    )


def test_a_cost_that_could_not_be_measured_does_not_fit(case):
    rows, hits = case(("blind", range(5), 1.0), blind={"memory": None})
    assert "memory could not be measured here" in recommend(rows, hits, Budget.parse("memory<=1GB")).why


def test_one_network_alone(case):
    advice = recommend(*case(("only", range(40), 1.0)), Budget())
    assert advice.why.startswith("only is the only network that was compared: 90.0 % of 400 test images")


def test_the_sentences_name_several_seeds(row):
    generator = np.random.default_rng(1)
    hits = {
        "small": generator.random((3, N)) < 0.90,
        "large": generator.random((3, N)) < 0.91,
    }
    advice = recommend([row("small", hits["small"], 1.0), row("large", hits["large"], 9.0)], hits, Budget())
    assert advice.model == "small"
    assert "summed over pairs of runs" in advice.why
    assert "sign-flip and Welch" in advice.why
    assert "3 and 3 runs" in advice.why


def test_too_few_seeds_are_named_as_the_reason(row):
    """Two runs each, 12 points apart on average, but the seeds of one network differ by as much."""
    hits = {"steady": np.ones((2, N), bool), "moody": np.ones((2, N), bool)}
    hits["moody"][0, :80], hits["moody"][1, :16] = False, False
    advice = recommend([row("steady", hits["steady"], 1.0), row("moody", hits["moody"], 9.0)], hits, Budget())
    assert advice.ties == ("moody",)
    assert "moody cannot be distinguished from it on these images and seeds" in advice.why
    assert advice.why.endswith("These runs do differ (moody), but with so few seeds the seed may be the reason; use "
                               "--seeds 3 or more.")  # fmt: skip


@pytest.mark.parametrize(
    ("p_of_these_runs", "p", "advised"),
    [(0.049, 0.05, True), (0.05, 0.05, False), (0.049, 0.0499, False), (0.2, 0.3, False)],
)
def test_more_seeds_are_advised_where_the_runs_differ_significantly_and_the_networks_do_not(
    p_of_these_runs, p, advised
):
    """A p value of exactly 0.05 is not significant, for the runs as for the networks."""
    recommendation = importlib.import_module("convatlas.comparison.recommend")
    steady, moody = np.ones((2, N), bool), np.ones((2, N), bool)
    moody[0, :80] = False
    between = dataclasses.replace(
        difference("steady", steady, "moody", moody), p_of_these_runs=p_of_these_runs, p=p, adjusted_p=p
    )
    assert bool(recommendation._more_seeds([between])) == advised
