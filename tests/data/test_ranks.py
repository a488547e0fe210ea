"""The rows of a batch that each of several ranks computes: together they are the batch of one process, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data import Augmentation, Batches, ImageStore, Preprocessing
from convatlas.data.ranks import RankBatches, rows


@given(images=st.integers(1, 300), ranks=st.integers(1, 64))
def test_every_image_falls_to_one_rank_and_the_shares_differ_by_one_at_most(images, ranks):
    shares = [rows(images, rank, ranks) for rank in range(ranks)]
    if images < ranks:  # each rank must take part: all compute all
        assert all(share == slice(0, images) for share in shares)
        return
    assert [i for share in shares for i in range(images)[share]] == list(range(images))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1


def batches(augment: Augmentation, batch_size: int) -> Batches:
    draw = np.random.default_rng(0)
    pixels = torch.from_numpy(draw.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8))
    store = ImageStore(pixels, Preprocessing(size=(8, 8), channels=3))
    return Batches(store, draw.integers(0, 4, 50), np.arange(3, 50), batch_size=batch_size, seed=7, augment=augment)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize(
    "augment",
    [
        Augmentation(pad=2, flip="on"),
        Augmentation(pad=2, mixup=0.4, flip="off"),
        Augmentation(pad=0, cutmix=1.0, flip="off"),
    ],
)
def test_the_rows_of_all_ranks_are_the_batch_of_one_process(augment, ranks):
    whole = batches(augment, batch_size=16)  # 16, 16 and 15 images
    parts = [RankBatches(whole, rank, ranks) for rank in range(ranks)]
    for one, *split in zip(whole.epoch(5, 1), *(part.epoch(5, 1) for part in parts), strict=True):
        assert torch.equal(one.images, torch.cat([batch.images for batch in split]))
        assert torch.equal(one.targets, torch.cat([batch.targets for batch in split]))
        assert sum(batch.counted_images for batch in split) == one.counted_images == len(one.images)
        # the average over the ranks of weight times mean is the mean over the global batch
        means = [batch.images.double().mean((0, 1, 2, 3)) * batch.share.weight for batch in split]
        torch.testing.assert_close(sum(means) / ranks, one.images.double().mean((0, 1, 2, 3)))
        assert {batch.most_parts for batch in split} == {min(len(batch.images) for batch in split)}


def test_a_batch_smaller_than_the_ranks_is_given_to_each_as_a_whole():
    whole = batches(Augmentation(pad=0, flip="on"), batch_size=45)  # 45 and 2 images
    (_, two) = whole.epoch(0)
    for rank in range(3):
        *_, last = RankBatches(whole, rank, 3).epoch(0)
        assert torch.equal(last.images, two.images)
        assert (last.counted_images, last.share.weight) == ((2, 3.0) if rank == 0 else (0, 0.0))
        assert last.most_parts == 2
