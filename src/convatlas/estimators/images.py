"""`ImageEstimator`: what the estimators share: reading X, and remembering how its numbers become pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d, validate_data

from convatlas.estimators import inputs
from convatlas.estimators.inputs import PixelRange


class ImageEstimator(BaseEstimator):
    """Base class of the estimators; X is what `CNNClassifier` describes."""

    image_shape: tuple[int, ...] | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def _checked(self, X: Any, y: Any = None, *, reset: bool) -> Any:
        """X as an array of numbers, checked as scikit-learn does; with ``y``, both.

        Args:
            reset: whether this is a fit, which decides the number of features of rows.
        """
        rows = not hasattr(X, "ndim") or X.ndim <= 2 or hasattr(X, "columns")
        if not rows:  # images have no number of features; their size may differ from that of the training images
            X = check_array(X, allow_nd=True, dtype="numeric", estimator=self, input_name="X")
            if reset:
                self.__dict__.pop("n_features_in_", None)
                self.__dict__.pop("feature_names_in_", None)
            if y is None:
                return X
            check_consistent_length(X, y)
            return X, column_or_1d(y, warn=True)
        if y is None:
            return validate_data(self, X, reset=reset, dtype="numeric", allow_nd=True)
        return validate_data(self, X, y, reset=reset, dtype="numeric", allow_nd=True)

    def _learn_pixels(self, X: np.ndarray) -> np.ndarray:
        """Decide how the numbers of X become pixels. Returns them: uint8 (N, H, W, C)."""
        self.image_shape_ = inputs.image_shape_for(X.shape[1], self.image_shape) if X.ndim == 2 else None
        self.pixel_range_ = PixelRange.of(X)
        return self._as_pixels(X)

    def _pixels(self, X: np.ndarray) -> np.ndarray:
        """The numbers of X as pixels, as they were in training: uint8 (N, H, W, C)."""
        if X.ndim == 2 and self.image_shape_ is None:
            raise ValueError("the training images were an array (N, H, W) or paths; X has rows of numbers.")
        return self._as_pixels(X)

    def _as_pixels(self, X: np.ndarray) -> np.ndarray:
        return inputs.as_images(self.pixel_range_.pixels(X), self.image_shape_)

    def _images(self, X: Any) -> Iterator[np.ndarray]:
        """The images of X after a fit, uint8 (H, W, C) each."""
        if inputs.is_folder(X):
            data = inputs.opened(X)
            return (data.read(int(index)) for index in inputs.scored_images(data))
        paths = inputs.paths_of(X)
        if paths is not None:
            files = inputs.PathImages(paths)
            return (files.read(index) for index in range(len(files)))
        return iter(self._pixels(self._checked(X, reset=False)))
