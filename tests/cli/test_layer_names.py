"""Every name that ``show`` prints or the block diagram draws is accepted by ``explain`` and ``--effective-field``."""

from __future__ import annotations

import json

import pytest
import torch

from convatlas.arithmetic.effective import effective_field
from convatlas.arithmetic.explanation import explain
from convatlas.errors import UnknownNameError
from convatlas.models import create_model, entry
from convatlas.models.layer_tables import table
from convatlas.visualization.diagram import boxes

NETWORKS = (
    "alexnet",
    "lenet5",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet20_cifar",
    "nin_cifar",
    "squeezenet1_1",
    "densenet121",
    "inception_v3",
    "xception",
    "mlp",
)
FIELDS = (
    "lenet5",
    "resnet20_cifar",
    "nin_cifar",
    "squeezenet1_1",
    "mlp",
    "autoencoder",
    "resnet18",
    "densenet40_k12_cifar",
    pytest.param("googlenet", marks=pytest.mark.slow),
    pytest.param("alexnet", marks=pytest.mark.slow),
)


def names_of(summary):
    drawn = [box.name for depth in (1, 2, 3) for box in boxes(summary, depth)[0]]
    return list(dict.fromkeys([*(row.name for row in summary.rows), *drawn]))


@pytest.mark.parametrize("name", NETWORKS)
def test_explain_accepts_every_row_and_every_block(name):
    summary = table(name)
    blocks = 0
    for layer in names_of(summary):
        explained = explain(summary, layer)
        assert explained.row.name == layer
        if explained.row.kind == "block":
            inside = [row for row in summary.rows if row.name.startswith(f"{layer}.")]
            assert explained.row.params == sum(row.params for row in inside)
            assert explained.row.macs == sum(row.macs for row in inside)
            assert explained.row.output == inside[-1].output
            blocks += 1
    assert blocks or all("." not in row.name for row in summary.rows)


@pytest.mark.parametrize("name", FIELDS)
def test_the_effective_field_of_every_kind_of_row_and_every_block(name):
    summary = table(name)
    torch.manual_seed(0)
    net, images = create_model(name), torch.randn(1, *entry(name).input)
    boxes_drawn = [box.name for box in boxes(summary, 1)[0]]
    first_of_kind = {(row.kind, row.path in dict(net.named_modules())): row.name for row in reversed(summary.rows)}
    # a pass takes up to a second: of large networks the first row of each kind, and some blocks
    whole = name in ("lenet5", "nin_cifar", "mlp")
    chosen = names_of(summary) if whole else [*first_of_kind.values(), *boxes_drawn[::6]]
    for layer in dict.fromkeys(chosen):
        found = effective_field(net, images, layer)
        outside = found.mass.copy()
        (top, bottom), (left, right) = found.box.theoretical
        outside[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = 0
        assert outside.sum() == 0, layer
        assert found.mass.sum() == pytest.approx(1) or not found.mass.any(), layer  # a dead ReLU has no gradient


def test_an_operator_outside_a_module_is_not_the_module_before_it():
    torch.manual_seed(0)
    net, images = create_model("resnet20_cifar"), torch.randn(2, 3, 32, 32)
    added = effective_field(net, images, "stage1.0.add")
    block = effective_field(net, images, "stage1.0")
    convolved = effective_field(net, images, "stage1.0.bn2")
    # the sum adds the shortcut, a 3 x 3 field, to the path of two more convolutions; a ReLU comes after it
    assert (added.mass != convolved.mass).any()
    assert (added.mass != block.mass).any()
    assert added.box == block.box == convolved.box


def test_a_block_on_the_command_line(convatlas, tmp_path):
    code, out, _ = convatlas("explain", "googlenet", "inception_3a")
    assert code == 0
    assert "inception_3a (block of 14 rows): pool2 -> 256 x 28 x 28" in out
    assert "= 12,352 + 18,528 + 110,720 + 3,088 + 12,832 + 6,176 = 163,696" in out
    document = json.loads(convatlas("explain", "resnet152", "conv4_x", "--json")[1])
    assert document["layers"][0]["kind"] == "block"
    code, out, _ = convatlas("explain", "lenet5", "F6", "--effective-field", str(tmp_path / "f.png"))
    assert code == 0
    assert "all outputs of F6 together" in out
    code, _, err = convatlas("explain", "resnet18", "conv9_x")
    assert code == 2
    assert "Did you mean conv2_x" in err or "Did you mean conv" in err


def test_an_unknown_layer_offers_rows_and_blocks():
    with pytest.raises(UnknownNameError, match="Did you mean inception_3"):
        explain(table("googlenet"), "inception_3")


def test_a_comparison_takes_its_input(convatlas):
    _, out, _ = convatlas("explain", "--comparison", "stacks", "--input", "64x56x56")
    assert "64 x 56 x 56" in out
    assert "two 3x3 against 5x5: 2*3*3*C^2 / (5*5*C^2) = 18/25 = 72 %" in out
    assert "three 3x3 against 7x7: 3*3*3*C^2 / (7*7*C^2) = 27/49 = 55.1 %" in out
    assert "three 3x3  3 * (3*3*64*64) = 110,592" in out
    document = json.loads(convatlas("explain", "--comparison", "stacks", "--input", "8x10x20", "--json")[1])
    assert document["input"] == [8, 10, 20]
    assert document["ways"][1]["macs"] == 2 * 9 * 8 * 8 * 10 * 20
    assert [ratio["share"] for ratio in document["ratios"]] == [18 / 25, 27 / 49]
    code, _, err = convatlas("explain", "--comparison", "grouped", "--input", "3x8x8")
    assert (code, "3 channels cannot be divided into 2 equal groups" in err) == (2, True)
    code, _, err = convatlas("explain", "alexnet", "--comparison", "stacks")
    assert (code, "--comparison stacks has no alexnet: leave it out" in err) == (2, True)
