"""AutoAugment: the published pairs, keyed draws, and every operation at its probability. Repeated augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convatlas.data import Augmentation, Batches, ImageStore, Preprocessing
from convatlas.data.auto_augment import POLICIES, auto, pairs
from convatlas.data.keyed import Draws
from convatlas.data.policy import OPERATIONS
from convatlas.errors import RecipeError, UsageError
from convatlas.recipes.recipe import Recipe

BACKGROUND = torch.tensor([0, 0, 0])


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 12, 10, 3), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_has_25_pairs_of_known_operations(policy):
    assert len(pairs(policy)) == 25
    for first, second in pairs(policy):
        assert {first.operation, second.operation} <= {*OPERATIONS, "invert"}
        assert all(0 <= step.probability <= 1 and 0 <= step.strength <= 1 for step in (first, second))


@pytest.mark.parametrize("policy", POLICIES)
def test_an_image_looks_the_same_in_any_batch_and_other_in_the_next_epoch(policy):
    pixels, samples = images(40), torch.arange(40)
    whole = auto(pixels, Draws(3, 1, samples), BACKGROUND, policy)
    for rows in (torch.tensor([7]), torch.tensor([30, 2, 19])):
        assert torch.equal(auto(pixels[rows], Draws(3, 1, samples[rows]), BACKGROUND, policy), whole[rows])
    assert not torch.equal(auto(pixels, Draws(3, 2, samples), BACKGROUND, policy), whole)


def test_a_pair_is_applied_with_its_probabilities(monkeypatch):
    """One pair: invert with 0.75, then nothing. Of 4,000 images 75 % are inverted, the others as they were."""
    monkeypatch.setitem(POLICIES, "of the test", "invert 0.75 -, equalize 0.0 -")
    pixels = images(4000)
    changed = auto(pixels, Draws(0, 0, torch.arange(4000)), BACKGROUND, "of the test")
    inverted = (changed == 255 - pixels).flatten(1).all(1)
    assert torch.equal(changed[~inverted], pixels[~inverted])
    assert inverted.float().mean() == pytest.approx(0.75, abs=0.03)


def test_a_policy_is_a_setting_of_a_recipe():
    assert Recipe().change(policy="auto-cifar").augment.policy == "auto-cifar"
    with pytest.raises(RecipeError, match="auto"):
        Recipe().change(policy="autoaugment")


# --- repeated augmentation --------------------------------------------------------------------------------------------


def batches(repeats: int, count: int = 30, **options) -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    store = ImageStore(torch.from_numpy(pixels), Preprocessing(size=(8, 8), channels=3))
    labels = np.arange(count) % 3
    augment = Augmentation(pad=2, flip="on")
    return Batches(store, labels, np.arange(count), batch_size=6, seed=4, augment=augment, repeats=repeats, **options)


def test_an_image_occurs_so_often_in_a_row_each_time_changed_differently():
    made = batches(3)
    order = made.order(2)
    assert len(order) == 30
    rows = (order % 30).view(-1, 3)
    assert (rows == rows[:, :1]).all()
    assert len(rows[:, 0].unique()) == 10
    whole = list(made.epoch(2))
    labels = torch.cat([batch.targets for batch in whole]).view(-1, 3)
    assert (labels == labels[:, :1]).all()
    looks = torch.cat([batch.images for batch in whole]).flatten(1).view(10, 3, -1)
    alike = (looks[:, 0] == looks[:, 1]).all(1).sum() + (looks[:, 1] == looks[:, 2]).all(1).sum()
    assert alike <= 4  # of 20: there are 50 ways to shift and mirror


def test_a_later_start_gives_the_same_batches_with_repeats():
    whole = list(batches(3).epoch(1))
    for late, expected in zip(batches(3).epoch(1, start_step=2), whole[2:], strict=True):
        assert torch.equal(late.images, expected.images)
        assert torch.equal(late.targets, expected.targets)


def test_no_repeats_are_the_order_as_it_was():
    assert torch.equal(batches(1).order(3), batches(1).order(3) % 30)


def test_repeats_need_shuffled_natural_sampling():
    for options in ({"shuffle": False}, {"sampling": "balanced"}):
        with pytest.raises(UsageError, match="repeats"):
            batches(2, **options)
    with pytest.raises(RecipeError, match="repeat"):
        Recipe(repeats=2, sampling="balanced")
