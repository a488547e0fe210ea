"""Optimizers, and which parameters are decayed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from convatlas.errors import RecipeError


def parameter_groups(net: nn.Module, weight_decay: float, decay_all: bool = False) -> list[dict[str, Any]]:
    """Decay what multiplies, not what shifts or normalises.

    Parameters of one dimension or none (biases, norm scales and shifts, PReLU slopes, subsampling coefficients) go
    without weight decay unless ``decay_all``, which is what the papers before 2018 did.
    """
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if decay_all or weight_decay == 0:
        return [{"params": trainable, "weight_decay": weight_decay}]
    decayed = [parameter for parameter in trainable if parameter.ndim > 1]
    rest = [parameter for parameter in trainable if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def build(
    name: str, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float = 0.9, nesterov: bool = False
) -> torch.optim.Optimizer:
    """The optimizer called ``name`` over ``groups``.

    Raises:
        RecipeError: an unknown name.
    """
    groups = list(groups)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, foreach=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), foreach=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, momentum=momentum, alpha=0.9, eps=1.0, foreach=True)
    raise RecipeError(f"optimizer {name!r} is not known. Known: sgd, adamw, rmsprop.")


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
