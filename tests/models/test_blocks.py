"""The shared blocks against their formulas, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from convatlas.models import create_model
from convatlas.models.blocks import LocalResponseNorm, SamePool
from convatlas.models.initialisation import he_
from convatlas.models.resnet import BasicBlock, Bottleneck, PaddedIdentity


def lrn_by_the_paper(a: torch.Tensor, n: int, k: float, alpha: float, beta: float) -> torch.Tensor:
    """Section 3.3, term by term."""
    maps = a.shape[1]
    b = torch.empty_like(a)
    for i in range(maps):
        near = a[:, max(0, i - n // 2) : min(maps - 1, i + n // 2) + 1]
        b[:, i] = a[:, i] / (k + alpha * near.square().sum(dim=1)) ** beta
    return b


@pytest.mark.parametrize("maps", [1, 3, 5, 12])
@pytest.mark.parametrize(("n", "k", "alpha", "beta"), [(5, 2.0, 1e-4, 0.75), (3, 1.0, 0.5, 0.75), (5, 1.0, 0.1, 0.5)])
def test_lrn_is_the_printed_formula(maps, n, k, alpha, beta):
    a = torch.randn(2, maps, 4, 3, dtype=torch.float32) * 10
    assert torch.allclose(LocalResponseNorm(n, k, alpha, beta)(a), lrn_by_the_paper(a, n, k, alpha, beta), rtol=1e-5)


def test_torch_and_caffe_divide_alpha_by_n():
    a = torch.randn(2, 8, 4, 4) * 10
    ours = LocalResponseNorm(n=5, k=2, alpha=1e-4)
    assert torch.allclose(ours(a), nn.LocalResponseNorm(5, alpha=5e-4, k=2)(a), rtol=1e-5)
    assert not torch.allclose(ours(a), nn.LocalResponseNorm(5, alpha=1e-4, k=2)(a), rtol=1e-5)


def test_lrn_keeps_the_type_and_the_layout_and_has_a_gradient():
    a = torch.randn(2, 6, 4, 4, dtype=torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()
    b = LocalResponseNorm()(a)
    assert b.dtype == torch.bfloat16
    assert b.is_contiguous(memory_format=torch.channels_last)
    b.sum().backward()
    assert a.grad.isfinite().all()


def test_option_a_is_every_second_pixel_between_zero_maps():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y = PaddedIdentity(2, 4, stride=2)(x)
    assert y.shape == (1, 4, 2, 2)
    assert y[0, 0].eq(0).all()
    assert y[0, 3].eq(0).all()
    assert y[0, 1].tolist() == [[0, 2], [8, 10]]
    assert y[0, 2].tolist() == [[16, 18], [24, 26]]


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_a_residual_block_whose_branch_is_silent_passes_its_input_on(shortcut):
    block = BasicBlock(8, 8, stride=1, shortcut=shortcut).eval()
    nn.init.zeros_(block.bn2.weight)
    if shortcut == "C":
        nn.init.dirac_(block.shortcut.conv.weight)
    x = torch.rand(1, 8, 5, 5)  # not negative, so the last ReLU leaves it alone
    assert torch.allclose(block(x), x, atol=1e-4)


def test_the_paper_strides_in_the_first_1x1_and_the_deployed_form_in_the_3x3():
    paper, deployed = (Bottleneck(64, 32, 2, "B", stride_in_3x3=late) for late in (False, True))
    assert (paper.conv1.stride, paper.conv2.stride) == ((2, 2), (1, 1))
    assert (deployed.conv1.stride, deployed.conv2.stride) == ((1, 1), (2, 2))
    x = torch.randn(1, 64, 8, 8)
    assert paper(x).shape == deployed(x).shape == (1, 128, 4, 4)


def test_he_draws_with_the_printed_deviation():
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(64, 256, 3))
    he_(conv)
    assert conv[0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.01)
    assert conv[0].bias.eq(0).all()


@pytest.mark.parametrize("side", [1, 2, 5, 6, 7, 8, 74])
def test_same_pooling_pads_as_tensorflow_does(side):
    x = torch.randn(1, 1, side, side)
    total = max(0, (-(-side // 2) - 1) * 2 + 3 - side)  # tf.nn: the odd pixel goes to the end
    pads = (total // 2, total - total // 2) * 2
    padded = nn.functional.pad(x, pads, value=-math.inf)
    assert torch.equal(SamePool()(x), nn.functional.max_pool2d(padded, kernel_size=3, stride=2))


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("alexnet", {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}),  # Krizhevsky et al., section 3.3
        (
            "vgg11_lrn",
            {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75},
        ),  # Simonyan and Zisserman, section 2.1: AlexNet's
        ("zfnet", {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}),
    ],
)
def test_lrn_has_the_constants_of_the_paper(name, constants):
    with torch.device("meta"):
        net = create_model(name)
    norms = [module for module in net.modules() if isinstance(module, LocalResponseNorm)]
    assert norms
    for norm in norms:
        assert {key: getattr(norm, key) for key in constants} == constants
