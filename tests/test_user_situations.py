"""What users of other tools reported of their first hour, tried here; results/users is the page of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.user_situations import OPEN, SITUATIONS, Result, page, tried

RECORD = Path(__file__).resolve().parents[1] / "results/users/situations.json"


@pytest.fixture(scope="module")
def recorded():
    document = json.loads(RECORD.read_text(encoding="utf-8"))
    assert document["schema"] == 1
    return {each["name"]: Result(**each) for each in document["situations"]}


@pytest.mark.parametrize("each", SITUATIONS, ids=lambda each: each.name)
def test_a_situation_ends_as_the_record_says(each, recorded):
    result = tried(each)
    assert result.outcome != OPEN, result.evidence
    assert result.outcome == recorded[each.name].outcome, result.evidence


def test_the_record_has_every_situation_and_the_page_is_written_from_it(recorded):
    assert list(recorded) == [each.name for each in SITUATIONS]
    assert RECORD.with_name("README.md").read_text(encoding="utf-8") == page(list(recorded.values()))


def test_the_situations_are_at_least_forty_from_all_the_projects():
    sources = [each.source for each in SITUATIONS]
    assert len(set(sources)) >= 40
    owners = {source.split("/")[0] for source in sources}
    assert owners >= {"pytorch", "keras-team", "fastai", "ultralytics", "TylerYep", "Lyken17", "Lightning-AI",
                      "huggingface"}  # fmt: skip
