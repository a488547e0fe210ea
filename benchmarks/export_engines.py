"""ResNet-50 in the engines that export writes for, at batch 1 and 32:  python benchmarks/export_engines.py

The weights are random, so only times are measured: PyTorch eager in fp32, and the files of `convatlas export` in ONNX
Runtime and OpenVINO. int8 is calibrated on images made by arithmetic. Every side is called once per round, the sides
take turns, and the median of five rounds after one of warm-up is reported with the ratio to PyTorch eager. What other
programs used meanwhile is recorded. Writes results/export/engines.json; about three minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import convatlas as ca
import timing
from convatlas.comparison.machine_load import LoadWatch
from convatlas.data import Preprocessing
from convatlas.exports import onnx_format, openvino_format
from convatlas.exports.conversion import complete, network_to_onnx
from convatlas.exports.description import Description, write_sidecar
from convatlas.exports.engines import instruction_set
from convatlas.exports.exported import ExportedModel, open_exported
from convatlas.exports.quantization import Quantizer
from convatlas.exports.reference import probe
from convatlas.exports.reference_results import weights_digest
from convatlas.training.hardware import cpu_flags, processor_name

RESULTS = Path(__file__).resolve().parents[1] / "results" / "export"
NETWORK, CLASSES, SIDE = "resnet50", 1000, 224
ROUNDS = 5
CALLS = {1: 8, 32: 1}  # calls of a side in one round, by batch size
CALIBRATION_IMAGES = 16  # of random weights, whose ranges need no more


def written(folder: Path) -> dict[str, ExportedModel]:
    """The files, opened: engine and precision -> model."""
    torch.manual_seed(0)
    net = ca.create_model(NETWORK).eval()
    preprocessing = Preprocessing((SIDE, SIDE), 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    core = network_to_onnx(net, preprocessing)
    images = [probe(number, SIDE, SIDE, 3) for number in range(CALIBRATION_IMAGES)]
    quantized = Quantizer(core, preprocessing, images, folder).quantize()
    described = Description(
        format="onnx",
        precision="fp32",
        input="pixels",
        network=NETWORK,
        classes=tuple(map(str, range(CLASSES))),
        preparation=preprocessing.to_dict(),
        weights={"sha256": weights_digest(net)},
        trained=False,
    )
    threads, opened = torch.get_num_threads(), {}
    for format, engine, precision, network in (
        ("onnx", "onnxruntime", "fp32", core),
        ("onnx", "onnxruntime", "int8", quantized),
        ("openvino", "openvino", "fp32", core),
        ("openvino", "openvino", "bf16", core),
        ("openvino", "openvino", "int8", quantized),
    ):
        description = replace(described, format=format, precision=precision)
        del network.metadata_props[:]
        model = complete(network, preprocessing, "13.0.0", False, description)
        file = folder / f"{engine}-{precision}{'.onnx' if format == 'onnx' else '.xml'}"
        if format == "onnx":
            onnx_format.write(model, file)
        else:
            openvino_format.write(model, description, file)
        write_sidecar(file, description)
        opened[f"{engine} {precision}"] = open_exported(file, engine, threads)
    return opened


def eager(batch: torch.Tensor) -> Callable[[], object]:
    """A call of the network in PyTorch, from normalised pixels to logits."""
    torch.manual_seed(0)
    net = ca.create_model(NETWORK).eval()

    def call() -> None:
        with torch.inference_mode():
            net(batch)

    return call


def measured(opened: dict[str, ExportedModel], batch_size: int, rounds: int) -> dict[str, Any]:
    """Median and fastest milliseconds of a call of each side."""
    pixels = np.stack([probe(number, SIDE, SIDE, 3) for number in range(batch_size)])
    normalised = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.45)
    calls: dict[str, Callable[[], object]] = {"torch eager fp32": eager(normalised)}
    calls |= {name: partial(model.run, pixels) for name, model in opened.items()}

    def one_round(call: Callable[[], object], _: int) -> float:
        time.sleep(0.005)  # the threads of the engine before stop spinning
        call()
        return statistics.median(timing.seconds(call) for _ in range(CALLS[batch_size]))

    watch = LoadWatch()
    sides = {name: partial(one_round, call) for name, call in calls.items()}
    values = timing.interleaved(sides, rounds, warm_up_rounds=1)
    load = watch.ended([[[value] for value in of_side] for of_side in values.values()], torch.get_num_threads())
    medians = timing.medians(values)
    base = medians["torch eager fp32"]
    rows = {
        name: {
            "median_ms": round(1e3 * medians[name], 2),
            "fastest_ms": round(1e3 * min(values[name]), 2),
            "images_per_s": round(batch_size / medians[name], 1),
            "times_faster_than_eager": round(base / medians[name], 2),
        }
        for name in values
    }
    return {"batch_size": batch_size, "rows": rows, "machine_load": load.to_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=RESULTS / "engines.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        opened = written(Path(folder))
        sizes = {name: model.sidecar.size_bytes for name, model in opened.items()}
        print(f"files: {time.perf_counter() - started:.0f} s", flush=True)
        batches = []
        for batch_size in CALLS:
            batches.append(measured(opened, batch_size, asked.rounds))
            print(json.dumps(batches[-1], indent=2), flush=True)
    engines = {name: __import__(name).__version__.partition("-")[0] for name in ("onnxruntime", "openvino")}
    content = {
        "network": f"{NETWORK}, random weights, {SIDE} x {SIDE}",
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "instruction_set": instruction_set(),
        "bf16_instructions": sorted(cpu_flags() & {"amx_bf16", "avx512_bf16"}),
        "torch": torch.__version__,
        **engines,
        "rounds": asked.rounds,
        "load_average_before": os.getloadavg()[0],
        "seconds": round(time.perf_counter() - started),
        "size_bytes": sizes,
        "batches": batches,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: {asked.out}")


if __name__ == "__main__":
    main()
