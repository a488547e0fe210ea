"""`measure`: how fast an exported file answers here, in processes of its own.

A process that is started for the purpose opens the file and labels one image: the time from its start to that label is
the start-up. Then it labels batches of random pixels until the time is up. Nothing else has run in it, so the peak of
its memory is that of labelling images with this file: Python, numpy, the engine and the network together.

    python -m convatlas.deployed.speed FILE ENGINE BATCH THREADS SECONDS     # such a process; it prints JSON lines
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import ConvAtlasError, UsageError
from convatlas.exports.engines import available_threads, instruction_set
from convatlas.exports.exported import ExportedModel, open_exported
from convatlas.exports.own_process import peak_bytes

START_UPS = 3  # processes; the last one goes on to measure the speed
WARM_UP = 3  # batches that are not counted
FEWEST = 10  # batches that are measured, however long they take
PHOTO = (480, 640)  # height and width of the image for a file that resizes by itself


@dataclass(frozen=True)
class FileSpeed:
    """The speed of an exported file on this machine. Measured.

    Attributes:
        input: (H, W, C) of the images.
        batches: number of batches measured.
        p50_ms, p95_ms: of a batch, preparation of the images not included.
        images_per_s: the batch over the median time.
        peak_memory_bytes: largest resident set of the process; None where the system does not tell.
        start_up_s: from the start of a process to its first label; the median of ``start_ups_s``.
        load: processes that wanted to run before the measurement, averaged over a minute; None where not known.
    """

    file: str
    engine: str
    precision: str
    input: tuple[int, ...]
    batch_size: int
    threads: int
    instruction_set: str
    size_bytes: int
    batches: int
    p50_ms: float
    p95_ms: float
    images_per_s: float
    peak_memory_bytes: int | None
    start_up_s: float
    start_ups_s: tuple[float, ...]
    load: float | None

    @property
    def loaded(self) -> bool:
        """Whether other programs used the processors: all times are then too long."""
        return self.load is not None and self.load > available_threads() / 2

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self) | {"input": list(self.input), "start_ups_s": list(self.start_ups_s)}
        latency = {"p50": values.pop("p50_ms"), "p95": values.pop("p95_ms")}
        return {**values, "latency_ms": latency, "loaded": self.loaded}


def measure(
    file: str | Path,
    *,
    engine: str | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    time_s: float = 5.0,
) -> FileSpeed:
    """Measure an exported file: latency, images per second, memory and start-up.

    Args:
        engine: as in `open_exported`.
        threads: of the engine; by default the processors that this process may use.
        time_s: seconds of measurement, without start-up and warm-up.

    Raises:
        CheckpointError: the file or its sidecar is missing, is damaged, or the two do not belong together.
        MissingDependencyError: the engine is not installed.
        UsageError: a batch of several images for a file that takes one.
        ConvAtlasError: the process that measures failed, for instance without enough memory.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    threads = threads or available_threads()
    opened = open_exported(file, engine, threads)  # what is wrong with the file is found here
    if batch_size > 1 and opened.description.accepts_any_size:
        raise UsageError("{file} takes one photo at a time: leave --batch-size out.", file=file)
    arguments = [str(file), opened.engine.name, str(batch_size), str(threads)]
    input = _images(opened, 1).shape[1:]
    precision, name, size = opened.description.precision, opened.engine.name, opened.sidecar.size_bytes
    del opened
    start_ups = [_started([*arguments, "0"])[0] for _ in range(START_UPS - 1)]
    last, measured = _started([*arguments, str(time_s)])
    start_ups.append(last)
    times = measured["times_s"]
    p50, p95 = np.percentile(times, [50, 95]).tolist()
    return FileSpeed(
        file=str(file),
        engine=name,
        precision=precision,
        input=tuple(input),
        batch_size=batch_size,
        threads=threads,
        instruction_set=instruction_set(),
        size_bytes=size,
        batches=len(times),
        p50_ms=1e3 * p50,
        p95_ms=1e3 * p95,
        images_per_s=batch_size / p50,
        peak_memory_bytes=measured["peak_memory_bytes"],
        start_up_s=statistics.median(start_ups),
        start_ups_s=tuple(start_ups),
        load=load,
    )


def _started(arguments: list[str]) -> tuple[float, dict[str, Any]]:
    """Start a process; the seconds until its first label, and what it measured."""
    places = os.pathsep.join(filter(None, sys.path))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": places},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            until_label = time.perf_counter() - started
            rest = process.stdout.read()
        if process.returncode or not rest:
            errors.seek(0)
            raise ConvAtlasError(
                "the process that measures ended with exit code {code}: {reason}",
                code=process.returncode,
                reason=" ".join(errors.read().split())[-300:],
            )
    return until_label, json.loads(rest)


def _images(model: ExportedModel, batch_size: int) -> np.ndarray:
    """Random pixels as the file takes them: uint8 (N, H, W, C)."""
    preprocessing = model.description.preprocessing
    height, width = PHOTO if model.description.accepts_any_size else preprocessing.size
    return np.random.default_rng(0).integers(
        0, 256, (batch_size, height, width, preprocessing.channels), dtype=np.uint8
    )


def main(file: str, engine: str, batch_size: str, threads: str, time_s: str) -> None:
    model = open_exported(file, engine, int(threads))
    label = model.classes[int(model.run(_images(model, 1))["probabilities"].argmax())]
    print(json.dumps({"label": label}), flush=True)
    times: list[float] = []
    seconds = float(time_s)
    if seconds:
        images = _images(model, int(batch_size))
        for _ in range(WARM_UP):
            model.run(images)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(times) < FEWEST:
            started = time.perf_counter()
            model.run(images)
            times.append(time.perf_counter() - started)
    print(json.dumps({"times_s": times, "peak_memory_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
