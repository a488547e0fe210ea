"""Losses: functions of (outputs, targets) that return the mean over the batch; those of classifiers in nats.

Every mean is over images, also with class weights. So the loss of a batch is the mean of the losses of its parts,
weighted by their number of images, as gradient accumulation and training in several processes need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
    """Multinomial logistic regression, the loss of every paper here after 1998.

    Label smoothing puts ``label_smoothing`` of the target evenly over all classes (Szegedy et al.,
    arXiv:1512.00567, section 7).

    Args:
        weights: (K,) factor on the loss of the images of each class, see `class_weights`.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:  # (N, K) float32; (N,) int64 or (N, K) probabilities
        if weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return F.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=label_smoothing) / len(logits)

    return loss


def focal(gamma: float = 2.0, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
    """Focal loss: cross-entropy with each term multiplied by (1 - p)^gamma, which is small for well-classified images.

    Lin, Goyal, Girshick, He and Dollar, arXiv:1708.02002, section 3: FL(p) = -w (1 - p)^gamma log p, with gamma 2. With
    gamma 0 it is the cross-entropy. With mixed labels the term of each class is weighted by its share.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:  # (N, K) float32; (N,) int64 or (N, K) probabilities
        classes = logits.shape[1]
        shares = F.one_hot(labels, classes).to(logits) if labels.ndim == 1 else labels
        shares = shares * (1 - label_smoothing) + label_smoothing / classes
        log_p = logits.log_softmax(dim=1)
        terms = shares * (1 - log_p.exp()) ** gamma * log_p
        if weights is not None:
            terms = terms * weights
        return -terms.sum() / len(logits)

    return loss


def class_weights(method: str, counts: Sequence[int], beta: float = 0.999) -> Tensor:
    """Return the loss weight of each class, (K,) float32; its mean over the training images is 1.

    ``inverse``: N / (K n_k), so that all classes have the same total weight. ``effective``: inversely proportional to
    the effective number of images, (1 - beta^n_k) / (1 - beta), which grows ever more slowly with n_k (Cui, Jia, Lin,
    Song and Belongie, arXiv:1901.05555, section 3; beta is one of their four values). A class without images gets 0.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    effective = n if method == "inverse" else (1 - beta**n) / (1 - beta)
    weights = torch.where(n > 0, 1 / effective, 0.0)
    return (weights * n.sum() / (weights * n).sum()).float()


def mean_squared_error() -> Loss:
    """The loss of a reconstruction: the mean over all pixels of (output - image)^2.

    On pixels of mean 0 and standard deviation 1 it is the unexplained share of the variance: 1 for the mean image.
    """
    return F.mse_loss


def map_1998(j: float = 0.1) -> Loss:
    """The discriminative criterion of LeNet-5 (LeCun et al. 1998, equation 9).

    With y_k the penalty of class k (the squared distance to its code, here ``-logits``), the mean over patterns of
    ``y_label + log(exp(-j) + sum_k exp(-y_k))``. It lowers the penalty of the right class and raises those of all
    others; the constant j, the penalty of a rubbish class, stops it from raising penalties that are already large. The
    paper does not state the value of j; 0.1 is assumed, as in later reimplementations.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        rubbish = logits.new_full((len(logits), 1), -j)
        competitors = torch.logsumexp(torch.cat((logits, rubbish), dim=1), dim=1)
        right = logits.gather(1, labels[:, None]).squeeze(1)
        return (competitors - right).mean()

    return loss
