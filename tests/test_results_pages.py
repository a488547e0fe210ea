"""Counts in README, CHANGELOG and results/ that a command can compute again: of networks, figures, records, tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.page_counts import renewed, sentences, table

from convatlas.models import entry, list_models

ROOT = Path(__file__).resolve().parents[1]


def test_every_count_is_the_one_of_now():
    stale = []
    for page, sentence in sentences():
        text = (ROOT / page).read_text(encoding="utf-8")
        if renewed(text, sentence) != text:
            stale.append(f"{page}: {sentence}")
    assert stale == [], "stale: run  make catalogue"


def test_a_stale_count_is_seen_and_put_in_step():
    page = "It has 61 networks\nand 1,044 variants, to 2.3e-6; and 61 more."
    assert renewed(page, "62 networks and 44 variants, to 1e-7;") == (
        "It has 62 networks\nand 44 variants, to 1e-7; and 61 more."
    )
    with pytest.raises(LookupError, match="does not say: 3 figures"):
        renewed(page, "3 figures")


@pytest.mark.parametrize("record", ["atlas/meta_build.csv", "arithmetic/peers.csv", "arithmetic/receptive_fields.csv"])
def test_records_are_of_networks_that_exist(record):
    ours = [row["network"] for row in table(record) if row.get("source", "atlas") == "atlas"]
    assert {name for name in ours if not name.endswith("random graphs")} <= set(list_models())


def test_the_totals_beside_peers_are_still_those_of_the_atlas():
    for row in table("arithmetic/peers.csv"):
        if row["source"] == "atlas":
            assert (int(row["params"]), int(row["macs"])) == (entry(row["network"]).params, entry(row["network"]).macs)
