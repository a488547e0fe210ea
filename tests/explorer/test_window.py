"""One output value: its parts are real values of the network, and their sum is the value that the network computed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from convatlas.inspection import ForwardPass

CONVOLUTIONS = {
    "plain": {"kernel_size": 3},
    "no bias": {"kernel_size": 3, "bias": False},
    "stride and padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "dilation": {"kernel_size": 3, "dilation": 2, "padding": 3},
    "groups": {"kernel_size": 3, "groups": 2, "padding": 1},
    "depthwise": {"kernel_size": 5, "groups": 4, "padding": 2},
    "uneven": {"kernel_size": (1, 3), "stride": (2, 1), "padding": (0, 1)},
    "across channels": {"kernel_size": 1},
    "same": {"kernel_size": 3, "padding": "same"},
}
POOLINGS = {
    "max": nn.MaxPool2d(2),
    "max, overlapping, padded": nn.MaxPool2d(3, 2, 1),
    "max, rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "average": nn.AvgPool2d(2),
    "average with its padding": nn.AvgPool2d(3, 2, 1),
    "average without its padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, rounded up": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "global average": nn.AdaptiveAvgPool2d(1),
}


def small(layer: nn.Module) -> nn.Module:
    """A network whose second layer is ``layer``, on images of 3 x 12 x 10."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Flatten(), nn.LazyLinear(5))


def page_and_pass(page_of, net: nn.Module):
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 12, 10))
    page = page_of(net, shape=(3, 12, 10))
    image = page.session.pictures.all()[0]
    subject = page.session.subjects["own:1"]
    return page, image, ForwardPass(net, page.session.bench.network(subject).input(image))


def places(side: int) -> list[int]:
    """Both ends, which read the padding, and one between."""
    return sorted({0, side // 2, side - 1})


def total(document) -> float:
    return sum(part["sum"] for part in document["inputs"]) + document["rest"] + (document["bias"] or 0)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution(page_of, name):
    layer = nn.Conv2d(4, 8, **CONVOLUTIONS[name])
    page, image, forward = page_and_pass(page_of, small(layer))
    maps, source = forward.output("1")[0], forward.output("0")[0]
    for channel, y, x in itertools.product((0, 5), places(maps.shape[1]), places(maps.shape[2])):
        document = page.get("window", subject="own:1", image=image.id, layer="1", channel=channel, y=y, x=x)
        assert document["operator"] == "conv"
        assert document["output"] == pytest.approx(float(maps[channel, y, x]), abs=1e-6)
        assert total(document) == pytest.approx(document["output"], abs=1e-5)
        assert document["lines"][-1].startswith(f"y[{channel},{y},{x}] = ")
        for part in document["inputs"]:
            check_part(part, layer, source, channel)


def check_part(part, layer: nn.Conv2d, source: torch.Tensor, channel: int) -> None:
    """Values are those of the input map, null in the padding; weights are the layer's; the sum is that of products."""
    inner = part["channel"] % (4 // layer.groups)
    assert torch.equal(torch.tensor(part["weights"]), layer.weight[channel, inner].detach())
    products = 0.0
    for i, j in itertools.product(range(layer.kernel_size[0]), range(layer.kernel_size[1])):
        y, x = part["top"] + i * layer.dilation[0], part["left"] + j * layer.dilation[1]
        inside = 0 <= y < source.shape[1] and 0 <= x < source.shape[2]
        value = part["values"][i][j]
        assert value == (float(source[part["channel"], y, x]) if inside else None)
        products += (value or 0) * part["weights"][i][j]
    assert part["sum"] == pytest.approx(products, abs=1e-9)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling(page_of, name):
    page, image, forward = page_and_pass(page_of, small(POOLINGS[name]))
    maps = forward.output("1")[0]
    for y, x in itertools.product(places(maps.shape[1]), places(maps.shape[2])):
        document = page.get("window", subject="own:1", image=image.id, layer="1", channel=2, y=y, x=x)
        assert document["operator"] == "pool"
        assert total(document) == pytest.approx(float(maps[2, y, x]), abs=1e-6)
        assert document["inputs"][0]["weights"] is None
        assert document["lines"][0].startswith("y[2,")


def test_a_fully_connected_layer(page_of):
    page, image, forward = page_and_pass(page_of, small(nn.ReLU()))
    inputs, outputs = forward.output("2")[0], forward.output("3")[0]
    for index in range(5):
        document = page.get("window", subject="own:1", image=image.id, layer="3", channel=index, y=0, x=0)
        assert document["operator"] == "fc"
        assert len(document["inputs"]) == 64, "the largest shares of 320 inputs"
        assert total(document) == pytest.approx(float(outputs[index]), abs=1e-5)
        for part in document["inputs"]:
            assert part["values"] == [[float(inputs[part["channel"]])]]
        assert math.isclose(document["output"], float(outputs[index]), abs_tol=1e-6)


def test_the_listed_channels_have_the_largest_shares(page_of):
    page = page_of("vgg11", data="digits")
    image = page.session.pictures.all()[0]
    document = page.get("window", subject="vgg11", image=image.id, layer="conv3_1", channel=7, y=3, x=4)
    shares = [abs(part["sum"]) for part in document["inputs"]]
    assert len(shares) == 8
    assert shares == sorted(shares, reverse=True)
    assert total(document) == pytest.approx(document["output"], rel=1e-4)


class Standardised(nn.Conv2d):
    """A convolution whose weights are changed before they are used: its products are not those of its weights."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(images, self.weight - self.weight.mean(), self.bias)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.BatchNorm2d(4), Standardised(4, 4, 3), nn.ConvTranspose2d(4, 4, 2)])
def test_another_layer_answers_with_its_value_alone(page_of, layer):
    page, image, forward = page_and_pass(page_of, small(layer))
    document = page.get("window", subject="own:1", image=image.id, layer="1", channel=1, y=2, x=3)
    assert document["operator"] == "other"
    assert document["output"] == pytest.approx(float(forward.output("1")[0, 1, 2, 3]), abs=1e-6)
    assert document["inputs"] == []


def test_a_place_outside_is_refused(page_of):
    page, image, _forward = page_and_pass(page_of, small(nn.ReLU()))
    status, text = page.refused("window", subject="own:1", image=image.id, layer="1", channel=4, y=0, x=0)
    assert status == 400
    assert "4 x 10 x 8" in text
