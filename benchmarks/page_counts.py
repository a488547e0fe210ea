"""Put the counts on README, CHANGELOG and results/ in step:  python benchmarks/page_counts.py  (make catalogue).

A page holds a sentence with numbers; here the same sentence is written from what is declared and recorded now, and the
numbers of the page are replaced. tests/test_results_pages.py fails when a page is stale.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from convatlas.figures import coverage
from convatlas.models import entry, list_models
from convatlas.models.figures import all_figures

ROOT = Path(__file__).resolve().parents[1]
ATLAS, ARITHMETIC = "results/atlas/README.md", "results/arithmetic/README.md"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
FOLLOWED = 5e9  # multiply-adds of the largest network whose receptive fields are held against gradients


def sentences() -> list[tuple[str, str]]:
    """(page, sentence with the numbers of now) for every count on a page."""
    names, own = list_models(), list_models(variants=False)
    atlas = f"{len(own)} networks and {len(names) - len(own)} variants"
    compared = str(coverage(all_figures()))
    return [
        ("README.md", atlas),
        ("README.ko.md", f"신경망 {len(own)}개와 변형 {len(names) - len(own)}개"),
        ("CHANGELOG.md", atlas),
        (ATLAS, f"| networks and variants | {len(own)} and {len(names) - len(own)} |"),
        (ATLAS, compared),
        *built(),
        *trained(),
        *peers_that_agree(),
        (ATLAS, f"| the conformance tests | {conformance_tests():,} tests;"),
        *counted_beside_peers(),
        *receptive_fields(),
    ]


def built() -> list[tuple[str, str]]:
    times = [float(row["build_s"]) for row in table("atlas/meta_build.csv")]
    fast = sum(time_s < 0.5 for time_s in times)
    return [(ATLAS, f"{fast} of {len(list_models())} under 0.5 s, {sum(times):.1f} s in total")]


def trained() -> list[tuple[str, str]]:
    photos, epochs = lines("atlas/overfit_32_photos.jsonl"), lines("atlas/three_epochs_cifar10.jsonl")
    of_imagenet = sum(entry(name).num_classes == 1000 for name in list_models())
    small = len({record["network"] for record in epochs})
    return [
        (ATLAS, f"| ImageNet networks that overfit 32 photos | {passed(photos)} of {of_imagenet} |"),
        (ATLAS, f"| small-image networks above 35 % after 3 epochs | {passed(epochs)} of {small};"),
    ]


def passed(records: list[dict]) -> int:
    return len({record["network"] for record in records if record["passed"]})


def peers_that_agree() -> list[tuple[str, str]]:
    pairs = json.loads((ROOT / "results/atlas/parity.json").read_text(encoding="utf-8"))["each"]
    of = Counter(pair["library"] for pair in pairs)
    networks = len({pair["ours"] for pair in pairs})
    largest = f"{max(pair['eval_difference'] for pair in pairs):.1e}".replace("e-0", "e-")
    libraries = f"{of['torchvision']} of torchvision, {of['timm']} of timm, {of['keras']} of Keras"
    return [
        (ATLAS, f"{len(pairs)} pairs, {networks} networks: {libraries}"),
        ("README.md", f"{len(pairs)} networks of torchvision, timm and Keras give the same logits (to {largest})"),
        ("README.ko.md", f"신경망 {len(pairs)}개가 같은 로짓을 냅니다(차이 {largest}까지)"),
    ]


def conformance_tests() -> int:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow or not slow"]
    listed = subprocess.run(
        [*command, "tests/models/test_conformance.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sum("::" in line for line in listed.stdout.splitlines())


def counted_beside_peers() -> list[tuple[str, str]]:
    rows = table("arithmetic/peers.csv")
    of, equal = Counter(row["source"] for row in rows), sum(row["equal"] == "True" for row in rows)
    atlas = f"{of['atlas']} of the {len(list_models())} of the atlas"
    peers = f"{of['torchvision']} of torchvision, {of['timm']} of timm"
    totals = "Parameters and multiply-adds are equal to the unit for"
    return [(ARITHMETIC, f"{len(rows)} networks ({atlas}, {peers}). {totals} {equal};")]


def receptive_fields() -> list[tuple[str, str]]:
    rows = table("arithmetic/receptive_fields.csv")
    networks = {row["network"] for row in rows} & set(list_models())
    mismatches = sum(int(row["mismatches"]) for row in rows)
    # a fully connected network has no receptive fields
    possible = sum(entry(name).macs <= FOLLOWED and name != "mlp" for name in list_models())
    graphs = "up to 5 G multiply-adds and 1,000 random graphs"
    text = f"{len(networks)} of the {possible} networks of the atlas with {graphs}, {mismatches} mismatches"
    return [(ARITHMETIC, text)]


def table(name: str) -> list[dict[str, str]]:
    with (ROOT / "results" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "results" / name).read_text(encoding="utf-8").splitlines()]


def renewed(text: str, sentence: str) -> str:
    """The page with the sentence's numbers in the place of its own; its line breaks stay.

    Raises:
        LookupError: the page does not hold the sentence.
    """
    words = [re.escape(word) for word in NUMBER.split(sentence)]
    pattern = re.compile(f"({NUMBER.pattern})".join(re.sub(r"(?:\\ )+", r"\\s+", word) for word in words))
    match = pattern.search(text)
    if match is None:
        raise LookupError(f"the page does not say: {sentence}")
    numbers = NUMBER.findall(sentence)
    for group in range(len(numbers), 0, -1):
        start, end = match.span(group)
        text = text[:start] + numbers[group - 1] + text[end:]
    return text


def main() -> None:
    for page, sentence in sentences():
        path = ROOT / page
        path.write_text(renewed(path.read_text(encoding="utf-8"), sentence), encoding="utf-8")


if __name__ == "__main__":
    main()
