"""A short measured trial: a few real updates of this network at this batch size, in each way they could be computed.

What a processor is fast at can be guessed from its instruction set, and the guess is `hardware.choose`'s. Whether it
holds for the layers of one network only the clock can say; what it said is kept for the machine, so that the question
is asked once. The answer goes into a run's ``config.toml``: a resumed run asks nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.message import Message, of_system

WARM_UP, TIMED = 2, 5  # updates of each way: primitives are built and memory is touched, then the median is taken
SHARE = 0.02  # of a run, at most, that a trial may cost
CLEARLY = 1.05  # so many times as fast must a way be to be preferred to what the instruction set suggests
COMPILER_S = 30.0  # what compiling costs before it was measured: 3 to 40 s for the networks here
REPAID = 2.0  # compiling must save so many times its own time


@dataclass(frozen=True)
class UpdateMode:
    """How an update is computed."""

    precision: str  # "bf16" (autocast) or "fp32"
    channels_last: bool
    compiled: bool = False

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.precision}, {layout}{', compiled' if self.compiled else ''}"


@dataclass(frozen=True)
class Timing:
    """What a way took. Measured."""

    way: UpdateMode
    update_s: float  # median, seconds
    compile_s: float = 0.0  # before the first update, seconds

    def line(self, batch_size: int) -> str:
        return Message(
            "{way}: {rate:,.0f} images/s after {compile_s:.0f} s of compiling"
            if self.compile_s
            else "{way}: {rate:,.0f} images/s",
            way=self.way,
            rate=batch_size / self.update_s,
            compile_s=self.compile_s,
        )


Update = Callable[[], Tensor]  # makes one update and gives its loss: who reads it has waited for the device


def update_modes(precision: Iterable[str], channels_last: Iterable[bool]) -> list[UpdateMode]:
    """Every combination, the first of each, which the instruction set suggests, in front."""
    return [UpdateMode(each, layout) for each in precision for layout in channels_last]


def worth_a_trial(count: int, updates: int) -> bool:
    """Whether trying ``count`` update_modes costs no more than `SHARE` of a run of so many updates."""
    return count > 1 and count * (WARM_UP + TIMED) <= SHARE * updates


def worth_compiling_a_trial(eager: Timing, updates: int) -> bool:
    """Whether the run is so long that compiling, even in vain, costs no more than `SHARE` of it."""
    return eager.update_s * updates * SHARE >= COMPILER_S


def measure(tried: Sequence[UpdateMode], prepare: Callable[[UpdateMode], Update]) -> list[Timing]:
    """The median update of each way, one way after the other.

    A way that takes more than twice as long as the best so far is given up after its warm-up.

    Args:
        prepare: gives the update of a way, on a network of its own; what it holds is let go before the next.
    """
    found: list[Timing] = []
    for way in tried:
        clock = time.perf_counter()
        update = prepare(way)
        seconds = [_timed(update) for _ in range(WARM_UP)]
        compile_s = time.perf_counter() - clock - seconds[-1] * WARM_UP if way.compiled else 0.0
        if not found or seconds[-1] < 2 * min(timing.update_s for timing in found):
            seconds = [_timed(update) for _ in range(TIMED)]
        found.append(Timing(way, statistics.median(seconds[-TIMED:]), max(0.0, compile_s)))
    return found


def _timed(update: Update) -> float:
    clock = time.perf_counter()
    float(update())
    return time.perf_counter() - clock


def fastest(found: Sequence[Timing]) -> Timing:
    """The first, unless another is clearly faster: noise must not choose."""
    best = min(found, key=lambda timing: timing.update_s)
    return best if best.update_s * CLEARLY < found[0].update_s else found[0]


def repays(compiled: Timing, eager: Timing, updates: int) -> bool:
    """Whether compiling saves `REPAID` times what it costs, over so many updates."""
    return (eager.update_s - compiled.update_s) * updates >= REPAID * compiled.compile_s


class Records:
    """Trials of this machine, in one JSON file of the cache folder.

    Written whole or not at all; a damaged file is passed over, with a note, and written anew. No run depends on it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "speed-trials.json"
        self.notes: list[str] = []

    def get(self, key: str) -> list[Timing]:
        """What was measured under ``key``; nothing where nothing was."""
        with contextlib.suppress(KeyError):
            return [_timing(record) for record in self._content()[key]]
        return []

    def put(self, key: str, found: Sequence[Timing]) -> None:
        """Keep ``found``; where the folder cannot be written a note says so, and the next run measures again."""
        records = [{**vars(timing.way), "update_s": timing.update_s, "compile_s": timing.compile_s} for timing in found]
        content = {**self._content(), key: records}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"schema": 1, "trials": content}, indent=1), encoding="utf-8")
            os.replace(temporary, self.path)
        except OSError as error:
            self.notes.append(
                Message("the trial could not be kept in {path}: {reason}", path=self.path, reason=of_system(error))
            )
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _content(self) -> dict[str, list[dict[str, Any]]]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            trials = document["trials"] if document["schema"] == 1 else {}
            return {key: records for key, records in trials.items() if all(_timing(record) for record in records)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self.notes.append(Message("{path} is damaged and was passed over; it is written anew", path=self.path))
            return {}


def _timing(record: Mapping[str, Any]) -> Timing:
    """Raises LookupError, TypeError or ValueError for what is no record."""
    way = UpdateMode(str(record["precision"]), bool(record["channels_last"]), bool(record["compiled"]))
    if way.precision not in ("bf16", "fp32") or not float(record["update_s"]) > 0:
        raise ValueError(record)
    return Timing(way, float(record["update_s"]), float(record["compile_s"]))
