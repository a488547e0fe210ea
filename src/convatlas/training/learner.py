"""`Learner`: what a training moves, and what a checkpoint therefore holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from convatlas.training.callback import Callback


@dataclass(frozen=True)
class Learner:
    """A network, the optimizer of its parameters, and what goes along with them.

    Attributes:
        called: what the updates call, where that is not ``net`` itself: a compiled form of it.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    callbacks: Sequence[Callback] = ()
    called: nn.Module | None = None

    @property
    def in_updates(self) -> nn.Module:
        return self.net if self.called is None else self.called
