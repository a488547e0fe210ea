"""The process that ``measure.peak_memory`` starts:  python -m convatlas.comparison.memory_probe RUN CxHxW THREADS

Prints {"peak_bytes", "how"} as JSON. Nothing but the run's network may be loaded here after the baseline was read.
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

HIGH_WATER = "highest resident set during inference at batch 1 above that before loading (VmHWM, reset after loading)"
HIGH_WATER_WITH_LOADING = "highest resident set of loading and inference at batch 1 above that before (ru_maxrss)"
NOT_HERE = "not measured: this system does not tell a process its highest resident set"


def status_bytes(field: str) -> int:
    """A field of /proc/self/status, in bytes: VmRSS is the resident set, VmHWM the highest it has been.

    Raises:
        OSError: there is no such file (not Linux).
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def reset_high_water() -> None:
    """Let VmHWM begin again at the present resident set (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def give_back_freed_memory() -> None:
    """What loading has left behind is not the network's."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)


def peak_of(load: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> tuple[int | None, str]:
    """Load, infer three times, and return the peak above the resident set before loading, with how it was found."""
    start_the_library()
    give_back_freed_memory()
    try:
        before, resettable = status_bytes("VmRSS"), True
        reset_high_water()
    except OSError:
        try:
            import resource
        except ImportError:  # Windows
            return None, NOT_HERE
        unit = 1 if sys.platform == "darwin" else 1024
        before, resettable = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, False

    network = load().eval()
    give_back_freed_memory()
    if resettable:
        reset_high_water()
    with torch.inference_mode():
        for _ in range(3):
            network(torch.rand(1, *input_shape))
    if resettable:
        return status_bytes("VmHWM") - before, HIGH_WATER
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before, HIGH_WATER_WITH_LOADING


def start_the_library() -> None:
    """Thread pool and kernels that every network needs belong to the baseline."""
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
