"""What is recommended, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.comparison import Budget, recommend

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
        "large is the most accurate: 97.5 % of 400 test images (95 % interval 95.5 to 98.6 %). "
        "small is worse by 12.5 points, more than chance explains (exact McNemar, p < 0.001)."
    )


def test_a_tie_goes_to_the_faster_and_says_what_it_may_cost(case):
    # only large is right about 10 images, only small about 4: 2 * P(at most 4 of 14) = 0.18
    advice = recommend(*case(("small", range(20), 1.0), ("large", range(10, 24), 9.0)), Budget())
    assert (advice.model, advice.ties) == ("small", ("large",))
    assert advice.why == (
        "small: 95.0 % of 400 test images (95 % interval 92.4 to 96.7 %). It cannot be told apart from large, the "
        "most accurate (96.5 %): 10 images are right with large alone and 4 with small alone, which chance explains "
        "(exact McNemar, p = 0.18). It is the faster one: 1.000 ms against 9.000 ms per image. It may be up to 3.4 "
        "points less accurate (95 % interval of the difference -0.4 to +3.4 points); to notice a difference as large "
        "as the one measured, about 1,200 test images are needed."
    )


def test_a_tie_in_which_the_most_accurate_is_the_faster(case):
    advice = recommend(*case(("slow", range(20), 9.0), ("quick", range(10, 24), 1.0)), Budget())
    assert (advice.model, advice.ties) == ("quick", ("slow",))
    assert (
        "slow cannot be told apart from it by these images (exact McNemar, p = 0.18), but is not faster." in advice.why
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
    assert "b cannot be told apart from c either." in advice.why


def test_many_comparisons_are_corrected_for(case):
    """Seven images against none tell two networks apart (p = 0.016), but not one network from five others."""
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
        "(95 % interval 81.2 to 88.2 %). More accurate here, but over the budget: large (98.8 %; latency 30 ms)."
    )


def test_latency_is_held_against_the_95th_percentile(case):
    rows, hits = case(("only", range(5), 9.0), only={"p95_ms": 30.0})
    assert recommend(rows, hits, Budget.parse("latency<=20ms")).model is None
    assert recommend(rows, hits, Budget.parse("latency_p50<=20ms")).model == "only"


def test_nothing_fits(case):
    rows, hits = case(("small", range(60), 1.0), ("large", range(5), 9.0))
    advice = recommend(rows, hits, Budget.parse("latency<=0.5ms,size<=20MB"))
    assert (advice.model, advice.ties, advice.differences) == (None, (), ())
    assert advice.why == (
        "none of the 2 networks fits latency ≤ 500 µs, size ≤ 20 MB. small comes nearest, with latency 1 ms. "
        "Raise the limit, or name smaller networks."
    )


def test_what_could_not_be_measured_is_not_promised(case):
    rows, hits = case(("blind", range(5), 1.0), blind={"memory": None})
    assert "memory could not be measured here" in recommend(rows, hits, Budget.parse("memory<=1GB")).why


def test_one_network_alone(case):
    advice = recommend(*case(("only", range(40), 1.0)), Budget())
    assert advice.why.startswith("only is the only network that was compared: 90.0 % of 400 test images")


def test_several_seeds_are_told_as_such(row):
    generator = np.random.default_rng(1)
    hits = {
        "small": generator.random((3, N)) < 0.90,
        "large": generator.random((3, N)) < 0.91,
    }
    advice = recommend([row("small", hits["small"], 1.0), row("large", hits["large"], 9.0)], hits, Budget())
    assert advice.model == "small"
    assert "added up over pairs of runs" in advice.why
    assert "sign-flip and Welch" in advice.why
    assert "3 and 3 runs" in advice.why


def test_when_only_the_number_of_seeds_leaves_it_open_that_is_said(row):
    """Two runs each, 12 points apart on average, but the seeds of one network differ by as much."""
    hits = {"steady": np.ones((2, N), bool), "moody": np.ones((2, N), bool)}
    hits["moody"][0, :80], hits["moody"][1, :16] = False, False
    advice = recommend([row("steady", hits["steady"], 1.0), row("moody", hits["moody"], 9.0)], hits, Budget())
    assert advice.ties == ("moody",)
    assert "moody cannot be told apart from it by these images and seeds" in advice.why
    assert advice.why.endswith("The runs at hand do differ (moody), but so few seeds cannot say whether that is the "
                               "network or the seed; --seeds 3 or more would.")  # fmt: skip
