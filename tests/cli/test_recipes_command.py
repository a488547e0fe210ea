"""convatlas train --list-recipes."""

from __future__ import annotations

import json

from click.testing import CliRunner

from convatlas.cli.train import command


def test_all_recipes_are_listed_with_their_networks():
    found = json.loads(CliRunner().invoke(command, ["--list-recipes", "--json"]).output)["recipes"]
    of = {line["recipe"]: line["whose"] for line in found}
    assert of["modern"] == of["modern_long"] == "any classifier"
    assert of["lenet5_1998"] == "lenet5"
    assert "densenet_bc100_k12_cifar" in of["densenet_cifar_2016"]


def test_a_networks_own_recipes_are_listed_by_the_words_train_takes():
    output = CliRunner().invoke(command, ["vgg16", "--list-recipes"]).output
    assert [word in output for word in ("modern", "modern_long", "paper", "vgg_2014")] == [True] * 4
    assert "74 epochs of 256" in output


def test_an_unknown_network_is_named():
    result = CliRunner().invoke(command, ["vgg17", "--list-recipes"])
    assert result.exit_code != 0
    assert "vgg17" in str(result.exception or result.output)
