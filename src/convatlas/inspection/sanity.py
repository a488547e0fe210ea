"""Does an attribution depend on the weights? The randomisation check of Adebayo et al.

A map that stays the same when the network's weights are replaced by random ones shows the image, not the reasons of the
network (NeurIPS 2018, arXiv:1810.03292, section 4).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from convatlas.inspection.attribution import Attribution

UNCHANGED = 0.5  # a rank correlation above this means that the map hardly depends on the weights


@dataclass(frozen=True)
class SanityCheck:
    """How alike the maps of trained and randomised weights are. Measured.

    Attributes:
        method: the attribution method.
        correlations: (N,), the rank correlation (Spearman) of each image's two maps.
    """

    method: str
    correlations: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.correlations))

    @property
    def passed(self) -> bool:
        """Whether the map changes with the weights."""
        return self.mean <= UNCHANGED


def randomisation_check(
    net: nn.Module,
    images: Tensor,
    method: Callable[..., Attribution],
    classes: Sequence[int] | None = None,
    *,
    seed: int = 0,
) -> SanityCheck:
    """Compare a method's maps with those of the same network with random weights in every layer.

    Args:
        net: the trained network; a copy is randomised.
        images: (N, C, H, W), prepared for the network.
        method: a function of `convatlas.inspection.attribution`.
        classes: the classes to explain; those the trained network predicts where None.
    """
    trained = method(net, images, classes)
    control = method(randomised(net, seed), images, trained.classes)
    pairs = zip(trained.heat(), control.heat(), strict=True)
    return SanityCheck(trained.method, tuple(_rank_correlation(a, b) for a, b in pairs))


def randomised(net: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose weights are permuted within each tensor: same shapes, same values, no order left."""
    copied = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copied.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return copied


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    first, second = (rankdata(values.ravel()) for values in (a, b))
    if first.std() == 0 or second.std() == 0:
        return 0.0  # a map without differences has no order to compare
    return float(np.corrcoef(first, second)[0, 1])
