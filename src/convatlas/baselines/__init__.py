"""Hand-made features and a linear classifier: what a learned network has to beat.

    fitted = baseline("hog").fit(images, labels, classes=10)
    fitted.logits(images)        # (N, 10)

Images are uint8 arrays (H, W, C) of any size. Needs scikit-image:  pip install 'convatlas[features]'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.baselines.classifier import Baseline, FittedBaseline, baseline
    from convatlas.baselines.names import BASELINES, is_baseline
else:
    __getattr__ = resolver(__name__)

__all__ = ["BASELINES", "Baseline", "FittedBaseline", "baseline", "is_baseline"]
