"""The recipes by name: whose they are, their learning rates against the papers' sentences, and their page."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from convatlas import models
from convatlas.errors import UnknownNameError
from convatlas.recipes import modern
from convatlas.recipes.finetune import FINETUNE, FINETUNE_DEEP_UNNORMALISED, FINETUNE_UNNORMALISED
from convatlas.recipes.page import markdown
from convatlas.recipes.registry import DECLARED, PAPER_RECIPES, networks_of, own_recipes, recipe_by_name, recipe_for
from convatlas.runs.prepare import build_schedule
from convatlas.training.schedule import Progress

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
CLASSIFIERS = [name for name in models.list_models() if not models.entry(name).reconstructs]

# --- whose they are ---------------------------------------------------------------------------------------------------


def test_which_recipes_a_network_has_follows_from_its_layers():
    """The modern recipes and the paper's, of every network, against a table that was written by hand once."""
    kinds = {
        "normalised": (modern.MODERN, modern.MODERN_LONG, FINETUNE),
        "shallow": (modern.MODERN_UNNORMALISED, modern.MODERN_LONG_UNNORMALISED, FINETUNE_UNNORMALISED),
        "deep": (modern.MODERN_DEEP_UNNORMALISED, modern.MODERN_LONG_DEEP_UNNORMALISED, FINETUNE_DEEP_UNNORMALISED),
        "reconstruction": (modern.RECONSTRUCTION, None, None),
    }
    table = json.loads(Path(__file__).with_name("of_every_network.json").read_text(encoding="utf-8"))
    assert set(table) <= set(models.list_models())
    for name, (kind, paper) in table.items():
        own = own_recipes(name)
        assert tuple(own.get(key) for key in ("modern", "modern_long", "finetune")) == kinds[kind], name
        assert own["paper"].name == paper if paper else "paper" not in own, name


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_has_recipes_of_today_and_its_papers(name):
    assert recipe_for(name).name == "modern"
    assert recipe_for(name, "modern_long").name == "modern_long"
    if "paper" not in own_recipes(name):
        with pytest.raises(UnknownNameError, match="its paper prints no training"):
            recipe_for(name, "paper")
    else:
        assert recipe_for(name, "paper") in PAPER_RECIPES.values()


def test_what_is_no_classifier_has_none():
    assert recipe_for("autoencoder").loss == "mse"
    with pytest.raises(UnknownNameError):
        recipe_for("autoencoder", "paper")


def test_every_recipe_of_a_paper_is_somebodys_or_says_whose_variation_it_is():
    by_name_only = {name for name, recipe in PAPER_RECIPES.items() if not networks_of(recipe)}
    assert by_name_only == {
        "vgg_2014_s256",
        "vgg_2014_s384",
        "bn_inception_2015_x5",
        "stochastic_depth_2016",
        "resnet_rs_2021",
    }


def test_a_name_that_is_none_offers_the_near_ones():
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'papper'\. Did you mean paper"):
        recipe_for("lenet5", "papper")
    with pytest.raises(UnknownNameError, match="Did you mean resnet_cifar_2015"):
        recipe_by_name("resnet_cifar_2016")
    assert recipe_for("vgg16", "modern") is own_recipes("vgg16")["modern"]
    assert recipe_for("lenet5", "alexnet_2012") is recipe_by_name("alexnet_2012")  # another's is taken by its own name


# --- the numbers ------------------------------------------------------------------------------------------------------


def lr(recipe, epoch, val_top1=()):
    """The learning rate of the first update of an epoch (counted from 0), 100 updates an epoch."""
    return recipe.lr * build_schedule(recipe)(Progress(100 * epoch, 100, 100 * recipe.epochs, val_top1))


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("lenet5_1998", {0: 5e-4, 1: 5e-4, 2: 2e-4, 4: 2e-4, 5: 1e-4, 8: 5e-5, 12: 1e-5, 19: 1e-5}),
        # 4 % less every 8 epochs
        ("googlenet_2014", {0: 0.01, 7: 0.01, 8: 0.0096, 15: 0.0096, 16: 0.01 * 0.96**2}),
        # 0.0015 times 30; six times as fast: every 4/3 epochs, so after 4 epochs three times
        ("bn_inception_2015_x30", {0: 0.045, 1: 0.045, 2: 0.045 * 0.96, 4: 0.045 * 0.96**3, 8: 0.045 * 0.96**6}),
        ("bn_inception_2015_x5", {0: 0.0075}),
        # times 0.94 every two epochs
        ("inception_v3_2015", {0: 0.045, 1: 0.045, 2: 0.0423, 99: 0.045 * 0.94**49}),
        ("inception_v4_2016", {0: 0.045, 3: 0.0423}),
        ("xception_2016", {0: 0.045, 1: 0.045, 2: 0.0423}),
        # times 0.94 every 2.5 epochs
        ("mobilenet_v1_2017", {0: 0.045, 2: 0.045, 3: 0.0423, 5: 0.045 * 0.94**2}),
        ("mobilenet_v2_2018", {0: 0.045, 2: 0.045, 3: 0.0441}),
        ("efficientnet_2019", {5: 0.016 * 0.97**2, 12: 0.016 * 0.97**5}),
        # "divide it by 10 at 32k and 48k iterations" of 64k: at 91 and 136.5 of 182 epochs
        ("resnet_cifar_2015", {0: 0.1, 90: 0.1, 91: 0.01, 136: 0.01, 137: 0.001, 181: 0.001}),
        ("resnet110_cifar_2015", {0: 0.01, 1: 0.1, 91: 0.01}),
        # "lowered by 10 times at epoch 30 and 60"
        ("densenet_2016", {0: 0.1, 29: 0.1, 30: 0.01, 59: 0.01, 60: 0.001, 89: 0.001}),
        ("densenet161_2016", {29: 0.1, 30: 0.01, 60: 0.001, 90: 0.0001}),
        # "divided by 10 at 50 % and 75 % of the total number of training epochs"
        ("densenet_cifar_2016", {149: 0.1, 150: 0.01, 224: 0.01, 225: 0.001}),
        # a straight line down to 0
        ("squeezenet_2016", {0: 0.04, 17: 0.03, 34: 0.02, 51: 0.01}),
    ],
)
def test_the_learning_rate_is_the_printed_one(name, rates):
    recipe = recipe_by_name(name)
    assert {epoch: lr(recipe, epoch) for epoch in rates} == pytest.approx(rates, rel=1e-9)


STALL = (0.5,) * 5  # five epochs after a better one


@pytest.mark.parametrize("name", ["alexnet_2012", "zfnet_2013", "vgg_2014", "resnet_2015", "prelu_net_2015"])
def test_divided_by_ten_when_the_validation_error_stops_improving(name):
    """AlexNet, VGG: three times; PReLU-net prints 0.01, 0.001 and 0.0001: twice."""
    recipe, most = recipe_by_name(name), 2 if name == "prelu_net_2015" else 3
    seen = (0.3, 0.5)
    for times in range(6):
        assert lr(recipe, 20, seen + times * STALL) == pytest.approx(recipe.lr * 0.1 ** min(times, most))
    assert lr(recipe, 20, (*seen, *STALL[:4])) == recipe.lr
    assert lr(recipe, 20, (*seen, *STALL[:4], 0.6)) == recipe.lr


@pytest.mark.parametrize(
    ("name", "images", "updates"),
    [
        ("resnet_cifar_2015", 45_000, 64_000),  # the 45k/5k split
        ("vgg_2014", 1_281_167, 370_000),
        ("resnet_2015", 1_281_167, 600_000),
        ("squeezenet_2016", 1_281_167, 170_000),
        ("googlenet_2014", 1_281_167, 10_000_000),  # the BVLC replica's
        ("bn_inception_2015_x30", 1_281_167, 6_000_000),
    ],
)
def test_the_length_is_the_printed_number_of_updates(name, images, updates):
    recipe = recipe_by_name(name)
    assert recipe.epochs * images / recipe.batch_size == pytest.approx(updates, rel=0.005)


def test_the_papers_before_2018_decay_every_parameter_but_prelu_net_its_slopes():
    spared = {name for name, recipe in PAPER_RECIPES.items() if recipe.weight_decay and not recipe.decay_all}
    # NIN's biases have no decay in the authors' parameter file, Inception-v3's neither in the released code
    # and MobileNet's trainings are Inception-v3's
    released = {
        "mobilenet_v1_2017",
        "mobilenet_v2_2018",
        "mobilenet_v3_2019",
        "efficientnet_2019",
        "shufflenet_v2_2018",
        "convnext_2022",
        "mnasnet_2018",
        "repvgg_2021",
        "efficientnet_v2_2021",
        "resnet_rs_2021",
    }
    assert spared - released == {"prelu_net_2015", "nin_cifar_2013", "inception_v3_2015", "inception_v4_2016"}


# --- VGG's start from A -----------------------------------------------------------------------------------------------


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == markdown(), "stale: run  make catalogue"


@pytest.mark.parametrize("module", DECLARED)
def test_a_module_says_the_command_the_time_and_what_to_expect(module):
    text = importlib.import_module(f"convatlas.recipes.{module}").__doc__
    commands = [line.split()[2:] for line in text.splitlines() if line.strip().startswith("convatlas train")]
    assert commands
    for model, *words in commands:
        assert recipe_for(model, words[words.index("--recipe") + 1] if "--recipe" in words else "modern")
    assert "**Time" in text
    assert module == "modern" or {"**To expect.**", "**Assumed.**"} <= set(re.findall(r"\*\*[^*]+\*\*", text))
    assert all(recipe.source for recipe in DECLARED[module])
