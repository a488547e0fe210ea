"""What the page says of an image is what the library and the command line compute."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.inspection import ForwardPass, first_layer_filters
from convatlas.inspection.attribution import METHODS


def pixels_of(url: str) -> np.ndarray:
    """The pixels of a data URL."""
    head, content = url.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.fixture(scope="module")
def squeezenet(page_of, shared):
    return page_of("squeezenet1_1", given=given(shared), data=str(shared("data/photos")))


def given(shared):
    from convatlas.explorer.subjects import GivenWeights

    files = sorted(shared("data/weights").glob("squeezenet1_1*"))
    if not files:
        pytest.skip("no weights of squeezenet1_1 in ../shared/data/weights")
    return GivenWeights(str(files[0]))


def test_a_prediction_is_that_of_the_command_line(squeezenet, shared, capsys):
    from convatlas.cli import main

    file = next(shared("data/photos").glob("n02391049_zebra/*"))
    image = squeezenet.client.put("api/image", params={"name": file.name}, content=file.read_bytes()).json()
    answered = squeezenet.get("predict", subject="squeezenet1_1", image=image["id"])
    weights = squeezenet.session.subjects["squeezenet1_1"].given.weights
    with pytest.raises(SystemExit):
        main(["predict", "squeezenet1_1", "--weights", weights, "--json", str(file)])
    predicted = json.loads(capsys.readouterr().out)["top"]
    assert [each["label"] for each in answered["top"]][:5] == [label for label, _probability in predicted]
    for each, (_label, probability) in zip(answered["top"], predicted, strict=False):
        assert each["probability"] == pytest.approx(probability, abs=1e-6)
    assert answered["trained"] is True
    assert answered["milliseconds"] > 0


def test_random_weights_are_called_so(page):
    image = page.session.pictures.all()[0].id
    answered = page.get("predict", subject="lenet5", image=image)
    assert answered["trained"] is False
    assert answered["weights"] == "random (untrained)"
    assert answered["top"] == page.get("predict", subject="lenet5", image=image)["top"], "drawn from one seed"


def test_the_preparation_ends_in_what_the_network_sees(squeezenet):
    image = squeezenet.session.pictures.all()[0]
    subject = squeezenet.session.subjects["squeezenet1_1"]
    seen = squeezenet.session.bench.network(subject).input(image)[0]
    document = squeezenet.get("prepared", subject=subject.id, image=image.id)
    last = document["steps"][-1]
    assert (last["height"], last["width"]) == tuple(seen.shape[1:])
    assert (document["steps"][0]["height"], document["steps"][0]["width"]) == (image.height, image.width)
    shown = np.moveaxis(pixels_of(last["picture"]).astype(float), -1, 0)
    low, high = float(seen.min()), float(seen.max())
    assert np.abs(shown / 255 * (high - low) + low - seen.numpy()).mean() < 0.05, "as far as a JPEG can tell"
    assert f"{low:.3g}" in last["detail"]


def test_the_maps_are_those_of_the_library(page):
    image = page.session.pictures.all()[0]
    found = page.session.bench.network(page.session.subjects["resnet20_cifar"])
    forward = ForwardPass(found.net, found.input(image))
    for row in forward.rows:
        output = forward.output(row)[0].numpy()
        document = page.get("maps", subject="resnet20_cifar", image=image.id, layer=row)
        assert document["shape"] == list(output.shape)
        if output.ndim == 1:
            assert document["values"] == pytest.approx(output.tolist())
            continue
        sprite, (height, width) = pixels_of(document["sprite"]), document["tile"]
        assert (height, width) == output.shape[1:]
        for channel, maps in enumerate(output):
            statistics = document["channels"][channel]
            assert statistics["minimum"] == pytest.approx(maps.min())
            assert statistics["maximum"] == pytest.approx(maps.max())
            assert statistics["mean"] == pytest.approx(maps.mean(), abs=1e-5)
            assert statistics["zeros"] == pytest.approx((maps == 0).mean())
            top, left = channel // document["columns"] * height, channel % document["columns"] * width
            tile = sprite[top : top + height, left : left + width].astype(float)
            span = maps.max() - maps.min()
            assert np.abs(tile / 255 * span + maps.min() - maps).max() <= span / 255 + 1e-6
        assert document["dead"] == [c for c, maps in enumerate(output) if not maps.any()]


def test_large_maps_are_reduced_to_means(page):
    from convatlas.explorer.image_documents import maps_document

    image, subject = page.session.pictures.all()[0], page.session.subjects["resnet18"]
    whole = maps_document(page.session.bench, subject, image, "conv1")
    small = maps_document(page.session.bench, subject, image, "conv1", most_pixels=64 * 56 * 56)
    assert whole["tile"] == [112, 112]
    assert small["tile"] == [56, 56]
    assert small["channels"] == whole["channels"], "statistics are of the whole maps"


def test_the_first_filters_are_those_of_the_library(page):
    document = page.get("filters", subject="resnet18", layer="conv1")
    subject = page.session.subjects["resnet18"]
    pictures = first_layer_filters(page.session.bench.network(subject).net).pictures()
    assert document["colour"] is True
    assert document["shape"] == [64, 3, 7, 7]
    sprite = pixels_of(document["sprite"])
    tile = sprite[7:14, 0:7] / 255  # the ninth of a grid of 8 x 8
    assert np.abs(tile - pictures[8]).max() < 0.01


def test_filters_of_a_deep_layer_are_a_grid_of_filters_and_channels(page):
    document = page.get("filters", subject="resnet18", layer="conv3_x.0.conv1")
    weights = page.session.bench.network(page.session.subjects["resnet18"]).net.get_submodule("conv3_x.0.conv1").weight
    sprite = pixels_of(document["sprite"]).astype(float)
    assert sprite.shape == (64 * 3, 64 * 3)
    kernels = weights[5, :64].detach().numpy()
    assert np.abs(sprite[15:18, 27:30] / 127.5 - 1 - kernels[9] / np.abs(kernels).max()).max() < 0.01
    assert page.refused("filters", subject="resnet18", layer="fc")[0] == 400


def test_the_list_of_methods_says_which_fail_the_sanity_check_and_which_need_a_layer(page):
    document = page.get("methods")["methods"]
    assert [each["name"] for each in document] == list(METHODS)
    for each in document:
        described = " ".join((METHODS[each["name"]].function.__doc__ or "").split())
        assert each["sanity"] == ("fails the randomisation check" not in described)
        assert each["needs_layer"] == each["name"].startswith("grad_cam")
    korean = page.get("methods", lang="ko")["methods"]
    assert [each["source"] for each in korean] == [each["source"] for each in document]
    assert korean[2]["title"] != document[2]["title"]


@pytest.mark.parametrize("name", METHODS)
def test_an_attribution_is_that_of_the_library(page, name):
    image, subject = page.session.pictures.all()[0], page.session.subjects["resnet20_cifar"]
    found = page.session.bench.network(subject)
    second = page.get("predict", subject=subject.id, image=image.id)["top"][1]["index"]
    expected = METHODS[name].function(found.net, found.input(image), (second,))
    document = page.get("attribution", subject=subject.id, image=image.id, method=name, **{"class": second})
    heat = expected.heat()[0]
    assert heat.max() > 0
    assert document["class"]["index"] == second
    assert document["layer"] == expected.layer
    assert document["minimum"] == pytest.approx(float(expected.values.min()), rel=1e-4)
    assert document["maximum"] == pytest.approx(float(expected.values.max()), rel=1e-4)
    assert np.abs(pixels_of(document["heat"]) - heat * 255 / heat.max()).max() <= 1
    assert document["signed"] == expected.signed


def test_times_are_of_every_row_and_add_up_over_blocks(page):
    network, times = page.get("network", subject="resnet20_cifar"), page.get("times", subject="resnet20_cifar")
    assert times["kind"] == "measured"
    assert list(times["rows"]) == [row["name"] for row in network["rows"]]
    assert times["rows_s"] == pytest.approx(sum(times["rows"].values()))
    for block in network["blocks"]:
        inside = [row["name"] for row in network["rows"][slice(*block["rows"])]]
        assert times["blocks"][block["path"]] == pytest.approx(sum(times["rows"][name] for name in inside)), block
    assert times["machine"]
    assert times["batch"] == 1


def test_grad_cam_of_a_chosen_layer(page):
    image = page.session.pictures.all()[0].id
    document = page.get("attribution", subject="resnet20_cifar", image=image, method="grad_cam", layer="conv1")
    assert document["layer"] == "conv1"
    status, text = page.refused("attribution", subject="resnet20_cifar", image=image, method="grad_cam", layer="fc")
    assert status == 400
    assert "no spatial axes" in text


def test_the_effective_field_is_that_of_the_arithmetic(page):
    from convatlas.arithmetic.effective import effective_field

    document = page.get("effective", subject="resnet20_cifar", layer="stage1.0.conv1")
    subject = page.session.subjects["resnet20_cifar"]
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = effective_field(page.session.bench.network(subject).net, noise, "stage1.0.conv1")
    assert document["pixels"] == expected.pixels()
    assert document["share"] == pytest.approx(expected.share_of_field())
    assert document["size"] == page.get("layer", subject="resnet20_cifar", layer="stage1.0.conv1")["field"]["size"]


def test_a_network_without_classes_has_maps_and_no_prediction(page):
    image = page.session.pictures.all()[0].id
    assert page.get("maps", subject="autoencoder", image=image, layer="encode1")["shape"] == [16, 28, 28]
    assert page.refused("predict", subject="autoencoder", image=image)[0] == 400


def test_memory_is_bounded(page):
    bench = page.session.bench
    image = page.session.pictures.all()[0].id
    for name in ("resnet18", "resnet34", "googlenet", "squeezenet1_0"):
        page.get("predict", subject=name, image=image)
        page.get("maps", subject=name, image=image, layer=page.get("network", subject=name)["rows"][0]["name"])
    from convatlas.explorer.ready import NETWORK_BYTES, PASS_BYTES

    assert bench._networks.bytes <= NETWORK_BYTES
    assert 0 < bench._passes.bytes <= PASS_BYTES
