"""Callbacks: objects that act at fixed moments of a training and whose state is part of its checkpoints.

The exponential moving average of the weights is a callback, and so are gradual unfreezing and the curvature estimate
before each epoch. `fit` calls `before_epoch`, `after_update`, `epoch_record`, `state` and `evaluation_weights`;
`resume` calls `load`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.message import Message

CallbackState = tuple[dict[str, Tensor], dict[str, Any]]  # a flat dictionary of tensors, and JSON values


class Callback:
    """Base class, whose methods do nothing.

    A resumed run can start in the middle of an epoch, and `before_epoch` is not called again for that epoch. So
    whatever `before_epoch` changes must be in the network, in the optimizer, or in `state`.

    Attributes:
        name: of the state in a checkpoint; no two callbacks of a run share it.
        weights_description: which weights `evaluation_weights` loads; empty where it leaves them as they are.
    """

    name = "callback"
    weights_description = ""

    def before_epoch(self, epoch: int) -> None:
        """Called before the first update of ``epoch``; the network is in training mode."""

    def after_update(self, step: int) -> None:
        """Called after ``step`` updates, counted from 1 over the whole run."""

    def epoch_record(self) -> dict[str, Any]:
        """Return what the journal's line of the epoch that ended has of this callback, as JSON values."""
        return {}

    def state(self) -> CallbackState:
        """Return everything that a resumed run needs. The tensors may be the callback's own; they are not kept."""
        return {}, {}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Restore what `state` returned. Raises CheckpointError where it does not fit."""

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """The context in which the network holds the weights to evaluate and save instead of the trained ones."""
        return contextlib.nullcontext()


@contextlib.contextmanager
def evaluation_weights(callbacks: Sequence[Callback]) -> Iterator[None]:
    """The context in which the network holds the weights to evaluate and save, by every callback in turn.

    Args:
        callbacks: of the training, in their order.
    """
    with ExitStack() as stack:
        for callback in callbacks:
            stack.enter_context(callback.evaluation_weights())
        yield


def describe_weights(callbacks: Sequence[Callback]) -> str:
    """Describe the weights that are evaluated and saved, for the journal.

    Args:
        callbacks: of the training, in their order.
    """
    return "; ".join(each.weights_description for each in callbacks if each.weights_description) or "as trained"


class WeightAverage(Callback):
    """Exponential moving average of the weights: a <- d a + (1 - d) w after every update.

    Polyak and Juditsky (1992) average the weights over the updates. The exponential form, with d = min(decay,
    (1 + n) / (10 + n)) after n updates so that a short run soon forgets its random start, is TensorFlow's, with which
    Inception-v3 was evaluated (arXiv:1512.00567, section 8).

    Running statistics and other floating-point buffers are averaged like weights; integer buffers are copied.

    Args:
        decay: d, between 0 and 1. The average covers about the last 1 / (1 - d) updates.
        net: the network that is trained.
    """

    name = "ema"

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay = net, decay
        self.weights_description = Message("moving average of the weights, decay {decay:g}", decay=decay)
        tensors = net.state_dict()  # shares the storage of the network, so it follows the training
        self.average = {name: tensor.clone() for name, tensor in tensors.items()}
        floating = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
        self._weights = [tensors[name] for name in floating]
        self._averages = [self.average[name] for name in floating]
        self._counters = [(self.average[name], tensors[name]) for name in tensors if name not in floating]

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for copy, counter in self._counters:
            copy.copy_(counter)

    def state(self) -> CallbackState:
        return self.average, {}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        for name, tensor in self.average.items():
            tensor.copy_(tensors[name])

    @contextlib.contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        trained = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        try:
            yield
        finally:
            self.net.load_state_dict(trained)
