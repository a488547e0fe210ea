"""Lookahead: after every few updates the weights are replaced by a slow moving average of themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.errors import CheckpointError
from convatlas.training.callback import Callback, CallbackState


class Lookahead(Callback):
    """After every ``every`` updates: slow <- d slow + (1 - d) fast, then fast <- slow.

    Zhang, Lucas, Hinton and Ba, arXiv:1907.08610, use a constant d. Here d = 0.95^5 (n / N)^3 after n of N updates, as
    Jordan does (arXiv:2404.00498, section 3.4): no averaging at the beginning, a long average at the end. The run ends
    with the slow weights. Running statistics are averaged like weights.

    Args:
        net: the network that is trained.
        updates: updates of the whole training.
    """

    name = "lookahead"

    def __init__(self, net: nn.Module, every: int, updates: int) -> None:
        self.every, self.updates = every, updates
        tensors = {name: tensor for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
        self.slow = {name: tensor.clone() for name, tensor in tensors.items()}
        self._fast, self._slow = list(tensors.values()), list(self.slow.values())

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        if step % self.every and step != self.updates:
            return
        if step != self.updates:
            torch._foreach_lerp_(self._slow, self._fast, 1 - 0.95**5 * (step / self.updates) ** 3)
        torch._foreach_copy_(self._fast, self._slow)

    def state(self) -> CallbackState:
        return self.slow, {}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, object]) -> None:
        if tensors.keys() != self.slow.keys():
            raise CheckpointError("the checkpoint's slow weights are of another network.")
        for name, tensor in self.slow.items():
            tensor.copy_(tensors[name])
