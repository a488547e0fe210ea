"""Generates ``catalogue.json``:  make catalogue  (python -m convatlas.models.catalogue).

The file has, for every declared network, what lists and cards need without torch: input, classes, derived totals and
the card. A test fails when it is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.models.cards import Modern, Network
from convatlas.models.initialisation import SkipFills
from convatlas.models.registry import CATALOGUE, DEEP, declared


def model_files() -> list[str]:
    """The files of this package that declare networks, in the order of publication: by year, then by arXiv number."""

    def published(name: str) -> tuple[int, str, str]:
        paper = next(iter(declared(name).values())).card.paper
        return paper.year, paper.arxiv, name

    files = sorted(Path(__file__).parent.glob("*.py"))
    return sorted(
        (file.stem for file in files if re.search(r"^NETWORKS\b", file.read_text("utf-8"), re.M)), key=published
    )


def record(network: Network, family: str) -> dict[str, Any]:
    """One network as plain values. It is built and counted on the meta device, which needs no memory."""
    with torch.device("meta"), SkipFills():
        net = network.build(num_classes=network.num_classes, in_channels=network.input[0], image_size=network.input[1])
    summary = summarize(net, network.input)
    totals = summary.totals
    batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    return {
        "name": network.name,
        "family": family,
        "task": network.task,
        "input": list(network.input),
        "classes": network.num_classes,
        "smallest_size": network.smallest_size,
        "fixed_size": network.fixed_size,
        "params": totals.params,
        "macs": totals.macs,
        "connections": totals.connections,
        "neurons": summary.neurons,
        "batch_norm": batch_norm,
        "weight_layers": len(summary.weighted),
        "modern": network.modern or modern(batch_norm, len(summary.weighted)),
        "starts_from": {name: list(layers) for name, layers in network.starts_from.items()},
        "card": network.card.to_dict(),
    }


def modern(batch_norm: bool, weight_layers: int) -> Modern:
    """The modern recipe for a network with these layers; a model file may declare another."""
    if batch_norm:
        return "normalised"
    return "deep" if weight_layers >= DEEP else "shallow"


def catalogue() -> str:
    """The text of the file, one network per line, so that a diff shows which networks changed."""
    records = [record(network, family) for family in model_files() for network in declared(family).values()]
    lines = ",\n".join(json.dumps(line, ensure_ascii=False) for line in records)
    return f'{{"schema": 1, "networks": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    path = Path(__file__).with_name(CATALOGUE)
    path.write_text(catalogue(), encoding="utf-8")
    print(f"{path.name}: {len(json.loads(path.read_text(encoding='utf-8'))['networks'])} networks", file=sys.stderr)
