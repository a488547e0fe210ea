"""The limits of a contract, per precision, and why they are these.

They were chosen from what correct conversions of networks with real weights gave: in fp32 the largest difference was
2.3e-5 of logits up to 63, and no label changed in 20,950 images; fp16 weights gave an rms difference of 0.7e-3 to
1.0e-3 of the standard deviation of the logits, bf16 7e-3 to 8e-3. In int8 the logits of correct files
differ by up to 15, so its limit is one of accuracy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What an exported file is held to. A limit that is None does not apply.

    Attributes:
        largest: largest difference of a logit, in standard deviations of the logits.
        noise: the same, in multiples of the network's own float32 rounding noise; the larger of both counts.
        rms: root mean square difference of the logits, in standard deviations of the logits.
        labels: "near ties": a label may differ only where the two likeliest logits are closer than twice the largest
            difference; "no significant loss": the paired loss of accuracy is not significant; "points": the upper 95 %
            bound of the paired loss of accuracy is at most ``points``.
        points: percentage points.
        levels: largest difference of a prepared pixel, of 255.
    """

    largest: float | None
    noise: float | None
    rms: float | None
    labels: str
    points: float | None = None
    levels: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


LIMITS = {
    "fp32": Limits(largest=1e-4, noise=20, rms=None, labels="near ties"),
    "fp16": Limits(largest=None, noise=None, rms=3e-3, labels="no significant loss"),
    "bf16": Limits(largest=None, noise=None, rms=2e-2, labels="no significant loss"),
    "int8": Limits(largest=None, noise=None, rms=None, labels="points", points=1.0),
}
PROBABILITY = 1e-5  # largest difference between the file's probabilities and the softmax of its logits
NORMALISED = 1e-5  # of a normalised pixel, relative to 1
BATCHES = (1, 2, 5)
# a batch may be computed in another order than single images: rounding, in standard deviations of the logits
BATCH_DIFFERENCE = {"fp32": 1e-4, "fp16": 1e-4, "bf16": 2e-2, "int8": 1e-1}
OPENVINO_BICUBIC_LEVELS = 2  # OpenVINO computes bicubic weights in float32
