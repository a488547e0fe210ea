"""Process images in parallel, each by one thread.

Torch's own threads share one operation on a large tensor. An image of 224 x 224 pixels fits in the cache of a core, so
it is faster to do all operations on an image in one thread, and those on the next image in another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def for_each(work: Callable[[int], None], count: int) -> None:
    """Call ``work(i)`` once for each i from 0 to count - 1, in any order, in as many threads as torch uses.

    The calls must not write to the same memory. An exception in one of them is raised here.
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        for i in range(count):
            work(i)
        return

    def strided(first: int) -> None:
        for i in range(first, count, threads):
            work(i)

    list(_pool(torch.get_num_threads()).map(strided, range(threads)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Make threads in which torch uses one thread each, so that its own threads do not compete with them."""
    ready = threading.Barrier(threads + 1)

    def use_one_thread() -> None:
        torch.get_num_threads()  # a thread takes over the global number at its first call; only then can it differ
        torch.set_num_threads(1)  # also changes the number for new threads, so it is set back after the barrier
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="convatlas-images", initializer=use_one_thread)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)
    return pool
