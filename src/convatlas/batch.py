"""`Batch`: the images and targets of one update, as the data loaders yield them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Share(NamedTuple):
    """The part of a global batch that one rank of a process group computes. The default is the whole batch.

    Attributes:
        weight: factor of the mean loss of these images. With it the average of the ranks' gradients is the gradient of
            the mean loss over the global batch.
        counted: False where another rank computes and counts the same images.
        fewest_rows: the smallest number of images that any rank has; None for a single process.
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
        share: the part of the global batch that this is.
    """

    images: Tensor
    targets: Tensor
    share: Share = WHOLE

    @property
    def counted_images(self) -> int:
        """Number of images that this process adds to the sums over an epoch."""
        return len(self.images) if self.share.counted else 0

    @property
    def most_parts(self) -> int:
        """The largest number of parts into which every rank can split its images of this batch."""
        return len(self.images) if self.share.fewest_rows is None else self.share.fewest_rows


class EpochBatches(Protocol):
    """The batches of a training. Their order depends on the epoch only, and an epoch can be resumed at any step."""

    def __len__(self) -> int:
        """Steps per epoch."""

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, starting at ``start_step``."""
