"""Counts in README, CHANGELOG and results/ that a command can compute again: of networks, figures, records, tests."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from convatlas.figures import coverage
from convatlas.models import entry, list_models
from convatlas.models.figures import all_figures
from convatlas.models.weights.sources import SOURCES

ROOT = Path(__file__).resolve().parents[1]


def page(name: str) -> str:
    """The text of a page, its lines joined."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def rows_of(name: str) -> list[dict[str, str]]:
    with (ROOT / "results" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "results" / name).read_text(encoding="utf-8").splitlines()]


def own_and_variants() -> tuple[int, int]:
    own = len(list_models(variants=False))
    return own, len(list_models()) - own


# --- the atlas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "docs/ledger.md"])
def test_networks_are_counted(name):
    own, variants = own_and_variants()
    assert f"{own} networks and {variants} variants" in page(name)


def test_the_atlas_page_counts_networks():
    own, variants = own_and_variants()
    assert f"| networks and variants | {own} and {variants} |" in page("results/atlas/README.md")


@pytest.mark.parametrize("name", ["README.md", "results/atlas/README.md", "docs/ledger.md"])
def test_pages_say_how_many_printed_figures_were_compared_and_how(name):
    assert coverage(all_figures()) in page(name)


def test_every_network_was_built_on_the_meta_device():
    rows = rows_of("atlas/meta_build.csv")
    assert {row["network"] for row in rows} == set(list_models())
    fast = sum(float(row["build_s"]) < 0.5 for row in rows)
    total = sum(float(row["build_s"]) for row in rows)
    text = f"{fast} of {len(rows)} under 0.5 s, {total:.1f} s together"
    assert text in page("results/atlas/README.md")


@pytest.mark.parametrize(
    ("row", "record", "classes"),
    [
        ("ImageNet networks that overfit 32 photos", "atlas/overfit_32_photos.jsonl", 1000),
        ("small-image networks above 35 % after 3 epochs", "atlas/three_epochs_cifar10.jsonl", 10),
    ],
)
def test_trained_networks_are_counted(row, record, classes):
    lines = lines_of(record)
    tried, passed = {line["network"] for line in lines}, {line["network"] for line in lines if line["passed"]}
    assert f"| {row} | {len(passed)} of {len(tried)}" in page("results/atlas/README.md")
    if classes == 1000:
        assert tried == {name for name in list_models() if entry(name).num_classes == classes}
        assert f"all {len(passed)} made for ImageNet can learn 32 photos by heart" in page("README.md")


def test_agreements_with_peers_are_counted():
    record = json.loads((ROOT / "results/atlas/parity.json").read_text(encoding="utf-8"))
    libraries = Counter(pair["library"] for pair in record["each"])
    assert len({pair["ours"] for pair in record["each"]}) == record["networks"]
    text = (
        f"{len(record['each'])} pairs, {record['networks']} networks: {libraries['torchvision']} of torchvision, "
        f"{libraries['timm']} of timm, {libraries['keras']} of Keras"
    )
    assert text in page("results/atlas/README.md")
    largest = f"{max(pair['eval_difference'] for pair in record['each']):.1e}".replace("e-0", "e-")
    assert f"{len(record['each'])} networks of torchvision, timm and Keras give the same logits (to {largest})" in page(
        "README.md"
    )


def test_the_conformance_tests_are_counted():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow or not slow"]
    listed = subprocess.run(
        [*command, "tests/models/test_conformance.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tests = sum("::" in line for line in listed.stdout.splitlines())
    assert f"| {tests:,} tests in" in page("results/atlas/README.md")


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_networks_counted_beside_peers_are_all_there():
    rows = rows_of("arithmetic/peers.csv")
    assert {row["network"] for row in rows if row["source"] == "atlas"} == set(list_models())
    sources, equal = Counter(row["source"] for row in rows), sum(row["equal"] == "True" for row in rows)
    text = (
        f"{len(rows)} networks ({sources['atlas']} of the atlas, {sources['torchvision']} of torchvision, "
        f"{sources['timm']} of timm), parameters and multiply-adds equal to the unit on {equal}"
    )
    assert text in page("results/arithmetic/README.md")


def test_the_totals_beside_peers_are_still_those_of_the_atlas():
    for row in rows_of("arithmetic/peers.csv"):
        if row["source"] == "atlas":
            assert (int(row["params"]), int(row["macs"])) == (entry(row["network"]).params, entry(row["network"]).macs)


def test_receptive_fields_held_against_gradients_are_counted():
    rows = rows_of("arithmetic/receptive_fields.csv")
    graphs, *_ = {row["network"] for row in rows if row["network"].endswith("random graphs")}
    networks = {row["network"] for row in rows} - {graphs}
    # a fully connected network has no receptive fields
    assert networks == {name for name in list_models() if entry(name).macs <= 5e9} - {"mlp"}
    mismatches = sum(int(row["mismatches"]) for row in rows)
    text = (
        f"{len(networks)} networks of the atlas (those up to 5 G multiply-adds) and 1,000 random graphs, {mismatches} m"
    )
    assert text in page("results/arithmetic/README.md")


# --- weights ----------------------------------------------------------------------------------------------------------


def test_the_readme_names_every_source_of_weights():
    text = page("README.md").casefold()
    assert all(name in text for name in SOURCES)
