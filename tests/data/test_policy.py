"""TrivialAugment and RandAugment: each operation is Pillow's, each image draws its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from convatlas.data import policy
from convatlas.data.keyed import Draws
from convatlas.errors import UsageError

SPACE = policy.Space(rotate=30, shear=0.3, translate=5, enhance=0.9, posterize=6)
BLACK = torch.zeros(3, dtype=torch.uint8)


def photos(n: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth pictures with some noise and uneven levels, so that no operation has nothing to do."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        coarse = Image.fromarray(generator.integers(20, 200, (4, 5, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        made.append(np.clip(pixels + generator.integers(-6, 7, pixels.shape), 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(made))


def through_pillow(name: str, image: Image.Image, strength: float) -> Image.Image:
    """What the operation means, by Pillow alone; the strength is that of ``SPACE``."""
    enhancers = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "colour": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhancers:
        return enhancers[name](image).enhance(1 + 0.9 * strength)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(6 * strength))
    if name == "solarize":
        return ImageOps.solarize(image, 256 * (1 - strength))
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "auto-contrast":
        return ImageOps.autocontrast(image)
    if name == "rotate":
        return image.rotate(30 * strength, Image.Resampling.BILINEAR)
    shear, shift = 0.3 * strength, 5 * strength
    matrix = {
        "shear-x": (1, shear, 0, 0, 1, 0),
        "shear-y": (1, 0, 0, shear, 1, 0),
        "translate-x": (1, 0, shift, 0, 1, 0),
        "translate-y": (1, 0, 0, 0, 1, shift),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


@pytest.mark.parametrize("name", ["equalize", "auto-contrast", "posterize", "solarize"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 20), width=st.integers(1, 20), strength=st.floats(0, 1))
def test_tables_are_pillows_to_the_last_bit(name, seed, height, width, strength):
    pixels = photos(2, height, width, seed)
    changed = policy.operate(name, pixels, torch.full((2,), strength, dtype=torch.float64), SPACE, BLACK)
    for image, result in zip(pixels, changed, strict=True):
        expected = np.asarray(through_pillow(name, Image.fromarray(image.numpy()), strength))
        assert np.array_equal(result.numpy(), expected)


@pytest.mark.parametrize("name", ["brightness", "contrast", "colour", "sharpness"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 20), width=st.integers(1, 20), strength=st.floats(-1, 1))
def test_enhancements_are_pillows_to_one_level(name, seed, height, width, strength):
    pixels = photos(2, height, width, seed)
    changed = policy.operate(name, pixels, torch.full((2,), strength), SPACE, BLACK)
    for image, result in zip(pixels, changed, strict=True):
        expected = np.asarray(through_pillow(name, Image.fromarray(image.numpy()), strength)).astype(int)
        assert np.abs(result.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["rotate", "shear-x", "shear-y", "translate-x", "translate-y"])
@pytest.mark.parametrize("strength", [-1.0, -0.35, 0.8])
def test_geometry_is_pillows_where_the_picture_still_is(name, strength):
    pixels = photos(1, 33, 41)
    moved = policy.operate(name, pixels, torch.tensor([strength]), SPACE, BLACK)[0].numpy().astype(int)
    expected = np.asarray(through_pillow(name, Image.fromarray(pixels[0].numpy()), strength)).astype(int)
    # white moved by Pillow says where the picture is; at its rim the two fill differently
    white = np.asarray(through_pillow(name, Image.new("L", (41, 33), 255), strength))
    inside = ndimage.binary_erosion(white == 255, np.ones((3, 3)))
    assert inside.mean() > 0.5
    difference = np.abs(moved - expected)[inside]
    assert difference.max() <= 3
    assert difference.mean() < 0.6  # Pillow drops fractions


def test_the_least_strength_changes_nothing():
    pixels = photos(3, 12, 12)
    for name in policy.OPERATIONS[1:]:
        if name not in ("equalize", "auto-contrast"):  # these have no strength
            changed = policy.operate(name, pixels, torch.zeros(3), SPACE, BLACK)
            assert torch.equal(changed, pixels), name


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_meets_the_same_operation_in_any_batch(channels):
    pixels, samples = photos(40, 10, 14)[..., :channels].contiguous(), torch.arange(100, 140)
    background = BLACK[:channels]
    for change in (
        lambda rows: policy.trivial(pixels[rows], Draws(3, 1, samples[rows]), background),
        lambda rows: policy.rand(pixels[rows], Draws(3, 1, samples[rows]), background, 3, 14),
    ):
        together, order = change(torch.arange(40)), torch.randperm(40, generator=torch.Generator().manual_seed(0))
        apart = torch.cat([change(order[:7]), change(order[7:8]), change(order[8:])])
        assert torch.equal(apart, together[order])
        assert (together != pixels).flatten(1).any(1).sum() > 20  # identity and weak strengths leave some alone


def test_every_operation_is_drawn_and_the_next_epoch_draws_others():
    samples = torch.arange(2800)
    draws = [Draws(0, epoch, samples).uniform("policy operation 0")[:, 0] * 14 for epoch in (0, 1)]
    counts = torch.bincount(draws[0].long(), minlength=14)
    assert len(counts) == len(policy.OPERATIONS)
    assert counts.min() > 140  # 200 expected each, deviation 14
    assert counts.max() < 260
    assert (draws[0].long() == draws[1].long()).float().mean() < 0.12


def test_a_greater_magnitude_is_a_greater_change():
    pixels, draws = photos(60, 16, 16), Draws(0, 0, torch.arange(60))
    changes = [
        (policy.rand(pixels, draws, BLACK, 1, magnitude).int() - pixels.int()).abs().float().mean()
        for magnitude in (1, 5, 10)
    ]
    assert changes[0] < changes[1] < changes[2]


def test_a_policy_that_does_not_exist_is_named():
    from convatlas.data import Augmentation

    with pytest.raises(UsageError, match=r"policy = 'best' is not known\. Known: none, trivial, rand"):
        Augmentation(policy="best")
