"""Fit the latency model of this machine and compare its predictions with measurements of all other networks.

    python benchmarks/latency_model.py results/latency/model.json            about 5 minutes on a quiet machine
    python benchmarks/latency_model.py results/latency/model.json --fit-s 45 --each-s 0.5 --only 'resnet*'

The model is fitted as ``convatlas bench --fit-latency`` fits it. Then every other classifier of the atlas is run on one
random image of its own size (fp32, PyTorch eager, channels last), and the median of its passes is compared with the
prediction. The record has the median and the 95th percentile of the relative errors, and every network's figures. No
network of the fit is among them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from convatlas import models, training
from convatlas.comparison.latency_model import FIT_NETWORKS, fit_latency_model, pass_times, with_random_weights
from convatlas.models import entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--fit-s", type=float, default=45.0, help="seconds of measurement of the fit")
    parser.add_argument("--each-s", type=float, default=0.4, help="seconds of measurement of each other network")
    parser.add_argument("--only", default="*", help="pattern of the networks that are predicted")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()

    training.apply(training.choose(threads=options.threads))
    print(f"fitting on {len(FIT_NETWORKS)} networks", flush=True)
    model = fit_latency_model(time_s=options.fit_s)
    rows = []
    begin = time.perf_counter()
    others = [name for name in models.list_models(options.only) if not entry(name).reconstructs]
    for name in (name for name in others if name not in FIT_NETWORKS):
        with torch.device("meta"):
            predicted = model.predict_network(models.create_model(name), entry(name).input)
        net, image = with_random_weights(name)
        measured = statistics.median(pass_times(net, image, options.each_s))
        error = predicted / measured - 1
        rows.append({"model": name, "macs": entry(name).macs, "predicted_ms": predicted * 1e3,
                     "measured_ms": measured * 1e3, "relative_error": error})  # fmt: skip
        print(f"{name:<32} {predicted * 1e3:9.2f} ms {measured * 1e3:9.2f} ms {100 * error:+6.1f} %", flush=True)
    errors = np.abs([row["relative_error"] for row in rows])
    record = {
        "schema": 1,
        "command": "python benchmarks/latency_model.py results/latency/model.json",
        "machine": dict(model.machine),
        "fit": {"networks": list(FIT_NETWORKS), "seconds": model.fit_s, "operators": sum(map(len, model.operators))},
        "predicted_networks": len(rows),
        "seconds": time.perf_counter() - begin,
        "median_relative_error": float(np.median(errors)),
        "p95_relative_error": float(np.percentile(errors, 95)),
        "networks": rows,
    }
    options.record.parent.mkdir(parents=True, exist_ok=True)
    options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"fit: {model.fit_s:.0f} s; {len(rows)} others: relative error {100 * np.median(errors):.1f} % in the "
          f"median, {100 * np.percentile(errors, 95):.1f} % in the 95th percentile")  # fmt: skip


if __name__ == "__main__":
    main()
