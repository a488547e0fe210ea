"""Estimators of scikit-learn: `CNNClassifier` trains a network, `CNNFeatures` computes the features of one.

from convatlas import CNNClassifier
classifier = CNNClassifier("lenet5@modern", random_state=0).fit(images, labels)
classifier.predict_proba(more_images)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.estimators.classifier import CNNClassifier
    from convatlas.estimators.features import CNNFeatures
    from convatlas.estimators.inputs import PixelRange
else:
    __getattr__ = resolver(__name__)

__all__ = ["CNNClassifier", "CNNFeatures", "PixelRange"]
