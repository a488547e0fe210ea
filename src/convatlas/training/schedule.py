"""Learning-rate schedules: functions of the progress of a run, so that they can be plotted and tested alone.

A schedule returns the factor on the recipe's ``lr`` for each update. It depends on the number of the update, the
updates of an epoch and of the whole run, so a resumed run needs no schedule state. Only the plateau rule of the 2012 to
2015 papers also depends on the validation scores so far, which are part of the state of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from convatlas.errors import RecipeError


class Progress(NamedTuple):  # made in every update, and a tuple takes half the time of a frozen dataclass
    """The progress of a run before an update; the first update has ``step`` 0."""

    step: int
    steps_per_epoch: int
    total_steps: int
    scores: Sequence[float] = ()  # of the validation after each finished epoch, larger is better

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch

    @property
    def share(self) -> float:
        """The finished share of the run, between 0 and 1."""
        return self.step / max(1, self.total_steps)


Schedule = Callable[[Progress], float]


def constant() -> Schedule:
    return lambda progress: 1.0


def one_cycle(rise: float = 0.25, start: float = 0.1, end: float = 0.0) -> Schedule:
    """Linear from ``start`` up to 1 over the first ``rise`` of the run, then linear down to ``end`` (triangular)."""

    def factor(progress: Progress) -> float:
        if progress.share < rise:
            return start + (1 - start) * progress.share / rise
        return 1 + (end - 1) * (progress.share - rise) / (1 - rise)

    return factor


def cosine(warmup: float = 0.0) -> Schedule:
    """Half a cosine from 1 to 0 after a linear warm-up over the share ``warmup`` of the run."""

    def factor(progress: Progress) -> float:
        if progress.share < warmup:
            # a warm-up shorter than one update has no effect
            return min(1.0, (progress.share + 1 / max(1, progress.total_steps)) / warmup)
        return 0.5 * (1 + math.cos(math.pi * (progress.share - warmup) / (1 - warmup)))

    return factor


def multistep(shares: Sequence[float], gamma: float = 0.1) -> Schedule:
    """Times ``gamma`` at each of ``shares`` of the run: 32k and 48k of 64k updates are (0.5, 0.75)."""
    return lambda progress: gamma ** sum(progress.share >= share for share in shares)


def per_pass(factors: Sequence[float]) -> Schedule:
    """A factor for each epoch, as in LeNet-5's list of 20; the last one applies to all later epochs."""
    return lambda progress: factors[min(progress.epoch, len(factors) - 1)]


def exponential(gamma: float, every_epochs: float) -> Schedule:
    """Times ``gamma`` every ``every_epochs`` epochs: GoogLeNet's 4 % every 8 epochs is (0.96, 8)."""
    return lambda progress: gamma ** (progress.epoch // every_epochs)


def plateau(gamma: float = 0.1, patience: int = 5, times: int = 3) -> Schedule:
    """Times ``gamma`` when the validation score has not risen for ``patience`` epochs, at most ``times`` times.

    The papers divided the learning rate by ten by hand "when the validation error stopped improving" (AlexNet section
    5, VGG section 3.1). They give no rule; this one is our reading.
    """

    def factor(progress: Progress) -> float:
        drops, best, stalled = 0, -math.inf, 0
        for score in progress.scores:
            if score > best:
                best, stalled = score, 0
            else:
                stalled += 1
            if stalled >= patience and drops < times:
                drops, stalled = drops + 1, 0
        return gamma**drops

    return factor


def warmed_up(schedule: Schedule, epochs: float, factor: float) -> Schedule:
    """``factor`` for the first ``epochs`` epochs, then ``schedule``: the 110-layer ResNet's 0.01 before 0.1."""
    return lambda progress: factor if progress.step < epochs * progress.steps_per_epoch else schedule(progress)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "one-cycle": one_cycle,
    "cosine": cosine,
    "multistep": multistep,
    "per-pass": per_pass,
    "exponential": exponential,
    "plateau": plateau,
}


def by_name(name: str, **settings: object) -> Schedule:
    """Return the schedule called ``name`` with its settings.

    Raises:
        RecipeError: the schedule does not have these settings.
    """
    try:
        return SCHEDULES[name](**settings)
    except TypeError as error:
        raise RecipeError(
            "schedule {name!r} does not take {parameters}: {error}",
            settings=("schedule", "schedule_settings"),
            name=name,
            parameters=settings,
            error=error,
        ) from error
