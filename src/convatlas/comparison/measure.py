"""Measure the latency and the memory of inference at batch size 1 on this machine.

Latency: the networks take turns in short blocks, so that another process on the machine slows all of them alike. Each
block begins with a call that is not counted, because the other networks have replaced the contents of the caches. Every
network is warmed up before the first block.

Memory: a separate process loads only this run, because the memory of a process that has trained networks is not
meaningful. The result is the highest resident set during inference minus the resident set before the network was
loaded. It includes weights, activations and scratch memory, but not Python, torch and its thread pool.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import convatlas
from convatlas.message import Message
from convatlas.modes import eval_mode

WARM_UP = 3  # calls of each network before the first measurement
BLOCK = 10  # measured calls in a row, after one that is not counted
BLOCKS_AT_LEAST, BLOCKS_AT_MOST = 3, 20
MEMORY_TIMEOUT_S = 300


@dataclass(frozen=True)
class Latency:
    """Wall times of single calls with one image each, in seconds, in the order of the calls."""

    samples_s: tuple[float, ...]
    threads: int
    device: str

    @property
    def p50_s(self) -> float:
        return float(np.percentile(self.samples_s, 50))

    @property
    def p95_s(self) -> float:
        return float(np.percentile(self.samples_s, 95))

    @property
    def calls(self) -> int:
        return len(self.samples_s)

    def to_dict(self) -> dict[str, float]:
        """In milliseconds, as under the JSON key ``latency_ms``."""
        return {"p50": self.p50_s * 1e3, "p95": self.p95_s * 1e3}


def latencies(
    networks: Mapping[str, tuple[nn.Module, Tensor]],
    *,
    limit_s: float = 20.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latency]:
    """Measure the latency of every network; the networks take turns.

    Args:
        networks: name -> (network, one image (1, C, H, W) on the network's device).
        limit_s: no new round of blocks begins after that many seconds in total. At least three rounds are made, so that
            the 95th percentile of a slow network has 30 calls.
        clock: returns seconds.

    The number of threads is torch's current one; it is stored in the result.
    """
    with torch.inference_mode(), ExitStack() as modes:
        for network, _ in networks.values():
            modes.enter_context(eval_mode(network))
        calls = {name: partial(_call, *subject, clock) for name, subject in networks.items()}
        rounds = take_turns(calls, limit_s=limit_s, clock=clock)
    return {
        name: Latency(tuple(chain.from_iterable(rounds[name])), torch.get_num_threads(), example.device.type)
        for name, (_, example) in networks.items()
    }


def take_turns(
    calls: Mapping[str, Callable[[], float]],
    *,
    limit_s: float = 20.0,
    rest_s: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[list[float]]]:
    """Make the calls in rounds: in each round every one has a block of ten, after one that is not counted.

    Args:
        calls: name -> a function that makes one call and returns its seconds.
        limit_s: no new round begins after that many seconds; at least three rounds are made.
        rest_s: seconds without work before each block, so that the threads of the call before have stopped waiting.

    Returns: name -> the seconds of each block's calls, one block for each round.
    """
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    rounds: dict[str, list[list[float]]] = {name: [] for name in calls}
    start = clock()
    for number in range(BLOCKS_AT_MOST):
        if number >= BLOCKS_AT_LEAST and clock() - start > limit_s:
            break
        for name, call in calls.items():
            if rest_s:
                time.sleep(rest_s)
            call()
            rounds[name].append([call() for _ in range(BLOCK)])
    return rounds


def _call(network: nn.Module, example: Tensor, clock: Callable[[], float]) -> float:
    """Wall time of one forward pass in seconds, until the device has finished."""
    if example.device.type == "cuda":
        torch.cuda.synchronize(example.device)
    start = clock()
    network(example)
    if example.device.type == "cuda":
        torch.cuda.synchronize(example.device)
    return clock() - start


@dataclass(frozen=True)
class Memory:
    """Peak memory of inference at batch size 1, or None; ``how`` says how it was measured, or why it was not."""

    peak_bytes: int | None
    how: str


def peak_memory(run: Path, input_shape: tuple[int, int, int], threads: int) -> Memory:
    """Peak memory of a separate process that loads ``run`` and evaluates one image of ``input_shape`` (C, H, W)."""
    shape = "x".join(map(str, input_shape))
    command = [sys.executable, "-P", "-m", "convatlas.comparison.memory_probe", str(run), shape, str(threads)]
    try:
        probe = subprocess.run(
            command, env=environment_of(threads), capture_output=True, text=True, timeout=MEMORY_TIMEOUT_S, check=True
        )
        document: dict[str, Any] = json.loads(probe.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        lines = (getattr(error, "stderr", "") or "").strip().splitlines()
        why = lines[-1] if lines else error
        return Memory(None, Message("the measuring process failed: {why}", why=why))
    return Memory(document["peak_bytes"], document["how"])


def environment_of(threads: int) -> dict[str, str]:
    """The environment of a measuring process, in which this very package is imported."""
    package = str(Path(convatlas.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": paths}
