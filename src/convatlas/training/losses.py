"""Losses: functions of (logits, labels) -> one number, the mean over the batch, in nats."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Multinomial logistic regression, the loss of every paper here after 1998.

    Label smoothing puts ``label_smoothing`` of the target evenly over all classes (Szegedy et al.,
    arXiv:1512.00567, section 7).
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:  # (N, K) float32, (N,) int64
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    return loss


def map_1998(j: float = 0.1) -> Loss:
    """The discriminative criterion of LeNet-5 (LeCun et al. 1998, equation 9).

    With y_k the penalty of class k (the squared distance to its code, here ``-logits``), the mean over patterns of
    ``y_label + log(exp(-j) + sum_k exp(-y_k))``: the right class is pulled in, all others are pushed away, and the
    constant j, the penalty of a rubbish class, keeps classes from being pushed when they are already far. The paper
    does not state the value of j; 0.1 is assumed, as in later reimplementations.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        rubbish = logits.new_full((len(logits), 1), -j)
        competitors = torch.logsumexp(torch.cat((logits, rubbish), dim=1), dim=1)
        right = logits.gather(1, labels[:, None]).squeeze(1)
        return (competitors - right).mean()

    return loss
