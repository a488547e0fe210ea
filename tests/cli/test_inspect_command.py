"""convatlas inspect: pictures and numbers, and what cannot be asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import convatlas as ca
from convatlas.cli._inspect_views import METHODS, VIEWS, view_name
from convatlas.cli.inspect import COMPUTED, distinct
from convatlas.errors import UnknownNameError
from convatlas.inspection import attribution

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes=4):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes)
        )
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, two images of digits, and a network of one's own in a file."""
    folder = tmp_path_factory.mktemp("inspect")
    for number in (0, 1):
        pixels = (load_digits().images[number] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"digit{number}.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "noise.png")
    (folder / "net.py").write_text(OWN)
    ca.train("lenet5@modern", epochs=1, min_updates=0, threads=1, out=folder / "runs")
    return folder


@pytest.fixture
def inspect(convatlas, place, monkeypatch):
    monkeypatch.chdir(place)
    return lambda *arguments: convatlas("inspect", *arguments)


RUN = "runs/lenet5@modern-digits-001"


def test_a_picture_and_its_numbers(inspect, tmp_path):
    code, out, _ = inspect(RUN, "digit0.png", "digit1.png", "--out", tmp_path / "cam.png", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["schema"], document["what"], document["kind"]) == (1, "grad-cam", "measured")
    assert document["pictures"] == [str(tmp_path / "cam.png")]
    assert [image["file"] for image in document["images"]] == ["digit0.png", "digit1.png"]
    assert all(image["min"] >= 0 and image["shape"][0] == 1 for image in document["images"])
    with Image.open(tmp_path / "cam.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


def test_a_directory_gets_a_picture_of_each_image(inspect, tmp_path):
    code, out, err = inspect(
        RUN, "digit0.png", "digit1.png", "--what", "maps", "--layer", "C3", "--out", tmp_path / "d"
    )
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["digit0-maps.png", "digit1-maps.png"]
    assert err.count("wrote") == 2
    assert "digit0.png" in out


@pytest.mark.parametrize("what", [*COMPUTED, "gradient", "guided-backpropagation"])
def test_every_view_prints_and_draws(inspect, tmp_path, what):
    images = ["digit0.png"] if VIEWS[what].takes_images else []
    more = {"maximise": ["--class", "3"], "patches": ["--sample", "20"], "embedding": ["--sample", "20"]}.get(what, [])
    code, out, _ = inspect(RUN, *images, "--what", what, *more, "--out", tmp_path / "picture.svg")
    assert code == 0
    assert what in out
    assert (tmp_path / "picture.svg").read_text().startswith("<?xml")


def test_a_sanity_check_is_printed_with_both_correlations(inspect):
    code, out, _ = inspect(RUN, "digit0.png", "--what", "gradient", "--sanity")
    assert code == 0
    assert "randomised weights: rank correlation" in out


def test_a_network_of_ones_own_and_first_weights(inspect):
    code, out, err = inspect("net.py:Net", "noise.png", "--class", "2", "--json")
    assert code == 0
    assert json.loads(out)["images"][0]["class"] == "2"
    assert "as its file builds it" in err
    code, out, err = inspect("resnet20_cifar", "noise.png", "--what", "maps", "--layer", "stage2", "--seed", "3")
    assert code == 0
    assert "first weights, seed 3" in err
    code, _, err = inspect("resnet20_cifar", "noise.png")
    assert code == 2
    assert "name its weights" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((RUN, "--what", "grad-cam"), 2, "needs images"),
        ((RUN, "digit0.png", "--what", "filters"), 2, "does not use IMAGE"),
        ((RUN, "digit0.png", "--what", "gradient", "--layer", "C3"), 2, "does not use --layer"),
        ((RUN, "digit0.png", "--what", "maps", "--sanity", "--class", "3"), 2, "does not use --class, --sanity"),
        ((RUN, "digit0.png", "--what", "gradcam"), 0, ""),
        ((RUN, "digit0.png", "--what", "lime"), 2, "unknown value of --what 'lime'"),
        ((RUN, "digit0.png", "--layer", "C4"), 2, "unknown layer 'C4'"),
        ((RUN, "digit0.png", "--class", "cat"), 2, "unknown class 'cat'"),
        ((RUN, "digit0.png", "--what", "maps", "--layer", "F6"), 2, "no spatial axes"),
        ((RUN, "--what", "maximise", "--layer", "C1"), 2, "both --layer and --channel"),
        ((RUN, "--what", "embedding", "--sample", "0"), 2, "at least 1"),
        (("net.py:Net", "--what", "embedding"), 2, "name a data set with --data"),
        ((RUN, "--what", "gradients", "--data", "digits"), 2, "has its own data"),
        (("lenet5", "--what", "gradients"), 2, "needs --data"),
        ((RUN, "nowhere.png"), 3, "cannot be read"),
        ((RUN, "digit0.png", "--out", "picture.bmp"), 2, "the ending .bmp"),
    ],
)
def test_what_cannot_be_used_is_named(inspect, arguments, code, said):
    left, _, err = inspect(*arguments)
    assert left == code
    assert said in err


def test_nothing_is_written_where_an_image_cannot_be_read(inspect, tmp_path):
    code, _, _ = inspect(RUN, "digit0.png", "nowhere.png", "--out", tmp_path / "d")
    assert code == 3
    assert not (tmp_path / "d").exists()


def test_the_methods_are_those_of_the_library_and_have_aliases(inspect):
    assert {name.replace("-", "_") for name in METHODS} == set(attribution.METHODS)
    for name, view in METHODS.items():
        method = attribution.METHODS[name.replace("-", "_")]
        assert (view.shows, view.source) == (method.shows, method.source)
    assert view_name("Grad_CAM++") == "grad-cam-plus-plus"
    assert view_name("IG") == "integrated-gradients"
    with pytest.raises(UnknownNameError, match="smoothgrad"):
        view_name("smoothgrads")
    code, out, _ = inspect("--list-methods")
    assert code == 0
    assert all(name in out for name in VIEWS)


def test_pictures_of_equal_names_are_kept_apart():
    assert distinct(["a", "b", "a"]) == ["a-1", "b", "a-2"]
