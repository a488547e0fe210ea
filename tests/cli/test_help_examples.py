"""Every example in a ``--help`` runs, on small data of the names it uses.

A training, a comparison or a benchmark is run with a smaller budget put after it (`SHORTER`): an option's last value
counts. What would use the network is parsed, every option and file of it checked, and not run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from convatlas.cli import main
from convatlas.cli._app import COMMANDS, imported
from convatlas.i18n import set_language
from convatlas.models import create_model

SHORTER = {
    "train": ["--epochs", "1", "--min-updates", "0"],
    "compare": ["--epochs", "1", "--seeds", "1", "--image-size", "32"],
    "bench": ["--time", "0.1", "--batch-size", "2"],
}
OWN_NETWORK = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
"""
NETWORK = ("--download", "hf:")
SLOW = (
    "compare",
    "bench",
    "train resnet18",
    "explain vgg16 conv5_3",
    "export",
    "check-export",
)  # more than a few seconds
EXPORT = ("export", "check-export")
WITH_EXPORT = all(find_spec(package) is not None for package in ("onnx", "onnxscript", "onnxruntime", "openvino"))
MET_OR_NOT = (0, 5)  # of a --budget: 5 says that nothing measured here meets it


def examples_of(command: click.Command) -> Iterator[str]:
    for line in (command.help or "").splitlines():
        if line.strip().startswith("convatlas "):
            yield line.strip()
    for below in getattr(command, "commands", {}).values():
        yield from examples_of(below)


def examples() -> list[str]:
    commands = [imported(name) for name in COMMANDS]
    return list(dict.fromkeys(line for command in commands for line in examples_of(command)))


def marked(line: str):
    offline = not any(word in line for word in NETWORK)
    slow = offline and line.removeprefix("convatlas ").startswith(SLOW) and "--list" not in line
    marks = [pytest.mark.slow] if slow else []
    if line.removeprefix("convatlas ").startswith(EXPORT):
        marks.append(pytest.mark.skipif(not WITH_EXPORT, reason="the extra [export] is not installed"))
    return pytest.param(line, marks=marks)


# ------------------------------------------------------------------ the data they name


def write_photos(folder: Path) -> None:
    for k, name in enumerate(("ants", "bees")):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.random.default_rng(100 * k + i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def write_mnist(folder: Path) -> None:
    """The embedded digits as IDX files of 28 x 28."""
    folder.mkdir()
    digits = load_digits()
    pixels = np.pad((digits.images * 15.9).astype(np.uint8).repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))
    for part, chosen in (("train", slice(0, 300)), ("t10k", slice(300, 400))):
        images, labels = pixels[chosen], digits.target[chosen].astype(np.uint8)
        shape = np.array([0x803, len(images), 28, 28], dtype=">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(shape + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            np.array([0x801, len(labels)], dtype=">i4").tobytes() + labels.tobytes()
        )


def write_cifar(folder: Path) -> None:
    folder.mkdir()
    for n, name in enumerate(("data_batch_1.bin", "test_batch.bin")):
        records = np.random.default_rng(n).integers(0, 256, (40, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(40) % 10
        (folder / name).write_bytes(records.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request) -> Path:
    """A folder from which every example can be typed: data, photos, weights and trained runs."""
    above = tmp_path_factory.mktemp("examples")
    here = above / "here"
    here.mkdir()
    write_mnist(above / "mnist")
    for name in ("photos", "new_photos", "holiday", "imagenet/val"):
        write_photos(here / name)
    Image.open(here / "photos/ants/0.png").save(here / "cat.jpg")
    (here / "net.py").write_text(OWN_NETWORK)
    for name in ("CIFAR", "cifar-10-batches-bin"):
        write_cifar(here / name)
    net = create_model("resnet20_cifar")
    names = {key: key.replace("stage", "layer").replace("fc.", "linear.") for key in net.state_dict()}
    state = {f"module.{names[key]}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state}, here / "resnet20.th")
    torch.save({f"net.{key}": value for key, value in net.state_dict().items()}, here / "own.pth")
    (here / "names.txt").write_text("\n".join(["ants", "bees", *"cdefghij"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        for line in (
            "train lenet5 --data ../mnist --write-split ../mnist.csv",
            "train lenet5 --data ../mnist --split ../mnist.csv --seed 1",
            "train lenet5 --data ../mnist --split ../mnist.csv --seed 2",
            "train resnet18 --data photos/ --image-size 32",
            "train resnet20_cifar --data CIFAR",
        ):
            run(line.replace("--write-split ../mnist.csv", ""), SHORTER["train"])
            if "--write-split" in line:
                (above / "mnist.csv").write_bytes((here / "runs/lenet5-mnist-001/split.csv").read_bytes())
        (here / "runs/resnet20_cifar-CIFAR-001").rename(here / "runs/resnet20_cifar-001")
        if WITH_EXPORT and any("check-export" in item.name for item in request.session.items):
            run("export runs/resnet18-photos-001 --out exported", [])
        (here / "PHOTOS").symlink_to("photos")
        (here / "RUN").symlink_to("runs/resnet18-photos-001")
    return here


def run(line: str, more: list[str], allowed: tuple[int, ...] = (0,)) -> None:
    with pytest.raises(SystemExit) as left:
        main([*shlex.split(line), *more])
    assert (left.value.code or 0) in allowed, line


@pytest.fixture(autouse=True)
def _english_and_brief(monkeypatch):
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    monkeypatch.setenv("CONVATLAS_MIN_UPDATES", "0")  # of compare, which has no such option
    yield
    set_language(None)


# ------------------------------------------------------------------ the examples


@pytest.mark.parametrize("line", [marked(line) for line in examples()])
def test_an_example_of_a_help_runs(line, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    arguments = shlex.split(line)[1:]
    name = arguments[0]
    if any(word in line for word in NETWORK):
        command = imported(name)
        with command.make_context(name, arguments[1:]) as context:
            assert context.params["download"]
        return
    if name == "explore":  # would serve until Ctrl-C; tests/explorer runs it
        with imported(name).make_context(name, arguments[1:]) as context:
            assert context.params["subjects"]
        return
    if name == "serve":  # as well; tests/serve runs it
        with imported(name).make_context(name, arguments[1:]) as context:
            assert context.params["file"]
        return
    finished = "--resume" in line or "--list" in line
    more = [] if finished else SHORTER.get(name, [])
    if name == "train" and "resnet18" in line:
        more = [*more, "--image-size", "32"]
    if line == "convatlas compare --resume runs/compare-photos-001" and not Path("runs/compare-photos-001").exists():
        run("compare mlp --data photos", SHORTER["compare"])
    run(line.removeprefix("convatlas "), more, MET_OR_NOT if "--budget" in line else (0,))
    assert capsys.readouterr().out or "--show-batch" in line


def test_layer_and_explain_have_examples():
    found = examples()
    for command in ("explain", "layer conv", "layer pool", "layer fc", "layer lrn", "layer softmax", "layer loss"):
        assert any(line.startswith(f"convatlas {command} ") for line in found)
