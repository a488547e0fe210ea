"""convatlas train NAME --find-lr: a suggestion with its rule, and a picture; no run."""

from __future__ import annotations

import json

from click.testing import CliRunner

from convatlas.cli.train import command

SWEEP = ["lenet5@modern", "--threads", "1", "--find-lr"]


def test_the_suggestion_comes_with_its_rule_and_its_picture(tmp_path):
    result = CliRunner().invoke(command, [*SWEEP, "--out", str(tmp_path)])
    assert result.exit_code == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name == "lr-range-lenet5@modern-digits-001"
    assert "a tenth of the learning rate at which the smoothed loss is lowest" in result.output
    assert "adamw, batches of 128" in result.output
    assert str(folder / "lr-range.png") in result.output
    again = CliRunner().invoke(command, [*SWEEP, "--out", str(tmp_path), "--json"])
    document = json.loads(again.output)
    assert document["schema"] == 1
    assert document["suggestion"] == json.loads((folder / "lr-range.json").read_text())["suggestion"]
    assert f"lr {document['suggestion']:.2g}:" in result.output
