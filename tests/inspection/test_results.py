"""The tables of results/inspection are those of its record."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.inspection import correlation_table, records, score_table

from convatlas.inspection.attribution import METHODS

FOLDER = Path(__file__).resolve().parents[2] / "results" / "inspection"
RECORD = FOLDER / "squeezenet1_1_photos.jsonl"


def test_the_page_has_the_tables_of_the_record():
    page = (FOLDER / "README.md").read_text("utf-8")
    for line in (*score_table(RECORD), *correlation_table(RECORD)):
        assert line in page


def test_every_method_was_measured_on_all_photos():
    photos, *maps = records(RECORD)
    assert (photos["n"], photos["top1"], photos["top5"]) == (50, 0.62, 0.84)
    assert set(METHODS) <= {record["method"] for record in maps}
    assert all(len(record["insertion_trained"]) == 50 for record in maps)
    assert json.loads(RECORD.read_text("utf-8").splitlines()[0])["steps"] == 16
