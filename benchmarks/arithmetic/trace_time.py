"""Time to count a network, beside the tools that run it:  python benchmarks/arithmetic/trace_time.py

All in one process, one thread, batch 1, the median of three after one round that is not counted. Ours watches a network
on the meta device; torchinfo, fvcore and ptflops run the same network with real weights. Needs those three.
"""

from __future__ import annotations

import argparse
import csv
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import convatlas as ca
from convatlas.arithmetic import summarize
from convatlas.models import entry

NETWORKS = ("resnet152", "densenet201", "inception_resnet_v2")


def median_s(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/arithmetic/trace_time.csv"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    from against_peers import imported_peers

    imported_peers()
    import ptflops
    import torchinfo
    from fvcore.nn import FlopCountAnalysis

    rows = []
    for name in NETWORKS:
        shape = entry(name).input
        with torch.device("meta"):
            meta = ca.create_model(name)
        row = {"network": name, "convatlas_s": f"{median_s(lambda n=meta, s=shape: summarize(n, s)):.3f}"}
        net, images = ca.create_model(name).eval(), torch.zeros(1, *shape)

        def fvcore(net=net, images=images):
            counted = FlopCountAnalysis(net, images)
            counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            return counted.total()

        peers = {
            "torchinfo_s": lambda n=net, s=shape: torchinfo.summary(
                n, input_size=(1, *s), verbose=0, device="cpu", cache_forward_pass=False
            ),
            "fvcore_s": fvcore,
            "ptflops_s": lambda n=net, s=shape: ptflops.get_model_complexity_info(
                n, s, as_strings=False, print_per_layer_stat=False, backend="pytorch", verbose=False
            ),
        }
        for key, run in peers.items():
            row[key] = f"{median_s(run):.3f}"
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
