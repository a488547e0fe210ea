"""A trained `Tiny`, exported as ONNX: with pixels and with whole photos as its input."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.exports.tiny import CLASSES, Tiny, draw

import convatlas as ca
from convatlas.cli import main
from convatlas.runs.run import Run

EXTRA = ("onnx", "onnxscript", "onnxruntime")
if not all(find_spec(package) for package in EXTRA):  # tests/exports/test_extra.py says so
    collect_ignore_glob = ["test_*.py"]


@dataclass(frozen=True)
class Shipped:
    """A run and the files that were exported from it."""

    run: Run
    pixels: Path  # model.onnx whose input is of the network's size
    photo: Path  # model.onnx that resizes and crops by itself
    pictures: Path  # the data set of the run, by class
    new: Path  # other pictures, by class


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    root = tmp_path_factory.mktemp("deployed")
    rng = np.random.default_rng(0)
    for folder, count in (("pictures", 30), ("new", 5)):
        for kind in CLASSES:
            (root / folder / kind).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw(kind, rng)).save(root / folder / kind / f"{number:02d}.png")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Tiny()
    made = ca.train(
        net,
        data=root / "pictures",
        out=root / "runs",
        name="tiny",
        epochs=4,
        image_size=64,
        device="cpu",
        threads=1,
        precision="fp32",
    )
    run = Run(made.path, net=net)
    files = [ca.export(run, input=input, out=root / input).file for input in ("pixels", "photo")]
    return Shipped(run, *files, root / "pictures", root / "new")


@pytest.fixture
def convatlas(capsys):
    """``convatlas("predict", file, ...)`` runs the command line here; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run
