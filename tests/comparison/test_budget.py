"""What a budget may look like, and what is said of one that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convatlas.comparison.budget import QUANTITIES, Budget, Limit
from convatlas.errors import UnknownNameError, UsageError


def limits(text: str) -> dict[str, float]:
    return {limit.quantity.name: limit.at_most for limit in Budget.parse(text).limits}


def test_the_budget_of_the_issue():
    assert limits("latency<=20ms,size<=20MB") == pytest.approx({"latency": 0.020, "size": 20e6})


@pytest.mark.parametrize(
    ("text", "name", "at_most"),
    [
        ("latency <= 0.5 s", "latency", 0.5),
        ("latency_p50≤300µs", "latency_p50", 300e-6),
        ("Size<1.5MiB", "size", 1.5 * 1024**2),
        ("memory<=200MB", "memory", 200e6),
        ("params<=1M", "params", 1e6),
        ("params<=272474", "params", 272474),
        ("macs<=1.8G", "macs", 1.8e9),
        ("macs<=3e8", "macs", 3e8),
    ],
)
def test_one_limit(text, name, at_most):
    assert limits(text) == pytest.approx({name: at_most})


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda quantity: quantity.name)
def test_every_example_in_a_message_can_be_read(quantity):
    assert list(limits(quantity.example)) == [quantity.name]


@given(st.sampled_from(list(QUANTITIES)), st.floats(1e-6, 1e12))
def test_a_budget_as_it_is_written_reads_as_itself(name, at_most):
    """The report shows a command that repeats the comparison: its budget must parse, to the four digits shown."""
    budget = Budget((Limit(QUANTITIES[name], at_most),))
    assert limits(str(budget)) == pytest.approx({name: at_most}, rel=1e-3)


def test_no_budget_is_met_by_everything():
    for text in (None, "", " , "):
        budget = Budget.parse(text)
        assert not budget
        assert budget.broken_by({}) == []


def test_what_is_exceeded_is_said_with_its_value():
    budget = Budget.parse("latency<=20ms,size<=20MB,memory<=200MB")
    costs = {"latency": 0.0312, "size": 44.7e6, "memory": 100e6}
    assert budget.broken_by(costs) == ["p95 latency 31.2 ms", "size 44.7 MB"]
    assert budget.broken_by({"latency": 0.02, "size": 20e6, "memory": 200e6}) == []  # the limit itself is allowed
    assert budget.broken_by({"latency": 0.01, "size": 1e6, "memory": None}) == ["memory could not be measured here"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "'fast' is not a budget. Write upper limits such as latency<=20ms,size<=20MB"),
        ("latency<=", "is not a budget"),
        ("latency<=20", "has no unit. Units of latency: s, ms, us, µs. Write, for example, latency<=20ms"),
        ("size<=20ms", "has the unit 'ms'. Units of size: B, kB, KB, MB"),
        ("latency>=20ms", "is not an upper limit"),
        ("latency<=0ms", "is not above zero"),
        ("latency<=1.2.3ms", "'1.2.3' is not a number"),
        ("size<=1MB,size<=2MB", "more than one limit for size"),
    ],
)
def test_a_budget_that_cannot_be_read(text, message):
    with pytest.raises(UsageError) as error:
        Budget.parse(text)
    assert message in str(error.value)


def test_an_unknown_quantity_lists_the_near_ones():
    with pytest.raises(UnknownNameError, match=r"unknown budget quantity 'latancy'\. Did you mean latency"):
        Budget.parse("latancy<=20ms")
