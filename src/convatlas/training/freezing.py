"""Freezing the first parts of a network, and unfreezing them one after the other.

A frozen part has no gradients, and the backward pass ends at the last frozen part. The batch norms of a frozen part use
their running statistics and do not update them, as in evaluation: its weights were trained for these statistics and no
longer adapt to others (Keras does the same for ``trainable = False``). Dropout stays active.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from convatlas.training.callback import Callback, CallbackState


class Freezing(Callback):
    """Keep the first ``count`` parts of a network frozen; unfreeze one after every ``unfreeze_every`` epochs.

    Gradual unfreezing: Howard and Ruder, arXiv:1801.06146, section 3.3. The frozen parts are a function of the epoch.

    Args:
        parts: the modules of each part, from the input to the head.
        count: number of frozen parts in the first epoch.
        unfreeze_every: epochs until the next part, the one nearest to the head, is unfrozen; 0 unfreezes none.
    """

    name = "freezing"

    def __init__(self, parts: Sequence[Sequence[nn.Module]], count: int, unfreeze_every: int = 0) -> None:
        self.parts, self.count, self.unfreeze_every = parts, count, unfreeze_every
        self._hooks: list[RemovableHandle] = []
        self.freeze(count)

    def frozen(self, epoch: int) -> int:
        """Return the number of frozen parts in an epoch."""
        return max(0, self.count - epoch // self.unfreeze_every) if self.unfreeze_every else self.count

    def freeze(self, count: int) -> None:
        """Freeze the first ``count`` parts and unfreeze all others."""
        self.now = count
        for handle in self._hooks:
            handle.remove()
        self._hooks = []
        for number, part in enumerate(self.parts):
            for module in part:
                module.requires_grad_(number >= count)
                for norm in module.modules():
                    if isinstance(norm, _BatchNorm):
                        norm.train(norm.training or number >= count)
                        if number < count:
                            self._hooks.append(norm.register_forward_pre_hook(as_in_evaluation))

    def before_epoch(self, epoch: int) -> None:
        if self.frozen(epoch) != self.now:
            self.freeze(self.frozen(epoch))

    def state(self) -> CallbackState:
        return {}, {"frozen": self.now}

    def load(self, tensors: Any, scalars: dict[str, Any]) -> None:
        self.freeze(scalars["frozen"])


def as_in_evaluation(norm: nn.Module, inputs: Any) -> None:
    """A forward pre-hook that puts a batch norm into evaluation mode, also after `Module.train` was called."""
    norm.training = False
