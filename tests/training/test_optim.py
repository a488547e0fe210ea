"""The rules of the update: by hand, by torch, and by what they promise."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from convatlas.training import optim


def weight(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values))


def test_rmsprop_is_tensorflows_by_hand():
    """s = 0.9 + 0.1 * 4 = 1.3; v = 0.1 * 2 / sqrt(1.3 + 1); then s = 0.9 * 1.3 + 0.4, v = 0.9 v + 0.2 / sqrt(s + 1)."""
    w = weight(1.0)
    rule = optim.build("rmsprop", [{"params": [w]}], lr=0.1)
    first = 0.2 / math.sqrt(2.3)
    second = 0.9 * first + 0.2 / math.sqrt(0.9 * 1.3 + 0.4 + 1)
    for expected in (1 - first, 1 - first - second):
        w.grad = torch.tensor([2.0])
        rule.step()
        assert w.item() == pytest.approx(expected)


def test_orthogonalised_keeps_the_directions_and_evens_out_the_sizes():
    """Of U S V^T with singular values from 0.05 to 1, about U V^T: the coefficients leave them between 0.6 and 1.3."""
    torch.manual_seed(0)
    for rows, columns in ((8, 20), (20, 8)):
        u, _, vt = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
        sizes = torch.linspace(1, 0.05, 8)
        found = optim.orthogonalised((u * sizes @ vt)[None])[0]
        even = u.T @ found @ vt.T
        assert torch.allclose(even, torch.diag(even.diagonal()), atol=1e-4)
        assert 0.6 < float(even.diagonal().min()) < float(even.diagonal().max()) < 1.3


def test_muon_takes_filters_as_matrices_and_steps_as_far_as_adamw():
    """Root mean square of a step: 0.2 lr for a filter bank whatever its shape (singular values about 1)."""
    torch.manual_seed(0)
    filters = nn.Parameter(torch.zeros(16, 3, 3, 3).to(memory_format=torch.channels_last))
    rule = optim.build("muon", [{"params": [filters]}], lr=0.5)
    filters.grad = torch.randn_like(filters)
    rule.step()
    size = float(filters.detach().square().mean().sqrt())
    # 16 singular values of about 1 in 16 x 27 numbers, times 0.2 sqrt(27)
    assert size == pytest.approx(0.5 * 0.2, rel=0.25)


def test_what_muon_leaves_to_adamw_is_torchs_adamw():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(4, 3))]
    theirs = copy.deepcopy(ours)
    rule = optim.Muon([{"params": ours, "muon": False}], lr=0.01, momentum=0.9, weight_decay=0.1)
    torchs = torch.optim.AdamW(theirs, lr=0.01, betas=(0.9, 0.999), weight_decay=0.1)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        rule.step()
        torchs.step()
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_fused_kernels_compute_what_the_plain_ones_do_in_any_memory_format(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).to(memory_format=torch.channels_last)
    twin = copy.deepcopy(net)
    fused = optim.build(name, optim.parameter_groups(net, 0.01), lr=0.1)
    kind = torch.optim.SGD if name == "sgd" else torch.optim.AdamW
    settings = {"momentum": 0.9} if name == "sgd" else {}
    plain = kind(optim.parameter_groups(twin, 0.01), lr=0.1, foreach=False, **settings)
    for _ in range(3):
        images = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
        for each, rule in ((net, fused), (twin, plain)):
            rule.zero_grad()
            each(images).square().mean().backward()
            rule.step()
    pairs = zip(net.parameters(), twin.parameters(), strict=True)
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs)


def test_l1_takes_the_same_from_every_weight_and_nothing_from_norms():
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0, -0.5]]))
    rule = optim.build("sgd", optim.parameter_groups(net, 0.0, l1=0.1), lr=1.0, momentum=0.0)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rule.step()
    assert net[0].weight.flatten().tolist() == pytest.approx([2.9, -0.4])
    assert net[1].weight.tolist() == [1.0]


def test_a_group_has_its_own_share_of_the_learning_rate():
    groups = [{"params": [weight(0.0)], "lr_scale": 0.1}, {"params": [weight(0.0)]}]
    rule = optim.build("sgd", groups, lr=1.0)
    optim.set_lr(rule, 0.5)
    assert [group["lr"] for group in rule.param_groups] == pytest.approx([0.05, 0.5])


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_weight_whose_first_gradient_comes_late_starts_with_no_momentum(nesterov):
    """As an unfrozen part, or a branch that stochastic depth kept for the first time; like SGD that is not fused."""
    early, late = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    fused = optim.build(
        "sgd", [{"params": [early, late], "weight_decay": 0.1}], lr=0.5, momentum=0.9, nesterov=nesterov
    )
    twins = [nn.Parameter(each.detach().clone()) for each in (early, late)]
    plain = torch.optim.SGD(twins, lr=0.5, momentum=0.9, nesterov=nesterov, weight_decay=0.1, foreach=False)
    for step in range(3):
        for parameters, optimizer in (([early, late], fused), (twins, plain)):
            for place, parameter in enumerate(parameters):
                parameter.grad = torch.tensor([0.3, 0.1]) * (step + 1) if step > 0 or place == 0 else None
            optimizer.step()
    torch.testing.assert_close(early, twins[0])
    torch.testing.assert_close(late, twins[1])
