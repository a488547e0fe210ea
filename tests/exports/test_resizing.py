"""The resize inside a file gives Pillow's pixels, in both engines and at any size."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import __version__ as pillow

from convatlas.data import Preprocessing
from convatlas.exports.engines import Engine, load_engine
from convatlas.exports.graph import GraphBuilder
from convatlas.exports.limits import OPENVINO_BICUBIC_LEVELS
from convatlas.exports.reference import prepared
from convatlas.exports.resizing import add_resize

OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
ENGINES = ["onnxruntime", pytest.param("openvino", marks=OPENVINO)]
EXTREME = [(1, 1), (1, 900), (900, 1), (47, 48), (48, 48), (96, 96), (49, 1300), (1300, 49), (3000, 61), (613, 4001)]


def resizer(preprocessing: Preprocessing, engine: str, folder: Path) -> Engine:
    """The nodes of the resize as a model of their own."""
    graph = GraphBuilder("preparation")
    name = add_resize(graph, preprocessing, pillow)
    channels = preprocessing.channels
    given = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, "height", "width", channels])
    result = helper.make_tensor_value_info(name, TensorProto.UINT8, [1, *preprocessing.size, channels])
    whole = helper.make_graph(graph.nodes, "resize", [given], [result], graph.initializers)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "resize.onnx")
    return load_engine(folder / "resize.onnx", engine, threads=1)


def photo(height: int, width: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Half noise, half flat areas with hard edges, where many sums are on the border between two values."""
    noise = rng.integers(0, 256, (height, width, channels))
    blocks = rng.integers(0, 2, (height // 7 + 1, width // 5 + 1, channels)).repeat(7, 0).repeat(5, 1) * 255
    return np.where(rng.random() < 0.5, noise, blocks[:height, :width]).astype(np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("resize", ["shorter-crop", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_pixels_are_pillow_s(tmp_path: Path, engine: str, resize: str, interpolation: str) -> None:
    preprocessing = Preprocessing((40, 44), 3, resize=resize, margin=1.2, interpolation=interpolation)  # type: ignore[arg-type]
    loaded = resizer(preprocessing, engine, tmp_path)
    rng = np.random.default_rng(0)
    for height, width in [*EXTREME, *rng.integers(2, 700, (60, 2)).tolist()]:
        pixels = photo(height, width, 3, rng)
        found = loaded.run(pixels[None])["prepared"][0].astype(int)
        most = np.abs(found - prepared(pixels, preprocessing)).max()
        allowed = OPENVINO_BICUBIC_LEVELS if (engine, interpolation) == ("openvino", "bicubic") else 0
        assert most <= allowed, (height, width)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_grey_photo(tmp_path: Path, engine: str) -> None:
    preprocessing = Preprocessing((32, 32), 1, resize="shorter-crop", margin=1.25)
    loaded = resizer(preprocessing, engine, tmp_path)
    pixels = photo(211, 340, 1, np.random.default_rng(1))
    assert np.array_equal(loaded.run(pixels[None])["prepared"][0], prepared(pixels, preprocessing))
