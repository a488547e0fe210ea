"""The randomisation check of Adebayo et al.: how much an attribution depends on the weights.

A map that does not change when the network's weights are randomised shows the image and not what the network has
learned (NeurIPS 2018, arXiv:1810.03292, section 4). The paper names no limit, and neither does this check: it reports
the rank correlation of the two maps beside that of two maps from independent random weights. ``results/inspection`` has
both for every method, with the correlations of unrelated maps and of an edge detector.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from convatlas.inspection.attribution import Attribution


@dataclass(frozen=True)
class SanityCheck:
    """The similarity of the maps of trained and of randomised weights. Measured.

    Attributes:
        method: the attribution method.
        correlations: (N,), Spearman's rank correlation of each image's map with the map of randomised weights.
        between_random: (N,), that of the maps of two networks with independent random weights.
        control: the attribution of the first network with random weights.
    """

    method: str
    correlations: tuple[float, ...]
    between_random: tuple[float, ...]
    control: Attribution

    @property
    def mean(self) -> float:
        return float(np.mean(self.correlations))

    def to_dict(self) -> dict[str, Any]:
        return {
            "correlation": self.mean,
            "correlations": list(self.correlations),
            "between_random": float(np.mean(self.between_random)),
            "quantity": "Spearman's rank correlation",
        }


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
        net: the trained network; copies of it are randomised.
        images: (N, C, H, W), preprocessed for the network.
        method: a function of `convatlas.inspection.attribution`.
        classes: the classes to explain; those the trained network predicts where None.
        seed: determines all random numbers.
    """
    trained = method(net, images, classes)
    first, second = (method(randomised(net, each), images, trained.classes) for each in (seed, seed + 1))
    return SanityCheck(
        trained.method,
        rank_correlations(trained.heat(), first.heat()),
        rank_correlations(first.heat(), second.heat()),
        first,
    )


def randomised(net: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in which the values of each weight tensor are in random order."""
    copied = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copied.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return copied


def rank_correlations(first: np.ndarray, second: np.ndarray) -> tuple[float, ...]:
    """Spearman's rank correlation of each pair of maps (N, H, W); 0 where a map is constant and has no ranks."""
    return tuple(_rank_correlation(a, b) for a, b in zip(first, second, strict=True))


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    first, second = (rankdata(values.ravel()) for values in (a, b))
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
