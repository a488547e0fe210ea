"""convatlas models: the list, the ledger, and that neither waits for torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from convatlas.cli.models import command
from convatlas.errors import UnknownNameError
from convatlas.models import list_models


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_table_holds_name_year_counts_and_a_printed_error():
    (line,) = [line for line in run("vgg16").splitlines() if line.strip().startswith("vgg16 ")]
    for part in ("Simonyan and Zisserman", "2014", "3x224x224", "138.4 M", "15.47 G", "27.0 / 8.8"):
        assert part in line


def test_json_lists_every_network_once():
    document = json.loads(run("--json"))
    assert document["schema"] == 1
    assert [line["name"] for line in document["models"]] == list_models()


def test_variants_can_be_left_out():
    document = json.loads(run("resnet50", "--json", "--no-variants"))
    assert [(line["model"], line["variant"]) for line in document["models"]] == [("resnet50", "")]


def test_the_ledger_sets_printed_and_derived_side_by_side():
    text = run("lenet5", "--ledger")
    assert "60,000" in text
    assert "340,908" in text
    assert "4 printed figures. Compared with the derived count: 2; 2 agree, 0 differ" in " ".join(text.split())
    document = json.loads(run("vgg16", "--ledger", "--json"))
    macs = next(line for line in document["figures"] if line["quantity"] == "macs")
    assert (macs["printed"], macs["derived"], macs["verdict"]) == ("15.3", 15_470_264_320, "explained")
    assert sum(document["counts"].values()) == len(document["figures"])


def test_a_pattern_that_matches_nothing_is_answered_with_the_near_names():
    with pytest.raises(UnknownNameError, match="unknown network 'resnet5O'"):
        CliRunner().invoke(command, ["resnet5O"], catch_exceptions=False)


def test_the_whole_process_imports_no_torch():
    script = (
        "import sys; from convatlas.cli import main\ntry: main(['models'])\nfinally: assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
