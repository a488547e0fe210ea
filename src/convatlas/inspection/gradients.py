"""The norm of the loss's gradient per layer, which shows whether gradients vanish on their way to the first layers.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (AISTATS 2010), section
4.2, compare the gradients of the layers at the start of a training. He et al., arXiv:1502.01852, section 2.2, derive
the initialisation that keeps them from vanishing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.inspection.forward import errors_that_name_the_layer


@dataclass(frozen=True)
class GradientNorms:
    """The gradient of the loss with respect to the weights of each layer, for one batch. Measured.

    Attributes:
        layers: (L,), the layers with weights of two axes or more that the loss depends on, in the order of
            ``named_parameters``.
        norms: (L,), L2 norm of the gradient of the layer's weights.
        weights: (L,), number of weights.
        images: number of images of the batch.
        loss: mean loss of the batch.
    """

    layers: tuple[str, ...]
    norms: np.ndarray
    weights: tuple[int, ...]
    images: int
    loss: float

    @property
    def per_weight(self) -> np.ndarray:
        """(L,), root mean square of the gradient, which does not grow with the size of the layer."""
        return self.norms / np.sqrt(np.array(self.weights))

    def to_dict(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "loss": self.loss,
            "layers": [
                {"layer": layer, "norm": float(norm), "per_weight": float(rms), "weights": weights}
                for layer, norm, rms, weights in zip(
                    self.layers, self.norms, self.per_weight, self.weights, strict=True
                )
            ],
        }


def gradient_norms(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    *,
    seed: int = 0,
) -> GradientNorms:
    """Measure the gradient of the loss per layer, in training mode.

    Args:
        net: any network; a copy of it is used, since batch norm changes its statistics in training mode.
        images: (N, C, H, W), preprocessed for the network.
        targets: (N,) classes, or what ``loss`` takes.
        loss: a function of (logits, targets); auxiliary heads are left out.
        seed: of dropout.

    Raises:
        UsageError: the network has no weights of two axes or more.
        ForwardError: the images do not fit the network.
    """
    copied = copy.deepcopy(net).train()
    weights = {
        path.removesuffix(".weight"): parameter for path, parameter in copied.named_parameters() if parameter.dim() > 1
    }
    if not weights:
        raise UsageError("the network has no layer with weights whose gradient could be measured.")
    for parameter in weights.values():
        parameter.requires_grad_()
    with torch.enable_grad(), torch.random.fork_rng(devices=()), errors_that_name_the_layer(net, images):
        torch.manual_seed(seed)
        outputs = copied(images)
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        value = loss(logits.float(), targets)
        gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
    used = {path: gradient for path, gradient in zip(weights, gradients, strict=True) if gradient is not None}
    norms = np.array([float(gradient.float().norm()) for gradient in used.values()])
    sizes = tuple(gradient.numel() for gradient in used.values())
    return GradientNorms(tuple(used), norms, sizes, len(images), float(value.detach()))
