"""`TrainingData`: a recipe's wishes for the images made definite, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.data import Augmentation, Dataset, preprocessing_for
from convatlas.data.dataset import ArrayImages
from convatlas.errors import RecipeError, UsageError
from convatlas.recipes.recipe import Recipe
from convatlas.runs.configuration import configure
from convatlas.runs.header import describe_augmentation, describe_sampling
from convatlas.runs.training_data import TrainingData, stored_side


@pytest.fixture
def photos() -> Dataset:
    """Two pictures larger than any crop here."""
    pixels = np.zeros((2, 300, 400, 3), dtype=np.uint8)
    return Dataset("photos", "test", ("a", "b"), np.array([0, 1]), ("0", "1"), np.array(["", ""]), ArrayImages(pixels))


@pytest.mark.parametrize(
    ("wishes", "kept", "expected"),
    [
        # AlexNet, section 4.1: 224 windows of 256
        ({"resize": 256}, 256, "flip alternating"),
        # GoogLeNet, section 6
        ({"crop": "random-resized"}, 256, "crop random-resized, crop_area (0.08, 1.0), flip alternating"),
        # VGG, section 3.1: S in [256, 512]; kept at 384, the scale it tests at
        ({"crop": "scale-jitter"}, 384, "crop scale-jitter, crop_scale (256.0, 512.0), flip alternating"),
        ({"crop": "scale-jitter", "crop_scale": (224, 300), "resize": 300}, 300,
         "crop scale-jitter, crop_scale (224, 300), flip alternating"),
        ({"policy": "rand", "policy_magnitude": 5.0, "erasing": 0.25, "pca_noise": 0.1}, 256,
         "flip alternating, pca_noise 0.1, policy rand, policy_number 2, policy_magnitude 5.0, erasing 0.25"),
    ],
)  # fmt: skip
def test_the_papers_crops_are_settings(photos, wishes, kept, expected):
    recipe = Recipe().change(**wishes)
    preprocessing = preprocessing_for(photos, 224, 3, keep=stored_side(recipe))
    assert preprocessing.store_size == (kept, kept)
    assert describe_augmentation(recipe.augment.resolved_for(preprocessing)) == expected


def test_a_jittered_scale_below_the_input_is_refused(photos):
    with pytest.raises(RecipeError, match="crop_scale begins at 128 pixels, and the input has 224"):
        Augmentation(crop="scale-jitter", crop_scale=(128, 256)).resolved_for(preprocessing_for(photos, 224, 3))
    with pytest.raises(UsageError, match="images kept at 200 pixels for an input of 224 x 224"):
        preprocessing_for(photos, 224, 3, keep=200)


def test_a_range_is_two_numbers_wherever_it_comes_from(tmp_path):
    (tmp_path / "a.toml").write_text('crop = "random-resized"\ncrop_area = [0.25, 1]\n')
    environment = {"CONVATLAS_CROP_RATIO": "0.5,2"}
    found = configure(Recipe(), {"scale": (0.9, 1.1)}, tmp_path / "a.toml", environment)
    augment, origins = found.recipe.augment, found.origins
    assert (augment.crop_area, augment.crop_ratio, augment.scale) == ((0.25, 1), (0.5, 2.0), (0.9, 1.1))
    assert (origins["crop_area"], origins["crop_ratio"], origins["scale"]) == ("file", "environment", "flag")
    assert Recipe.from_dict(found.recipe.to_dict()) == found.recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"crop": "random-resized", "pad": "4"},
            "pad = 4 has an effect only with crop = pad, and crop is",
        ),
        ({"crop_area": (0.1, 1.0)}, r"crop_area = \(0.1, 1.0\) has an effect only with crop = random-resized"),
        ({"policy_number": 3}, "policy_number = 3 has an effect only with policy = rand, and policy is none"),
        ({"crop": "random-resized", "crop_area": (1.0, 0.1)}, "two numbers were expected, the smaller first"),
        ({"crop": "random-resized", "crop_area": (0.5, 1.5)}, "crop_area = 1.5: at most 1"),
        ({"scale": (1.0,)}, "two numbers were expected"),
        ({"loss": "map-1998", "optimizer": "sdlm", "mixup": 0.2}, "mixup has no meaning for the loss map-1998"),
        ({"erasing": 1.5}, "erasing = 1.5: at most 1"),
        ({"sampling": "even"}, "Known: natural, balanced"),
    ],
)
def test_settings_without_effect_or_out_of_range_are_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        Recipe().change(**changes)


def test_the_header_says_how_long_a_balanced_pass_is():
    training_data = TrainingData("digits")
    recipe = Recipe(sampling="balanced")
    preprocessing, store = training_data.prepared(None, recipe)
    batches = training_data.training_batches(preprocessing, store, recipe, 0, "cpu")
    n = len(training_data.split.train)
    assert describe_sampling(batches) == f"balanced: {n} images per epoch, {n // 10} or {n // 10 + 1} of each class"
    assert sum(len(batch.targets) for batch in batches.epoch(0)) == n
