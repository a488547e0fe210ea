"""Every figure of ../shared/facts/published.yaml that is about a network of the atlas.

``computed`` are exact totals from an independent recount; ``claimed`` are printed figures with their tolerance and
whether the recount reaches them. A printed figure that disagrees stays, and its card must explain it.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

import convatlas as ca
from convatlas.models import entry

yaml = pytest.importorskip("yaml")

from tests.conftest import SHARED  # noqa: E402

FACTS = SHARED / "facts"
pytestmark = pytest.mark.skipif(not FACTS.exists(), reason="facts not on this machine: ../shared/facts is absent")


@cache
def published() -> dict:
    return yaml.load((FACTS / "published.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@cache
def names() -> dict[str, str]:
    return yaml.safe_load((FACTS / "names.yaml").read_text(encoding="utf-8"))


def known() -> list[tuple[str, str]]:
    return [(id, name) for id, name in names().items() if name in ca.list_models()] if FACTS.exists() else []


@cache
def summary(name: str):
    line = entry(name)
    with torch.device("meta"):
        net = ca.create_model(name)
    return ca.summarize(net, line.input)


def claims(agrees: bool) -> list:
    return [
        pytest.param(name, claim, id=f"{name}-{claim['of']}-{claim['value']}")
        for id, name in known()
        for claim in published()["architectures"][id].get("claimed", ())
        if claim["agrees"] is agrees and claim["src"] != "recalled"
    ]


def test_every_id_has_its_network():
    assert sorted(set(names().values()) - set(ca.list_models())) == []


@pytest.mark.parametrize(("id", "name"), known())
def test_totals_equal_the_independent_recount(id, name):
    computed = published()["architectures"][id]["computed"]
    assert entry(name).params == computed["params"]  # the catalogue's; test_registry holds it against the trace
    assert entry(name).macs == computed["macs"]
    if "connections" in computed:
        assert summary(name).totals.connections == computed["connections"]


@pytest.mark.parametrize(("id", "name"), known())
def test_input_and_classes_are_the_published_ones(id, name):
    height, width, channels = published()["architectures"][id]["input"]
    assert entry(name).input == (channels, height, width)
    assert entry(name).num_classes == published()["architectures"][id]["classes"]


def derived(name: str, quantity: str) -> int:
    if quantity == "neurons":
        return published()["architectures"][{v: k for k, v in names().items()}[name]]["computed"]["neurons"]
    if quantity == "connections":
        return summary(name).totals.connections
    return getattr(entry(name), quantity)


def figure(name: str, claim: dict):
    """The card's figure for a claim of the oracle: the same quantity, digits and unit."""
    found = [
        figure
        for figure in ca.card(name).figures
        if figure.quantity == claim["of"] and float(figure.value) * figure.unit == claim["value"] * claim["unit"]
    ]
    assert len(found) == 1, f"the card of {name} holds {len(found)} figures for {claim}"
    return found[0]


@pytest.mark.parametrize(("name", "claim"), claims(agrees=True))
def test_a_printed_figure_is_reached_within_its_digits(name, claim):
    assert figure(name, claim).agrees(derived(name, claim["of"]))
    assert float(figure(name, claim).allowed) <= max(claim["tol"], 0.5 if claim["unit"] == 1 else 0)


@pytest.mark.parametrize(("name", "claim"), claims(agrees=False))
def test_a_printed_figure_that_is_not_reached_is_shown_with_its_explanation(name, claim):
    assert not figure(name, claim).agrees(derived(name, claim["of"]))
    assert figure(name, claim).explanation


def test_recalled_figures_are_marked_in_their_cards():
    for id, name in known():
        for claim in published()["architectures"][id].get("claimed", ()):
            if claim["src"] == "recalled":
                assert not figure(name, claim).verified, (name, claim)
