"""A LeNet-5 trained on the digits, exported, and servers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import Client, Served
from sklearn.datasets import load_digits

import convatlas as ca
from convatlas.exports import ExportedModel, open_exported
from convatlas.runs.run import Run
from convatlas.serve import ServeOptions

if not all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime")):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    root = tmp_path_factory.mktemp("private-folder")
    run = ca.train("lenet5@modern", "digits", out=root / "runs", epochs=3, threads=1, device="cpu", precision="fp32")
    file = ca.export(run.path, out=root / "exported").file
    paths = []
    for number, pixels in enumerate(load_digits().images[:24]):
        path = root / f"{number:02d}.png"
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(path)
        paths.append(path)
    return Served(Run(run.path), file, tuple(path.read_bytes() for path in paths), tuple(paths))


@pytest.fixture(scope="session")
def model(served: Served) -> ExportedModel:
    return open_exported(served.file, threads=1)


@pytest.fixture
def client_of(model: ExportedModel) -> Iterator[Callable[..., Client]]:
    """Start servers; they are closed after the test."""
    opened: list[Client] = []

    def start(options: ServeOptions = ServeOptions(), model: ExportedModel = model, **more: Any) -> Client:  # noqa: B008
        opened.append(Client(model, options, **more))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def client(client_of: Callable[..., Client]) -> Client:
    return client_of()
