"""Generates ``weights/shapes.json``:  make catalogue  (python -m convatlas.models.weight_shapes).

The file has the shapes of every network's tensors in order. It also names, for each network, the networks that the same
weights fit but whose outputs differ; for this the outputs are computed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from convatlas.errors import ShapeError
from convatlas.models.registry import entry, list_models
from convatlas.models.weights.shapes import TABLE, Shape, built, table
from convatlas.models.weights.source import spare


def shapes_and_digest(name: str) -> tuple[tuple[Shape, ...], str]:
    """The shapes of a network's tensors in order, and a digest of their names and shapes."""
    with torch.device("meta"):
        state = built(name).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if not spare(key)}
    digest = hashlib.sha256(f"{entry(name).family} {sorted(shapes.items())}".encode()).hexdigest()
    return tuple(shapes.values()), digest


def outputs_differ(first: str, second: str) -> bool:
    """Whether two networks with the same weights have different outputs, on images of the larger input size."""
    torch.manual_seed(0)
    one, other = built(first).eval(), built(second).eval()
    other.load_state_dict(one.state_dict(), strict=False)  # auxiliary heads may differ
    sizes = [entry(name).input for name in (first, second)]
    size = max(sizes) if not any(entry(name).fixed_size for name in (first, second)) else min(sizes)
    images = 1000 * torch.randn(1, *size)  # large values, for which response normalisation has an effect
    with torch.inference_mode():
        try:
            first_outputs, outputs = one(images), other(images)
        except ShapeError:
            return True  # one network does not accept images of this size
    return not torch.allclose(first_outputs, outputs, rtol=1e-3, atol=1e-4 * float(outputs.abs().max()))


def generated() -> str:
    """The text of the file: one network per line."""
    networks = {name: shapes_and_digest(name) for name in list_models()}
    groups: dict[str, list[str]] = {}
    for name, (_, digest) in networks.items():
        groups.setdefault(digest, []).append(name)
    differ = {
        (first, second)
        for group in groups.values()
        for index, first in enumerate(group)
        for second in group[index + 1 :]
        if outputs_differ(first, second)
    }
    indices: dict[Shape, int] = {}  # each shape is stored once, and named by its index
    lines = []
    for name, (shapes, digest) in networks.items():
        others = [other for other in groups[digest] if {(name, other), (other, name)} & differ]
        record = {"shapes": [indices.setdefault(shape, len(indices)) for shape in shapes], "twins": others}
        lines.append(f"{json.dumps(name)}: {json.dumps(record, separators=(',', ':'))}")
    body = ",\n".join(lines)
    all_shapes = json.dumps(list(indices), separators=(",", ":"))
    return f'{{"schema": 1, "shapes": {all_shapes}, "networks": {{\n{body}\n}}}}\n'


if __name__ == "__main__":
    path = Path(__file__).with_name("weights") / TABLE
    path.write_text(generated(), encoding="utf-8")
    print(f"{path.name}: {len(table())} networks", file=sys.stderr)
