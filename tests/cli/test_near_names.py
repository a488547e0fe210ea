"""Names as other tools write them: the suggestion is the name that was meant."""

from __future__ import annotations

import pytest

import convatlas as ca
from convatlas.cli._app import COMMAND_ALIASES, COMMANDS, imported
from convatlas.cli._other_spellings import OPTION_ALIASES
from convatlas.comparison import budget
from convatlas.errors import UnknownNameError, near_names
from convatlas.models import registry
from convatlas.runs.configuration import ALL_SETTINGS
from convatlas.settings import ALIASES


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("resnet20", "resnet20_cifar"),
        ("ResNet50", "resnet50"),
        ("resnet-50", "resnet50"),
        ("vgg16_bn", "vgg16@torchvision_bn"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("DenseNet-121", "densenet121"),
        ("cifar10_resnet20", "resnet20_cifar"),
        ("SqueezeNet1.1", "squeezenet1_1"),
        ("alex", "alexnet"),
        ("lenet6", "lenet5"),
    ],
)
def test_networks(name, first):
    with pytest.raises(UnknownNameError) as error:
        ca.create_model(name)
    assert error.value.near[0] == first


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("train", "mlp", "--learning-rate", "0.1"), "'--lr'"),
        (("train", "mlp", "--batch", "3"), "'--batch-size'"),
        (("train", "mlp", "--Epochs", "3"), "'--epochs'"),
        (("train", "mlp", "--pretrained", "x"), "'--start-from'"),
        (("evaluate", "resnet18", "--pretrained", "x"), "'--weights'"),
        (("compare", "mlp", "--dataset", "x"), "'--data'"),
        (("predict", "run", "x", "--topk", "3"), "'--top'"),
        (("eval", "run"), "evaluate"),
        (("compare", "mlp", "--budget", "FLOPs<=1M"), "macs"),
        (("runs", "shwo"), "'show'"),
    ],
)
def test_the_command_line(convatlas, arguments, suggestion):
    code, _, err = convatlas(*arguments)
    assert code == 2
    assert "id you mean" in err
    assert suggestion in err


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (
            ("train", "model=lenet5", "data=d", "epochs=3", "imgsz=32"),
            "train lenet5 --data d --epochs 3 --image-size 32",
        ),
        (("train", "task=classify", "mode=train", "lr0=0.1"), "train --lr 0.1"),
        (("compare", "mlp", "lenet5", "batch=8"), "compare --batch-size 8"),
    ],
)
def test_settings_written_as_assignments(convatlas, arguments, written):
    code, _, err = convatlas(*arguments)
    assert code == 2
    assert f"convatlas {written}\n" in err


def test_values_with_an_equals_sign_are_no_assignments(convatlas, tmp_path):
    line = ("compare", "mlp", "--data", str(tmp_path), "--budget", "params=1M")
    assert "name=value" not in convatlas(*line)[2]
    assert "name=value" not in convatlas("show", "nets/mine.py:Net(width=3)")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--model", "lenet5"), "named without an option:  convatlas train NAME"),
        (("show", "--arch", "resnet18"), "named without an option:  convatlas show NAME"),
        (("train", "lenet5", "--num-classes", "3"), "The data state the number of classes"),
    ],
)
def test_options_that_are_not_needed_here(convatlas, arguments, words):
    code, _, err = convatlas(*arguments)
    assert code == 2
    assert words in err
    assert "id you mean" not in err


def test_settings_of_the_library_of_files_and_of_the_environment(convatlas, tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match=r"unknown setting 'learning_rate'. Did you mean lr\?"):
        ca.train("mlp", learning_rate=0.1)
    with pytest.raises(UnknownNameError, match=r"Did you mean batch_size\?"):
        ca.Recipe().change(batch=3)
    (tmp_path / "mine.toml").write_text("wd = 0.1\n")
    code, _, err = convatlas("train", "mlp", "--config", str(tmp_path / "mine.toml"))
    assert code == 2
    assert "Did you mean weight_decay?" in err
    monkeypatch.setenv("CONVATLAS_LEARNING_RATE", "0.1")
    code, _, err = convatlas("train", "mlp", "--print-config")
    assert code == 2
    assert "Did you mean lr?" in err


def test_every_alias_stands_for_a_name_that_exists_and_is_none_itself():
    options = {option for name in COMMANDS for option in long_options(name)}
    for aliases, known in (
        (registry.ALIASES, set(ca.list_models())),
        (ALIASES, set(ALL_SETTINGS)),
        (budget.ALIASES, set(budget.QUANTITIES)),
        (COMMAND_ALIASES, set(COMMANDS)),
    ):
        assert set(aliases.values()) <= known
        assert not set(aliases) & known
    assert {f"--{name}" for _, name in OPTION_ALIASES} <= options


def long_options(name):

    return [each for p in imported(name).params for each in p.opts]


def test_near_names_of_nothing_and_of_anything():
    assert near_names("", ["a", "b"]) == []
    assert near_names("-_ .", ["a"]) == []
    assert near_names("xyzzy", ["mlp"]) == []
    assert near_names("B", ["a", "b"]) == ["b"]
