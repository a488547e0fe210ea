"""The process that ``measure.peak_memory`` starts:  python -m convatlas.comparison.memory_probe RUN CxHxW THREADS

Prints {"peak_bytes", "how"} as JSON. After the baseline is read, only the run's network may be loaded.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

PEAK_OF_INFERENCE = (
    "peak resident set of inference at batch size 1 minus that before loading (VmHWM, reset after loading)"
)
PEAK_WITH_LOADING = "peak resident set of loading and inference at batch size 1 minus that before (ru_maxrss)"
NOT_AVAILABLE = "not measured: this system does not report the peak resident set of a process"


def status_bytes(field: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS is the resident set, VmHWM its peak.

    Raises:
        OSError: the file does not exist (not Linux).
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def reset_peak() -> None:
    """Reset VmHWM to the current resident set (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def release_freed_memory() -> None:
    """Return freed memory to the system, so that memory used only while loading is not counted."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)


def peak_of(load: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> tuple[int | None, str]:
    """The peak of three inferences minus the resident set before loading, and how it was measured."""
    warm_up_torch()
    release_freed_memory()
    try:
        before, resettable = status_bytes("VmRSS"), True
        reset_peak()
    except OSError:
        try:
            import resource
        except ImportError:  # Windows
            return None, NOT_AVAILABLE
        unit = 1 if sys.platform == "darwin" else 1024
        before, resettable = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, False

    network = load().eval()
    release_freed_memory()
    if resettable:
        reset_peak()
    with torch.inference_mode():
        for _ in range(3):
            network(torch.rand(1, *input_shape))
    if resettable:
        return status_bytes("VmHWM") - before, PEAK_OF_INFERENCE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before, PEAK_WITH_LOADING


def warm_up_torch() -> None:
    """Start the thread pool and load the kernels that every network needs, so that they count in the baseline."""
    tiny = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)).eval()
    with torch.inference_mode():
        tiny(torch.rand(1, 3, 8, 8))


def main(run: str, shape: str, threads: str) -> None:
    from convatlas.runs.run import Run

    torch.set_num_threads(int(threads))
    channels, height, width = map(int, shape.split("x"))
    peak, how = peak_of(Run(run).network, (channels, height, width))
    print(json.dumps({"peak_bytes": peak, "how": how}))


if __name__ == "__main__":
    main(*sys.argv[1:])
