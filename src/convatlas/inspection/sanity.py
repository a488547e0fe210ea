"""The randomisation check of Adebayo et al.: whether an attribution depends on the weights.

A map that does not change when the network's weights are randomised shows the image and not what the network has
learned (NeurIPS 2018, arXiv:1810.03292, section 4).
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

UNCHANGED = 0.5  # with a larger rank correlation the map hardly depends on the weights


@dataclass(frozen=True)
class SanityCheck:
    """The similarity of the maps of trained and randomised weights. Measured.

    Attributes:
        method: the attribution method.
        correlations: (N,), Spearman's rank correlation of the two maps of each image.
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
        images: (N, C, H, W), preprocessed for the network.
        method: a function of `convatlas.inspection.attribution`.
        classes: the classes to explain; those the trained network predicts where None.
    """
    trained = method(net, images, classes)
    control = method(randomised(net, seed), images, trained.classes)
    pairs = zip(trained.heat(), control.heat(), strict=True)
    return SanityCheck(trained.method, tuple(_rank_correlation(a, b) for a, b in pairs))


def randomised(net: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in which the values of each weight tensor are in random order."""
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
        return 0.0  # a constant map has no ranks
    return float(np.corrcoef(first, second)[0, 1])
