"""Other people's checkpoints on the command line: predict, evaluate, train --start-from and weights."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas as ca
from convatlas.i18n import set_language

NET = "resnet20_cifar"
PREPARED = ("--mean", "0.5", "--std", "0.25")


@pytest.fixture(autouse=True)
def _english():
    yield
    set_language(None)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return ca.create_model(NET).state_dict()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root, draw = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder in ("a", "b"):
        (root / folder).mkdir()
        for number in range(8):
            Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(root / folder / f"{number}.png")
    return root


@pytest.fixture
def names(tmp_path) -> Path:
    (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
    return tmp_path / "names.txt"


def documents(state) -> dict[str, object]:
    """One network under many wrappings: those of the case, and two siblings of each kind."""
    return {
        "plain.pth": state,
        "module.pth": {f"module.{name}": value for name, value in state.items()},
        "compiled.pth": {f"_orig_mod.{name}": value for name, value in state.items()},
        "both.pth": {f"module._orig_mod.{name}": value for name, value in state.items()},
        "backbone.th": {f"backbone.{name}": value for name, value in state.items()},
        "lightning.ckpt": {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
        "lightning-net.ckpt": {"state_dict": {f"net.{name}": value for name, value in state.items()}, "epoch": 3},
        "tutorial.pth.tar": {"model_state_dict": state, "epoch": 1},
        "best.tar": {"net": state, "acc": 0.9},
        "timm.pth.tar": {"state_dict": {k: v + 1 for k, v in state.items()}, "state_dict_ema": state},
        "pytorch_model.bin": state,
        "last": {"model": state},
    }


def test_one_network_under_many_wrappings_gives_the_same_answers(state, photos, names, tmp_path, convatlas):
    answers = set()
    for name, document in documents(state).items():
        torch.save(document, tmp_path / name)
        line = ("predict", NET, "--source", "convatlas", "--classes", str(names), "--weights", str(tmp_path / name))
        code, out, err = convatlas(*line, *PREPARED, str(photos / "a" / "0.png"))
        assert code == 0, (name, err)
        assert "mean, std as given" in err
        if name not in ("plain.pth", "pytorch_model.bin"):
            assert "taken off" in err or "opened" in err or "taken" in err, name
        answers.add(out)
        code, out, err = convatlas(*line, str(photos / "a" / "0.png"))  # nobody says how the images are prepared
        assert (code, out) == (2, "")
        assert re.search(r"all 116 tensors fit.*--mean and --std", err)
    assert len(answers) == 1


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_what_is_no_checkpoint_is_named(command, photos, tmp_path, convatlas):
    for name, content, said in (
        ("html.pth", "<html>404</html>", "web page"),
        ("lfs.pth", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("zero.pth", "", "is empty"),
    ):
        (tmp_path / name).write_text(content)
        rest = [str(photos / "a" / "0.png")] if command == "predict" else ["--data", str(photos)]
        code, out, err = convatlas(command, NET, "--weights", str(tmp_path / name), *rest)
        assert (code, out) == (3, "")
        assert said in err
        assert "Traceback" not in err


def test_evaluate_prints_the_preparation_beside_every_figure(state, photos, names, tmp_path, convatlas):
    torch.save(state, tmp_path / "plain.pth")
    line = ("evaluate", NET, "--weights", str(tmp_path / "plain.pth"), "--classes", str(names), "--data", str(photos))
    given = ("--mean", "125,123,114", "--std", "63,62,67", "--resize", "36", "--crop", "32", "--channels", "bgr",
             "--interpolation", "bicubic")  # fmt: skip
    code, out, err = convatlas(*line, *given)
    assert code == 0, err
    said = "preparation: shorter side to 36, bicubic; centre 32 x 32; RGB, mean and std 0.4471 0.4824 0.4902"
    assert said in out
    assert "(mean, std, channels, resize, crop, interpolation as given)" in out
    assert "note: the first convolution turned from BGR to RGB" in err
    assert "note: the names and shapes of this file fit resnet20_cifar and plain20_cifar alike" in err
    document = json.loads(convatlas(*line, *given, "--json")[1])
    assert document["preparation"]["interpolation"] == "bicubic"
    assert any("plain20_cifar" in each for each in document["remarks"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--mean", "0.5"), 2, "needs both --mean and --std"),
        (("--mean", "x", "--std", "1"), 2, "--mean 'x' is not one number or three"),
        (("--rename", "nowhere.toml"), 2, "--rename nowhere.toml cannot be read"),
        ((*PREPARED, "--resize", "8"), 2, "a crop of 32 pixels from images resized to 8"),
    ],
)
def test_a_preparation_that_cannot_be_used_is_refused(state, photos, names, tmp_path, convatlas, arguments, code, said):
    torch.save(state, tmp_path / "plain.pth")
    line = ("predict", NET, "--classes", str(names), "--weights", str(tmp_path / "plain.pth"))
    found, out, err = convatlas(*line, *arguments, str(photos / "a" / "0.png"))
    assert (found, out) == (code, "")
    assert said in err


def test_options_of_weights_do_not_belong_to_a_run(tmp_path, convatlas):
    code, _, err = convatlas("predict", str(tmp_path), "--mean", "0.5", "x.png")
    assert code == 2
    assert "a run has its own" in err


@pytest.mark.parametrize("where", ["weights", "logits"])
def test_predict_refuses_what_is_not_finite_as_evaluate_does(state, photos, names, tmp_path, convatlas, where):
    bad = {name: value.clone() for name, value in state.items()}
    if where == "weights":
        bad["fc.bias"][0] = float("nan")
    else:  # finite weights whose sums are not
        bad = {name: value * 1e37 if value.dim() > 1 else value for name, value in bad.items()}
    torch.save(bad, tmp_path / "diverged.pth")
    line = (NET, "--classes", str(names), "--weights", str(tmp_path / "diverged.pth"), *PREPARED)
    for command, rest in (("predict", [str(photos / "a" / "0.png")]), ("evaluate", ["--data", str(photos)])):
        code, out, err = convatlas(command, *line, *rest)
        assert (code, out) == (3 if where == "weights" else 1, "")
        assert "not finite" in err


# --- train ------------------------------------------------------------------------------------------------------------


TRAINED = ("--epochs", "1", "--min-updates", "0", "--threads", "1", "--no-trial", "--precision", "fp32")


@pytest.mark.parametrize("headless", [False, True])
def test_a_training_starts_from_a_checkpoint_and_keeps_its_preparation(state, photos, tmp_path, convatlas, headless):
    body = {f"encoder.{name}": value for name, value in state.items() if not (headless and name.startswith("fc."))}
    torch.save({"state_dict": body}, tmp_path / "moco.pth.tar")
    start = ("train", NET, "--data", str(photos), "--start-from", str(tmp_path / "moco.pth.tar"), *TRAINED)
    given = ("--mean", "0.5,0.4,0.3", "--std", "0.2", "--channels", "bgr", "--interpolation", "bicubic")
    code, out, err = convatlas(*start, *given, "--out", str(tmp_path / "runs"))
    assert code == 0, err
    assert "the prefix 'encoder.' taken off" in err
    assert ("a backbone without a head" in err) == headless
    (folder,) = (tmp_path / "runs").iterdir()
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["preprocessing"]["mean"] == [0.3, 0.4, 0.5]
    assert config["preprocessing"]["interpolation"] == "bicubic"
    assert "as given" in config["start"]["prepared"]
    assert any("encoder." in each for each in config["start"]["remarks"])
    assert ca.Run(folder).preprocessing.std == (0.2, 0.2, 0.2)
    code, out, _ = convatlas("evaluate", str(folder))
    assert "bicubic; centre 32 x 32; RGB, mean and std 0.3 0.4 0.5  0.2 0.2 0.2 (as stored in the run)" in out


def test_names_of_ones_own_start_a_training(state, photos, tmp_path, convatlas):
    torch.save({name.replace("stage", "part_"): value for name, value in state.items()}, tmp_path / "own.pth")
    (tmp_path / "names.toml").write_text(r"'part_(\d.*)' = 'stage\1'")
    line = ("train", NET, "--data", str(photos), "--start-from", str(tmp_path / "own.pth"), "--dry-run", *TRAINED)
    code, _, err = convatlas(*line)
    assert (code, "--rename" in err) == (3, True)
    code, out, err = convatlas(*line, "--rename", str(tmp_path / "names.toml"))
    assert code == 0, err
    assert "names changed by" in out


def test_a_recipe_without_weights_to_start_from_takes_no_preparation(convatlas):
    code, _, err = convatlas("train", "mlp", "--mean", "0.5", "--dry-run")
    assert code == 2
    assert "mean says how the weights in start_from were made" in err


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_lists_what_a_file_holds_and_the_nearest_networks(state, tmp_path, convatlas):
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, tmp_path / "x.pth"
    )
    code, out, err = convatlas("weights", str(tmp_path / "x.pth"))
    assert (code, err) == (0, "")
    assert "undone: 'state_dict' opened" in out
    assert "undone: the prefix 'module.' taken off" in out
    assert "beside the weights: epoch" in out
    assert re.search(r"stage1\.0\.conv1\.weight +16 x 16 x 3 x 3 +float32", out)
    document = json.loads(convatlas("weights", str(tmp_path / "x.pth"), "--json")[1])
    assert document["schema"] == 1
    assert [each["model"] for each in document["nearest"][:2]] == [NET, "plain20_cifar"]
    assert document["nearest"][0]["score"] == 1
    assert document["tensors"] == len(state)


def test_weights_beside_a_network_and_a_proposed_file_of_names(state, photos, names, tmp_path, convatlas):
    theirs = {name.replace("stage", "part_").replace("conv1.", "c1."): value for name, value in state.items()}
    torch.save(theirs, tmp_path / "own.pth")
    own, toml = str(tmp_path / "own.pth"), str(tmp_path / "rename.toml")
    code, out, err = convatlas("weights", own, "--like", NET)
    assert code == 0, err
    assert "unknown to resnet20_cifar" in out
    assert "--write-rename names.toml" in out
    code, out, err = convatlas("weights", own, "--like", NET, "--write-rename", toml)
    assert code == 0, err
    document = json.loads(convatlas("weights", own, "--like", NET, "--rename", toml, "--json")[1])
    assert document["fits"]
    assert document["alike"] == ["plain20_cifar"]
    line = ("predict", NET, "--weights", own, "--rename", toml, "--classes", str(names), *PREPARED)
    assert convatlas(*line, str(photos / "a" / "0.png"))[0] == 0


def test_values_that_are_not_finite_are_counted_in_the_list(state, tmp_path, convatlas):
    bad = {name: value.clone() for name, value in state.items()}
    bad["fc.bias"][:3] = float("inf")
    torch.save(bad, tmp_path / "bad.pth")
    assert "3 not finite" in convatlas("weights", str(tmp_path / "bad.pth"))[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere.pth",), 3, "there is no weights file"),
        (("FILE", "--like", "resnet21_cifar"), 2, "Did you mean resnet32_cifar or resnet20_cifar"),
        (("FILE", "--rename", "x.toml"), 2, "name it with --like"),
        (("FILE", "--like", NET, "--source", "torchvison"), 2, "Did you mean torchvision"),
    ],
)
def test_what_weights_cannot_do_is_said(state, tmp_path, convatlas, arguments, code, said):
    torch.save(state, tmp_path / "x.pth")
    found, _, err = convatlas("weights", *(str(tmp_path / "x.pth") if each == "FILE" else each for each in arguments))
    assert found == code
    assert said in err


def test_korean(state, tmp_path, convatlas):
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    assert "가장 가까운 신경망" in convatlas("weights", str(tmp_path / "x.pth"), "--lang", "ko")[1]
    (tmp_path / "page.pth").write_text("<html>")
    assert "웹 페이지" in convatlas("weights", str(tmp_path / "page.pth"), "--lang", "ko")[2]
