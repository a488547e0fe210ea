"""`attribute`, `feature_maps` and their like on a run: what they report agrees with the library and `predict`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import convatlas as ca
from convatlas.errors import BadImageError, ShapeError, UnknownNameError, UsageError
from convatlas.inspection import ForwardPass, feature_maps
from convatlas.inspection.attribution import METHODS
from convatlas.runs.inspect import attribute
from convatlas.runs.inspect_layers import channel_statistics, filters, patches_around, patterns
from convatlas.runs.loaded_network import load_network
from convatlas.runs.seen_images import class_index, first_weights, see

DIGITS = [(image * 15.9).astype(np.uint8) for image in load_digits().images[:6]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ca.train("lenet5@modern", epochs=1, min_updates=0, threads=1, out=tmp_path_factory.mktemp("runs"))


def test_images_are_seen_as_predict_sees_them(run):
    seen = see(load_network(run), DIGITS)
    for place, answer in enumerate(ca.predict(run, DIGITS, top=1)):
        name, probability = answer.top[0]
        record = seen.record(place, seen.predicted[place])
        assert record["class"] == name
        assert record["probability"] == pytest.approx(probability, abs=1e-5)
    height, width = seen.images.shape[2:]
    assert seen.pixels.shape == (6, height, width, 1)
    assert seen.pixels.min() == 0
    assert seen.pixels.max() == pytest.approx(240 * 15.9 / 15 / 255 / 1.0, abs=0.1)


def test_the_attribution_of_many_images_is_that_of_each(run):
    together = attribute(run, DIGITS, "integrated_gradients")
    for place, image in enumerate(DIGITS):
        alone = attribute(run, image, "integrated_gradients")
        assert alone.attribution.classes[0] == together.attribution.classes[place]
        assert alone.attribution.values[0] == pytest.approx(together.attribution.values[place], abs=1e-5)
    document = together.to_dict()
    assert document["what"] == "integrated-gradients"
    assert document["unit"] == "logit"
    assert document["notes"]["completeness gap"] < 0.2
    assert [image["shape"] for image in document["images"]] == [list(together.attribution.values.shape[1:])] * 6


def test_a_class_is_named_or_numbered(run):
    network = load_network(run)
    assert class_index(network, "3") == 3
    (one,) = attribute(run, DIGITS[0], target="7").attribution.classes
    assert one == 7
    with pytest.raises(UnknownNameError, match="unknown class"):
        attribute(run, DIGITS[0], target="cat")
    with pytest.raises(UsageError, match="uses no layer"):
        attribute(run, DIGITS[0], "gradient", layer="C3")
    with pytest.raises(BadImageError, match="No such file"):
        attribute(run, "nowhere.png")


def test_the_sanity_check_has_a_map_of_random_weights_for_each_image(run):
    found = attribute(run, DIGITS, sanity=True)
    assert found.sanity is not None
    assert found.sanity.control.values.shape == found.attribution.values.shape
    assert len(found.sanity.correlations) == len(found.sanity.between_random) == 6
    assert found.to_dict()["sanity"]["correlation"] == pytest.approx(np.mean(found.sanity.correlations))


def test_feature_maps_are_the_rows_of_a_pass(run):
    found = ca.feature_maps(run, DIGITS, "C3")
    network = load_network(run)
    seen = see(network, DIGITS)
    assert found.values == pytest.approx(feature_maps(network.net, seen.images, "C3").values, abs=1e-5)
    record = found.of_channels([5, 2]).to_dict()["images"][3]["channels"]
    assert [each["channel"] for each in record] == [5, 2]
    assert record[0]["max"] == pytest.approx(float(found.values[3, 5].max()))
    with pytest.raises(ShapeError, match="channels 0 to 15; got 16"):
        found.of_channels([16])
    assert ca.feature_maps(run, DIGITS).layer == filters(run).filters.layer == "C1"


def test_statistics_count_the_zeros_of_every_channel(run):
    network = load_network(run)
    layer = next(row for row in ForwardPass(network.net, see(network, DIGITS).images).rows if row.startswith("relu"))
    found = channel_statistics(run, DIGITS, layer).statistics
    values = ca.feature_maps(run, DIGITS, layer).values
    assert found.images == 6
    assert found.zeros == pytest.approx((values == 0).mean(axis=(0, 2, 3)))
    assert found.mean == pytest.approx(values.mean(axis=(0, 2, 3)), abs=1e-5)


def test_patterns_are_of_the_strongest_channels_at_the_place_of_their_maximum(run):
    found = patterns(run, DIGITS, "C3").deconvolution
    values = ca.feature_maps(run, DIGITS, "C3").values
    peaks = values.max(axis=(0, 2, 3))
    assert set(found.channels) == set(np.argsort(-peaks)[:9].tolist())
    row, column = found.positions[2, 0]
    assert values[2, found.channels[0], row, column] == pytest.approx(found.activations[2, 0], abs=1e-4)


def test_patches_have_one_size_and_hold_their_pixels():
    masks = [np.zeros((9, 12), dtype=bool) for _ in range(3)]
    masks[0][0:3, 0:3] = True
    masks[1][8, 11] = True  # in a corner
    patches = patches_around(masks)
    for mask, patch in zip(masks, patches, strict=True):
        assert mask[patch].shape == (9, 9)  # the third mask is empty and shows the whole height
        assert mask[patch].sum() == mask.sum()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_draws_one_row_of_each_image(run, name):
    few = {"rise": {"masks": 8}, "smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 2}}.get(name, {})
    found = attribute(run, DIGITS[:2], name, **few)
    assert len(found.draw().figure.axes) == 4
    assert len(found.draw([1]).figure.axes) == 2


def test_first_weights_repeat_with_their_seed():
    first, again, other = (first_weights("resnet20_cifar", seed).net for seed in (3, 3, 4))
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
