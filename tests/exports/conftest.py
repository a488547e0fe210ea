"""A trained `Tiny`, exported by the tests of this folder."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from tiny import Trained, draw_pictures, train_tiny

from convatlas.runs.loaded_network import load_network

EXTRA = ("onnx", "onnxscript", "onnxruntime")
if not all(find_spec(package) for package in EXTRA):  # test_extra.py says so
    collect_ignore = ["test_export.py", "test_mutations.py", "test_resizing.py", "test_float_layers.py"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("exports")
    draw_pictures(root / "pictures", 45, np.random.default_rng(0))
    run = train_tiny(root / "pictures", root / "runs")
    return Trained(run, load_network(run), run.dataset(), root / "pictures")
