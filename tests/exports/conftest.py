"""A trained `Tiny`, exported by the tests of this folder."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CLASSES, Tiny, Trained, draw

import convatlas as ca
from convatlas.runs.loaded_network import load_network
from convatlas.runs.run import Run

EXTRA = ("onnx", "onnxscript", "onnxruntime")
if not all(find_spec(package) for package in EXTRA):  # test_extra.py says so
    collect_ignore = ["test_export.py", "test_mutations.py", "test_resizing.py", "test_float_layers.py"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("exports")
    rng = np.random.default_rng(0)
    for kind in CLASSES:
        (root / "pictures" / kind).mkdir(parents=True)
        for number in range(45):
            Image.fromarray(draw(kind, rng)).save(root / "pictures" / kind / f"{number:02d}.png")
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
    return Trained(run, load_network(run), run.dataset(), root / "pictures")
