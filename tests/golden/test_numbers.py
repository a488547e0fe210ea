"""The numbers of all networks, derived anew and compared with ``numbers.json``.

The default suite compares the catalogue, and for the smallest network of every family the document of ``show`` and what
counting its layers gives; ``-m slow`` does so for all networks. ``--renew`` writes the file, from counting.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import convatlas as ca
from convatlas.cli import main
from convatlas.models import entry

FILE = Path(__file__).with_name("numbers.json")
NAMES = ca.list_models()
ROW = ("name", "output", "params", "macs", "connections", "activation_bytes", "receptive_field", "jump", "start")


def smallest_of_each_family() -> set[str]:
    by_size = sorted(NAMES, key=lambda name: entry(name).macs, reverse=True)
    return set({entry(name).family: name for name in by_size}.values())


COUNTED_BY_DEFAULT = smallest_of_each_family()


def numbers_of(document: dict[str, Any]) -> dict[str, Any]:
    """What is compared, out of the document of ``show NAME --json``."""
    rows = document["rows"]
    fields = [row["receptive_field"] for row in rows if len(row["output"]) == 3 and row["receptive_field"]]
    counted = [[row.get(key) for key in ROW] for row in rows]
    totals = {key: document["totals"][key] for key in ("params", "macs", "connections", "activation_bytes")}
    return {
        **totals,
        "last_receptive_field": fields[-1] if fields else None,  # none: fully connected layers alone
        "rows": len(rows),
        "rows_sha256": digest(counted),
    }


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def counted(name: str) -> tuple[dict[str, Any], str]:
    """The numbers of a network built on the meta device, and a hash of the names and shapes of its state."""
    with torch.device("meta"):
        net = ca.create_model(name)
    summary = ca.summarize(net, entry(name).input, model=name)
    document = json.loads(json.dumps(summary.to_dict()))
    state = [[key, list(tensor.shape)] for key, tensor in net.state_dict().items()]
    return {**numbers_of(document), "neurons": summary.neurons}, digest(state)


@pytest.fixture(scope="module")
def frozen(request) -> dict[str, Any]:
    if request.config.getoption("--renew"):
        found = {name: dict(zip(("numbers", "state_sha256"), counted(name), strict=True)) for name in NAMES}
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(of)}" for name, of in found.items())
        FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8", newline="\n")
    return json.loads(FILE.read_text("utf-8"))


def test_the_file_names_every_network(frozen):
    assert list(frozen) == NAMES


def test_the_catalogue_has_the_frozen_numbers(frozen):
    for name in NAMES:
        numbers = frozen[name]["numbers"]
        assert (entry(name).params, entry(name).macs) == (numbers["params"], numbers["macs"]), name


SOME = [pytest.param(name, marks=() if name in COUNTED_BY_DEFAULT else pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("name", SOME)
def test_the_document_of_show_has_the_frozen_numbers(name, frozen, capsys):
    with pytest.raises(SystemExit):
        main(["show", name, "--json"])
    stored = numbers_of(json.loads(capsys.readouterr().out))
    assert stored == {key: value for key, value in frozen[name]["numbers"].items() if key != "neurons"}


@pytest.mark.parametrize("name", SOME)
def test_counting_gives_the_frozen_numbers(name, frozen):
    numbers, state = counted(name)
    assert numbers == frozen[name]["numbers"]
    assert state == frozen[name]["state_sha256"]
