"""Regularisers that live inside a network: settings of its modules, of which evaluation sees nothing.

Both draw from torch's generator, which the loop seeds by (seed, update). Modules are known by what they have, not by
their class: ``drop_rate`` where dropout is of their own making, ``survival`` where a residual branch can be left out.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from convatlas.errors import RecipeError


def set_dropout(net: nn.Module, rate: float) -> None:
    """Every dropout of ``net`` drops with probability ``rate``.

    Raises:
        RecipeError: it has none.
    """
    found = 0
    modules: list[Any] = list(net.modules())
    for module in modules:
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = rate
            found += 1
        elif hasattr(module, "drop_rate"):
            module.drop_rate = rate
            found += 1
    if not found:
        raise RecipeError(
            "dropout = {rate:g}: this network has no dropout anywhere; leave the setting out.",
            rate=rate,
        )


def set_stochastic_depth(net: nn.Module, rate: float) -> None:
    """Residual branch l of L is left out of an update with probability rate * l / L.

    Huang, Sun, Liu, Sedra and Weinberger, arXiv:1603.09382, section 3: survival falls linearly from 1 to
    1 - ``rate``, 0.5 there; all images of an update lose the same branches, which saves their time. A branch that is
    kept is divided by its survival, where the paper multiplies by it in the test: the same function, and evaluation
    need not know.

    Raises:
        RecipeError: the network has no residual branches that can be left out.
    """
    blocks: list[Any] = [module for module in net.modules() if hasattr(module, "survival")]
    branches = [block for block in blocks if block.branch_end is not None]
    if not branches:
        raise RecipeError(
            "stochastic_depth = {rate:g}: it is written for residual networks (resnet*, not plain*).",
            rate=rate,
        )
    for number, branch in enumerate(branches, start=1):
        branch.survival = 1 - rate * number / len(branches)
