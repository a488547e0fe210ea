"""Regularisers inside a network: dropout and stochastic depth. They have no effect in evaluation.

Both draw from torch's generator, which the loop seeds by (seed, update). Modules are recognised by an attribute, not by
their class: ``drop_rate`` where a module applies dropout itself, ``survival`` where a residual branch can be left out.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from convatlas.errors import RecipeError


def set_dropout(net: nn.Module, rate: float) -> None:
    """Set the probability of every dropout in ``net``.

    Raises:
        RecipeError: the network has no dropout.
    """
    changed = 0
    modules: list[Any] = list(net.modules())
    for module in modules:
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = rate
            changed += 1
        elif hasattr(module, "drop_rate"):
            module.drop_rate = rate
            changed += 1
    if not changed:
        raise RecipeError(
            "dropout = {rate:g}: this network has no dropout; leave the setting out.",
            rate=rate,
        )


def set_stochastic_depth(net: nn.Module, rate: float) -> None:
    """Leave residual branch l of L out of an update with probability rate * l / L.

    Huang, Sun, Liu, Sedra and Weinberger, arXiv:1603.09382, section 3: the probability of survival falls linearly from
    1 to 1 - ``rate``, which is 0.5 in the paper. All images of an update skip the same branches, which saves time. The
    output of a branch is divided by its survival probability in training, where the paper multiplies by it in the test.
    Both give the same function, and this way evaluation needs no change.

    Raises:
        RecipeError: the network has no residual branches that can be left out.
    """
    blocks: list[Any] = [module for module in net.modules() if hasattr(module, "survival")]
    branches = [block for block in blocks if block.branch_end is not None]
    if not branches:
        raise RecipeError(
            "stochastic_depth = {rate:g}: this network has no residual branches. Choose a residual network "
            "(resnet*), or leave the setting out.",
            rate=rate,
        )
    for number, branch in enumerate(branches, start=1):
        branch.survival = 1 - rate * number / len(branches)
