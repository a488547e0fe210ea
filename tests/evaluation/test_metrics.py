"""Figures worked by hand or printed elsewhere; then what must hold for any logits."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from convatlas.evaluation import metrics

# --- hits ------------------------------------------------------------------------------------------------------------

LOGITS = np.array(
    [
        [3.0, 1.0, 2.0, 0.0],  # order 0 2 1 3
        [0.0, 5.0, 1.0, 2.0],  # order 1 3 2 0
        [1.0, 1.0, 1.0, 1.0],  # all equal: order 0 1 2 3
    ]
)


def test_rank_is_the_number_of_classes_put_before_the_true_one():
    assert metrics.ranks(LOGITS, [2, 1, 3]).tolist() == [1, 0, 3]
    assert metrics.topk_hits(LOGITS, [2, 1, 3], 1).tolist() == [False, True, False]
    assert metrics.topk_hits(LOGITS, [2, 1, 3], 2).tolist() == [True, True, False]


def test_a_row_that_holds_nan_is_never_a_hit():
    logits = np.array([[math.nan, 0.0], [1.0, math.nan]])
    assert metrics.topk_hits(logits, [0, 0], 2).tolist() == [False, False]


def test_torch_tensors_will_do():
    assert metrics.ranks(torch.tensor(LOGITS), torch.tensor([2, 1, 3])).tolist() == [1, 0, 3]


logits_and_labels = st.integers(2, 8).flatmap(
    lambda k: st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, (n, k), elements=st.integers(-4, 4).map(float)),  # few values: many ties
            hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)),
        )
    )
)


@given(logits_and_labels)
def test_hits_agree_with_argmax_and_grow_with_k(case):
    logits, labels = case
    assert (metrics.topk_hits(logits, labels, 1) == (logits.argmax(axis=1) == labels)).all()
    counts = [metrics.topk_hits(logits, labels, k).sum() for k in range(1, logits.shape[1] + 1)]
    assert counts == sorted(counts)
    assert counts[-1] == len(labels)  # within K guesses everybody is right


# --- Wilson's interval -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_the_printed_one(hits, n, low, high):
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3."""
    assert metrics.wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case):
    hits, n = case
    low, high = metrics.wilson(hits, n)
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= hits / n <= high <= 1


def test_nothing_tried_nothing_known():
    assert metrics.wilson(0, 0) == (0, 1)


# --- confusion and scores per class ----------------------------------------------------------------------------------


def test_confusion_by_hand():
    #            truth  0 0 0 1 1 2     said  0 1 0 1 1 0
    matrix = metrics.confusion_matrix([0, 0, 0, 1, 1, 2], [0, 1, 0, 1, 1, 0], 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_scores_per_class_by_hand():
    a, b, c = metrics.per_class([[2, 1, 0], [0, 2, 0], [1, 0, 0]], ["a", "b", "c"])
    assert (a.n, a.predicted, a.recall, a.precision) == (3, 3, 2 / 3, 2 / 3)
    assert (b.n, b.predicted, b.recall, b.precision) == (2, 3, 1, 2 / 3)
    assert b.f1 == pytest.approx(0.8)  # 2 * 1 * 2/3 / (1 + 2/3)
    assert (c.recall, c.precision, c.f1) == (0, None, 0)  # never predicted: its precision is not a number
    assert c.precision_ci95 == (0, 1)


@given(st.integers(2, 6).flatmap(lambda k: hnp.arrays(np.int64, (k, k), elements=st.integers(0, 20))))
def test_scores_are_sklearns_and_lie_in_their_intervals(matrix):
    k = len(matrix)
    truth = np.repeat(np.arange(k), matrix.sum(axis=1))
    said = np.concatenate([np.repeat(np.arange(k), row) for row in matrix])
    assert (metrics.confusion_matrix(truth, said, k) == matrix).all()
    if not len(truth):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, said, labels=range(k), zero_division=0)
    for score, p, r, f in zip(
        metrics.per_class(matrix, [str(i) for i in range(k)]), precision, recall, f1, strict=True
    ):
        assert (score.precision or 0, score.recall or 0, score.f1 or 0) == pytest.approx((p, r, f))
        for share, (low, high) in (
            (score.precision, score.precision_ci95),
            (score.recall, score.recall_ci95),
            (score.f1, score.f1_ci95),
        ):
            assert 0 <= low <= high <= 1
            assert share is None or low - 1e-12 <= share <= high + 1e-12


def test_the_f1_interval_covers_the_true_f1():
    """Draw confusion of one class from a known multinomial; 95 % of the intervals must hold the true F1."""
    generator = np.random.default_rng(0)
    tp, fp, fn = 0.30, 0.05, 0.08
    true_f1 = 2 * tp / (2 * tp + fp + fn)
    held = 0
    for hits, false_alarms, misses, rest in generator.multinomial(150, [tp, fp, fn, 1 - tp - fp - fn], size=2000):
        score, _ = metrics.per_class([[hits, misses], [false_alarms, rest]], ["it", "rest"])
        held += score.f1_ci95.low <= true_f1 <= score.f1_ci95.high
    assert 0.935 < held / 2000 < 0.965


def test_the_commonest_mistakes_come_first():
    matrix = [[9, 1, 0], [4, 5, 2], [0, 0, 7]]
    assert metrics.most_confused(matrix, "abc", limit=2) == [("b", "a", 4), ("b", "c", 2)]
    assert metrics.most_confused([[3, 0], [0, 3]], "ab") == []


# --- probabilities ---------------------------------------------------------------------------------------------------


def test_nll_by_hand():
    # softmax of (ln 3, 0) is (3/4, 1/4)
    logits = [[math.log(3), 0.0], [math.log(3), 0.0]]
    assert metrics.probabilities(logits)[0] == pytest.approx([0.75, 0.25])
    assert metrics.mean_nll(logits, [0, 1]) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


@given(logits_and_labels)
def test_nll_is_torchs_cross_entropy(case):
    logits, labels = case
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    assert metrics.mean_nll(logits, labels) == pytest.approx(expected.item(), abs=1e-12)


def test_large_logits_do_not_overflow():
    assert metrics.mean_nll([[1e4, 0.0]], [1]) == pytest.approx(1e4)


def sure(confidence: float) -> list[float]:
    """Two logits whose softmax gives the first class that confidence."""
    return [math.log(confidence / (1 - confidence)), 0.0]


def test_calibration_error_by_hand():
    # four images at 0.75 of which two are right, one at 0.95 which is right: 4/5 * 0.25 + 1/5 * 0.05
    logits = [sure(0.75)] * 4 + [sure(0.95)]
    labels = [0, 0, 1, 1, 0]
    assert metrics.expected_calibration_error(logits, labels, bins=10) == pytest.approx(0.21)
    filled = [row for row in metrics.reliability(logits, labels, bins=10) if row.n]
    assert [(row.n, round(row.confidence, 6), row.accuracy) for row in filled] == [(4, 0.75, 0.5), (1, 0.95, 1.0)]


def test_a_network_that_knows_how_sure_it_is_has_no_calibration_error():
    logits = [sure(0.75)] * 4
    assert metrics.expected_calibration_error(logits, [0, 0, 0, 1]) == pytest.approx(0, abs=1e-12)


@given(logits_and_labels)
def test_every_image_lies_in_one_bin(case):
    logits, labels = case
    rows = metrics.reliability(logits, labels)
    assert sum(row.n for row in rows) == len(labels)
    assert all(row.low - 1e-12 <= row.confidence <= row.high + 1e-12 for row in rows if row.n)
