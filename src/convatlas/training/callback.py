"""Callbacks: what lives beside network and optimizer, is told how the run goes, and is checkpointed with them.

An average of the weights is one; so are a network that thaws stage by stage, or a rule that estimates something before
each pass. `fit` knows only the four moments below.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.message import Message

Packed = tuple[dict[str, Tensor], dict[str, Any]]  # flat tensors, and what JSON can hold


class Callback:
    """Base: hears everything and does nothing.

    A resumed run may enter an epoch in its middle, where `before_epoch` is not called again: whatever that did must be
    in the network, the optimizer or `state`. Two callbacks of a run have different names.
    """

    name = "callback"
    judges = ""  # what the weights it puts in place are, in words; empty where it leaves them alone

    def before_epoch(self, epoch: int) -> None:
        """The first update of ``epoch`` comes next; the network is in training mode."""

    def after_update(self, step: int) -> None:
        """``step`` updates have been made, counted from 1 over the whole run."""

    def state(self) -> Packed:
        """All that it must remember; tensors may be its own, they are not kept."""
        return {}, {}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Be again as when `state` gave this. Raises CheckpointError where it does not fit."""

    def judged(self) -> AbstractContextManager[None]:
        """While it is open, the network holds the weights to be validated and kept; then the trained ones again."""
        return contextlib.nullcontext()


@contextlib.contextmanager
def judged(callbacks: Sequence[Callback]) -> Iterator[None]:
    """The weights to be judged in place, by every callback in turn."""
    with ExitStack() as stack:
        for callback in callbacks:
            stack.enter_context(callback.judged())
        yield


def described(callbacks: Sequence[Callback]) -> str:
    """What the judged weights are, for header and journal."""
    return "; ".join(callback.judges for callback in callbacks if callback.judges) or "as trained"


class WeightAverage(Callback):
    """Exponential moving average of the weights: a <- d a + (1 - d) w after every update.

    Polyak and Juditsky (1992) average the path of the weights; the exponential form with d rising as
    min(decay, (1 + n) / (10 + n)) over the updates n, so that a short run is not held at its random start, is
    TensorFlow's, with which Inception-v3 was evaluated (arXiv:1512.00567, section 8).

    Running statistics and other floating-point buffers are averaged like weights; counters are copied.

    Args:
        decay: d, between 0 and 1: about 1 / (1 - d) updates are remembered.
    """

    name = "ema"

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay = net, decay
        self.judges = Message("moving average of the weights, decay {decay:g}", decay=decay)
        tensors = net.state_dict()  # the network's own storage, whatever is written there later
        self.average = {name: tensor.clone() for name, tensor in tensors.items()}
        floating = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
        self._weights = [tensors[name] for name in floating]
        self._averages = [self.average[name] for name in floating]
        self._counters = [(self.average[name], tensors[name]) for name in tensors if name not in floating]

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for mine, tensor in self._counters:
            mine.copy_(tensor)

    def state(self) -> Packed:
        return self.average, {}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        for name, tensor in self.average.items():
            tensor.copy_(tensors[name])

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        trained = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        try:
            yield
        finally:
            self.net.load_state_dict(trained)
