"""`LoadWatch`: whether other programs used the machine while something was measured.

The processors' time that is not this process's own was another program's, or the neighbour's of a virtual machine
(proc(5): /proc/stat, whose steal counts as used). Where the system does not count it, the rounds of the measurement
alone tell: on an idle machine they take equally long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.message import Message

SHARE_TAKEN = 0.2  # of one processor; from here on others slow the measurement
SPREAD = 0.5  # the slowest round took half as long again as the fastest
_USED = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal in /proc/stat; guests are in user and nice


@dataclass(frozen=True)
class MachineLoad:
    """What else the machine did.

    Attributes:
        others: mean number of processors that other programs used; None where the system does not count it.
        processors: number of processors of the machine.
        threads: number of threads that were measured.
        spread: how much longer the slowest round took than the fastest: 0.5 is half as long again.
    """

    others: float | None
    processors: int
    threads: int
    spread: float

    @property
    def loaded(self) -> bool:
        """Whether others took processors that the measurement needed, or the rounds differ widely."""
        free = self.processors - (self.others or 0.0)
        return free < min(self.threads, self.processors) - SHARE_TAKEN or self.spread > SPREAD

    @property
    def statement(self) -> Message:
        """One sentence."""
        spread = f"{100 * self.spread:.0f} %"
        if self.others is None:
            return Message(
                "The slowest round of the measurement took {spread} longer than the fastest; this system does not "
                "count what other programs use.",
                spread=spread,
            )
        return Message(
            "Other programs used {others} of {processors} processors meanwhile, and the slowest round took {spread} "
            "longer than the fastest.",
            others=f"{self.others:.1f}",
            processors=self.processors,
            spread=spread,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "loaded": self.loaded,
            "other_programs_processors": self.others,
            "processors": self.processors,
            "threads": self.threads,
            "round_spread": self.spread,
        }


class LoadWatch:
    """Watches from its creation until `ended`."""

    def __init__(self) -> None:
        self._started, self._used, self._own = time.perf_counter(), _used_s(), _own_s()

    def ended(self, rounds: Sequence[Sequence[Sequence[float]]], threads: int) -> MachineLoad:
        """Args:
        rounds: of each candidate the times of its blocks, in the order of the rounds.
        """
        used, seconds = _used_s(), time.perf_counter() - self._started
        others = None
        if used is not None and self._used is not None and seconds > 0:
            others = max(0.0, (used - self._used - (_own_s() - self._own)) / seconds)
        return MachineLoad(others, os.cpu_count() or 1, threads, spread_of(rounds))


def spread_of(rounds: Sequence[Sequence[Sequence[float]]]) -> float:
    """How much longer the slowest round took than the fastest: a round's time is the median over the candidates of its
    block's median, relative to that candidate's median over all rounds."""
    if not rounds or not rounds[0]:
        return 0.0
    medians = np.array(
        [[np.median(block) for block in of_candidate] for of_candidate in rounds]
    )  # (candidates, rounds)
    relative = np.median(medians / np.median(medians, axis=1, keepdims=True), axis=0)
    return float(relative.max() / relative.min() - 1)


def _used_s() -> float | None:
    """Seconds that all processors have worked since the machine was started; None where that is not counted."""
    try:
        counts = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        return sum(int(counts[place]) for place in _USED) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _own_s() -> float:
    """Processor time of this process and of the processes that it has waited for, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
