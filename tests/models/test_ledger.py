"""The ledger accounts for every printed figure, and says how each was compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convatlas.figures import VERDICTS, Figure, FigureComparison, Measurement, coverage, tally
from convatlas.models import card, list_models
from convatlas.models.figures import all_figures, compare_figures
from convatlas.models.ledger import markdown

ROOT = Path(__file__).resolve().parents[2]


def verdict(figure: Figure, derived: int | None = None, measured: Measurement | None = None) -> str:
    return FigureComparison("net", figure, "", derived, measured).verdict


def test_every_figure_of_every_card_has_a_verdict():
    figures = all_figures()
    assert len(figures) == sum(len(card(name).figures) for name in list_models())
    assert sum(tally(figures).values()) == len(figures)


def test_no_figure_disagrees_without_an_explanation():
    assert [figure for figure in all_figures() if figure.verdict == "differs"] == []


def test_an_explanation_stands_only_where_a_figure_disagrees():
    assert [figure for figure in all_figures() if figure.explanation and figure.verdict == "agrees"] == []


def test_a_figure_is_compared_by_its_printed_digits():
    printed = Figure("params", "138", unit=1_000_000)
    assert verdict(printed, 138_357_544) == "agrees"
    assert verdict(printed, 138_500_001) == "differs"
    assert verdict(Figure("macs", "15.3", unit=10**9, explanation="conv only"), 15_470_264_320) == "explained"
    assert verdict(Figure("params", "60,000"), 60_000) == "agrees"
    assert verdict(Figure("params", "60,000"), 60_001) == "differs"
    assert verdict(Figure("params", "1.7", unit=10**6, verified=False), 5) == "recalled"


def test_an_error_rate_is_compared_only_with_one_of_the_same_protocol():
    printed = Figure("top1_error", "40.7", protocol="val, centre")
    assert verdict(printed) == "not_compared"
    assert verdict(printed, measured=Measurement(40.74, "val, centre")) == "agrees"
    assert verdict(printed, measured=Measurement(40.76, "val, centre")) == "differs"
    assert verdict(printed, measured=Measurement(40.76, "val, centre", explanation="one crop")) == "explained"
    assert verdict(printed, measured=Measurement(40.74, "val, ten-crop")) == "other_protocol"


def test_the_sentence_of_coverage_counts_every_figure_once():
    figures = all_figures()
    counts = {name: int(value) for name, value in coverage(figures).values.items()}
    parts = (counts[name] for name in ("derived", "measured", "recalled", "not_compared"))
    assert sum(parts) == counts["printed"] == len(figures)
    assert counts["agree"] + counts["explained"] + counts["differ"] == counts["derived"]
    assert {figure.verdict for figure in figures} <= set(VERDICTS)


def test_a_runs_measurement_stands_in_the_place_of_the_cards():
    measured = Measurement(3.0, "digits, centre")
    error = next(figure for figure in compare_figures("lenet5", {"error": measured}) if figure.quantity == "error")
    assert (error.measured, error.verdict) == (measured, "other_protocol")


@pytest.mark.parametrize(
    ("network", "record", "share"),
    [
        ("lenet5", "results/main_job/lenet5_mnist_1998_20_passes.jsonl", None),
        ("speednet_cifar", "results/fast/README.md", "**93.63 %**"),
    ],
)
def test_a_measurement_on_a_card_is_the_one_in_the_record(network, record, share):
    (measured,) = {figure.measured for figure in compare_figures(network) if figure.measured}
    text = (ROOT / record).read_text(encoding="utf-8")
    assert record.startswith(measured.source)
    if share is None:
        assert measured.value == pytest.approx(100 * (1 - json.loads(text.splitlines()[-1])["test_top1"]), abs=1e-6)
    else:
        assert share in text
        assert measured.value == pytest.approx(100 - float(share.strip("* %")), abs=1e-6)


def test_the_page_is_fresh():
    assert (ROOT / "docs/ledger.md").read_text(encoding="utf-8") == markdown(), "stale: run  make catalogue"
