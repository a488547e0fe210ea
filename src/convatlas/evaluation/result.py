"""`Evaluation`: the logits of a network for N images, and the metrics computed from them. NumPy only, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convatlas import tables, units
from convatlas.errors import DataError, TrainingError, UsageError
from convatlas.evaluation import metrics
from convatlas.evaluation.metrics import ClassScore, Interval
from convatlas.i18n import _

TOP5_CLASSES = 6  # with five classes or fewer every top-5 accuracy is 100 %
MATRIX_UP_TO = 100  # largest number of classes whose confusion matrix is written to JSON


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The logits of a network for N images, and the metrics computed from them. Measured.

    Args:
        classes: K names, in the order of the logits.
        labels: (N,) true classes.
        logits: (N, K) float32; for a protocol with several views, the logarithm of the mean probability.
        protocol: name of the protocol.
        names: N names of images (files, or "index 17"), or empty.
        run, data, part: the run, the data set, and the set ("train", "val", "test" or "all"), if known.
        notes: sentences on what limits the result, such as images that the network was trained on.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    protocol: str
    names: tuple[str, ...] = ()
    run: str | None = None
    data: str | None = None
    part: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """(N,) predicted classes."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true class."""
        return metrics.topk_hits(self.logits, self.labels, 1)

    @property
    def top1(self) -> float:
        """Fraction of images whose predicted class is the true class."""
        return float(self.hits.mean())

    @property
    def top5(self) -> float | None:
        """Fraction of images whose true class is among the five highest logits; None with fewer than six classes."""
        if len(self.classes) < TOP5_CLASSES:
            return None
        return float(metrics.topk_hits(self.logits, self.labels, 5).mean())

    @property
    def ci95(self) -> Interval:
        """Wilson's 95 % interval of ``top1``. It covers the choice of the test images, not the seed of the training."""
        return metrics.wilson(int(self.hits.sum()), self.n)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) counts: row = true class, column = predicted class."""
        return metrics.confusion_matrix(self.labels, self.predictions, len(self.classes))

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """Precision, recall and F1 of every class, with intervals."""
        return metrics.per_class(self.confusion, self.classes)

    @property
    def most_confused(self) -> list[tuple[str, str, int]]:
        """The five most frequent mistakes: (true, predicted, count)."""
        return metrics.most_confused(self.confusion, self.classes)

    @property
    def nll(self) -> float:
        """Mean negative log likelihood, in nats."""
        return metrics.mean_nll(self.logits, self.labels)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, 15 bins."""
        return metrics.expected_calibration_error(self.logits, self.labels)

    def surest_mistakes(self, limit: int = 12) -> list[tuple[int, int, int, float]]:
        """The mistakes with the highest confidence.

        Returns: (index, true class, predicted class, confidence), the highest confidence first.
        """
        confidence = metrics.probabilities(self.logits).max(axis=1)
        wrong = np.flatnonzero(~self.hits)
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        return [(int(i), int(self.labels[i]), int(self.predictions[i]), float(confidence[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``convatlas evaluate``.

        ``mistakes`` lists all mistakes as (true, predicted, count), the most frequent first. ``confusion`` is the
        confusion matrix for up to 100 classes; with more classes it is None, because nearly all entries would be 0.
        """
        return {
            "run": self.run,
            "data": self.data,
            "part": self.part,
            "protocol": self.protocol,
            "n": self.n,
            "top1": self.top1,
            "top5": self.top5,
            "ci95": list(self.ci95),
            "nll": self.nll,
            "calibration_error": self.calibration_error,
            "classes": list(self.classes),
            "per_class": [score.to_dict() for score in self.per_class],
            "mistakes": [list(mistake) for mistake in metrics.most_confused(self.confusion, self.classes, self.n)],
            "confusion": self.confusion.tolist() if len(self.classes) <= MATRIX_UP_TO else None,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"Evaluation(top1={self.top1:.4f}, n={self.n}, classes={len(self.classes)}, protocol={self.protocol!r})"

    def headline(self) -> str:
        """Accuracy, interval, images and protocol in a line, in the language in use."""
        return _(
            "top-1 {top1} (95 % interval {interval}, {n} images, protocol {protocol})",
            top1=units.percent(self.top1),
            interval=units.interval(*self.ci95),
            n=self.n,
            protocol=self.protocol,
        )

    def __str__(self) -> str:
        return f"{self.headline()}\n\n{tables.text(_class_columns(), self._class_rows())}"

    def _repr_html_(self) -> str:
        """The accuracies of the classes, for a notebook."""
        return tables.html(_class_columns(), self._class_rows(), title=self.headline())

    def _class_rows(self) -> list[tuple[str, ...]]:
        def share(value: float | None) -> str:
            return "n/a" if value is None else units.percent(value, 1)

        return [
            (each.name, units.exact(each.n), share(each.recall), share(each.precision), share(each.f1))
            for each in self.per_class
        ]


def _class_columns() -> tuple[tables.Column, ...]:
    numbers = (_("images"), _("recall"), _("precision"), "F1")
    return (tables.Column(_("class")), *(tables.Column(heading, number=True) for heading in numbers))


def check_result(result: Evaluation) -> None:
    """Raise UsageError, DataError or TrainingError for names, labels or logits that cannot be those of the images."""
    if result.names and len(result.names) != result.n:
        raise UsageError(
            "there are {names} names for {n} images. Pass one name per image, or none.",
            names=len(result.names),
            n=result.n,
        )
    outside = np.flatnonzero((result.labels < 0) | (result.labels >= len(result.classes)))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            "image {first} has label {label}, but the {classes} classes have labels 0 to {last}. "
            "Evaluate the network on data with the classes that it was trained on.",
            label=int(result.labels[first]),
            first=first,
            classes=len(result.classes),
            last=len(result.classes) - 1,
        )
    bad = np.flatnonzero(~np.isfinite(result.logits).all(axis=1))
    if len(bad):
        raise TrainingError(
            "the network's logits are not finite for {bad} of {n} images "
            "(the first is image {first}): its weights have diverged. Train again with a lower learning rate.",
            bad=len(bad),
            n=result.n,
            first=int(bad[0]),
        )
