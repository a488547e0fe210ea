"""Every figure of tests/facts/published.yaml, which has the networks after 2016.

``computed`` are totals that tests/facts/recount.py counts from a table of layers, without the networks here. A printed
figure that disagrees stays, and its card explains it. A figure whose text was not found is marked in its card and is
never compared.
"""

from __future__ import annotations

from functools import cache

import pytest

import convatlas as ca
from convatlas.models import entry
from convatlas.models.figures import compare_figures

yaml = pytest.importorskip("yaml")

from tests.facts.recount import facts, recount  # noqa: E402


@cache
def published() -> dict:
    return facts()


NAMES = list(published()["architectures"])
CLAIMS = [
    pytest.param(name, claim, id=f"{name}-{claim['of']}-{claim['value']}")
    for name in NAMES
    for claim in published()["architectures"][name].get("claimed", ())
]
ERRORS = [
    pytest.param(row, id=f"{row['model']}-{number}")
    for family in published()["families"].values()
    for number, row in enumerate(family["errors"])
]


@pytest.mark.parametrize("name", NAMES)
def test_totals_equal_the_recount_of_the_papers_table(name):
    architecture = published()["architectures"][name]
    counted = recount(name, published()["architectures"])
    assert counted == architecture["computed"]
    assert {"params": entry(name).params, "macs": entry(name).macs} == counted
    height, width, channels = architecture["input"]
    assert entry(name).input == (channels, height, width)
    assert entry(name).num_classes == architecture["classes"]


def test_every_network_of_these_papers_has_its_facts():
    families = {entry(name).family for name in NAMES}
    assert {name for name in ca.list_models(variants=False) if entry(name).family in families} == set(NAMES)
    assert families == set(published()["families"])


def test_every_source_that_is_named_is_listed():
    used = {claim.values[1]["src"] for claim in CLAIMS} | {row.values[0]["src"] for row in ERRORS}
    assert used <= set(published()["sources"])


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_a_claim_is_on_the_card_with_its_verdict(name, claim):
    found = [
        each
        for each in compare_figures(name)
        if each.quantity == claim["of"]
        and float(each.printed.value) * each.printed.unit == pytest.approx(claim["value"] * claim["unit"])
    ]
    assert found, f"the card of {name} holds no figure for {claim}"
    for each in found:
        assert each.printed.verified == (claim["src"] != "recalled")
        if each.printed.verified:
            assert each.agrees is claim["agrees"]
            assert claim["agrees"] or each.explanation


@pytest.mark.parametrize("row", ERRORS)
def test_an_error_rate_is_on_the_card(row):
    on_card = {
        (figure.quantity, float(figure.value)): figure.verified
        for figure in ca.card(row["model"]).figures
        if figure.quantity.endswith("error")
    }
    for key, value in row.items():
        kind = key.removeprefix("acc_")
        if kind in ("top1", "top5", "error"):
            error = round(100 - value, 3) if key.startswith("acc_") else float(value)
            quantity = "error" if kind == "error" else f"{kind}_error"
            assert (quantity, error) in on_card, (row, on_card)
            assert on_card[quantity, error] == (row["src"] != "recalled")
