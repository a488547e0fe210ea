"""The learning-rate range test: training updates with a rising learning rate, to see where the loss falls.

Smith, arXiv:1506.01186, section 3.3: raise the learning rate over a few hundred updates and watch the loss. Here it
rises exponentially, so that every power of ten gets the same number of updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from convatlas.batch import Batch
from convatlas.errors import NonFiniteLossError, UsageError
from convatlas.message import Message
from convatlas.training import optim
from convatlas.training.learner import Learner
from convatlas.training.loop import seed_update
from convatlas.training.losses import Loss
from convatlas.training.step import train_step

DIVERGED = 4.0  # times the lowest running mean of the loss
DECAY = 0.9  # of the running mean: it covers about ten updates
RULE = Message("a tenth of the learning rate at which the smoothed loss is lowest")


@dataclass(frozen=True)
class LrRange:
    """The result of a range test.

    Attributes:
        lrs, losses: the learning rate of each update, and the loss before it (mean over its batch).
        smoothed: the losses, each averaged with its neighbours within a twentieth of the range test.
        diverged: the learning rate at which the test stopped because the loss was not finite, or because its running
            mean had risen to ``DIVERGED`` times its lowest value; None if all updates were made.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged: float | None

    @property
    def lowest(self) -> float:
        """The learning rate at which the smoothed loss is lowest."""
        return self.lrs[self.smoothed.index(min(self.smoothed))]

    @property
    def suggestion(self) -> float | None:
        """The learning rate by `RULE`; None if the loss never fell below its first value."""
        return None if self.lowest == self.lrs[0] else self.lowest / 10


def lr_range(
    learner: Learner,
    batches: Iterator[Batch],
    loss_fn: Loss,
    *,
    low: float = 1e-5,
    high: float = 10.0,
    updates: int = 100,
    seed: int = 0,
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    max_grad_norm: float | None = None,
    accumulate: int = 1,
) -> LrRange:
    """Train ``learner`` with a learning rate that rises exponentially from ``low`` to ``high``.

    The network is unusable afterwards, so pass a copy. The callbacks are not called: an average of weights over so many
    learning rates has no meaning.

    Args:
        learner: the learning rate of a parameter group is multiplied by its ``lr_scale``.
        batches: training batches, at least one for each update.

    Raises:
        UsageError: the range is empty, or there are fewer than twenty updates.
        NonFiniteLossError: the loss is nan or inf at the first update.
    """
    if not 0 < low < high or updates < 20:
        raise UsageError(
            "{updates} updates from {low:g} to {high:g}: at least 20 updates are needed, and a range from a rate "
            "above 0 to a higher one.",
            updates=updates,
            low=low,
            high=high,
        )
    sweep = [low * (high / low) ** (update / (updates - 1)) for update in range(updates)]
    lrs: list[float] = []
    losses: list[float] = []
    running, lowest, diverged = 0.0, math.inf, None
    net, optimizer = learner.net.train(), learner.optimizer
    for update, (lr, batch) in enumerate(zip(sweep, islice(batches, updates), strict=True)):
        optim.set_lr(optimizer, lr)
        seed_update(seed, update)
        step = train_step(
            net,
            batch,
            loss_fn,
            optimizer,
            autocast=autocast() if autocast else None,
            max_grad_norm=max_grad_norm,
            accumulate=accumulate,
        )
        loss = float(step.loss)
        running = DECAY * running + (1 - DECAY) * loss
        mean = running / (1 - DECAY ** (update + 1))  # corrected for the 0 it started from
        lowest = min(lowest, mean)
        if not math.isfinite(loss) or mean > DIVERGED * lowest:
            diverged = lr
            break
        lrs.append(lr)
        losses.append(loss)
    if not losses:
        raise NonFiniteLossError(
            "the loss is not finite at the first update, so no learning rate can be suggested. Check the images, or "
            "start from a lower rate."
        )
    return LrRange(tuple(lrs), tuple(losses), smooth(losses, reach=updates // 20), diverged)


def smooth(values: list[float], reach: int) -> tuple[float, ...]:
    """Average each value with up to ``reach`` neighbours on either side, fewer at the ends."""
    return tuple(fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values)))
