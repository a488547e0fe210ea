"""An upper limit for the root mean square of each convolution filter."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.errors import RecipeError
from convatlas.training.callback import Callback


class FilterRadius(Callback):
    """Scale each convolution filter whose root mean square exceeds ``radius`` back to it, after every update.

    Zeiler and Fergus, arXiv:1311.2901, section 3.1: "crucial, especially in the first layer of the model", where a few
    filters would otherwise dominate. Their radius is 0.1. Frozen filters are not changed.

    Raises:
        RecipeError: the network has no convolutions.
    """

    name = "filter-radius"

    def __init__(self, net: nn.Module, radius: float) -> None:
        self.radius = radius
        self.filters = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)]
        if not self.filters:
            raise RecipeError(
                "filter_rms = {radius:g}: this network has no convolutions; leave the setting out.",
                radius=radius,
            )

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        for filters in self.filters:  # (K, C, R, S)
            if filters.requires_grad:
                rms = filters.square().mean((1, 2, 3), keepdim=True).sqrt()
                filters.mul_((self.radius / rms).clamp(max=1))
