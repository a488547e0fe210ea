"""Dropout and stochastic depth as settings of a network that is built already; early stopping from the state alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.errors import NonFiniteLossError, RecipeError
from convatlas.models import create_model
from convatlas.training import Plan, State
from convatlas.training.filter_radius import FilterRadius
from convatlas.training.loop import finished, refuse_divergence, seed_update
from convatlas.training.regularisers import set_dropout, set_stochastic_depth


def test_survival_falls_linearly_to_the_last_branch():
    """Section 3: branch l of L survives with 1 - l / L (1 - p_L); resnet20_cifar has nine."""
    net = create_model("resnet20_cifar")
    set_stochastic_depth(net, 0.5)
    survivals = [module.survival for module in net.modules() if hasattr(module, "survival")]
    assert survivals == pytest.approx([1 - 0.5 * l / 9 for l in range(1, 10)])


def test_a_filter_beyond_the_radius_is_scaled_back_to_it_and_others_are_left_alone():
    """Root mean squares by hand: (0.3, 0.4) has sqrt(0.125); (0.06, 0.08) has sqrt(0.005), below 0.1."""
    net = nn.Conv2d(1, 3, (1, 2), bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.3, 0.4], [0.06, 0.08], [0.0, 0.0]]).view(3, 1, 1, 2))
    FilterRadius(net, 0.1).after_update(1)
    large, small, none = net.weight.flatten(1).tolist()
    assert large == pytest.approx([0.3 * 0.1 / 0.125**0.5, 0.4 * 0.1 / 0.125**0.5])
    assert small == pytest.approx([0.06, 0.08])
    assert none == [0, 0]
    net.requires_grad_(False).weight.fill_(5)
    FilterRadius(net, 0.1).after_update(2)
    assert float(net.weight.min()) == 5  # frozen
    with pytest.raises(RecipeError, match="no convolutions"):
        FilterRadius(nn.Linear(2, 2), 0.1)


def test_a_branch_left_out_leaves_the_shortcut_and_one_kept_is_lifted():
    block = create_model("resnet20_cifar").stage1[0]
    x = torch.rand(2, 16, 8, 8)
    block.train()
    block.survival = 1.0
    branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    block.survival = 0.25
    kept, left_out = torch.relu(branch / 0.25 + x), torch.relu(x)
    seen = []
    for step in range(40):
        seed_update(0, step)
        y = block(x)
        seen.append(torch.equal(y, left_out))
        assert seen[-1] or torch.allclose(y, kept, atol=1e-5)
    assert 5 <= 40 - sum(seen) <= 18  # of 40 at 0.25; the draw is that of seed 0
    seed_update(0, 0)
    assert torch.equal(block(x), left_out) == seen[0]  # keyed by (seed, update)


def test_evaluation_sees_nothing_of_it():
    torch.manual_seed(0)
    net, images = create_model("resnet20_cifar").eval(), torch.randn(1, 3, 32, 32)
    before = net(images)
    set_stochastic_depth(net, 0.9)
    assert torch.equal(net(images), before)


def test_dropout_is_set_wherever_it_is():
    net = create_model("vgg11", num_classes=2)
    set_dropout(net, 0.1)
    assert {module.p for module in net.modules() if isinstance(module, nn.Dropout)} == {0.1}
    dense = create_model("densenet40_k12_cifar").train()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(dense(images), dense(images))
    set_dropout(dense, 0.2)
    assert not torch.equal(dense(images), dense(images))


@pytest.mark.parametrize(
    ("set_it", "model", "words"),
    [(set_dropout, "resnet20_cifar", "no dropout"), (set_stochastic_depth, "plain20_cifar", "no residual branches")],
)
def test_a_network_without_such_a_thing_says_so(set_it, model, words):
    with pytest.raises(RecipeError, match=words):
        set_it(create_model(model), 0.5)


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.5, 0.6, 0.7], False),
        ([0.7, 0.6, 0.5], True),
        ([0.7, 0.6, 0.8], False),
        ([0.7, 0.7, 0.7], True),  # to equal the best is no gain
        ([], False),
    ],
)
def test_patience_counts_epochs_without_a_gain(scores, ends):
    state = State(step=10 * len(scores), scores=scores)
    assert finished(state, Plan(epochs=9, lr=0.1, seed=0, patience=2), steps_per_epoch=10) is ends
    assert not finished(State(step=10 * len(scores) + 3, scores=scores), Plan(epochs=9, lr=0.1, seed=0, patience=2), 10)


@pytest.mark.parametrize(("loss", "total", "words"), [(2.0, float("nan"), "the loss is nan"), (5e4, 1.0, "exploded")])
def test_a_loss_that_is_lost_stops_the_run_and_names_the_learning_rate(loss, total, words):
    with pytest.raises(NonFiniteLossError, match=rf"{words}.*learning rate \(0.3\).*--lr \(0.03"):
        refuse_divergence(loss, State(step=3, loss_sum=total), Plan(epochs=1, lr=0.3, seed=0))
