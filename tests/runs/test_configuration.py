"""Where each setting of a run comes from: which value wins, what is refused, and what a file may hold."""

from __future__ import annotations

import pytest

from convatlas.errors import RecipeError, UnknownNameError, UsageError
from convatlas.recipes.recipe import SETTINGS, Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.configuration import ALL_SETTINGS, configure
from convatlas.runs.options import OPTIONS, RunOptions, apply


def test_flag_beats_environment_beats_file_beats_recipe_beats_default(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text("lr = 0.3\nmomentum = 0.5\nepochs = 7\n")
    found = configure(
        Recipe(lr=0.4, weight_decay=1e-4),
        flags={"lr": 0.1, "epochs": None},
        config=config,
        environment={"CONVATLAS_LR": "0.2", "CONVATLAS_MOMENTUM": "0.6", "CONVATLAS_NESTEROV": "on"},
    )
    recipe, origins = found.recipe, found.origins
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
    config = tmp_path / "mine.toml"
    config.write_text("[recipe]\nlearning_rate = 1\n")
    with pytest.raises(UnknownNameError, match="learning_rate"):
        configure(Recipe(), config=config, environment={})


def test_a_misspelt_environment_variable_offers_the_near_ones_and_others_are_left_alone():
    with pytest.raises(UnknownNameError, match=r"unknown setting 'epoch'. Did you mean epochs.*CONVATLAS_EPOCH\)"):
        configure(Recipe(), environment={"CONVATLAS_EPOCH": "3"})
    others = {"CONVATLAS_LANG": "ko", "CONVATLAS_CACHE": "/tmp", "CONVATLAS_SHARED": "/data", "EPOCH": "1970"}
    assert configure(Recipe(), environment=others).recipe == Recipe()


@pytest.mark.parametrize("flag", [None, "--optimizer"])
@pytest.mark.parametrize("environment", [{}, {"CONVATLAS_OPTIMIZER": "adamw"}])
def test_a_contradiction_is_refused_wherever_its_halves_are_from_and_says_where(tmp_path, flag, environment):
    config = tmp_path / "mine.toml"
    config.write_text("nesterov = true\n" + ("" if flag or environment else 'optimizer = "adamw"\n'))
    flags = {"optimizer": "adamw"} if flag else {}
    with pytest.raises(RecipeError, match="nesterov needs the optimizer sgd") as refused:
        configure(Recipe(), flags, config, environment)
    place = flag or next(iter(environment), config)  # a flag beats the environment, and that the file
    assert f"nesterov is set by {config}, optimizer is set by {place})" in str(refused.value)


def test_what_was_typed_just_now_is_not_told_where_it_is_from():
    with pytest.raises(RecipeError, match=r"drop --nesterov\.$"):
        configure(Recipe(), {"nesterov": True, "optimizer": "adamw"}, environment={})


def test_an_environment_variable_that_is_no_number_is_named():
    with pytest.raises(RecipeError, match="epochs = 'many'"):
        configure(Recipe(), environment={"CONVATLAS_EPOCHS": "many"})


def test_recipe_and_options_share_no_name():
    assert not SETTINGS.keys() & OPTIONS.keys()
    assert len(ALL_SETTINGS) == len(SETTINGS) + len(OPTIONS)
    assert all(each.help.endswith(".") for each in OPTIONS.values())


def test_settings_of_the_machine_are_options_wherever_they_come_from(tmp_path):
    (tmp_path / "mine.toml").write_text('precision = "fp32"\nmixup = 0.2\n')
    found = configure(Recipe(), {"threads": 2}, tmp_path / "mine.toml", {"CONVATLAS_COMPILE": "off"})
    assert found.options == RunOptions(precision="fp32", threads=2, compile="off")
    assert found.recipe == Recipe().change(mixup=0.2)
    names = ("precision", "threads", "compile", "mixup", "device")
    assert [found.origins[name] for name in names] == ["file", "flag", "environment", "file", "default"]


@pytest.mark.parametrize("recipe", ["modern", "paper", "modern_long"])
def test_what_print_config_prints_is_read_again(tmp_path, recipe):
    first = configure(recipe_for("lenet5", recipe), {"threads": 3, "crop": "random-resized"}, environment={})
    (tmp_path / "all.toml").write_text(first.to_toml())
    again = configure(recipe_for("lenet5", recipe), config=tmp_path / "all.toml", environment={})
    assert (again.recipe, again.options) == (first.recipe, first.options)


@pytest.mark.parametrize("origin", ["flag", "environment", "file"])
def test_a_former_name_works_from_everywhere_with_a_notice(tmp_path, origin):
    (tmp_path / "mine.toml").write_text("pixels = 'standard'\n" if origin == "file" else "")
    flags = {"pixels": "standard"} if origin == "flag" else {}
    environment = {"CONVATLAS_PIXELS": "standard"} if origin == "environment" else {}
    found = configure(Recipe(), flags, tmp_path / "mine.toml", environment)
    assert (found.recipe.normalization, found.origins["normalization"]) == ("standard", origin)
    assert found.notices == ("pixels is now called normalization; the old name works in this version only.",)


@pytest.mark.parametrize("content", ['recipe = "paper"', "[options]\nthread = 1", "lr = 'fast'", "pad = [1, 2]", "["])
def test_a_file_that_cannot_be_meant_is_an_error_of_ours(tmp_path, content):
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(UsageError):
        configure(Recipe(), config=tmp_path / "mine.toml", environment={})


def test_keywords_go_to_recipe_or_options_by_name():
    recipe, options = apply(Recipe(), RunOptions(device="cpu"), {"lr": 0.5, "cutout": 4, "threads": 2})
    assert (recipe, options) == (Recipe(lr=0.5).change(cutout=4), RunOptions(device="cpu", threads=2))
    for name, near in (("thread", "threads"), ("mixupp", "mixup")):
        with pytest.raises(UnknownNameError, match=f"Did you mean {near}"):
            apply(Recipe(), None, {name: 1})


def test_a_recipe_in_full_precision_is_trained_so_unless_the_precision_is_set():
    paper = recipe_for("lenet5", "paper")
    assert RunOptions().for_recipe(paper).precision == "fp32"
    assert RunOptions(precision="bf16").for_recipe(paper).precision == "bf16"
    assert RunOptions().for_recipe(recipe_for("lenet5")).precision == "auto"
