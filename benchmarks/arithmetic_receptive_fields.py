"""Compare derived receptive fields with the input gradient; writes results/arithmetic/receptive_fields.csv.

    python benchmarks/arithmetic_receptive_fields.py

The script checks the last two layers with more than one position in every network of the atlas, and the output of
random graphs. Weights are made positive and max pooling is replaced by average pooling, so that every pixel of the
field has a non-zero gradient. Three positions each: two opposite corners and the middle.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "arithmetic"))

from gradients import RandomGraph, made_positive, pixels

import convatlas as ca
from convatlas.arithmetic import summarize
from convatlas.arithmetic.network import field_of
from convatlas.models import entry


def agrees(net, shape, layer: str | None) -> tuple[int, int]:
    """Number of positions compared, and number of positions at which field and gradient disagree."""
    field = field_of(net, shape, layer)
    if field is None:
        return 0, 0
    at, sides = pixels(net, shape, layer)
    height, width = (*sides, 1, 1)[:2]
    positions = {(0, 0), (height // 2, width // 2), (height - 1, width - 1)}
    wrong = 0
    for position in positions:
        expected = []
        for axis, place in zip(field.view.axes, position, strict=True):
            low, high = axis.support[place if axis.size > 1 else 0]
            expected.append((low, high) if low <= high else None)
        reached = at(position)
        wrong += (None not in reached) if None in expected else list(reached) != expected
    return len(positions), wrong


def layers_to_check(net, shape, count: int = 2) -> list[str]:
    """The last modules whose output is a map with several positions and whose field is known."""
    modules = dict(net.named_modules())
    rows = [r for r in summarize(net, shape).rows if r.name in modules and r.path == r.name and r.receptive_field]
    maps = [
        r.name
        for r in rows
        if len(r.output) == len(shape) and r.output[-1] > 1 and r.kind in ("conv", "maxpool", "avgpool")
    ]
    return maps[-count:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--largest", type=float, default=6e9, help="skip networks with more MACs")
    parser.add_argument("--out", type=Path, default=Path("results/arithmetic/receptive_fields.csv"))
    options = parser.parse_args()
    checked = wrong = unknown = 0
    for seed in range(options.graphs):
        net = made_positive(RandomGraph(seed))
        positions, mismatches = agrees(net, (2, *net.side), None)
        checked, wrong, unknown = checked + positions, wrong + mismatches, unknown + (positions == 0)
    rows = [
        {"network": f"{options.graphs} random graphs", "layer": "output", "positions": checked, "mismatches": wrong}
    ]
    print(rows[0], f"unknown fields: {unknown}", file=sys.stderr)
    for name in ca.list_models():
        if entry(name).macs > options.largest:
            continue
        net, shape = made_positive(ca.create_model(name)), entry(name).input
        for layer in layers_to_check(net, shape):
            positions, mismatches = agrees(net, shape, layer)
            rows.append({"network": name, "layer": layer, "positions": positions, "mismatches": mismatches})
            print(rows[-1], file=sys.stderr, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    networks = len({row["network"] for row in rows}) - 1
    print(f"{networks} networks and {options.graphs} graphs, {sum(row['mismatches'] for row in rows)} mismatches")


if __name__ == "__main__":
    main()
