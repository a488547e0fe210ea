"""Squeeze-and-excitation, hard swish, SiLU, depthwise kernels, channel shuffles and layer scale, counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.arithmetic.explanation import explain
from convatlas.models.convnext import Block
from convatlas.models.mobile_blocks import InvertedResidual, SqueezeExcitation
from convatlas.models.shufflenet_v2 import Unit


def test_squeeze_and_excitation_costs_its_two_layers_and_sees_the_whole_image():
    """16 channels to 4 and back: 2*16*4 weights, 4 + 16 biases; each weight is used once, whatever the map's size."""
    counted = summarize(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), SqueezeExcitation(16, 4)), (3, 20, 20))
    assert sum(row.params for row in counted.rows if row.name.startswith("1.")) == 2 * 16 * 4 + 4 + 16 == 148
    assert sum(row.macs for row in counted.rows if row.name.startswith("1.")) == 2 * 16 * 4 == 128
    gate, product = counted["1.gate"], counted["1.mul"]
    assert gate.output == (16, 1, 1)
    assert product.receptive_field == (22, 22)  # the image of 20 and the padding of the 3x3 around it
    assert product.jump == (1, 1)
    assert "the whole image and its padding: all of it is read by 1.gate" in str(explain(counted, "1.mul"))


def test_an_inverted_residual_by_hand():
    """24 channels, expanded to 144, depthwise 5x5 with stride 2, squeezed to 6, projected to 40; 28 to 14 pixels."""
    block = InvertedResidual(24, 144, 40, kernel=5, stride=2, squeezed=6, activation=nn.SiLU)
    counted = summarize(block, (24, 28, 28))
    expand, depthwise, se, project = 24 * 144, 25 * 144, 2 * 144 * 6, 144 * 40
    norms = 2 * (144 + 144 + 40)
    assert counted.totals.params == expand + depthwise + se + (144 + 6) + project + norms == 15_350
    assert counted.totals.macs == expand * 28 * 28 + (depthwise + project) * 14 * 14 + se
    kinds = [row.kind for row in counted.rows]
    assert kinds.count("silu") == 2
    assert kinds.count("batch_norm") == 3


def test_hard_swish_and_silu_have_no_parameters_and_one_output_per_input():
    counted = summarize(nn.Sequential(nn.Hardswish(), nn.SiLU(), nn.Hardsigmoid()), (8, 4, 4))
    assert [(row.kind, row.params, row.macs) for row in counted.rows] == [
        ("hardswish", 0, 0),
        ("silu", 0, 0),
        ("hardsigmoid", 0, 0),
    ]
    assert {row.receptive_field for row in counted.rows} == {(1, 1)}


def test_a_depthwise_kernel_reads_one_channel():
    """7x7 over 96 channels: 49*96 weights, each used at 56*56 positions; a full convolution has 96 times as many."""
    depthwise = summarize(nn.Conv2d(96, 96, 7, padding=3, groups=96, bias=False), (96, 56, 56)).rows[0]
    assert (depthwise.params, depthwise.macs) == (49 * 96, 49 * 96 * 56 * 56)
    full = summarize(nn.Conv2d(96, 96, 7, padding=3, bias=False), (96, 56, 56)).rows[0]
    assert full.macs == 96 * depthwise.macs


def test_a_block_of_convnext_by_hand():
    """Depthwise 7x7 and layer norm, 96 to 384 and back, 96 layer scales."""
    counted = summarize(Block(96), (96, 56, 56))
    assert counted.totals.params == (49 * 96 + 96) + 2 * 96 + (96 * 384 + 384) + (384 * 96 + 96) + 96 == 79_296
    assert counted.totals.macs == (49 * 96 + 2 * 96 * 384) * 56 * 56
    assert counted.rows[-1].receptive_field == (7, 7)


def test_a_unit_of_shufflenet_passes_half_of_its_channels():
    """116 channels: three layers on 58 of them; the other 58 see what the input saw."""
    unit = Unit(116, 116, stride=1)
    counted = summarize(unit, (116, 28, 28))
    assert counted.totals.params == 2 * 58 * 58 + 9 * 58 + 3 * 2 * 58 == 7_598
    assert counted.totals.macs == (2 * 58 * 58 + 9 * 58) * 28 * 28
    images = torch.randn(1, 116, 8, 8)
    passed = unit.eval()(images)[:, ::2]  # the first of each pair of interleaved channels
    assert torch.equal(passed, images[:, :58])
