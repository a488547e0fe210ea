"""What this machine can do, and the settings that let a training use it; each can be switched off.

Measured on two cores (torch 2.13, CPU): channels_last with bf16 autocast trains the CIFAR ResNet-20 two to three times
as fast as fp32 contiguous where the processor has bf16 instructions, and several times *slower* where it has not, so
the instruction set is asked first. Keeping freed memory in the process spares the page faults of every large tensor.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from convatlas.errors import UsageError
from convatlas.message import Message

# glibc malloc.h: the numbers of mallopt's parameters
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MMAPPED_FROM = 1 << 30  # bytes; smaller blocks come from the heap, which is kept
_MADV_HUGEPAGE = 14  # linux/mman.h
_HUGE_PAGE = 2 << 20  # bytes


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set flags of the processor as the kernel names them; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def fast_bf16(device: torch.device) -> bool:
    """Whether bf16 multiplications are native here: AMX or AVX512-bf16 on a CPU, Ampere or later on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})


def physical_cores() -> int:
    """Cores this process may use, two threads of one core counted once, and a container's share of time respected.

    The units that multiply are a core's: a second thread on it adds nothing to a convolution.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # no such question on macOS and Windows
        return os.cpu_count() or 1
    cores: set[object] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add((topology.joinpath("physical_package_id").read_text(), topology.joinpath("core_id").read_text()))
        except OSError:
            cores.add(cpu)
    return max(1, min(len(cores), _share_of_time()))


def _share_of_time() -> int:
    """Cores' worth of time that a container's limit (cgroup v2) leaves, rounded up; many where there is no limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return -(-int(quota) // int(period))
    return 1 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of returning them to the system; True when it agreed.

    By default a tensor above 32 MiB is mapped afresh for every operator and its pages are faulted in one by one. To be
    called before the first large allocation; affects the whole process, so only the command line and `train` call it.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _MMAPPED_FROM)
        and mallopt(_M_TRIM_THRESHOLD, -1)  # never
        and mallopt(_M_TOP_PAD, 64 << 20)
    )


@functools.cache
def use_huge_pages(share: float = 0.5) -> bool:
    """Ask for pages of 2 MiB in the part of the heap where tensors will lie; True where the system gives them.

    Ordinary pages have 4 KiB: a tensor of a few megabytes is a thousand of them, each faulted in by itself and looked
    up again and again, on a virtual machine twice over. Blocks worth ``share`` of the memory are allocated, untouched,
    marked, and freed into the heap that `keep_freed_memory` keeps: addresses, not memory, are taken by it.
    """
    if not keep_freed_memory() or "[never]" in _transparent_huge_pages():
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = _MMAPPED_FROM - _HUGE_PAGE
    blocks, marked = [], True
    for _ in range(int((_memory_bytes() or 0) * share) // size):
        block = libc.malloc(size)
        if not block:  # a limit on addresses
            break
        blocks.append(block)
        inner = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        marked &= libc.madvise(inner, (block + size - inner) // _HUGE_PAGE * _HUGE_PAGE, _MADV_HUGEPAGE) == 0
    for block in blocks:
        libc.free(block)
    return bool(blocks) and marked


def _transparent_huge_pages() -> str:
    """``always [madvise] never``: what the kernel does, in brackets; never where it does not say."""
    try:
        return Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "[never]"


@dataclass(frozen=True)
class Hardware:
    """The choices under which a run computes; printed in its header and kept in ``env.json``."""

    device: str
    threads: int
    precision: str  # "bf16" (autocast; weights, loss and update stay fp32) or "fp32"
    channels_last: bool
    allocator: str  # "system default", "keeps freed memory", or that "in huge pages"
    why: str
    compile: bool = False  # the network of the updates, by torch.compile

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass: bf16 autocast, or nothing."""
        if self.precision == "bf16":
            return torch.autocast(torch.device(self.device).type, torch.bfloat16)
        return contextlib.nullcontext()

    def place(self, net: torch.nn.Module) -> torch.nn.Module:
        """Move a network to the device and memory format of the run (in place, as ``Module.to`` does)."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return net.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def choose(
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
    channels_last: bool | None = None,
    allocator: bool = True,
    compile: bool = False,
) -> Hardware:
    """Turn the user's wishes into choices this machine can keep, and set threads and allocator accordingly.

    What is left open, ``"auto"`` and None, is chosen by the instruction set; a trial (trial.py) may know better.

    Raises:
        UsageError: a device that is not there, or a precision that has no meaning.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            "device {device!r} is not usable: torch sees no CUDA device here. Pass --device cpu.",
            device=device,
        )
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError("device {device!r} is not known to torch. Pass cpu, cuda or cuda:N.", device=device) from error
    if threads is not None and threads < 1:
        raise UsageError("--threads {threads}: at least 1 is needed.", threads=threads)
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = min(torch.get_num_threads(), physical_cores())
    if threads is not None:
        torch.set_num_threads(threads)
    if precision not in ("auto", "bf16", "fp32"):
        raise UsageError("precision {precision!r} is not known. Pass auto, bf16 or fp32.", precision=precision)
    native = fast_bf16(place)
    if precision == "auto":
        precision = "bf16" if native else "fp32"
        slower = Message("no bf16 instructions here, where autocast would be slower")
        why = Message("bf16 instructions found") if native else slower
    else:
        slow = Message("precision as asked; slow, for there are no bf16 instructions here")
        why = slow if precision == "bf16" and not native else Message("precision as asked")
    kept = Message("system default")
    if allocator and place.type == "cpu" and keep_freed_memory():
        freed = Message("keeps freed memory")
        kept = Message("keeps freed memory, in huge pages") if use_huge_pages() else freed
    return Hardware(
        device=device,
        threads=torch.get_num_threads(),
        precision=precision,
        channels_last=channels_last is not False,
        allocator=kept,
        why=why,
        compile=compile,
    )


def environment() -> dict[str, Any]:
    """What ``env.json`` says about the machine and the software: enough to explain a different number."""
    import numpy
    import PIL

    import convatlas

    return {
        "convatlas": convatlas.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "cores": physical_cores(),
        "isa": sorted(cpu_flags() & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"}),
        "memory_bytes": _memory_bytes(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


@contextlib.contextmanager
def restored_threads() -> Iterator[None]:
    """Give the process back the number of threads it had."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processor_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    place = torch.device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else cpu_name()


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
