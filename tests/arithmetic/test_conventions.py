"""Every tool's total, from its rule; and, where the tools are installed, from the tools."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.arithmetic import summarize
from convatlas.arithmetic.conventions import conventions
from convatlas.models import entry


def totals(summary):
    return {convention.tool: convention.total for convention in conventions(summary)}


def test_each_rule_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    s = summarize(net, (3, 8, 8))
    conv, fc, outputs = 36 * 4 * 27, 20, 36 * 4
    assert s.totals.macs == conv + fc
    assert totals(s) == {
        "torchinfo": conv + outputs + 8 + fc + 5,  # biases, and the scale and shift of the norm once
        "fvcore": conv + fc + 2 * outputs + outputs,  # two per normalised value, one per pooled value
        "ptflops (aten)": conv + outputs + fc + 5,
        "torch FlopCounterMode": 2 * (conv + fc),
    }


def test_the_differences_lead_from_our_total_to_theirs():
    s = summarize(ca.create_model("lenet5"), (1, 32, 32))
    for convention in conventions(s):
        assert s.totals.macs + sum(line.difference for line in convention.differences) == convention.total
    reasons = {line.reason: line.difference for line in conventions(s)[1].differences}
    assert reasons == {
        "layers that state their own counts, counted by their operators": 240_000 - 150_000
    }  # C3 run as a full convolution


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["alexnet", "lenet5", "googlenet", "squeezenet1_0", "resnet18", "densenet121"])
def test_the_tools_themselves_say_so(name):
    torchinfo = pytest.importorskip("torchinfo")
    fvcore = pytest.importorskip("fvcore.nn")
    from torch.utils.flop_counter import FlopCounterMode

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    net, shape = ca.create_model(name).eval(), entry(name).input
    found = totals(summarize(net, shape))
    images = torch.zeros(1, *shape)
    info = torchinfo.summary(net, input_size=(1, *shape), verbose=0, device="cpu")
    assert found["torchinfo"] == info.total_mult_adds
    analysis = fvcore.FlopCountAnalysis(net, images)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    assert found["fvcore"] == analysis.total()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images)
    assert found["torch FlopCounterMode"] == counter.get_total_flops()
    try:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass  # a torchvision built for this torch has them
    ptflops = pytest.importorskip("ptflops")
    macs, _ = ptflops.get_model_complexity_info(
        net, shape, as_strings=False, print_per_layer_stat=False, backend="aten", verbose=False
    )
    assert found["ptflops (aten)"] == macs
