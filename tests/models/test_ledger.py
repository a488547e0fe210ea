"""The ledger accounts for every printed figure."""

from __future__ import annotations

from pathlib import Path

from convatlas.models import card, list_models
from convatlas.models.cards import Figure
from convatlas.models.ledger import ledger, markdown, tally, verdict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"


def test_every_figure_of_every_card_has_a_verdict():
    found = ledger()
    assert len(found) == sum(len(card(name).figures) for name in list_models())
    assert sum(tally(found).values()) == len(found)


def test_no_figure_disagrees_without_an_explanation():
    assert [line for line in ledger() if line.verdict == "unmet"] == []


def test_an_explanation_stands_only_where_a_figure_disagrees():
    assert [line for line in ledger() if line.figure.explanation and line.verdict == "agree"] == []


def test_a_figure_is_judged_by_its_printed_digits():
    printed = Figure("params", "138", unit=1_000_000)
    assert verdict(printed, 138_357_544) == "agree"
    assert verdict(printed, 138_500_001) == "unmet"
    assert verdict(Figure("macs", "15.3", unit=10**9, explanation="conv only"), 15_470_264_320) == "explained"
    assert verdict(Figure("params", "60,000"), 60_000) == "agree"
    assert verdict(Figure("params", "60,000"), 60_001) == "unmet"
    assert verdict(Figure("params", "1.7", unit=10**6, verified=False), 5) == "recalled"
    assert verdict(Figure("top1_error", "40.7"), None) == "measured"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == markdown(), "stale: run  make catalogue"
