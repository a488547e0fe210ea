"""`evaluate` under every protocol on photographs of many shapes, and ensembles of runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas import data as room
from convatlas.data import Preprocessing
from convatlas.errors import DataError, UsageError
from convatlas.evaluation import PROTOCOLS, ImageRegion
from convatlas.runs.evaluate import evaluate
from convatlas.runs.evaluation_images import EvaluationImages
from convatlas.runs.loaded_network import load_network
from convatlas.runs.run import Run
from convatlas.runs.train import train

SIZES = ((60, 80), (80, 60), (48, 48), (60, 80))  # (h, w): lying, upright, square


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Sixteen rough pictures of two classes, of several shapes."""
    root, draw = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder in ("dark", "light"):
        (root / folder).mkdir()
        for number in range(8):
            shades = draw.integers(0, 200, (6, 6, 3)) + (56 if folder == "light" else 0)
            height, width = SIZES[number % 4]
            image = Image.fromarray(shades.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
            image.save(root / folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return train("lenet5@modern", photos, epochs=1, batch_size=8, threads=1, out=out)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> list[Run]:
    """Three runs: two seeds on the split of the first, and one on a split of its own."""
    out = tmp_path_factory.mktemp("digits")
    first = train("mlp", "digits", seed=0, epochs=1, threads=1, out=out)
    second = train("mlp", "digits", seed=1, epochs=1, threads=1, out=out, split=first.split_path)
    return [first, second, train("mlp", "digits", seed=2, epochs=1, threads=1, out=out)]


# --- preprocessing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "words"),
    [("crop", "shorter side to 32"), ("squash", "squashed to 32 x 32"), ("pad", "scaled to fit 32 x 32")],
)
def test_the_preprocessing_of_a_run_is_described_however_images_are_fitted(photos, tmp_path, fit, words):
    run = train("lenet5@modern", photos, epochs=1, batch_size=8, threads=1, out=tmp_path, fit=fit, image_size=32)
    assert words in load_network(run).prepared


# --- protocols --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "dense@256,384,512"])
def test_every_protocol_is_carried_out_on_images_of_any_shape(run, photos, protocol):
    found = evaluate(run, photos, protocol=protocol)
    assert (found.protocol, found.n, found.to_dict()["protocol"]) == (protocol, 16, protocol)
    assert found.names == evaluate(run, photos).names
    assert np.isfinite(found.logits).all()


def test_the_ten_crops_are_those_of_the_larger_square(run, photos):
    """By hand: shorter side 37 (32 * 256 / 224), centre square, five places and their mirrors, the mean probability."""
    net, preprocessing = run.network(), run.preprocessing
    dataset = room.open_data(str(photos))
    pixels = torch.stack([torch.tensor(preprocessing.kept_at(37).apply(dataset.read(i))) for i in range(16)])
    assert pixels.shape == (16, 37, 37, 3)
    images = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(preprocessing.mean).view(3, 1, 1)) / torch.tensor(
        preprocessing.std
    ).view(3, 1, 1)
    with torch.inference_mode():
        views = [images[..., y : y + 32, x : x + 32] for y, x in ((0, 0), (0, 5), (5, 0), (5, 5), (2, 2))]
        expected = torch.stack([net(v).softmax(1) for view in views for v in (view, view.flip(-1))]).mean(0)
    found = evaluate(run, photos, protocol="ten-crop")
    assert np.allclose(np.exp(found.logits), expected.numpy(), atol=1e-4)


def test_a_whole_image_keeps_its_shape_and_neighbours_of_one_shape_share_a_batch(photos):
    dataset = room.open_data(str(photos))
    preprocessing = Preprocessing((32, 32), 3, resize="shorter-crop")
    views = EvaluationImages(dataset, np.arange(16))
    shapes = [
        tuple(images.shape) for images, *_ in views.batches(ImageRegion(256, whole=True), preprocessing, dataset.labels)
    ]
    one_class = [(1, 3, 37, 49), (1, 3, 49, 37), (1, 3, 37, 37), (2, 3, 37, 49), (1, 3, 49, 37), (1, 3, 37, 37)]
    assert shapes == [*one_class, (2, 3, 37, 49), *one_class[1:-1], (1, 3, 37, 37), (1, 3, 37, 49)]
    labels = torch.cat(
        [labels for _, labels, _ in views.batches(ImageRegion(256, whole=True), preprocessing, dataset.labels)]
    )
    assert labels.tolist() == dataset.labels.tolist()


def test_digits_that_training_pads_are_padded_not_enlarged(digits):
    preprocessing = Preprocessing((32, 32), 1, resize="pad", background=(0,))
    digit = np.full((28, 28, 1), 200, dtype=np.uint8)
    whole = preprocessing.whole(digit, 37)
    assert whole.shape == (37, 37, 1)
    assert (whole > 0).sum() == 28 * 28


def test_a_network_whose_head_has_no_convolutional_form_is_refused(tmp_path):
    run = train("lenet5", "digits", epochs=1, batch_size=256, threads=1, out=tmp_path)
    with pytest.raises(UsageError, match="lenet5 has another head"):
        evaluate(run, protocol="dense")


# --- ensembles --------------------------------------------------------------------------------------------------------


def test_an_ensemble_averages_the_probabilities_and_says_so(digits):
    members = [evaluate(run) for run in digits[:2]]
    found = evaluate([str(run.path) for run in digits[:2]])
    mean = np.mean([torch.from_numpy(member.logits).softmax(1).numpy() for member in members], axis=0)
    assert np.allclose(np.exp(found.logits), mean, atol=1e-6)
    assert found.protocol == "ensemble of 2, centre"
    assert found.run == f"{digits[0].path}, {digits[1].path}"
    assert evaluate(digits[:2], protocol="flip").protocol == "ensemble of 2, flip"


def test_a_run_that_may_have_trained_on_the_others_test_images_is_refused(digits):
    with pytest.raises(DataError, match=r"the test sets of .* differ, so .*--split"):
        evaluate(digits)
    assert evaluate(digits, "digits").protocol == "ensemble of 3, centre"  # data that are named are the caller's


def test_runs_on_other_data_are_refused(digits, run):
    with pytest.raises(DataError, match="trained on different data"):
        evaluate([digits[0], run])
    with pytest.raises(UsageError, match="no run to evaluate"):
        evaluate([])
