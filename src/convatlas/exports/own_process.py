"""An exported file in a process of its own:  python -m convatlas.exports.own_process FILE PIXELS.npy ENGINE THREADS

Prints two lines of JSON: {"label"} as soon as the first image is labelled, which the starting process waits for to
measure the start-up, and then {"peak_bytes"}. Only what the use of the file needs is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from convatlas.exports.exported import open_exported
from convatlas.message import Message

PEAK = Message("peak resident set of a process that opens the file and labels one image, Python and engine included")
NOT_AVAILABLE = Message("not measured: this system does not report the peak resident set of a process")


def main(file: str, pixels: str, engine: str, threads: str) -> None:
    model = open_exported(file, engine, int(threads))
    image = model.prepare(np.load(pixels))
    probabilities = model.outputs([image]).probabilities[0]
    print(json.dumps({"label": int(probabilities.argmax())}), flush=True)
    print(json.dumps({"peak_bytes": peak_bytes()}), flush=True)


def peak_bytes() -> int | None:
    """The peak resident set of this process, or None where the system does not report it.

    On Linux not by getrusage, which also counts the process before exec.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        try:
            import resource
        except ImportError:  # Windows
            return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


if __name__ == "__main__":
    main(*sys.argv[1:])
