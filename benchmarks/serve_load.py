"""A prediction server under load: writes results/export/serve.json.

    python benchmarks/serve_load.py squeezenet1_1            # requests per second at 1, 8 and 32 clients
    python benchmarks/serve_load.py squeezenet1_1 --minutes 30   # and then memory and descriptors while it goes on

The server is a process of its own, `convatlas serve`, without batching (``--batch 1``) and with it (8 images). The
clients are tasks of one other process, each sending its next image when it has the answer to the last one, over one
connection. SqueezeNet has the authors' weights and labels photos; ``resnet20_cifar`` has random weights and labels
images of 32 pixels.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "export"
SHARED = ROOT.parent / "shared" / "data"
CLIENTS = (1, 8, 32)
BATCHES = (1, 8)
REPEATS = 5
SETTLED_S = 20  # of the soak, before its growth is measured


@dataclass(frozen=True)
class Server:
    """A running server: its process, port and token."""

    process: subprocess.Popen[str]
    port: int
    token: str

    def memory_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def server(file: Path, batch: int, threads: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "convatlas", "serve", str(file), "--port", "0", "--json", "--batch", str(batch)]
    process = subprocess.Popen([*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Server(process, int(said["url"].rpartition(":")[2]), said["token"])
    finally:
        process.terminate()
        process.wait(60)


def exported(name: str, folder: Path) -> tuple[Path, list[bytes]]:
    """The network as an ONNX file, and images for it."""
    import torch

    import convatlas as ca
    from convatlas.data import Preprocessing
    from convatlas.models.weights import load_weights

    torch.manual_seed(0)
    if name == "squeezenet1_1":
        net = ca.create_model(name)
        load_weights(net, SHARED / "weights" / "squeezenet_v1.1.caffemodel")
        photos = sorted(file for file in (SHARED / "photos").rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
        return ca.export(net, out=folder).file, [file.read_bytes() for file in photos]
    net = ca.create_model(name, 10)
    preprocessing = Preprocessing((32, 32), 3, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26), resize="squash")
    file = ca.export(net, classes=[str(k) for k in range(10)], preprocessing=preprocessing, out=folder).file
    return file, [_noise(seed) for seed in range(32)]


def _noise(seed: int) -> bytes:
    import io

    import numpy as np
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


@dataclass
class Counts:
    """Requests of one client, and those that were not answered with 200."""

    all: int = 0
    other: int = 0


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def client(
    to: Server, by: Connection, images: list[bytes], first: int, until: float, latencies: list[float]
) -> Counts:
    """Requests over one connection, one after the other."""
    counts, (reader, writer) = Counts(), by
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{to.port}\r\nAuthorization: Bearer {to.token}\r\n"
    number = first
    while time.perf_counter() < until:
        image = images[number % len(images)]
        number += 1
        started = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        if not answer.startswith(b"HTTP/1.1 200 "):
            counts.other += 1
        counts.all += 1
    writer.close()
    return counts


async def load(to: Server, images: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Requests per second and latencies of a number of clients."""
    latencies: list[float] = []
    opened = [await asyncio.open_connection("127.0.0.1", to.port) for _ in range(clients)]
    started = time.perf_counter()
    counts = await asyncio.gather(
        *(client(to, by, images, 7 * number, started + seconds, latencies) for number, by in enumerate(opened))
    )
    took = time.perf_counter() - started
    ordered = sorted(latencies)
    return {
        "requests_per_s": len(ordered) / took,
        "p50_ms": 1000 * statistics.median(ordered),
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "not_200": sum(each.other for each in counts),
    }


def measured(file: Path, images: list[bytes], threads: int, seconds: float) -> list[dict[str, Any]]:
    """Every number of clients with and without batching, interleaved; the median of the repeats, and the best one."""
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for repeat in range(REPEATS):
        for batch in BATCHES:
            with server(file, batch, threads) as to:
                asyncio.run(load(to, images, 4, 1.0))  # warm-up
                for clients in CLIENTS:
                    found.setdefault((clients, batch), []).append(asyncio.run(load(to, images, clients, seconds)))
                    print(repeat, clients, batch, found[clients, batch][-1], flush=True)
    rows = []
    for (clients, batch), repeats in sorted(found.items()):
        row: dict[str, Any] = {"clients": clients, "batch": batch}
        for key in ("requests_per_s", "p50_ms", "p99_ms"):
            row[key] = round(statistics.median(each[key] for each in repeats), 2)
        row["best_requests_per_s"] = round(max(each["requests_per_s"] for each in repeats), 2)
        row["not_200"] = sum(each["not_200"] for each in repeats)
        rows.append(row)
    return rows


async def _soak(to: Server, images: list[bytes], minutes: float) -> dict[str, Any]:
    """Eight clients, some of them sending what is no image, for a time; memory and descriptors now and then."""
    samples: list[tuple[float, int, int]] = []
    damaged = [image[: len(image) // 2] if number % 5 == 0 else image for number, image in enumerate(images)]
    started, requests, step_s = time.perf_counter(), 0, 10.0
    while time.perf_counter() - started < 60 * minutes:
        found = await load(to, damaged, 8, min(step_s, 60 * minutes))
        requests += round(found["requests_per_s"] * step_s)
        samples.append((time.perf_counter() - started, to.memory_bytes(), to.descriptors()))
    settled = [sample for sample in samples if sample[0] > SETTLED_S] or samples
    first, last = settled[0], settled[-1]
    return {
        "minutes": minutes,
        "requests": requests,
        "memory_start_bytes": first[1],
        "memory_end_bytes": last[1],
        "memory_largest_bytes": max(sample[1] for sample in samples),
        "slope_bytes_per_minute": _slope([(at / 60, memory) for at, memory, _ in settled]),
        "descriptors_start": first[2],
        "descriptors_end": last[2],
        "samples": [[round(at, 1), memory, descriptors] for at, memory, descriptors in samples],
    }


def _slope(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line."""
    if len(points) < 2:
        return 0.0
    x, y = (statistics.fmean(values) for values in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=["squeezenet1_1", "resnet20_cifar"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each number of clients, each time")
    parser.add_argument("--minutes", type=float, default=0.0, help="of the soak")
    parser.add_argument("--only-soak", action="store_true")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the engine")
    asked = parser.parse_args()
    record = RESULTS / "serve.json"
    content = json.loads(record.read_text()) if record.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        file, images = exported(asked.network, Path(folder))
        about: dict[str, Any] = {
            "threads": asked.threads,
            "load_average_before": os.getloadavg()[0],
            "python": platform.python_version(),
        }
        own = content.setdefault(asked.network, {})
        if not asked.only_soak:
            own["load"] = {**about, "seconds": asked.seconds, "repeats": REPEATS}
            own["load"]["rows"] = measured(file, images, asked.threads, asked.seconds)
        if asked.minutes:
            with server(file, BATCHES[-1], asked.threads) as to:
                own["soak"] = {**about, **asyncio.run(_soak(to, images, asked.minutes))}
                print({key: value for key, value in own["soak"].items() if key != "samples"})
    record.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
