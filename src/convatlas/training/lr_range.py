"""The learning-rate range test: one sweep over all learning rates, and where the loss falls.

Smith, arXiv:1506.01186, section 3.3: let the learning rate rise over a few hundred updates and watch. Here it rises
exponentially, so that every power of ten gets as many updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from torch import Tensor

from convatlas.errors import NonFiniteLossError, UsageError
from convatlas.message import Message
from convatlas.training import optim
from convatlas.training.learner import Learner
from convatlas.training.loop import seed_update
from convatlas.training.losses import Loss
from convatlas.training.step import train_step

DIVERGED = 4.0  # times the lowest running loss
MEMORY = 0.9  # of the running loss: about ten updates
RULE = Message("a tenth of the learning rate at which the smoothed loss is lowest")


@dataclass(frozen=True)
class LrRange:
    """What a sweep saw.

    Attributes:
        lrs, losses: one of each for every update, the loss before it (mean over its batch).
        smoothed: the losses, each averaged with its neighbours within a twentieth of the sweep.
        diverged: the learning rate at which the sweep ended because the loss was not finite, or its running mean had
            risen to ``DIVERGED`` times its lowest; None where it went to its end.
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
        """By `RULE`; None where the loss never fell below its beginning."""
        return None if self.lowest == self.lrs[0] else self.lowest / 10


def lr_range(
    learner: Learner,
    batches: Iterator[tuple[Tensor, Tensor]],
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
    """Train ``learner`` from ``low`` to ``high``, exponentially; it is spent afterwards, so give a copy.

    Its callbacks are not told: an average of weights at ever other rates would say nothing.

    Args:
        learner: the ``lr_scale`` of its optimizer's groups counts.
        batches: as many as there are updates, at least; training batches as the run would see them.

    Raises:
        UsageError: no range, or fewer than twenty updates.
        NonFiniteLossError: the loss is nan or inf before anything was learnt.
    """
    if not 0 < low < high or updates < 20:
        raise UsageError(
            "{updates} updates from {low:g} to {high:g}: at least 20, from a low rate above 0 to a higher.",
            updates=updates,
            low=low,
            high=high,
        )
    sweep = [low * (high / low) ** (update / (updates - 1)) for update in range(updates)]
    lrs: list[float] = []
    losses: list[float] = []
    running, lowest, diverged = 0.0, math.inf, None
    net, optimizer = learner.net.train(), learner.optimizer
    for update, (lr, (images, labels)) in enumerate(zip(sweep, islice(batches, updates), strict=True)):
        optim.set_lr(optimizer, lr)
        seed_update(seed, update)
        context = autocast() if autocast else None
        loss = float(train_step(net, images, labels, loss_fn, optimizer, context, max_grad_norm, accumulate).loss)
        running = MEMORY * running + (1 - MEMORY) * loss
        mean = running / (1 - MEMORY ** (update + 1))  # without the zero it began with
        lowest = min(lowest, mean)
        if not math.isfinite(loss) or mean > DIVERGED * lowest:
            diverged = lr
            break
        lrs.append(lr)
        losses.append(loss)
    if not losses:
        raise NonFiniteLossError("the loss is not finite at the first update: no learning rate can be judged.")
    return LrRange(tuple(lrs), tuple(losses), smooth(losses, reach=updates // 20), diverged)


def smooth(values: list[float], reach: int) -> tuple[float, ...]:
    """Each value averaged with up to ``reach`` neighbours on either side, fewer at the ends."""
    return tuple(fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values)))
