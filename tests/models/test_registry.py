"""Names: what is listed, what is offered for a name that is wrong, and that listing costs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources

import pytest
import torch

import convatlas as ca
from convatlas.errors import ShapeError, UnknownNameError, UsageError
from convatlas.models import entry
from convatlas.models.catalogue import catalogue, model_files, record
from convatlas.models.registry import CATALOGUE, declared


def test_patterns_match_the_full_name_and_the_name_before_the_variant():
    assert ca.list_models("resnet50*") == [f"resnet50{v}" for v in ("", "@torchvision", "@caffe", "@keras")]
    assert ca.list_models("resnet50", variants=False) == ["resnet50"]
    assert ca.list_models("*@torchvision") == [n for n in ca.list_models() if n.endswith("@torchvision")]
    assert ca.list_models("nothing*") == []


def test_entry_says_what_the_catalogue_knows():
    line = entry("resnet50@torchvision")
    assert (line.name, line.variant, line.full_name) == ("resnet50", "torchvision", "resnet50@torchvision")
    assert (line.family, line.input, line.num_classes, line.year) == ("resnet", (3, 224, 224), 1000, 2015)
    assert line.params == 25_557_032


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("resnet5O", "unknown network 'resnet5O'. Did you mean resnet50"),
        ("lenet5@kears", "lenet5 has the variants lenet5@modern, lenet5@caffe."),
        ("mlp@torchvision", "mlp has no variants."),
    ],
)
def test_a_wrong_name_is_answered_with_the_near_ones(wrong, message):
    with pytest.raises(UnknownNameError) as caught:
        ca.create_model(wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("argument", ["num_classes", "in_channels", "image_size"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True])
def test_counts_are_positive_whole_numbers(argument, value):
    with pytest.raises(UsageError, match=f"{argument} must be a positive integer; got {value!r}"):
        ca.create_model("mlp", **{argument: value})


def test_too_small_an_image_is_refused_before_anything_is_built():
    with pytest.raises(ShapeError, match=r"resnet18 is too deep for 16 x 16 images; .* size is 17 x 17"):
        ca.create_model("resnet18", image_size=16)


def test_the_global_seed_repeats_the_initialisation():
    def draw() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.cat([p.flatten() for p in ca.create_model("lenet5").parameters()])

    assert torch.equal(draw(), draw())
    before = draw()
    assert not torch.equal(before, torch.cat([p.flatten() for p in ca.create_model("lenet5").parameters()]))


def stored_catalogue() -> str:
    return resources.files("convatlas.models").joinpath(CATALOGUE).read_text(encoding="utf-8")


def test_the_catalogue_lists_what_the_model_files_declare():
    stored = {record["name"]: record for record in json.loads(stored_catalogue())["networks"]}
    fresh = {network.name: network for module in model_files() for network in declared(module).values()}
    assert list(stored) == list(fresh), "stale: run  make catalogue"
    for name, network in fresh.items():
        assert ca.card(name) == network.card, "stale: run  make catalogue"
        assert stored[name]["smallest_size"] == network.smallest_size, "stale: run  make catalogue"


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet20_cifar", "squeezenet1_1"])
def test_the_catalogue_holds_the_traced_totals(name):
    stored = {record["name"]: record for record in json.loads(stored_catalogue())["networks"]}
    fresh = record(declared(entry(name).family)[name], entry(name).family)
    assert json.loads(json.dumps(fresh)) == stored[name], "stale: run  make catalogue"


@pytest.mark.slow
def test_the_catalogue_is_fresh():
    assert stored_catalogue() == catalogue(), "stale: run  make catalogue"


def test_listing_and_cards_do_not_import_torch():
    script = (
        "import sys, convatlas as ca; ca.list_models(); ca.card('vgg16' if 'vgg16' in ca.list_models() else 'mlp');"
        "assert 'torch' not in sys.modules; assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
