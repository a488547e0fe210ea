"""The rows of each global batch that one rank of a process group computes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from convatlas.batch import Batch, Share
from convatlas.data.batches import Batches


def rows(images: int, rank: int, ranks: int) -> slice:
    """The rows of a global batch of ``images`` that ``rank`` of ``ranks`` computes.

    The shares are equal, up to one image more for the first ranks. A batch of fewer images than ranks is computed as a
    whole by every rank, because every rank must take part in an update; `share` counts it once.
    """
    if images < ranks:
        return slice(0, images)
    size, more = divmod(images, ranks)
    start = rank * size + min(rank, more)
    return slice(start, start + size + (rank < more))


def share(images: int, rank: int, ranks: int) -> Share:
    """The share of a global batch of ``images`` that `rows` gives to ``rank``.

    `DistributedDataParallel` averages the gradients: 1 / ranks * sum_r weight_r * mean_r. The gradient of the mean over
    the global batch is 1 / images * sum_r n_r * mean_r, so weight_r = n_r * ranks / images. A batch of fewer images
    than ranks is counted by rank 0, and its weight on the other ranks is 0.
    """
    own = rows(images, rank, ranks)
    counted = images >= ranks or rank == 0
    count = own.stop - own.start if counted else 0
    return Share(weight=count * ranks / images, counted=counted, fewest_rows=images // ranks or images)


class RankBatches:
    """``batches`` for one rank: the same steps in the same order, with this rank's rows of each global batch.

    Order and augmentation are keyed by (seed, epoch, sample), so the ranks need not communicate.
    """

    def __init__(self, batches: Batches, rank: int, ranks: int) -> None:
        self.batches, self.rank, self.ranks = batches, rank, ranks

    def __len__(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This rank's rows of the batches of an epoch, from ``start_step`` on."""
        order = self.batches.order(epoch)
        for step in range(start_step, len(self)):
            samples = order[step * self.batches.batch_size : self.batches.end(step)]
            yield self.part(samples, epoch, step)

    def part(self, samples: Tensor, epoch: int, step: int) -> Batch:
        """This rank's rows of the global batch of ``samples``; the rows of the other ranks are not computed."""
        chosen = rows(len(samples), self.rank, self.ranks)
        own, own_share = samples[chosen], share(len(samples), self.rank, self.ranks)
        augment = self.batches.augment
        if augment is None or not augment.mixes:
            return self.batches.batch(own, epoch, step)._replace(share=own_share)
        # mixup and cutmix combine row i with row n - 1 - i of the global batch: these rows are computed too, in
        # reversed order, and then dropped
        partners = samples.flip(0)[chosen]
        mixed = self.batches.batch(torch.cat((own, partners.flip(0))), epoch, step)
        return Batch(mixed.images[: len(own)], mixed.targets[: len(own)], own_share)
