"""A trained `Tiny`, exported as ONNX: with pixels and with whole photos as its input."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.exports.tiny import draw_pictures, train_tiny

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
    for folder, number in (("pictures", 30), ("new", 5)):
        draw_pictures(root / folder, number, rng)
    run = train_tiny(root / "pictures", root / "runs")
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
