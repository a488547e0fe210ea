"""The penultimate features of images: a plane by PCA or t-SNE, and the nearest neighbours of an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.inspection.forward import ForwardPass


@dataclass(frozen=True)
class Features:
    """The features that the classifier of a network reads. Measured.

    Attributes:
        layer: the last row of ``convatlas show`` before the classifier.
        values: (N, D) float32; of a map, its mean over the positions.
    """

    layer: str
    values: np.ndarray


@dataclass(frozen=True)
class Plane:
    """Features in two dimensions.

    Attributes:
        method: "pca" or "t-sne".
        points: (N, 2).
        explained: (2,), of PCA the share of the variance along each axis.
    """

    method: str
    points: np.ndarray
    explained: tuple[float, ...] = ()


def features(net: nn.Module, batches: Iterable[Tensor]) -> Features:
    """The penultimate features of images, in one pass.

    Args:
        net: any network; it is not changed.
        batches: preprocessed images, (N, C, H, W) each.

    Raises:
        UsageError: there are no batches, or the network has no convolution or fully connected layer.
    """
    values, layer = [], ""
    for images in batches:
        forward = ForwardPass(net, images)
        layer = forward.penultimate_row()
        output = forward.output(layer)
        values.append((output.mean(dim=(2, 3)) if output.dim() == 4 else output.flatten(start_dim=1)).float().cpu())
    if not values:
        raise UsageError("an embedding needs at least one batch of images.")
    return Features(layer, torch.cat(values).numpy())


def pca(values: np.ndarray) -> Plane:
    """The two directions of the largest variance.

    Args:
        values: (N, D), N at least 2.
    """
    from sklearn.decomposition import PCA

    _enough(values, 2)
    model = PCA(2, svd_solver="full")
    points = model.fit_transform(values.astype(np.float64))
    return Plane("pca", points, tuple(float(share) for share in model.explained_variance_ratio_))


def t_sne(values: np.ndarray, *, perplexity: float = 30.0, seed: int = 0) -> Plane:
    """t-SNE from the plane of PCA. Van der Maaten and Hinton, JMLR 9 (2008). Distances between groups mean little.

    Args:
        values: (N, D), N at least 4.
        perplexity: about the number of neighbours of a point; at most a third of the points.
    """
    from sklearn.manifold import TSNE

    _enough(values, 4)
    model = TSNE(2, init="pca", perplexity=min(perplexity, (len(values) - 1) / 3), random_state=seed)
    return Plane("t-sne", np.asarray(model.fit_transform(values)))


def neighbours(values: np.ndarray, query: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of ``values`` (N, D) for each row of ``query`` (Q, D).

    Returns:
        Their indices (Q, count), the nearest first, and their cosine similarities (Q, count).
    """
    similar = _unit(query) @ _unit(values).T
    order = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similar, order, axis=1)


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1))


def _enough(values: np.ndarray, least: int) -> None:
    if len(values) < least:
        raise UsageError("an embedding needs at least {least} images; got {count}.", least=least, count=len(values))
