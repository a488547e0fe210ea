"""Process images in parallel, one thread per image, with as many threads as torch uses.

Torch's own threads split one operation on a large tensor. An image of 224 x 224 pixels fits in the cache of a core, so
processing each image entirely on one core is faster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def for_each(work: Callable[[int], None], count: int) -> None:
    """Call ``work(i)`` once for every i from 0 to count - 1, in any order; an exception is raised again here.

    Calls run in parallel and must not write to the same memory.
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
    """Threads in which torch uses one thread each; nested thread teams would slow each other down."""
    ready = threading.Barrier(threads + 1)

    def use_one_thread() -> None:
        torch.get_num_threads()  # must come first, or the number could not differ between threads
        torch.set_num_threads(1)  # also sets the default of new threads, hence the line after the barrier
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="convatlas-images", initializer=use_one_thread)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)
    return pool
