"""Measure the time to count a network with convatlas, torchinfo, fvcore and ptflops.

    python benchmarks/arithmetic_trace_time.py

Writes results/arithmetic/trace_time.csv. One process, one thread, batch size 1; the tools take turns, and the median of
three rounds after one warm-up round is written. convatlas traces the network on the meta device; the other tools run
the same network with real weights. Needs torchinfo, fvcore and ptflops.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import warnings
from pathlib import Path

import torch

import convatlas as ca
from convatlas.arithmetic import summarize
from convatlas.models import entry
from timing import interleaved_seconds

NETWORKS = ("resnet152", "densenet201", "inception_resnet_v2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/arithmetic/trace_time.csv"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    from arithmetic_peers import imported_peers

    imported_peers()
    import ptflops
    import torchinfo
    from fvcore.nn import FlopCountAnalysis

    rows = []
    for name in NETWORKS:
        shape = entry(name).input
        with torch.device("meta"):
            meta = ca.create_model(name)
        net, images = ca.create_model(name).eval(), torch.zeros(1, *shape)

        def fvcore(net=net, images=images):
            counted = FlopCountAnalysis(net, images)
            counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            return counted.total()

        tools = {
            "convatlas_s": lambda n=meta, s=shape: summarize(n, s),
            "torchinfo_s": lambda n=net, s=shape: torchinfo.summary(
                n, input_size=(1, *s), verbose=0, device="cpu", cache_forward_pass=False
            ),
            "fvcore_s": fvcore,
            "ptflops_s": lambda n=net, s=shape: ptflops.get_model_complexity_info(
                n, s, as_strings=False, print_per_layer_stat=False, backend="pytorch", verbose=False
            ),
        }
        row = {"network": name}
        row |= {tool: f"{median_s:.3f}" for tool, median_s in interleaved_seconds(tools, rounds=3).items()}
        rows.append(row)
        print(row, file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"torch {torch.__version__}, one thread -> {options.out}")


if __name__ == "__main__":
    main()
