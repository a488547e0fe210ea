"""The rows of each batch that one of several processes computes; all together they see what one process would see."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from convatlas.data.batches import Batches


def rows(images: int, rank: int, ranks: int) -> slice:
    """The rows of a batch of ``images`` that ``rank`` of ``ranks`` computes: even shares, the first ranks one more.

    A batch of fewer images than ranks is computed by every rank as a whole, for each must take part; who counts it is
    for the caller to say.
    """
    if images < ranks:
        return slice(0, images)
    share, more = divmod(images, ranks)
    start = rank * share + min(rank, more)
    return slice(start, start + share + (rank < more))


class RankBatches:
    """``batches`` for one rank: the same updates in the same order, of each only this rank's rows.

    The order and the looks are keyed by (seed, epoch, sample), so no rank needs to know what the others draw.
    """

    def __init__(self, batches: Batches, rank: int, ranks: int) -> None:
        self.batches, self.rank, self.ranks = batches, rank, ranks

    def __len__(self) -> int:
        """Steps per epoch, the same on every rank."""
        return len(self.batches)

    def images_in(self, step: int) -> int:
        """Images of the batch of a step, over all ranks."""
        step %= len(self)
        return self.batches.end(step) - step * self.batches.batch_size

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's rows of the batches of an epoch, from ``start_step`` on."""
        order = self.batches.order(epoch)
        for step in range(start_step, len(self)):
            samples = order[step * self.batches.batch_size : self.batches.end(step)]
            yield self.part(samples, epoch, step)

    def part(self, samples: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The rows of this rank of one batch, made without making the others'."""
        chosen = rows(len(samples), self.rank, self.ranks)
        own = samples[chosen]
        augment = self.batches.augment
        if augment is None or not augment.mixes:
            return self.batches.batch(own, epoch, step)
        # mixing joins row i with its mirror, row n - 1 - i: the mirrors come along, in mirrored order, and are dropped
        mirrors = samples.flip(0)[chosen]
        images, labels = self.batches.batch(torch.cat((own, mirrors.flip(0))), epoch, step)
        return images[: len(own)], labels[: len(own)]
