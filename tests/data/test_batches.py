"""Batches: every image once per epoch, the order a function of (seed, epoch), steps reached without a replay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convatlas.data import (
    Augmentation,
    Batches,
    ImageStore,
    Preprocessing,
    channel_stats,
    load_images,
    make_split,
    open_data,
    prepare,
    preprocessing_for,
)
from convatlas.errors import ShapeError, UsageError


@pytest.fixture(scope="module")
def digits():
    data = open_data("digits")
    return data, make_split(data), load_images(data, preprocessing_for(data, 8))


def numbered_store(n: int) -> tuple[ImageStore, np.ndarray]:
    """Images that carry their number: 1 x 1 pixels, so that every batch says which images it holds."""
    return ImageStore(torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1), Preprocessing((1, 1), 1)), np.arange(n)


@given(
    n=st.integers(1, 60), batch_size=st.integers(1, 17), seed=st.integers(0, 3), epoch=st.integers(0, 3),
    drop_last=st.booleans(),
)  # fmt: skip
def test_an_epoch_has_every_image_once(n, batch_size, seed, epoch, drop_last):
    store, labels = numbered_store(n)
    indices = np.arange(0, n, 2)
    batches = Batches(store, labels, indices, batch_size=batch_size, seed=seed, drop_last=drop_last)
    seen = [batch.targets for batch in batches.epoch(epoch)]
    assert len(seen) == len(batches)
    together = torch.cat(seen).tolist() if seen else []
    assert (
        len(set(together)) == len(together) == (len(indices) // batch_size * batch_size if drop_last else len(indices))
    )
    assert set(together) <= set(indices.tolist())


@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=5), seed=st.integers(0, 5), epoch=st.integers(0, 5))
def test_balanced_sampling_takes_every_class_equally_often(counts, seed, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    store = ImageStore(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), Preprocessing((1, 1), 1))
    batches = Batches(store, labels, np.arange(len(labels)), batch_size=4, seed=seed, sampling="balanced")
    order = batches.order(epoch)
    assert len(order) == len(labels)  # an epoch is as long as ever
    assert len(set(order.tolist())) == len(order)  # an image taken again goes by another number
    taken = np.bincount(labels[order % len(labels)], minlength=len(counts))
    assert taken.max() - taken.min() <= 1
    often = np.bincount(order % len(labels), minlength=len(labels))
    for k in range(len(counts)):  # and within a class every image equally often
        assert often[labels == k].max() - often[labels == k].min() <= 1
    assert torch.equal(order, batches.order(epoch))
    seen = torch.cat([batch.targets for batch in batches.epoch(epoch)])
    assert np.array_equal(seen.numpy(), labels[order % len(labels)])


def test_an_image_taken_twice_in_an_epoch_looks_different_and_a_large_class_is_seen_in_full():
    labels = np.array([0] * 2 + [1] * 38)
    pixels = torch.randint(0, 256, (40, 9, 9, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    store = ImageStore(pixels, Preprocessing((9, 9), 1))
    batches = Batches(
        store, labels, np.arange(40), batch_size=40, sampling="balanced", augment=Augmentation(pad=4, flip="off")
    )
    order = batches.order(0)
    images, *_ = next(iter(batches.epoch(0)))
    looks = images[order % 40 == 0].flatten(1)
    assert len(looks) == 10
    assert len({tuple(look.tolist()) for look in looks}) >= 9
    seen = torch.cat([batches.order(epoch) for epoch in range(12)]) % 40
    assert set(seen.tolist()) == set(range(40))


def test_pixels_and_labels_stay_together():
    store, labels = numbered_store(50)
    for images, got, _ in Batches(store, labels, np.arange(50), batch_size=7, seed=1).epoch(0):
        assert torch.allclose(images[:, 0, 0, 0] * 255, got.float())


@settings(deadline=None, max_examples=20)
@given(start=st.integers(0, 5), epoch=st.integers(0, 2))
def test_starting_at_a_step_is_the_epoch_from_that_step(digits, start, epoch):
    data, split, store = digits
    augment = Augmentation(pad=1, flip="on", rotate=10, cutout=2, cutmix=1.0)
    batches = Batches(store, data.labels, split.val, batch_size=40, seed=2, augment=augment)
    whole, jumped = list(batches.epoch(epoch))[start:], list(batches.epoch(epoch, start))
    assert len(whole) == len(jumped) == len(batches) - start
    for (images, labels, _), (again, labels_again, _) in zip(whole, jumped, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)


def test_epochs_and_seeds_differ_and_repeat(digits):
    data, split, store = digits

    def first(seed: int, epoch: int) -> torch.Tensor:
        batches = Batches(
            store, data.labels, split.train, batch_size=64, seed=seed, augment=Augmentation(pad=1, flip="off")
        )
        return next(iter(batches.epoch(epoch)))[0]

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(0, 1))
    assert not torch.equal(first(0, 0), first(1, 0))


def test_global_random_state_is_neither_read_nor_moved(digits):
    data, split, store = digits
    batches = Batches(store, data.labels, split.train, batch_size=64, augment=Augmentation(pad=1, flip="on", mixup=0.4))
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state()
    first = next(iter(batches.epoch(0)))[0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(next(iter(batches.epoch(0)))[0], first)


def test_evaluation_is_in_order_central_and_normalised(shared):
    data = open_data(shared("data/hymenoptera"))
    preprocessing = Preprocessing((24, 24), 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "shorter-crop", margin=32 / 24)
    store = load_images(data, preprocessing)
    assert store.pixels.shape == (162, 32, 32, 3)
    batches = Batches(store, data.labels, np.array([7, 3]), batch_size=2, preprocessing=preprocessing, shuffle=False)
    ((images, labels, _),) = batches.epoch(0)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == data.labels[[7, 3]].tolist()
    centre = store.pixels[[7, 3], 4:28, 4:28].permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    assert torch.allclose(images.double(), (centre - mean) / std, atol=1e-5)
    # predict sees the same
    assert torch.equal(prepare([store.pixels[7].numpy(), store.pixels[3].numpy()], preprocessing), images)


def test_training_crops_come_from_the_margin(shared):
    data = open_data(shared("data/hymenoptera"))
    preprocessing = Preprocessing((24, 24), 3, resize="shorter-crop", margin=32 / 24)
    store = load_images(data, preprocessing)
    batches = Batches(
        store, data.labels, np.arange(20), batch_size=20, augment=Augmentation(pad=0, flip="off"), shuffle=False
    )
    images, *_ = next(iter(batches.epoch(0)))
    for image, stored in zip(images, store.pixels[:20], strict=True):
        windows = stored.unfold(0, 24, 1).unfold(1, 24, 1).reshape(-1, 3, 24, 24).float() / 255
        assert float((windows - image).abs().amax((1, 2, 3)).min()) < 1e-6


@pytest.mark.parametrize(
    "colour",
    [
        Augmentation(pad=0, brightness=0.2, flip="off"),
        Augmentation(pad=0, rotate=5, flip="off"),
        Augmentation(pad=0, pca_noise=0.1, flip="off"),
        Augmentation(pad=0, cutout=8, flip="off"),
        Augmentation(pad=0, policy="trivial", flip="off"),
        Augmentation(pad=0, policy="rand", policy_number=1, policy_magnitude=2, erasing=0.25, flip="off"),
    ],
)
def test_every_kind_of_augmentation_gives_channels_last_floats(shared, colour):
    data = open_data(shared("data/cifar-10/head100"))
    preprocessing = preprocessing_for(data, 32)
    store = load_images(data, preprocessing)
    preprocessing = preprocessing.with_stats(*channel_stats(store, np.arange(100)))
    batches = Batches(store, data.labels, np.arange(100), batch_size=50, preprocessing=preprocessing, augment=colour)
    images, labels, _ = next(iter(batches.epoch(0)))
    assert (images.shape, images.dtype, labels.dtype) == ((50, 3, 32, 32), torch.float32, torch.int64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert abs(float(images.mean())) < 0.3  # still about normal
    assert 0.7 < float(images.std()) < 1.3


def test_bad_settings_are_named(digits):
    data, split, store = digits
    with pytest.raises(UsageError, match="batch_size is 0"):
        Batches(store, data.labels, split.train, batch_size=0)
    with pytest.raises(UsageError, match="sampling is 'balanced'; expected natural, or balanced with shuffle"):
        Batches(store, data.labels, split.train, batch_size=4, sampling="balanced", shuffle=False)
    with pytest.raises(UsageError, match="10 labels for a store of 1797 images"):
        Batches(store, data.labels[:10], split.train, batch_size=4)
    with pytest.raises(ShapeError, match="crops of 9 x 9 do not fit in the stored images of 8 x 8"):
        Batches(store, data.labels, split.train, batch_size=4, preprocessing=Preprocessing((9, 9), 1))


@pytest.mark.gpu
def test_the_gpu_makes_the_batches_the_cpu_makes(digits):
    data, split, store = digits
    for augment in (Augmentation(pad=1, flip="on", cutout=2), Augmentation(pad=0, rotate=10, flip="on")):
        on = {
            device: next(
                iter(Batches(store, data.labels, split.train, batch_size=64, augment=augment, device=device).epoch(3))
            )
            for device in ("cpu", "cuda")
        }
        assert torch.allclose(on["cpu"][0], on["cuda"][0].cpu(), atol=1e-4)
        assert torch.equal(on["cpu"][1], on["cuda"][1].cpu())
