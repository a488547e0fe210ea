"""`Recipe`: its settings by flat names, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from convatlas.data import Augmentation
from convatlas.errors import RecipeError, UnknownNameError
from convatlas.models import create_model
from convatlas.models.lenet import widen_
from convatlas.recipes.recipe import FIELDS, SETTINGS, Recipe


def test_a_setting_that_does_not_exist_offers_the_near_ones():
    with pytest.raises(UnknownNameError, match=r"unknown setting 'weight_dekay'. Did you mean weight_decay"):
        Recipe().change(weight_dekay=1)


def test_the_settings_of_the_augmentation_are_changed_and_written_by_their_own_names():
    recipe = Recipe(augment=Augmentation(flip="on")).change(lr=0.3, mixup=0.2)
    assert (recipe.lr, recipe.augment) == (0.3, Augmentation(flip="on", mixup=0.2))
    assert recipe.change(augment=Augmentation(), cutout=3).augment == Augmentation(cutout=3)
    values = recipe.to_dict()
    assert {"lr": 0.3, "flip": "on", "mixup": 0.2}.items() <= values.items()
    assert "augment" not in values
    assert list(values) == list(FIELDS)
    assert Recipe.from_dict(json.loads(json.dumps(values))) == recipe


def test_a_former_name_still_works_and_a_notice_says_so():
    with pytest.warns(FutureWarning, match="pixels is now called normalization"):
        assert Recipe().change(pixels="standard").normalization == "standard"
    assert Recipe.from_dict({"pixels": "standard"}).normalization == "standard"  # a run of an earlier version


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs = 0: at least 1"),
        ({"lr": -1.0}, "lr = -1.0: it must be above 0"),
        ({"lr": "fast"}, "type float"),
        ({"epochs": True}, "type int"),
        ({"optimizer": "adam"}, "Known: sgd, adamw"),
        ({"nesterov": True, "optimizer": "adamw"}, "nesterov needs"),
        ({"loss": "map-1998", "label_smoothing": 0.1}, "label_smoothing has no meaning"),
        ({"pad": "four"}, "an int or auto was expected"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words) as refused:
        Recipe().change(**changes)
    assert changes.keys() & set(refused.value.settings)


def test_every_setting_has_help():
    assert all(each.help.endswith(".") for each in SETTINGS.values())


def test_lenet5_of_1998_starts_from_the_root_of_its_fan_in():
    """Printed is 2.4 / F; the recipe says that it widens this, and by how much: F6 reads 120 numbers."""
    printed, wide = create_model("lenet5"), create_model("lenet5")
    wide.load_state_dict(printed.state_dict())
    widen_(wide)
    assert torch.allclose(wide.F6.weight, printed.F6.weight * 120**0.5)
    assert torch.allclose(wide.C3.weight[:3], printed.C3.weight[:3] * 75**0.5)  # the first map of C3 reads three maps
    assert torch.equal(wide.S2.weight, printed.S2.weight)
