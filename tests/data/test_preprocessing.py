"""One preprocessing takes any image to the network's input, and the choice of it says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data import Preprocessing, load_file, open_data, preprocessing_for
from convatlas.errors import UsageError


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    wanted=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(["squash", "shorter-crop", "pad"]),
    margin=st.sampled_from([1.0, 256 / 224]),
)
def test_whatever_comes_in_the_size_is_right(height, width, channels, wanted, size, resize, margin):
    preprocessing = Preprocessing(size, wanted, resize=resize, margin=margin)
    pixels = preprocessing.apply(noise(height, width, channels))
    assert pixels.shape == (*preprocessing.store_size, wanted)
    assert pixels.dtype == np.uint8


def test_padding_centres_mnists_28_in_lenets_32():
    image = noise(28, 28, 1)
    padded = Preprocessing((32, 32), 1, resize="pad", background=(7,)).apply(image)
    assert np.array_equal(padded[2:30, 2:30], image)
    frame = np.ones((32, 32), dtype=bool)
    frame[2:30, 2:30] = False
    assert (padded[frame] == 7).all()


def test_shorter_crop_keeps_the_centre():
    image = np.zeros((20, 60, 1), dtype=np.uint8)
    image[:, 20:40] = 200  # the middle third, as wide as the image is high
    assert (Preprocessing((20, 20), 1, resize="shorter-crop").apply(image) == 200).all()


def test_an_image_of_the_right_size_is_left_alone():
    image = noise(32, 32)
    assert np.array_equal(Preprocessing((32, 32), 3).apply(image), image)


def test_grey_is_repeated_and_colour_becomes_pillows_luma():
    from PIL import Image

    image = noise(16, 16)
    assert np.array_equal(
        Preprocessing((16, 16), 1).apply(image)[:, :, 0], np.asarray(Image.fromarray(image).convert("L"))
    )
    grey = noise(16, 16, 1)
    assert (Preprocessing((16, 16), 3).apply(grey) == grey).all()


@pytest.mark.parametrize(
    ("source", "size", "resize", "store", "words"),
    [
        ("digits", 32, "squash", (32, 32), "8 x 8 images are enlarged to 32 x 32"),
        ("data/mnist", 32, "pad", (32, 32), "28 x 28 images are centred in 32 x 32 on their background"),
        ("data/mnist", 28, "squash", (28, 28), "the images are 28 x 28 already"),
        ("data/cifar-10/head100", 32, "squash", (32, 32), "the images are 32 x 32 already"),
        ("data/hymenoptera", 224, "shorter-crop", (256, 256), "the shorter side is fitted to 256"),
        ("data/hymenoptera", 32, "shorter-crop", (32, 32), "the centre 32 x 32 kept"),
    ],
)
def test_the_rule_that_is_chosen_and_why(shared, source, size, resize, store, words):
    data = open_data(source if source == "digits" else shared(source))
    preprocessing = preprocessing_for(data, size)
    assert (preprocessing.resize, preprocessing.store_size, preprocessing.channels) == (resize, store, data.channels)
    assert words in preprocessing.why
    assert preprocessing.background == (0,) * preprocessing.channels  # MNIST's border is 0


def test_predict_prepares_a_file_as_training_did(shared):
    data = open_data(shared("data/hymenoptera"))
    preprocessing = preprocessing_for(data, 96)
    for index in (0, 49, 161):
        path = shared("data/hymenoptera") / data.names[index]
        assert np.array_equal(
            load_file(path, preprocessing), preprocessing.apply(data.read(index, preprocessing.at_least))
        )


def test_a_rule_survives_being_written_down():
    preprocessing = Preprocessing((32, 30), 3, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), "pad", 1.25, (1, 2, 3), "because")
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    with pytest.raises(UsageError, match="has the fields"):
        Preprocessing.from_dict({**preprocessing.to_dict(), "code": "import os"})
    with pytest.raises(UsageError, match="wrong type"):
        Preprocessing.from_dict({"size": [3, "x"], "channels": 3})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 2}, "channels is 2; expected 1 or 3"),
        ({"size": (0, 5)}, r"size is \(0, 5\)"),
        ({"resize": "stretch"}, "resize is 'stretch'"),
        ({"margin": 0.5}, r"margin is 0\.5"),
        ({"mean": (1.0, 2.0)}, "mean has 2 values for 3 channels"),
        ({"std": (0.0, 1.0, 1.0)}, "std is"),
        ({"background": (0, 0, 300)}, "background is"),
    ],
)
def test_a_rule_that_cannot_be(values, message):
    with pytest.raises(UsageError, match=message):
        Preprocessing(**{"size": (8, 8), "channels": 3, **values})
