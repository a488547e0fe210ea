"""`Recipe`: one place for every setting; which value wins, and what is refused."""

from __future__ import annotations

import pytest
import torch

from convatlas.data import Preprocessing
from convatlas.errors import RecipeError, UnknownNameError
from convatlas.models import create_model
from convatlas.models.lenet import widen_
from convatlas.recipes.recipe import SETTINGS, Recipe, resolve
from convatlas.runs.training_data import augmentation


def test_flag_beats_environment_beats_file_beats_recipe_beats_default(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text("lr = 0.3\nmomentum = 0.5\nepochs = 7\n")
    recipe, origins = resolve(
        Recipe(lr=0.4, weight_decay=1e-4),
        flags={"lr": 0.1, "epochs": None},
        config=config,
        environment={"CONVATLAS_LR": "0.2", "CONVATLAS_MOMENTUM": "0.6", "CONVATLAS_NESTEROV": "on"},
    )
    assert (recipe.lr, recipe.momentum, recipe.epochs, recipe.weight_decay) == (0.1, 0.6, 7, 1e-4)
    assert recipe.nesterov
    wanted = {
        "lr": "flag",
        "momentum": "environment",
        "epochs": "file",
        "weight_decay": "recipe",
        "batch_size": "default",
    }
    assert {name: origins[name] for name in wanted} == wanted


def test_a_setting_that_does_not_exist_offers_the_near_ones(tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown setting 'weight_dekay'. Did you mean weight_decay"):
        Recipe().change(weight_dekay=1)
    config = tmp_path / "mine.toml"
    config.write_text("[recipe]\nlearning_rate = 1\n")
    with pytest.raises(UnknownNameError, match="learning_rate"):
        resolve(Recipe(), config=config, environment={})


def test_a_misspelt_environment_variable_offers_the_near_ones_and_others_are_left_alone():
    with pytest.raises(UnknownNameError, match=r"unknown setting 'epoch'. Did you mean epochs.*CONVATLAS_EPOCH\)"):
        resolve(Recipe(), environment={"CONVATLAS_EPOCH": "3"})
    others = {"CONVATLAS_LANG": "ko", "CONVATLAS_CACHE": "/tmp", "CONVATLAS_SHARED": "/data", "EPOCH": "1970"}
    assert resolve(Recipe(), environment=others)[0] == Recipe()


@pytest.mark.parametrize("flag", [None, "--optimizer"])
@pytest.mark.parametrize("environment", [{}, {"CONVATLAS_OPTIMIZER": "adamw"}])
def test_a_contradiction_is_refused_wherever_its_halves_are_from_and_says_where(tmp_path, flag, environment):
    config = tmp_path / "mine.toml"
    config.write_text("nesterov = true\n" + ("" if flag or environment else 'optimizer = "adamw"\n'))
    flags = {"optimizer": "adamw"} if flag else {}
    with pytest.raises(RecipeError, match="nesterov needs the optimizer sgd") as refused:
        resolve(Recipe(), flags, config, environment)
    place = flag or next(iter(environment), config)  # a flag beats the environment, and that the file
    assert f"nesterov is from {config}, optimizer is from {place})" in str(refused.value)


def test_what_was_typed_just_now_is_not_told_where_it_is_from():
    with pytest.raises(RecipeError, match=r"drop --nesterov\.$"):
        resolve(Recipe(), {"nesterov": True, "optimizer": "adamw"}, environment={})


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
        ({"pad": "four"}, "neither auto nor a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        Recipe().change(**changes)


def test_an_environment_variable_that_is_no_number_is_named():
    with pytest.raises(RecipeError, match="epochs = 'many'"):
        resolve(Recipe(), environment={"CONVATLAS_EPOCHS": "many"})


def test_every_setting_has_help():
    assert all(each.metadata["help"].endswith(".") for each in SETTINGS.values())


@pytest.mark.parametrize(
    ("channels", "wishes", "expected"),
    [
        (3, {}, {"pad": 2, "flip": False, "alternating_flip": True}),
        (1, {}, {"pad": 2, "flip": False, "alternating_flip": False}),  # a mirrored digit is no digit
        (1, {"flip": "on", "pad": "0"}, {"pad": 0, "flip": True, "alternating_flip": False}),
        (3, {"flip": "off", "pad": "4"}, {"pad": 4, "flip": False, "alternating_flip": False}),
    ],
)
def test_auto_augmentation_follows_the_images(channels, wishes, expected):
    found = augmentation(Recipe(**wishes), Preprocessing(size=(32, 32), channels=channels))
    assert {name: getattr(found, name) for name in expected} == expected


def test_lenet5_of_1998_starts_from_the_root_of_its_fan_in():
    """Printed is 2.4 / F; the recipe says that it widens this, and by how much: F6 reads 120 numbers."""
    printed, wide = create_model("lenet5"), create_model("lenet5")
    wide.load_state_dict(printed.state_dict())
    widen_(wide)
    assert torch.allclose(wide.F6.weight, printed.F6.weight * 120**0.5)
    assert torch.allclose(wide.C3.weight[:3], printed.C3.weight[:3] * 75**0.5)  # the first map of C3 reads three maps
    assert torch.equal(wide.S2.weight, printed.S2.weight)
