"""The layer table that opens each model file, compared with the trace."""

from __future__ import annotations

import importlib
import re
from typing import NamedTuple

import pytest
import torch

import convatlas as ca
from convatlas.models import entry
from convatlas.models.catalogue import model_files
from convatlas.models.registry import declared

# the network a file's table is about, where it is not the first one the file declares
SUBJECT = {
    "vgg": "vgg16",
    "resnet": "resnet50",
    "preact_resnet": "preact_resnet164_cifar",
    "shufflenet_v1": "shufflenet_v1_x1_0_g3",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "mobilenet_v3": "mobilenet_v3_large",
    "regnet": "regnet_y_400mf",
}
NUMBER = r"\d{1,3}(?:,\d{3})*|\d+"
ROW = re.compile(rf"^    (\S.*?)\s+({NUMBER})(?: +x +({NUMBER}) +x +({NUMBER}))? +({NUMBER})$")


class Line(NamedTuple):
    name: str
    output: tuple[int, ...]
    params: int


def table(module: str) -> tuple[list[Line], int]:
    """The rows of the file's table, and the total it ends in."""
    text = importlib.import_module(f"convatlas.models.{module}").__doc__ or ""
    lines: list[Line] = []
    for line in text.splitlines():
        body, ends_table, total = line.partition("total ")
        if module == "lenet":
            body = re.sub(rf" +(?:{NUMBER})\s*$", "", body)  # its last column holds connections
        if match := ROW.match(body.rstrip()):
            name, *sides, params = match.groups()
            lines.append(Line(name, tuple(number(side) for side in sides if side), number(params)))
        if ends_table:
            return lines, number(re.match(NUMBER, total).group())
    raise AssertionError("no total found")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def subject(module: str) -> str:
    return SUBJECT.get(module, next(iter(declared(module))))


@pytest.mark.parametrize("module", model_files())
def test_the_rows_add_up_to_the_network(module):
    lines, total = table(module)
    assert len(lines) >= 3
    assert sum(line.params for line in lines) == total == entry(subject(module)).params


@pytest.mark.parametrize("module", model_files())
def test_every_printed_shape_is_the_output_of_a_layer(module):
    with torch.device("meta"):
        net = ca.create_model(subject(module))
    outputs = {tuple(row.output) for row in ca.summarize(net, entry(subject(module)).input).rows}
    for line in table(module)[0]:
        assert line.output in outputs, f"{line.name}: no layer has the output {line.output}"
