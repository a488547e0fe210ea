"""How long the page's server makes one wait: whole processes, repeated, minimum and median in seconds.

    python benchmarks/explorer.py [--repeats 5] [--json FILE]

start    from the start of the process to the first answer of api/network for ResNet-50; torch is not imported
first    the first feature maps of ResNet-50: imports torch, draws the weights, runs the image
maps     the feature maps of one more layer for another image: one forward pass and its picture
again    those of another layer of the same image, whose forward pass is kept
layer    the arithmetic of one layer
busy     the arithmetic of another layer while RISE runs the network on 1,000 masked images
between  the feature maps of another image while RISE runs: after its batch of 32
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

NETWORK = "resnet50"
COMMAND = [sys.executable, "-m", "convatlas", "explore", NETWORK, "--no-browser"]


def ask(address: str, path: str) -> tuple[float, dict]:
    """The seconds until a document is there, and the document."""
    begun = time.perf_counter()
    with urlopen(f"{address}api/{path}", timeout=300) as answer:
        document = json.loads(answer.read())
    return time.perf_counter() - begun, document


def one_process() -> dict[str, float]:
    begun = time.perf_counter()
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        ask(address, f"network?subject={NETWORK}")
        times = {"start": time.perf_counter() - begun}
        images = [each["id"] for each in ask(address, "session")[1]["images"]]
        times["layer"] = ask(address, f"layer?subject={NETWORK}&layer=conv3_x.0.conv2")[0]
        maps = f"maps?subject={NETWORK}&image="
        times["first"] = ask(address, f"{maps}{images[0]}&layer=conv3_x.0.conv2")[0]
        times["maps"] = ask(address, f"{maps}{images[1]}&layer=conv3_x.0.conv2")[0]
        times["again"] = ask(address, f"{maps}{images[1]}&layer=conv4_x.0.conv2")[0]
        with urlopen(f"{address}api/attribution/events?subject={NETWORK}&image={images[0]}&method=rise") as events:
            while b'"done": 0,' in (line := events.readline()) or not line.startswith(b"data"):
                pass
            times["busy"] = ask(address, f"layer?subject={NETWORK}&layer=conv3_x.0.conv3")[0]
            times["between"] = ask(address, f"{maps}{images[2]}&layer=conv3_x.0.conv2")[0]
    finally:
        process.terminate()
        process.wait(timeout=30)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the times of every process here")
    arguments = parser.parse_args()
    measured = [one_process() for _ in range(arguments.repeats)]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{'':8} {'minimum':>8} {'median':>8}   {os.cpu_count()} CPUs, load {load:.1f}, {len(measured)} processes")
    for name in measured[0]:
        times = [each[name] for each in measured]
        print(f"{name:8} {min(times):8.3f} {statistics.median(times):8.3f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"cpus": os.cpu_count(), "load": load, "times_s": measured}, indent=2))


if __name__ == "__main__":
    main()
