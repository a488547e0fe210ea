"""scikit-learn's own checks of an estimator, all of them; how many pass and which are skipped is counted."""

from __future__ import annotations

from collections import Counter
from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from convatlas import CNNClassifier, CNNFeatures

# check -> why it cannot pass; none is needed
EXPECTED_FAILURES: dict[str, str] = {}
SKIPPED = {"check_array_api_input"}  # needs the environment variable SCIPY_ARRAY_API

CLASSIFIER = CNNClassifier(epochs=15, batch_size=32, settings={"pad": 0}, validation_fraction=0)
FEATURES = CNNFeatures("lenet5@modern")
outcomes: dict[str, Counter[str]] = {}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # scikit-learn's checks warn on purpose
@parametrize_with_checks([CLASSIFIER, FEATURES], expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_a_check_of_scikit_learn(estimator, check):
    counts = outcomes.setdefault(type(estimator).__name__, Counter())
    name = check.func.__name__
    try:
        check(estimator)
    except SkipTest:
        assert name in SKIPPED
        counts["skipped"] += 1
        raise
    counts["passed"] += 1


@pytest.mark.slow
def test_the_checks_are_counted():
    if len(outcomes) < 2:
        pytest.skip("the checks above were not selected")
    assert {name: dict(counts) for name, counts in outcomes.items()} == {
        "CNNClassifier": {"passed": 54, "skipped": 1},
        "CNNFeatures": {"passed": 45, "skipped": 1},
    }
