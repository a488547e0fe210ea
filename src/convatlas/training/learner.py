"""`Learner`: what a training changes, and what a checkpoint therefore holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from convatlas.training.callback import Callback


@dataclass(frozen=True)
class Learner:
    """A network, the optimizer of its parameters, and the callbacks of its training.

    Attributes:
        compiled: the compiled form of ``net``, which shares its parameters; None where nothing is compiled.
        optimizer: of the parameters of ``net``.
        callbacks: called at fixed moments of the training.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    callbacks: Sequence[Callback] = ()
    compiled: nn.Module | None = None

    @property
    def module(self) -> nn.Module:
        """The module that the updates call."""
        return self.net if self.compiled is None else self.compiled
