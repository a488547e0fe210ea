"""convatlas evaluate and predict: a run, and a network with other people's weights, on images of any size."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas as ca
from convatlas.errors import UsageError

NETWORK = "squeezenet1_1@torchvision"
CLASSES = {"n01440764": 0, "goldfish": 1, "n01484850_great_white_shark": 2}  # folder -> output


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Six photographs' worth of noise, of several sizes, in folders that spell their classes in three ways."""
    root, draw = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder in CLASSES:
        for size in ((300, 400), (512, 256)):
            (root / folder).mkdir(exist_ok=True)
            rough = Image.fromarray(draw.integers(0, 256, (8, 6, 3), dtype=np.uint8))
            rough.resize(size, Image.Resampling.BICUBIC).save(root / folder / f"{size[0]}.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A squeezenet1_1 as torchvision would save it: its layers are counted, not named."""
    torch.manual_seed(0)
    net = ca.create_model(NETWORK)
    torch.nn.init.normal_(net.conv10.weight, std=0.1)
    places = {name: str(place) for place, (name, _) in enumerate(net.named_children())}
    state = {}
    for name, value in net.state_dict().items():
        layer, _, rest = name.partition(".")
        place = "classifier.1" if layer == "conv10" else f"features.{places[layer]}"
        state[f"{place}.{rest.replace('squeeze1x1', 'squeeze')}"] = value
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(state, path)
    return path


def by_hand(path: Path) -> torch.Tensor:
    """torchvision's documented preparation, written out: shorter side 256, centre 224, ImageNet's mean and std."""
    image = Image.open(path)
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = torch.tensor(np.array(image.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_a_network_remembers_what_its_weights_need(photos, checkpoint):
    net = ca.create_model(NETWORK, weights=str(checkpoint))
    found = ca.evaluate(net, photos)
    files = sorted(photos.rglob("*.png"))
    with torch.inference_mode():
        logits = net.eval()(torch.stack([by_hand(file) for file in files]))
    assert [file.relative_to(photos).as_posix() for file in files] == list(found.names)
    torch.testing.assert_close(torch.from_numpy(found.logits), logits, rtol=1e-4, atol=1e-4)
    assert found.labels.tolist() == [CLASSES[file.parent.name] for file in files]
    assert found.classes[:3] == ("tench", "goldfish", "great white shark")
    for file, row, answer in zip(files, logits, ca.predict(net, files), strict=True):
        assert answer.file == str(file)
        assert answer.top[0][0] == found.classes[row.argmax()]


def test_the_command_line_says_how_the_images_are_prepared(convatlas, photos, checkpoint):
    code, out, err = convatlas("evaluate", NETWORK, "--weights", checkpoint, "--data", photos, "--json")
    document = json.loads(out)
    assert (code, document["n"], document["schema"]) == (0, 6, 1)
    assert document["run"] == f"{NETWORK} with {checkpoint}"
    assert document["preparation"]["mean"] == [0.485, 0.456, 0.406]
    assert document["preparation_from"].startswith("assumed: usual for torchvision weights of squeezenet1_1")
    assert "shorter side to 256, bilinear; centre 224 x 224" in err


def test_evaluate_lists_only_classes_that_have_images(convatlas, photos, checkpoint):
    code, out, _ = convatlas("evaluate", NETWORK, "--weights", checkpoint, "--data", photos)
    assert code == 0
    assert "3 classes" not in out  # none is left out, so no heading counts them
    for name in ("tench", "goldfish", "great white shark"):
        assert f" {name} " in out


def test_one_image_that_is_missing_does_not_stop_the_others(convatlas, photos, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    paths = [tmp_path / "missing.png", photos / "goldfish", tmp_path / "empty", tmp_path / "broken.png"]
    code, out, err = convatlas("predict", NETWORK, "--weights", checkpoint, "--top", "2", "--json", *paths)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert [Path(answer["file"]).name for answer in answers] == [
        "missing.png", "300.png", "512.png", "empty", "broken.png",
    ]  # fmt: skip
    assert [len(answer.get("top", ())) for answer in answers] == [0, 2, 2, 0, 0]
    assert answers[0]["error"] == "No such file or directory"
    assert "missing.png cannot be read: No such file" in err
    assert "3 images could not be read; the labels of the others are above." in err


def test_a_head_of_ones_own_needs_its_class_names(convatlas, photos, tmp_path):
    torch.manual_seed(0)
    net = ca.create_model("resnet20_cifar", num_classes=3)
    theirs = {name.replace("stage", "layer").replace("fc.", "linear."): v for name, v in net.state_dict().items()}
    torch.save(theirs, tmp_path / "fish.th")
    (tmp_path / "names.txt").write_text("tench\ngoldfish\ngreat white shark\n")
    asked = ["evaluate", "resnet20_cifar", "--weights", tmp_path / "fish.th", "--data"]

    code, _, err = convatlas(*asked, photos)
    assert (code, "has 3 outputs. Name their classes in their order: --classes FILE" in err) == (3, True)
    named = tmp_path / "named"
    for folder, name in zip(CLASSES, ("Tench", "goldfish", "great_white_shark"), strict=True):
        shutil.copytree(photos / folder, named / name)
    code, out, err = convatlas(*asked, named, "--classes", tmp_path / "names.txt", "--json")
    assert (code, json.loads(out)["classes"]) == (0, ["tench", "goldfish", "great white shark"])
    with pytest.raises(UsageError, match=r"the names of its 3 classes are not known.* --classes FILE"):
        ca.evaluate(ca.create_model("resnet20_cifar", 3, weights=str(tmp_path / "fish.th")), named)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((NETWORK,), 2, "is a network, not a run: name its weights"),
        ((NETWORK, "--weights", "WEIGHTS"), 2, "has no data of its own"),
        ((NETWORK, "--weights", "WEIGHTS", "--source", "torchvison"), 2, "Did you mean torchvision"),
        ((NETWORK, "--weights", "torchvision:IMAGENET1K_V9"), 2, "torchvision:IMAGENET1K_V1"),
        (("resnet50", "--weights", "torchvision:IMAGENET1K_V1"), 2, "there are for resnet50@torchvision"),
        ((NETWORK, "--weights", "nowhere.pth"), 3, "there is no weights file"),
        (("resnet18@torchvision", "--weights", "WEIGHTS"), 3, "of no source known for resnet18@torchvision"),
        ((NETWORK, "--weights", "WEIGHTS", "--data", "digits"), 3, "does not have: 0, 1"),
        (("runs/nothing",), 3, "is not a run directory"),
        (("runs/nothing", "--classes", "names.txt"), 2, "a run has its own"),
    ],
)
def test_what_cannot_be_judged_is_said(convatlas, checkpoint, arguments, code, message):
    given = [str(checkpoint) if argument == "WEIGHTS" else argument for argument in arguments]
    found, out, err = convatlas("evaluate", *given)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_a_network_nobody_trained_is_not_asked(photos):
    with pytest.raises(UsageError, match="preprocessing of this network's images is not known"):
        ca.evaluate(ca.create_model(NETWORK), photos)


def test_a_run_is_judged_by_its_own_rule(convatlas, tmp_path):
    _, _, said = convatlas("train", "mlp", "--epochs", "1", "--threads", "1", "--out", tmp_path)
    assert re.search(r"train loss \d\.\d+ nats  top-1", said)
    (folder,) = tmp_path.iterdir()
    code, out, err = convatlas("evaluate", folder, "--json")
    document = json.loads(out)
    assert (code, err, document["n"], document["part"]) == (0, "", 359, "test")
    assert document["top1"] == ca.Run(folder).result["test_top1"]
    nats = document["nll"]  # a bit is ln 2 nats
    assert f"nll    {nats:.4f} nats = {nats / math.log(2):.4f} bits" in convatlas("evaluate", folder)[1]
    Image.fromarray(np.zeros((28, 28), dtype=np.uint8)).save(tmp_path / "nought.png")
    code, out, _ = convatlas("predict", folder, tmp_path / "nought.png")
    assert (code, out.count(" %")) == (0, 5)


def test_the_help_names_every_protocol():
    from convatlas.cli.evaluate import PROTOCOLS as SAID
    from convatlas.evaluation import PROTOCOLS, get_protocol

    words = [word.partition("[")[0] for word in SAID.replace(",Q", "").split(", ")]
    assert {get_protocol(word).name for word in words} == set(PROTOCOLS)


def test_the_protocols_are_listed_with_their_sources(convatlas):
    from convatlas.evaluation import PROTOCOLS

    code, out, _ = convatlas("evaluate", "--list-protocols")
    assert code == 0
    assert all(name in out for name in PROTOCOLS)
    assert "arXiv:1409.4842" in out


def test_several_runs_are_an_ensemble_and_the_output_says_so(convatlas, tmp_path):
    first = ca.train("mlp", "digits", epochs=1, threads=1, out=tmp_path)
    second = ca.train("mlp", "digits", epochs=1, threads=1, out=tmp_path, seed=1, split=first.split_path)
    code, out, _ = convatlas("evaluate", first.path, second.path, "--json")
    assert (code, json.loads(out)["protocol"]) == (0, "ensemble of 2, centre")
    code, out, _ = convatlas("evaluate", first.path, second.path, "--protocol", "flip")
    assert "protocol ensemble of 2, flip" in out
    code, _, err = convatlas("evaluate", "mlp", "lenet5", "--weights", "x.pth")
    assert (code, "An ensemble is made of runs" in err) == (2, True)
