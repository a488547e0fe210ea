"""Diagrams, bars and tables, drawn from the graph."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from convatlas.errors import UnknownNameError
from convatlas.models.layer_tables import table
from convatlas.visualization.diagram import QUANTITIES, bars, block_diagram, boxes

SVG = "{http://www.w3.org/2000/svg}"


def test_stages_collapse_and_open():
    resnet = table("resnet18")
    closed, edges = boxes(resnet, depth=1)
    assert [box.name for box in closed if len(box.rows) > 1] == ["conv2_x", "conv3_x", "conv4_x", "conv5_x"]
    assert all(end == start + 1 for start, end in edges)  # no skip leaves a stage
    opened, edges = boxes(resnet, depth=2)
    assert len(opened) > len(closed)
    flat, edges = boxes(resnet, depth=9)
    assert len(flat) == len(resnet.rows)
    assert any(end > start + 1 for start, end in edges)
    assert all(start < end for start, end in edges)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "densenet121", "alexnet"])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_diagram_is_an_svg_with_a_box_per_box(name, depth):
    summary = table(name)
    root = ET.fromstring(block_diagram(summary, depth))
    assert root.tag == f"{SVG}svg"
    assert len(root.findall(f"{SVG}rect")) == len(boxes(summary, depth)[0]) + 1  # and the input


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_bars(quantity):
    root = ET.fromstring(bars(table("alexnet"), quantity))
    widths = [int(rect.get("width")) for rect in root.findall(f"{SVG}rect")]
    assert max(widths) == 420
    with pytest.raises(UnknownNameError):
        bars(table("alexnet"), "speed")


def test_tables_for_lecture_notes():
    summary = table("lenet5")
    markdown = summary.to_markdown().splitlines()
    assert markdown[2].startswith("| C1 | conv | 6 x 28 x 28 | 5 | 1 | 156 | 117,600 | 122,304 |")
    assert markdown[-1].startswith("| total |  |  |  |  | 60,000 | 325,680 | 340,908 |")
    latex = summary.to_latex()
    assert r"C1 & conv & 6 $\times$ 28 $\times$ 28 & 5 & 1 & 156" in latex
    assert latex.count(r"\\") == len(summary.rows) + 2
