"""The example clients give the labels of ``convatlas predict``, whatever their language and engine."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.clients import CLIENTS, browser_client, built, cpp_client, missing, python_client
from PIL import Image

import convatlas as ca
from convatlas.deployed.predict import predict
from convatlas.exports.exported import open_exported
from convatlas.models.weights import load_weights
from convatlas.runs.loaded_network import load_network


@pytest.fixture(scope="module")
def pictures(shipped, tmp_path_factory) -> list[Path]:
    """Pictures of several sizes, one turned by EXIF, one with alpha and one that is grey."""
    folder = tmp_path_factory.mktemp("pictures")
    found = sorted(shipped.new.rglob("*.png"))
    pixels = np.asarray(Image.open(found[0]))
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    alpha = np.full((*pixels.shape[:2], 1), 100, np.uint8)
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(folder / "alpha.png")
    Image.fromarray(pixels[:, :, 0]).save(folder / "grey.png")
    return [*found, *sorted(folder.iterdir())]


def expected(model: Path, pictures: list[Path]) -> tuple[list[str], list[float]]:
    tops = [prediction.top[0] for prediction in predict(open_exported(model), pictures)]
    return [label for label, _ in tops], [probability for _, probability in tops]


def compare(found: list, model: Path, pictures: list[Path], within: float) -> None:
    labels, probabilities = expected(model, pictures)
    assert [each.label for each in found] == labels
    np.testing.assert_allclose([each.probability for each in found], probabilities, atol=within)


def skip_without(client: str) -> None:
    if lacking := missing(client):
        pytest.skip(f"the {client} client needs {lacking}")


@pytest.mark.parametrize("which", ["pixels", "photo"])
def test_python(shipped, pictures, which):
    model = getattr(shipped, which)
    compare(python_client(model, pictures), model, pictures, within=1e-4)


@pytest.mark.slow
def test_the_browser(shipped, pictures):
    """A JPEG decoder of its own, and an alpha that a canvas rounds otherwise: probabilities within a hundredth."""
    skip_without("browser")
    compare(browser_client(shipped.photo, pictures), shipped.photo, pictures, within=1e-2)


@pytest.mark.slow
def test_cpp(shipped, pictures, tmp_path):
    """Of a file with the input "pixels" the example resizes itself, with Pillow's bits."""
    skip_without("cpp")
    compare(cpp_client(shipped.pixels, pictures, tmp_path), shipped.pixels, pictures, within=1e-4)
    compare(cpp_client(shipped.photo, pictures, tmp_path), shipped.photo, pictures, within=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["squash", "shorter-crop"])
def test_cpp_with_a_bicubic_resize(shipped, pictures, tmp_path, resize):
    skip_without("cpp")
    network = load_network(shipped.run)
    preprocessing = replace(network.preprocessing, interpolation="bicubic", resize=resize, margin=1.1)
    model = ca.export(replace(network, preprocessing=preprocessing), check=shipped.new, out=tmp_path / "exported").file
    compare(cpp_client(model, pictures, tmp_path), model, pictures, within=1e-4)


@pytest.mark.slow
def test_cpp_names_files_that_cannot_be_read(shipped, tmp_path):
    skip_without("cpp")
    program = built(tmp_path)
    (tmp_path / "cut.ppm").write_bytes(b"P6 9 9 255\nxx")
    (tmp_path / "text.ppm").write_text("no image")
    Image.new("RGB", (80, 70), "red").save(tmp_path / "red.ppm")
    files = [str(tmp_path / name) for name in ("cut.ppm", "text.ppm", "none.ppm", "red.ppm")]
    done = subprocess.run([program, shipped.photo, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout.startswith(f"{files[3]}\tred\t")
    assert done.stderr.count("cannot be read") == 3
    other = subprocess.run([program, files[1], files[3]], capture_output=True, text=True, check=False)
    assert other.returncode == 3
    assert "cannot be used" in other.stderr


@pytest.mark.slow
def test_the_clients_agree_on_photos_with_the_authors_weights(shared, tmp_path):
    """SqueezeNet 1.1 on the 50 photos: all clients say the same."""
    for client in ("browser", "cpp"):
        skip_without(client)
    weights, photos = shared("data/weights/squeezenet_v1.1.caffemodel"), shared("data/photos")
    net = ca.create_model("squeezenet1_1")
    load_weights(net, weights)
    pixels, photo = (ca.export(net, input=input, out=tmp_path / input).file for input in ("pixels", "photo"))
    files = sorted(photos.rglob("*.jpg"))
    compare(python_client(pixels, files), pixels, files, within=1e-4)
    compare(python_client(photo, files), pixels, files, within=1e-4)
    compare(browser_client(photo, files), pixels, files, within=2e-2)
    compare(cpp_client(pixels, files, tmp_path), pixels, files, within=1e-4)


def test_the_examples_use_nothing_of_convatlas():
    for file in ("python/classify.py", "web/classify.mjs", "web/index.html", "cpp/classify.cpp"):
        text = (CLIENTS / file).read_text("utf-8")
        assert "import convatlas" not in text
        assert "from convatlas" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
