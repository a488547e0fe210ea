"""The times and the memory of exported files: latency in turns, start-up and peak memory in processes of their own.

Latency is that of one prepared image, from 8-bit pixels to probabilities. Every deployment is open in this process,
and all take turns in short blocks, as networks do. Each block begins after a rest, in which the threads of the engine
before stop waiting for work, and with a call that is not counted.

A start is timed from outside: from the start of a Python process that imports the engine, opens the file and prepares
one decoded image, to the label that it prints. The peak of its resident set is the memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.comparison.machine_load import LoadWatch, MachineLoad
from convatlas.comparison.measure import MEMORY_TIMEOUT_S, Latency, Memory, environment_of, take_turns
from convatlas.exports.exported import ExportedModel
from convatlas.exports.own_process import NOT_AVAILABLE, PEAK
from convatlas.message import Message

LATENCY_LIMIT_S = 30.0
REST_S = 0.005  # ONNX Runtime's and OpenMP's threads spin for about a millisecond after a call
STARTS = 3


@dataclass(frozen=True)
class Starts:
    """Seconds of several starts, and the peak memory of the last one."""

    samples_s: tuple[float, ...]
    memory: Memory


def latencies_of(
    opened: Mapping[str, ExportedModel], image: NDArray[np.uint8], threads: int
) -> tuple[dict[str, Latency], MachineLoad]:
    """The latency of each opened file at batch 1, and what else the machine did meanwhile.

    Args:
        image: a decoded image, which each prepares as it needs it before the time begins.
        threads: of every engine.
    """
    calls = {label: partial(_seconds, model, model.prepare(image)[None]) for label, model in opened.items()}
    watch = LoadWatch()
    rounds = take_turns(calls, limit_s=LATENCY_LIMIT_S, rest_s=REST_S)
    load = watch.ended(list(rounds.values()), threads)
    found = {label: Latency(tuple(chain.from_iterable(rounds[label])), threads, "cpu") for label in opened}
    return found, load


def _seconds(model: ExportedModel, images: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    model.run(images)
    return time.perf_counter() - start


def starts_of(
    opened: Mapping[str, ExportedModel], image: NDArray[np.uint8], threads: int
) -> dict[str, Starts | Memory]:
    """Start each file several times, in turns; a `Memory` without a value says why a process failed."""
    samples: dict[str, list[float]] = {label: [] for label in opened}
    memory: dict[str, Memory] = {}
    failed: dict[str, Memory] = {}
    with tempfile.TemporaryDirectory() as folder:
        pixels = Path(folder, "image.npy")
        np.save(pixels, image)
        for _ in range(STARTS):
            for label, model in opened.items():
                if label in failed:
                    continue
                found = start_once(model.file, model.engine.name, pixels, threads)
                if isinstance(found, Message):
                    failed[label] = Memory(None, found)
                    continue
                seconds, peak = found
                samples[label].append(seconds)
                memory[label] = Memory(peak, PEAK if peak is not None else NOT_AVAILABLE)
    return {label: failed.get(label) or Starts(tuple(samples[label]), memory[label]) for label in opened}


def start_once(file: Path, engine: str, pixels: Path, threads: int) -> tuple[float, int | None] | Message:
    """Seconds to the first label and peak bytes of a new process, or why it failed."""
    command = [sys.executable, "-P", "-m", "convatlas.exports.own_process"]
    arguments = [str(file), str(pixels), engine, str(threads)]
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            command + arguments, env=environment_of(threads), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            assert process.stdout is not None
            watchdog = threading.Timer(MEMORY_TIMEOUT_S, process.kill)
            watchdog.start()
            first = process.stdout.readline()
            seconds = time.perf_counter() - start
            rest = process.stdout.read()
            process.wait()
            watchdog.cancel()
        if first and process.returncode == 0:
            return seconds, json.loads(rest)["peak_bytes"]
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
        return Message("the measuring process failed: {why}", why=last)
