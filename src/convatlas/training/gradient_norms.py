"""The norm of the gradient of each layer's weights, recorded for the journal at each epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convatlas.training.callback import Callback, CallbackState


class GradientNorms(Callback):
    """Records the L2 norm of the gradient of each layer's weights: its mean over the updates of an epoch.

    A layer is a parameter with two axes or more, such as the kernels of a convolution. Gradients are those that the
    optimizer used, after clipping. The weights are not changed.
    """

    name = "gradient-norms"

    def __init__(self, net: nn.Module) -> None:
        self.weights = {
            path.removesuffix(".weight"): parameter for path, parameter in net.named_parameters() if parameter.dim() > 1
        }
        device = next((parameter.device for parameter in self.weights.values()), torch.device("cpu"))
        self.sums = torch.zeros(len(self.weights), dtype=torch.float64, device=device)
        self.updates = 0

    def before_epoch(self, epoch: int) -> None:
        self.sums.zero_()
        self.updates = 0

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        gradients = [
            torch.zeros((), device=weight.device) if weight.grad is None else weight.grad
            for weight in self.weights.values()
        ]
        if gradients:
            self.sums += torch.stack(torch._foreach_norm(gradients)).double()
        self.updates += 1

    def epoch_record(self) -> dict[str, Any]:
        if not self.updates:
            return {}
        means = (self.sums / self.updates).tolist()
        finite = [mean if abs(mean) < float("inf") else None for mean in means]
        return {"gradient_norms": dict(zip(self.weights, finite, strict=True))}

    def state(self) -> CallbackState:
        return {"sums": self.sums}, {"updates": self.updates}

    def load(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        self.sums.copy_(tensors["sums"])
        self.updates = int(scalars["updates"])
