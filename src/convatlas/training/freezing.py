"""Parts of a network that hold still while the rest is trained, and thaw one after the other.

A frozen part computes no gradients, and where all before it is frozen too the backward pass ends above it. Its batch
norms keep the statistics they have and use them, as in evaluation: statistics of a few new images, under weights that
no longer follow them, would spoil what the weights were trained for (Keras does the same for ``trainable = False``).
Dropout in it stays dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from convatlas.training.callback import Callback, Packed


class Freezing(Callback):
    """The first ``count`` parts of a network frozen, one fewer after every ``thaw_every`` epochs.

    Gradual unfreezing: Howard and Ruder, arXiv:1801.06146, section 3.3. What is frozen is a function of the epoch.

    Args:
        parts: the modules of each part, from the images to the head.
        count: how many of the parts are frozen in the first epoch.
        thaw_every: epochs between two parts' thawing, that nearest to the head first; 0: none ever thaws.
    """

    name = "freezing"

    def __init__(self, parts: Sequence[Sequence[nn.Module]], count: int, thaw_every: int = 0) -> None:
        self.parts, self.count, self.thaw_every = parts, count, thaw_every
        self._held: list[RemovableHandle] = []
        self.freeze(count)

    def frozen(self, epoch: int) -> int:
        """How many parts are frozen in an epoch."""
        return max(0, self.count - epoch // self.thaw_every) if self.thaw_every else self.count

    def freeze(self, count: int) -> None:
        """Freeze the first ``count`` parts, thaw all others."""
        self.now = count
        for handle in self._held:
            handle.remove()
        self._held = []
        for number, part in enumerate(self.parts):
            for module in part:
                module.requires_grad_(number >= count)
                for norm in module.modules():
                    if isinstance(norm, _BatchNorm):
                        norm.train(norm.training or number >= count)
                        if number < count:
                            self._held.append(norm.register_forward_pre_hook(as_in_evaluation))

    def before_epoch(self, epoch: int) -> None:
        if self.frozen(epoch) != self.now:
            self.freeze(self.frozen(epoch))

    def state(self) -> Packed:
        return {}, {"frozen": self.now}

    def load(self, tensors: Any, scalars: dict[str, Any]) -> None:
        self.freeze(scalars["frozen"])


def as_in_evaluation(norm: nn.Module, inputs: Any) -> None:
    """A pre-hook: whatever `Module.train` has set on the way, this layer keeps its statistics and uses them."""
    norm.training = False
