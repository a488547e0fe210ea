"""Diagrams, bars and tables, drawn from the graph."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from convatlas.errors import UnknownNameError
from convatlas.i18n import set_language
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


def test_the_latex_table_has_rules_caption_and_totals():
    latex = table("lenet5").to_latex()
    assert r"\caption{Layers of lenet5, counted for one input of 1 $\times$ 32 $\times$ 32.}" in latex
    assert latex.index(r"\toprule") < latex.index(r"\midrule") < latex.index("total &") < latex.index(r"\bottomrule")
    assert latex.rstrip().endswith(r"\end{table}")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("direction", ["down", "right"])
def test_no_box_of_a_diagram_overlaps_another(direction, language):
    set_language(language)
    try:
        root = ET.fromstring(block_diagram(table("googlenet"), 2, direction))
    finally:
        set_language(None)
    frames = [[int(rect.get(side)) for side in ("x", "y", "width", "height")] for rect in root.findall(f"{SVG}rect")]
    for place, (x, y, width, height) in enumerate(frames):
        for other_x, other_y, *_ in frames[place + 1 :]:
            assert other_x >= x + width or other_y >= y + height
    right, bottom = (max(f[a] + f[a + 2] for f in frames) for a in (0, 1))
    assert (right > bottom) == (direction == "right")
    assert int(root.get("width")) >= right


def test_a_part_of_a_network_is_drawn_from_its_own_input():
    part = table("googlenet").part("inception_3a")
    assert part.inputs == ((192, 28, 28),)
    assert part.rows[0].inputs == ("input",)
    assert part.rows[-1].output == (256, 28, 28)
    assert part.totals.params == sum(r.params for r in table("googlenet").rows if r.name.startswith("inception_3a."))
    assert "192 x 28 x 28" in block_diagram(part)
    with pytest.raises(UnknownNameError, match="inception_3a"):
        table("googlenet").part("inception_3")
