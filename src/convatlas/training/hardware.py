"""What this machine can do, and the settings with which a training uses it: device, threads, precision, memory.

`choose` only decides; `apply` changes the process.

Measured on two cores (torch 2.13, CPU): channels_last with bf16 autocast trains the CIFAR ResNet-20 two to three times
as fast as contiguous fp32 on a processor with bf16 instructions, and several times *slower* on one without, so the
choice follows the instruction set. Keeping freed memory in the process avoids the page faults of every large tensor.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from convatlas.errors import UsageError
from convatlas.message import Message

# parameter numbers of mallopt, from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MMAPPED_FROM = 1 << 30  # bytes; smaller blocks come from the heap, which is not returned to the system
_MADV_HUGEPAGE = 14  # linux/mman.h
_HUGE_PAGE = 2 << 20  # bytes


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Return the instruction-set flags of the processor as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def fast_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 instructions: AMX or AVX512-bf16 on a CPU, Ampere or later on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})


def physical_cores() -> int:
    """Count the cores this process may use; a container's limit of CPU time counts too.

    The two hardware threads of a core count once: they share its multiplication units, so a second one does not make a
    convolution faster.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # macOS and Windows have no such function
        return os.cpu_count() or 1
    cores: set[object] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add((topology.joinpath("physical_package_id").read_text(), topology.joinpath("core_id").read_text()))
        except OSError:
            cores.add(cpu)
    return max(1, min(len(cores), _cpu_time_limit()))


def _cpu_time_limit() -> int:
    """Return the container's limit of CPU time (cgroup v2) in cores, rounded up; a large number without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return -(-int(quota) // int(period))
    return 1 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks instead of returning them to the system. Returns whether it does.

    By default every operator maps the memory of a tensor above 32 MiB anew, with a page fault for each page. Call this
    before the first large allocation. It affects the whole process.
    """
    if not _has_mallopt():
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
    """Request pages of 2 MiB for the part of the heap where tensors will lie. Returns whether the system grants them.

    Ordinary pages have 4 KiB, so a tensor of a few megabytes has a thousand of them. Each causes a page fault and then
    address translations, which cost twice as much on a virtual machine. This function allocates blocks worth ``share``
    of the memory, marks them for huge pages without touching them, and frees them into the heap that
    `keep_freed_memory` keeps. That uses up addresses but no memory.
    """
    if not keep_freed_memory() or not _has_huge_pages():
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = _MMAPPED_FROM - _HUGE_PAGE
    blocks, marked = [], True
    for _ in range(int((_memory_bytes() or 0) * share) // size):
        block = libc.malloc(size)
        if not block:  # the address space is limited
            break
        blocks.append(block)
        inner = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        marked &= libc.madvise(inner, (block + size - inner) // _HUGE_PAGE * _HUGE_PAGE, _MADV_HUGEPAGE) == 0
    for block in blocks:
        libc.free(block)
    return bool(blocks) and marked


def _has_mallopt() -> bool:
    """Whether the memory allocator is glibc's."""
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _has_huge_pages() -> bool:
    """Whether the kernel has transparent huge pages: its file reads ``always [madvise] never``."""
    try:
        return "[never]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return False


@dataclass(frozen=True)
class Hardware:
    """The settings under which a run computes; printed in its header and kept in ``config.toml``.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        threads: of the CPU.
        channels_last: whether networks and images have the channels_last memory format.
    """

    device: str
    threads: int
    precision: str  # "bf16" (autocast; weights, loss and update stay fp32) or "fp32"
    channels_last: bool
    why: str  # reasons for the precision and the memory format
    compile: bool = False  # whether torch.compile compiles the network of the updates
    keeps_freed_memory: bool = False  # see `keep_freed_memory`
    huge_pages: bool = False  # see `use_huge_pages`

    @property
    def allocator(self) -> Message:
        """Describe the memory allocator."""
        if not self.keeps_freed_memory:
            return Message("system default")
        return Message("keeps freed memory, in huge pages") if self.huge_pages else Message("keeps freed memory")

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
        return {**asdict(self), "allocator": self.allocator}


def choose(
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
    channels_last: bool | None = None,
    allocator: bool = True,
    compile: bool = False,
) -> Hardware:
    """Decide on the settings for this machine; nothing is changed until `apply`.

    ``"auto"`` and None are decided by the instruction set. A trial (trial.py) can find a better choice.

    Args:
        threads: of the CPU; by default one for each core this process may use, or OMP_NUM_THREADS.
        channels_last: the memory format of networks and images; True by default.
        allocator: whether to keep freed memory in the process, in huge pages where the system has them.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "bf16" or "fp32".
        compile: whether torch.compile is used.

    Raises:
        UsageError: the device does not exist, or another value is not known.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.isdecimal():
        device = f"cuda:{device}"
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
    if threads is None:
        threads = torch.get_num_threads()
        if "OMP_NUM_THREADS" not in os.environ:
            threads = min(threads, physical_cores())
    if precision not in ("auto", "bf16", "fp32"):
        raise UsageError("precision {precision!r} is not known. Pass auto, bf16 or fp32.", precision=precision)
    native = fast_bf16(place)
    if precision == "auto":
        precision = "bf16" if native else "fp32"
        slower = Message("no bf16 instructions here, so autocast would be slower")
        why = Message("bf16 instructions found") if native else slower
    else:
        slow = Message("precision as set; slow, because there are no bf16 instructions here")
        why = slow if precision == "bf16" and not native else Message("precision as set")
    keeps_freed_memory = allocator and place.type == "cpu" and _has_mallopt()
    return Hardware(
        device=device,
        threads=threads,
        precision=precision,
        channels_last=channels_last is not False,
        why=why,
        compile=compile,
        keeps_freed_memory=keeps_freed_memory,
        huge_pages=keeps_freed_memory and _has_huge_pages(),
    )


def apply(hardware: Hardware) -> Hardware:
    """Set the threads and the memory allocator of this process.

    Returns ``hardware`` with the memory settings that the system granted.
    """
    torch.set_num_threads(hardware.threads)
    keeps_freed_memory = hardware.keeps_freed_memory and keep_freed_memory()
    huge_pages = keeps_freed_memory and hardware.huge_pages and use_huge_pages()
    return replace(hardware, keeps_freed_memory=keeps_freed_memory, huge_pages=huge_pages)


def environment() -> dict[str, Any]:
    """Describe the machine and the software for ``env.json``, so that a different number can be explained."""
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
    """Restore the number of torch threads afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processor_name(device: str) -> str:
    """Return the name of the GPU, or of the processor."""
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
