"""Write ``catalogue.json`` anew:  make catalogue  (python -m convatlas.models.catalogue).

The file holds, for every declared network, what listing and cards need without torch: input, classes, derived totals
and the whole card. A test fails when it is stale.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from convatlas.arithmetic import summarize
from convatlas.models.cards import Network
from convatlas.models.initialisation import Undrawn
from convatlas.models.registry import CATALOGUE, MODULES, declared

WITH_NEURONS = ("conv", "fc")  # the layers whose outputs AlexNet's paper counts


def record(network: Network, family: str) -> dict[str, Any]:
    """One network as plain values; it is built and counted on the meta device, so this costs no memory."""
    with torch.device("meta"), Undrawn():
        net = network.build(num_classes=network.num_classes, in_channels=network.input[0], image_size=network.input[1])
    summary = summarize(net, network.input)
    totals = summary.totals
    return {
        "name": network.name,
        "family": family,
        "input": list(network.input),
        "classes": network.num_classes,
        "smallest_size": network.smallest_size,
        "fixed_size": network.fixed_size,
        "params": totals.params,
        "macs": totals.macs,
        "connections": totals.connections,
        "neurons": sum(math.prod(row.output) for row in summary.rows if row.kind in WITH_NEURONS),
        "card": network.card.to_dict(),
    }


def catalogue() -> str:
    """The text of the file: one network per line, so that a diff shows which changed."""
    records = [record(network, module) for module in MODULES for network in declared(module).values()]
    lines = ",\n".join(json.dumps(line, ensure_ascii=False) for line in records)
    return f'{{"schema": 1, "networks": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    path = Path(__file__).with_name(CATALOGUE)
    path.write_text(catalogue(), encoding="utf-8")
    print(f"{path.name}: {len(json.loads(path.read_text(encoding='utf-8'))['networks'])} networks", file=sys.stderr)
