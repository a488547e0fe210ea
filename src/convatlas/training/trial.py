"""Trials: a few measured updates of a network in each update mode, to choose the fastest on this machine.

`hardware.choose` predicts from the instruction set which mode is fast. Whether that is true for the layers of one
network can only be measured. The timings are stored for the machine, so that each mode is measured once. The chosen
mode goes into the ``config.toml`` of a run, and a resumed run takes it from there.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.atomic import atomic_file
from convatlas.message import Message, system_reason

WARM_UP, TIMED = 2, 5  # updates of each mode; the first build operators and touch memory, the median is of the others
SHARE = 0.02  # of a run, at most, that a trial may cost
CLEARLY_FASTER = 1.05  # speed-up that another mode needs to be preferred to the predicted one
COMPILER_S = 30.0  # seconds of compiling that are assumed before it was measured: 3 to 40 s for the networks here
REPAID = 2.0  # compiling must save this many times its own time


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
    """The measured time of an update in one mode."""

    mode: UpdateMode
    update_s: float  # median, seconds
    compile_s: float = 0.0  # before the first update, seconds

    def describe(self, batch_size: int) -> str:
        return Message(
            "{mode}: {rate:,.0f} images/s after {compile_s:.0f} s of compiling"
            if self.compile_s
            else "{mode}: {rate:,.0f} images/s",
            mode=self.mode,
            rate=batch_size / self.update_s,
            compile_s=self.compile_s,
        )


Update = Callable[[], Tensor]  # makes one update and returns its loss; reading the loss waits for the device


def update_modes(precision: Iterable[str], channels_last: Iterable[bool]) -> list[UpdateMode]:
    """Return every combination. The predicted one, the first of each, comes first."""
    return [UpdateMode(each, layout) for each in precision for layout in channels_last]


def worth_a_trial(modes: int, updates: int) -> bool:
    """Whether a trial of so many modes costs at most `SHARE` of a run of ``updates`` updates."""
    return modes > 1 and modes * (WARM_UP + TIMED) <= SHARE * updates


def worth_compiling_a_trial(eager: Timing, updates: int) -> bool:
    """Whether the run is so long that compiling for a trial costs at most `SHARE` of it."""
    return eager.update_s * updates * SHARE >= COMPILER_S


def measure(modes: Sequence[UpdateMode], prepare: Callable[[UpdateMode], Update]) -> list[Timing]:
    """Measure the median update of each mode, one mode after the other.

    A mode that takes more than twice as long as the fastest so far is timed in its warm-up only.

    Args:
        prepare: returns the update of a mode, on a network of its own. It is released before the next mode.
    """
    timings: list[Timing] = []
    for mode in modes:
        clock = time.perf_counter()
        update = prepare(mode)
        seconds = time_updates(update, WARM_UP)
        compile_s = time.perf_counter() - clock - seconds[-1] * WARM_UP if mode.compiled else 0.0
        if not timings or seconds[-1] < 2 * min(timing.update_s for timing in timings):
            seconds = time_updates(update, TIMED)
        timings.append(Timing(mode, statistics.median(seconds), max(0.0, compile_s)))
    return timings


def time_updates(update: Update, count: int) -> list[float]:
    """Make ``count`` updates and return the seconds of each, until the device has finished it."""
    seconds = []
    for _ in range(count):
        clock = time.perf_counter()
        float(update())
        seconds.append(time.perf_counter() - clock)
    return seconds


def fastest(timings: Sequence[Timing]) -> Timing:
    """Return the first timing, unless another mode is clearly faster, by more than noise."""
    best = min(timings, key=lambda timing: timing.update_s)
    return best if best.update_s * CLEARLY_FASTER < timings[0].update_s else timings[0]


def repays(compiled: Timing, eager: Timing, updates: int) -> bool:
    """Whether compiling saves `REPAID` times what it costs, over so many updates."""
    return (eager.update_s - compiled.update_s) * updates >= REPAID * compiled.compile_s


class Records:
    """The trials of this machine, in one JSON file of the cache folder.

    The file is written atomically. A damaged file is ignored, with a note, and replaced. No run depends on it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "speed-trials.json"
        self.notes: list[str] = []

    def get(self, key: str) -> list[Timing]:
        """Return the timings under ``key``; an empty list if there are none."""
        with contextlib.suppress(KeyError):
            return [_timing(record) for record in self._content()[key]]
        return []

    def put(self, key: str, timings: Sequence[Timing]) -> None:
        """Store ``timings``. If the folder cannot be written, a note says so, and the next run measures again."""
        records = [
            {**asdict(timing.mode), "update_s": timing.update_s, "compile_s": timing.compile_s} for timing in timings
        ]
        content = json.dumps({"schema": 1, "trials": {**self._content(), key: records}}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.path) as file:
                file.write(content.encode())
        except OSError as error:
            self.notes.append(
                Message(
                    "the trial could not be stored in {path}: {reason}", path=self.path, reason=system_reason(error)
                )
            )

    def _content(self) -> dict[str, list[dict[str, Any]]]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            trials = document["trials"] if document["schema"] == 1 else {}
            return {key: records for key, records in trials.items() if all(_timing(record) for record in records)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self.notes.append(Message("{path} is damaged; it is ignored and replaced", path=self.path))
            return {}


def _timing(record: Mapping[str, Any]) -> Timing:
    """Read a record. Raises LookupError, TypeError or ValueError where it is not one."""
    mode = UpdateMode(str(record["precision"]), bool(record["channels_last"]), bool(record["compiled"]))
    if mode.precision not in ("bf16", "fp32") or not float(record["update_s"]) > 0:
        raise ValueError(record)
    return Timing(mode, float(record["update_s"]), float(record["compile_s"]))
