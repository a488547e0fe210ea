"""Timing for the benchmarks: the sides of a comparison take turns, and the median over the rounds is reported.

Taking turns means that a machine that is busy for a while slows all sides alike, and not only the one that is running.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

Value = TypeVar("Value")
Key = TypeVar("Key")
Clock = Callable[[], float]


def timed(call: Callable[[], Value], device: str = "cpu", clock: Clock = time.perf_counter) -> tuple[Value, float]:
    """The result of one call and the seconds that it took, until the device has finished."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = clock()
    result = call()
    if on_gpu:
        torch.cuda.synchronize(device)
    return result, clock() - started


def seconds(call: Callable[[], object], device: str = "cpu", clock: Clock = time.perf_counter) -> float:
    """The seconds that one call takes, until the device has finished."""
    return timed(call, device, clock)[1]


def interleaved(
    sides: Mapping[Key, Callable[[int], Value]], rounds: int, warm_up_rounds: int = 0
) -> dict[Key, list[Value]]:
    """Call every side once per round, in the order of the mapping.

    Args:
        sides: name -> function of the round's number (from 0, warm-up included) that returns a measured value.
        rounds: number of rounds whose values are kept.
        warm_up_rounds: number of rounds before those, whose values are dropped.

    Returns: name -> the values, one per round.
    """
    values: dict[Key, list[Value]] = {name: [] for name in sides}
    for number in range(warm_up_rounds + rounds):
        for name, measure in sides.items():
            value = measure(number)
            if number >= warm_up_rounds:
                values[name].append(value)
    return values


def medians(values: Mapping[Key, list[float]]) -> dict[Key, float]:
    """The median over the rounds of each side."""
    return {name: statistics.median(of_rounds) for name, of_rounds in values.items()}


def interleaved_seconds(
    calls: Mapping[Key, Callable[[], object]], rounds: int, warm_up_rounds: int = 1
) -> dict[Key, float]:
    """Median seconds of each call, the calls taking turns."""
    sides = {name: lambda _, call=call: seconds(call) for name, call in calls.items()}
    return medians(interleaved(sides, rounds, warm_up_rounds))


def fastest_seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of several calls: an estimate of what the machine can do when nothing disturbs it."""
    return min(seconds(call) for _ in range(repeats))
