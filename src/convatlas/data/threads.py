"""Work on one image after the other, by as many threads as torch computes with.

Torch's own threads share one operation on a large tensor. An image of 224 x 224 pixels fits in a core's cache: there
the whole of its treatment is quicker on one core, and the next image's on another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def for_each(work: Callable[[int], None], count: int) -> None:
    """``work(i)`` for i from 0 to count - 1, each once, in any order; what one raises is raised here.

    The threads must not write to the same memory.
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
    """Threads in each of which torch computes alone: teams of teams would get in each other's way."""
    ready = threading.Barrier(threads + 1)

    def alone() -> None:
        torch.get_num_threads()  # takes the number that is everybody's, once for each thread: only then it can differ
        torch.set_num_threads(1)  # this thread's, and that of threads yet to be made: hence the line after the barrier
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="convatlas-images", initializer=alone)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)
    return pool
