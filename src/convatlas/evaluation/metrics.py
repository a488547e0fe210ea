"""Metrics of logits and labels: accuracy, intervals, confusion, scores per class, calibration. NumPy only.

Legend: N images, K classes. ``logits`` is (N, K), ``labels`` and ``predictions`` are (N,) integers; each can be an
array or a torch tensor on the CPU. Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Interval(NamedTuple):
    """The bounds of a confidence interval of a proportion, between 0 and 1.

    Attributes:
        low: the lower end.
        high: the upper end.
    """

    low: float
    high: float


# --- hits ------------------------------------------------------------------------------------------------------------


def ranks(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Rank of the true class: how many classes have a higher logit. (N,); 0 means a correct prediction.

    Of equal logits the class with the lower index comes first, as in ``argmax``, so that rank 0 is equivalent to
    ``predictions == labels``. A row with nan has rank K, which is not a hit for any k.

    Args:
        logits: (N, K) float.
    """
    scores = np.asarray(logits, dtype=np.float64)  # (N, K)
    truth = np.asarray(labels, dtype=np.int64)
    classes = np.arange(scores.shape[1])
    true_score = np.take_along_axis(scores, truth[:, None], axis=1)  # (N, 1)
    before = (scores > true_score) | ((scores == true_score) & (classes < truth[:, None]))
    return np.where(np.isnan(scores).any(axis=1), scores.shape[1], before.sum(axis=1))


def topk_hits(logits: ArrayLike, labels: ArrayLike, k: int = 1) -> NDArray[np.bool_]:
    """Whether the true class is among the k highest logits: (N,).

    Args:
        logits: (N, K) float.
        labels: (N,) indices of classes.
        k: number of most probable classes among which the label must be.
    """
    return ranks(logits, labels) < k


# --- intervals -------------------------------------------------------------------------------------------------------


def wilson(hits: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, from ``hits`` out of ``n`` independent trials.

        centre = (p + z²/2n) / (1 + z²/n)        half = z/(1 + z²/n) * sqrt(p(1-p)/n + z²/4n²)

    Unlike p ± 1.96 sqrt(p(1-p)/n) it stays within 0 and 1, and its width is positive also for 0 and n hits. ``hits``
    and ``n`` may be fractional, for a mean over several runs. For n = 0 the interval is 0 to 1.

    Args:
        confidence: level of the interval.

    Source: Wilson, JASA 22 (1927) 209-212; Brown, Cai and DasGupta, Statistical Science 16 (2001) 101-133, eq. 4.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = hits / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # for 0 and n hits the exact bound is 0 or 1; rounding must not move it past p
    return Interval(min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


# --- confusion matrix and metrics per class --------------------------------------------------------------------------


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """(K, K) counts: row = true class, column = predicted class.

    Args:
        labels: (N,) indices of classes.
        predictions: (N,) indices of classes.
        num_classes: K.
    """
    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    return np.bincount(truth * num_classes + guess, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class ClassScore:
    """Metrics of one class, with 95 % intervals: ``n`` images have the class, for ``predicted`` images it is predicted.

    A metric without any trial is None: the precision of a class that is never predicted, the recall of a class without
    images.

    Attributes:
        name: of the class.
        precision: share of the images labelled so that are of the class.
        precision_ci95: its 95 % interval.
        recall: share of the images of the class that are labelled so.
        recall_ci95: its 95 % interval.
        f1: harmonic mean of precision and recall.
        f1_ci95: its 95 % interval.
    """

    name: str
    n: int
    predicted: int
    precision: float | None
    precision_ci95: Interval
    recall: float | None
    recall_ci95: Interval
    f1: float | None
    f1_ci95: Interval

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.name,
            "n": self.n,
            "predicted": self.predicted,
            "precision": self.precision,
            "precision_ci95": list(self.precision_ci95),
            "recall": self.recall,
            "recall_ci95": list(self.recall_ci95),
            "f1": self.f1,
            "f1_ci95": list(self.f1_ci95),
        }


def per_class(confusion: ArrayLike, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class (one versus rest).

    Args:
        confusion: (K, K) int64: rows are the true classes, columns the predicted ones.
        classes: class names, in the order of the outputs.
    """
    matrix = np.asarray(confusion, dtype=np.int64)
    return tuple(
        _class_score(name, int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum()))
        for k, name in enumerate(classes)
    )


def _class_score(name: str, hits: int, n: int, predicted: int) -> ClassScore:
    union = n + predicted - hits  # images that have the class, are predicted to have it, or both
    return ClassScore(
        name=name,
        n=n,
        predicted=predicted,
        precision=hits / predicted if predicted else None,
        precision_ci95=wilson(hits, predicted),
        recall=hits / n if n else None,
        recall_ci95=wilson(hits, n),
        f1=2 * hits / (n + predicted) if union else None,
        f1_ci95=_f1_interval(hits, union),
    )


def _f1_interval(hits: int, union: int) -> Interval:
    """Interval of F1 = 2J / (1 + J), where J = hits / union is the Jaccard index.

    Each image is a true positive, a false negative or a false positive of the class, or a true negative. Given the
    number of the first three together, the true positives are binomial with proportion J. F1 increases with J, so the
    bounds of Wilson's interval of J give the bounds of F1.
    """
    low, high = wilson(hits, union)
    return Interval(2 * low / (1 + low), 2 * high / (1 + high))


def most_confused(confusion: ArrayLike, classes: Sequence[str], limit: int = 5) -> list[tuple[str, str, int]]:
    """The most frequent mistakes as (true, predicted, count), the most frequent first.

    Args:
        confusion: (K, K) int64: rows are the true classes, columns the predicted ones.
        classes: class names, in the order of the outputs.
        limit: number of pairs, the most frequent first.
    """
    matrix = np.array(confusion, dtype=np.int64)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:limit]
    pairs = (np.unravel_index(place, matrix.shape) for place in order)
    return [(classes[i], classes[j], int(matrix[i, j])) for i, j in pairs if matrix[i, j]]


# --- probabilities ---------------------------------------------------------------------------------------------------


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """(N, K) log-probabilities, in nats."""
    scores = np.asarray(logits, dtype=np.float64)
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def probabilities(logits: ArrayLike) -> NDArray[np.float64]:
    """(N, K), each row adds up to one.

    Args:
        logits: (N, K) float.
    """
    return np.exp(log_softmax(logits))


def mean_nll(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log likelihood of the true class, in nats: the cross-entropy of training, without smoothing.

    Args:
        logits: (N, K) float.
        labels: (N,) indices of classes.
    """
    truth = np.asarray(labels, dtype=np.int64)
    return float(-np.take_along_axis(log_softmax(logits), truth[:, None], axis=1).mean())


class ReliabilityBin(NamedTuple):
    """The images whose confidence is in one bin: their mean confidence and their accuracy.

    Attributes:
        low: lower end of the confidences.
        high: their upper end.
        n: images in the bin.
        accuracy: share of correct images.
    """

    low: float
    high: float
    n: int
    confidence: float  # mean, nan in an empty bin
    accuracy: float


def reliability(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> list[ReliabilityBin]:
    """Mean confidence and accuracy in ``bins`` bins of equal width, (low, high] each.

    Args:
        logits: (N, K) float.
        labels: (N,) indices of classes.

    Source: Guo, Pleiss, Sun and Weinberger, ICML 2017 (arXiv:1706.04599), section 2, eq. 1 and Figure 1.
    """
    confidence = probabilities(logits).max(axis=1)
    right = topk_hits(logits, labels, 1)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows = []
    for b in range(bins):
        inside = place == b
        n = int(inside.sum())
        mean = (float(confidence[inside].mean()), float(right[inside].mean())) if n else (math.nan, math.nan)
        rows.append(ReliabilityBin(float(edges[b]), float(edges[b + 1]), n, *mean))
    return rows


def expected_calibration_error(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Mean difference between confidence and accuracy over the bins, weighted by their number of images.

    Args:
        logits: (N, K) float.
        labels: (N,) indices of classes.
        bins: number of bins of equal width.

    Source: Guo et al. (as above), eq. 3; 15 bins as in their Table 1. With few images the estimate is biased upwards.
    """
    rows = [row for row in reliability(logits, labels, bins) if row.n]
    return sum(row.n * abs(row.accuracy - row.confidence) for row in rows) / sum(row.n for row in rows)
