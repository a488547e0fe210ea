"""``compare --sort``: the order of the rows in the table, in JSON and in the report."""

from __future__ import annotations

import json

import pytest
from tests.comparison.conftest import make_hits, make_row

from convatlas.comparison.measure import Latency, Memory
from convatlas.comparison.result import SORTED_BY

NETWORKS = ("mlp", "lenet5@modern")  # 266,610 and 61,706 parameters; 266,200 and 416,520 multiply-adds


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """Each comparison is resumed in another order: nothing is trained twice."""
    from convatlas.comparison import compare

    out = tmp_path_factory.mktemp("sorted")
    named = compare(NETWORKS, epochs=1, threads=1, out=out)
    return {
        sort: named
        if sort == "named"
        else compare(
            NETWORKS, epochs=1, threads=1, sort=sort, split=named.folder / "split.csv", continue_in=named.folder
        )
        for sort in ("named", "params", "macs")
    }


@pytest.mark.parametrize(
    ("sort", "models"),
    [("named", list(NETWORKS)), ("params", ["lenet5@modern", "mlp"]), ("macs", ["mlp", "lenet5@modern"])],
)
def test_the_rows_come_in_the_order_that_was_asked_for(orders, sort, models):
    assert [row.model for row in orders[sort].rows] == models
    assert [row["model"] for row in orders[sort].to_dict()["rows"]] == models


def test_the_report_and_the_record_have_the_order_of_the_last_comparison(orders):
    last = orders["macs"]
    record = json.loads((last.folder / "comparison.json").read_text())
    assert [row["model"] for row in record["rows"]] == ["mlp", "lenet5@modern"]
    page = last.report.read_text()
    assert page.index("mlp") < page.index("lenet5@modern")


def test_the_recommendation_does_not_depend_on_the_order(orders):
    assert len({comparison.recommendation.model for comparison in orders.values()}) == 1


def rows():
    """Three networks, each the least of some cost; the second is the most accurate, and its memory is not known."""
    one, two, three = (
        make_row(name, make_hits(20, range(wrong)), ms, memory=memory, size_bytes=size)
        for name, wrong, ms, memory, size in (
            ("one", 4, 2.0, 300, 30),
            ("two", 1, 3.0, None, 10),
            ("three", 2, 1.0, 100, 20),
        )
    )
    return one, two, three


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("named", ["one", "two", "three"]),
        ("top1", ["two", "three", "one"]),
        ("latency", ["three", "one", "two"]),
        ("memory", ["three", "one", "two"]),
        ("size", ["two", "three", "one"]),
        ("params", ["one", "two", "three"]),
        ("macs", ["one", "two", "three"]),
        ("training", ["one", "two", "three"]),
    ],
)
def test_each_order(sort, expected):
    assert [row.model for row in sorted(rows(), key=SORTED_BY[sort])] == expected


def test_every_order_of_the_option_is_tested_and_others_are_refused(convatlas):
    import importlib

    command = importlib.import_module("convatlas.cli.compare").command
    (option,) = (parameter for parameter in command.params if parameter.name == "sort")
    assert list(option.type.choices) == list(SORTED_BY)
    code, _, err = convatlas("compare", "mlp", "--sort", "accuracy")
    assert code == 2
    assert "top1" in err


def test_latency_and_memory_of_a_row_are_what_the_orders_read():
    (first, *_) = rows()
    assert isinstance(first.latency, Latency)
    assert isinstance(first.memory, Memory)
