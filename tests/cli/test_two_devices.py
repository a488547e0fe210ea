"""AlexNet on two GPUs: its halves and the traffic, added up by hand from figure 2 of the paper."""

from __future__ import annotations

import json

import pytest
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.arithmetic.two_devices import two_devices
from convatlas.errors import UsageError
from convatlas.models.layer_tables import table


def test_alexnet_by_hand():
    found = two_devices(table("alexnet"))
    crossing = {layer.name: layer.sent for layer in found.layers if layer.sent}
    # each GPU sends its half of pool2 (128 maps of 13 x 13), of pool5 (128 of 6 x 6), and of 4096 neurons twice
    assert crossing == {"conv3": 128 * 13 * 13, "fc6": 128 * 6 * 6, "fc7": 2048, "fc8": 2048}
    assert found.params * 2 == table("alexnet").totals.params
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["conv1"].params == 48 * (11 * 11 * 3 + 1)
    assert by_name["conv2"].params == 128 * (5 * 5 * 48 + 1)
    assert by_name["conv1"].activations == 48 * (3 * 55 * 55 + 27 * 27)  # conv1, relu and norm1; then pool1
    assert found.forward_bytes == 2 * 4 * 128 * (128 * 13 * 13 + 128 * 6 * 6 + 2048 + 2048)
    assert found.step_bytes == 2 * found.forward_bytes
    assert found.param_bytes == 3 * 4 * 30_482_612


def test_without_groups_much_more_crosses():
    crossing = [layer.name for layer in two_devices(table("alexnet@ungrouped")).layers if layer.sent]
    assert crossing == ["conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def test_what_cannot_be_halved():
    with pytest.raises(UsageError, match="0 cannot be halved between two devices: 225 is odd"):
        two_devices(summarize(nn.Sequential(nn.Conv2d(3, 3, 5, bias=False)), (3, 5, 5)))
    with pytest.raises(UsageError, match="no convolution and no fully connected layer"):
        two_devices(summarize(nn.Sequential(nn.ReLU()), (3, 5, 5)))


def test_the_command(convatlas):
    out = convatlas("explain", "--comparison", "two-devices")[1]
    assert ["conv3", "442,560", "64,896", "21,632", "84.50", "KiB", "half", "of", "pool2"] in map(
        str.split, out.splitlines()
    )
    assert "29.62 MiB in a batch's forward pass, both directions together; 59.25 MiB in a training step" in out
    document = json.loads(convatlas("explain", "alexnet@caffe", "--comparison", "two-devices", "--json")[1])
    assert document["per_device"]["params"] == 30_482_612
    assert document["sent_per_image"] == 21_632 + 4_608 + 2 * 2_048
