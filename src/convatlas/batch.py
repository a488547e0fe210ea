"""`Batch`: what the data loaders yield, and what an update of the training reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Share(NamedTuple):
    """The part of a global batch that one rank of a process group computes. The default is the whole batch.

    Attributes:
        weight: factor on the mean loss of these images. It makes the average of the ranks' gradients the gradient of
            the mean over the global batch.
        counted: False where another rank computes the same images and counts them.
        fewest_rows: images of the rank that has the fewest of them; None for a single process.
    """

    weight: float = 1.0
    counted: bool = True
    fewest_rows: int | None = None


WHOLE = Share()


class Batch(NamedTuple):
    """Images and targets of one update: ``for images, targets, share in batches.epoch(0)``.

    Attributes:
        images: float32 (N, C, H, W).
        targets: class labels int64 (N,), or class probabilities float32 (N, K), or images like ``images``.
        share: which part of the global batch this is.
    """

    images: Tensor
    targets: Tensor
    share: Share = WHOLE

    @property
    def counted_images(self) -> int:
        """Images that this process adds to the sums over an epoch."""
        return len(self.images) if self.share.counted else 0

    @property
    def most_parts(self) -> int:
        """Parts into which every rank can split its rows of this batch."""
        return len(self.images) if self.share.fewest_rows is None else self.share.fewest_rows


class EpochBatches(Protocol):
    """The batches of a training. Their order is a function of the epoch, and an epoch can be entered at any step."""

    def __len__(self) -> int:
        """Steps of an epoch."""

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from ``start_step`` on."""
