"""Measure how much of an update's time each operator takes, and its speed as a share of the machine's peak.

    python benchmarks/throughput_operators.py --data CIFAR                                     ResNet-20 on CIFAR-10
    python benchmarks/throughput_operators.py --data PHOTOS --model resnet18 --batch-size 32   ResNet-18 at 224 pixels

``--out`` writes results/throughput/*_operators.json. The updates are those of ``convatlas train`` with its default
settings on this machine.

Measured: the own time of each operator (torch.profiler); the peaks, which are the fastest of a few square matrix
products and of a few copies of a large tensor. Derived: the operations of a convolution, two per multiply-add; for
every other operator the bytes of its inputs and outputs, each read or written once. The speed is derived amount over
measured time. It can exceed the memory's peak where a cache holds the tensor.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convatlas import training
from convatlas.runs.prepare import Setup
from throughput import endless_epochs, matrix_peak, prepared
from timing import fastest_seconds

CONVOLUTION = {
    "aten::mkldnn_convolution": "convolution, forward",
    "aten::_slow_conv2d_forward": "convolution, forward",
    "aten::convolution_backward": "convolution, backward",
}
OTHERS = {
    "aten::native_batch_norm": "batch norm, forward",
    "aten::native_batch_norm_backward": "batch norm, backward",
    "aten::relu": "ReLU, forward",  # relu calls clamp_min
    "aten::relu_": "ReLU, forward",
    "aten::clamp_min": "ReLU, forward",
    "aten::clamp_min_": "ReLU, forward",
    "aten::threshold_backward": "ReLU, backward",
    "aten::add": "additions",
    "aten::add_": "additions",
    "aten::copy_": "copies and casts",
    "aten::_fused_sgd_": "optimizer",
    "aten::max_pool2d_with_indices": "pooling",
    "aten::max_pool2d_with_indices_backward": "pooling",
    "aten::mean": "pooling",
}
REST = "all else"


class BytesByOperator(TorchDispatchMode):
    """Adds up the bytes of each operator's inputs and outputs; each tensor counts once per call."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        tensors = {id(leaf): leaf for leaf in tree_leaves((args, kwargs, outputs)) if isinstance(leaf, Tensor)}
        self.bytes[func._schema.name] += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        return outputs


def updates(setup: Setup) -> Iterator[Callable[[], object]]:
    """Functions that make one update each; the batch of an update is ready before its function is called."""
    optimizer, loss_fn = setup.learner().optimizer, setup.loss()
    setup.net.train()
    for batch in endless_epochs(setup):
        autocast = setup.hardware.autocast()
        yield partial(training.train_step, setup.net, batch, loss_fn, optimizer, autocast=autocast)


def copy_peak(megabytes: int = 256, repeats: int = 7) -> float:
    """Peak memory speed: bytes read and written per second by the fastest copy of a tensor that exceeds all caches."""
    source = torch.ones(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.numel() / fastest_seconds(lambda: target.copy_(source), repeats)


def grouped(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums of the values of (aten name, value) pairs by group of operators."""
    sums: Counter[str] = Counter()
    for name, value in pairs:
        sums[CONVOLUTION.get(name) or OTHERS.get(name) or REST] += value  # type: ignore[assignment]
    return dict(sums)


def measure(setup: Setup, count: int, warm_up: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and bytes per update, by group of operators."""
    next_updates = updates(setup)
    for _ in range(warm_up):
        next(next_updates)()
    with BytesByOperator() as moved:
        next(next_updates)()
    own_s: Counter[str] = Counter()
    for _ in range(count):
        update = next(next_updates)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            update()
        for event in profiled.key_averages():
            own_s[event.key] += event.self_cpu_time_total / 1e6 / count  # type: ignore[assignment]
    return grouped(own_s.items()), grouped(moved.bytes.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="resnet20_cifar")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    setup = prepared(options.data, options.model, options.batch_size, allocator=True)
    seconds, moved_bytes = measure(setup, options.updates, options.warm_up)
    precision = torch.bfloat16 if setup.hardware.precision == "bf16" else torch.float32
    peaks = {"GFLOP/s": matrix_peak(precision) / 1e9, "GB/s": copy_peak() / 1e9}
    operations = 2 * setup.entry.macs * options.batch_size  # of the forward pass; the backward pass is twice that
    total_s = sum(seconds.values())
    rows = []
    for name, own_s in sorted(seconds.items(), key=lambda item: -item[1]):
        if name in CONVOLUTION.values():
            unit, amount = "GFLOP/s", operations * (1 if "forward" in name else 2) / 1e9
        else:
            unit, amount = "GB/s", moved_bytes.get(name, 0.0) / 1e9
        rate = amount / own_s
        rows.append({
            "operator": name, "ms": round(1e3 * own_s, 2), "share": round(own_s / total_s, 4),
            "rate": round(rate, 1), "unit": unit, "of_peak": round(rate / peaks[unit], 3),
        })  # fmt: skip
    print(f"{options.model}, batch {options.batch_size}: {1e3 * total_s:.1f} ms per update in operators")
    print(f"peaks: {setup.hardware.precision} products {peaks['GFLOP/s']:.0f} GFLOP/s, copies {peaks['GB/s']:.1f} GB/s")
    for row in rows:
        print(
            f"{row['operator']:<24}{row['ms']:>9.2f} ms  {row['share']:>6.1%}  {row['rate']:>8.1f} {row['unit']:<8}"
            f"{row['of_peak']:>7.1%} of the peak"
        )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({
            "model": options.model, "batch_size": options.batch_size, "updates": options.updates,
            "ms_an_update": round(1e3 * total_s, 1), "peaks": {unit: round(value, 1) for unit, value in peaks.items()},
            "operators": rows, "hardware": setup.hardware.to_dict(), "environment": training.environment(),
        }, indent=2) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
