"""A linear support vector machine on hand-made features, whose C is chosen on the validation set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convatlas.baselines.features import EXTRACTORS, Extractor, extracted, need_skimage, side_for
from convatlas.errors import UnknownNameError

CS = (1e-4, 1e-3, 1e-2)  # tried on the validation set, on standardised features
ITERATIONS = 1000


@dataclass(frozen=True)
class FittedBaseline:
    """Features and a linear classifier on standardised values.

    Attributes:
        mean, scale: (F,) of the training features.
        weight: (K, F); bias: (K,).
        c: the chosen inverse strength of the regularisation.
        val_top1: by which it was chosen; None without a validation set.
        name: of the features.
        extractor: computes the features of an image.
        bias: (K,) of the classifier.
    """

    name: str
    extractor: Extractor
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    c: float
    val_top1: float | None

    def logits(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N, K) decision values; they are no log-probabilities, only their order counts."""
        return self.scores(extracted(self.extractor, images))

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K) decision values of features (N, F)."""
        scores = ((features - self.mean) / self.scale) @ self.weight.T + self.bias
        return np.asarray(scores, dtype=np.float32)

    @property
    def params(self) -> int:
        """Numbers that were learned: weights and biases, and the visual words of SIFT."""
        centres = getattr(self.extractor, "centres", None)
        return self.weight.size + self.bias.size + (0 if centres is None else centres.size)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything that a file of this baseline has to hold."""
        centres = getattr(self.extractor, "centres", None)
        kept = {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": self.bias}
        return kept if centres is None else {**kept, "centres": centres}


@dataclass(frozen=True)
class Baseline:
    """A baseline before it is fitted. The same images and seed give the same result.

    Attributes:
        name: one of `BASELINES`.
        seed: of the samples that the visual words are learned from.
    """

    name: str
    seed: int = 0

    def fit(
        self,
        images: Sequence[NDArray[np.uint8]],
        labels: NDArray[np.int64],
        classes: int,
        validation: tuple[Sequence[NDArray[np.uint8]], NDArray[np.int64]] | None = None,
    ) -> FittedBaseline:
        """Fit the features and the classifier.

        Args:
            images: of the training set, uint8 (H, W, C) of any size.
            labels: (N,) from 0 to classes - 1.
            validation: images and labels that choose C; without them C is 0.01.

        Raises:
            MissingDependencyError: scikit-image is not installed.
            UsageError: no feature can be computed.
        """
        need_skimage()
        extractor = EXTRACTORS[self.name](side_for(images)).fit(images, self.seed)
        features = extracted(extractor, images)
        if validation is None:
            return self._fitted(extractor, features, labels, classes, 1e-2)
        held_out, held_labels = extracted(extractor, validation[0]), validation[1]
        best: FittedBaseline | None = None
        for c in CS:
            fitted = self._fitted(extractor, features, labels, classes, c)
            top1 = float((fitted.scores(held_out).argmax(axis=1) == held_labels).mean())
            if best is None or best.val_top1 is None or top1 > best.val_top1:
                best = replace(fitted, val_top1=top1)
        assert best is not None
        return best

    def _fitted(
        self, extractor: Extractor, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int, c: float
    ) -> FittedBaseline:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
        classifier = LinearSVC(C=c, tol=1e-3, dual="auto", random_state=self.seed, max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a large C may not converge; the validation decides
            classifier.fit((features - mean) / scale, labels)
        weight = np.zeros((classes, features.shape[1]), dtype=np.float32)
        bias = np.full(classes, -1e9, dtype=np.float32)  # a class without training images is never chosen
        seen = classifier.classes_
        if len(seen) == 2:  # one row for both: the sign decides
            weight[seen[1]], bias[seen[1]] = classifier.coef_[0], classifier.intercept_[0]
            weight[seen[0]], bias[seen[0]] = -classifier.coef_[0], -classifier.intercept_[0]
        else:
            weight[seen], bias[seen] = classifier.coef_, classifier.intercept_
        return FittedBaseline(self.name, extractor, mean, scale, weight, bias, c, None)


def baseline(name: str, seed: int = 0) -> Baseline:
    """A baseline by name.

    Args:
        name: one of `BASELINES`.
        seed: of the samples that the visual words are learned from.

    Raises:
        UnknownNameError: no such baseline.
    """
    if name not in EXTRACTORS:
        raise UnknownNameError("baseline", name, EXTRACTORS)
    return Baseline(name, seed)
