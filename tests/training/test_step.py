"""One update and what goes into it, worked by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from convatlas.batch import Batch
from convatlas.errors import RecipeError
from convatlas.models import create_model
from convatlas.training import losses, optim, train_step
from convatlas.training.loop import seed_update


def test_an_update_of_one_weight_by_hand():
    """y = w x with two classes (w, 0): p = sigmoid(w x); the gradient is (p - 1) x for class 0."""
    net = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(net.weight)
    x, label = torch.tensor([[2.0]]), torch.tensor([0])
    result = train_step(net, Batch(x, label), losses.cross_entropy(), torch.optim.SGD(net.parameters(), lr=0.5))
    assert float(result.loss) == pytest.approx(math.log(2))
    # p = 1/2 for both: gradients -1/2 * 2 and +1/2 * 2, times the learning rate 0.5
    assert net.weight.flatten().tolist() == pytest.approx([0.5, -0.5])
    assert (int(result.hits), result.images, result.grad_norm) == (1, 1, None)


def test_clipping_reports_the_norm_before_it():
    net = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(net.weight)
    result = train_step(
        net, Batch(torch.tensor([[2.0]]), torch.tensor([0])), losses.cross_entropy(),
        torch.optim.SGD(net.parameters(), lr=1.0), max_grad_norm=0.1,
    )  # fmt: skip
    assert float(result.grad_norm) == pytest.approx(math.sqrt(2))
    assert float(net.weight.detach().norm()) == pytest.approx(0.1, rel=1e-4)


def test_mixed_labels_count_their_larger_share_as_the_hit():
    net = nn.Linear(1, 3)
    shares = torch.tensor([[0.1, 0.7, 0.2]])
    nn.init.zeros_(net.weight)
    with torch.no_grad():
        net.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    result = train_step(
        net, Batch(torch.zeros(1, 1), shares), losses.cross_entropy(), torch.optim.SGD(net.parameters(), lr=0)
    )
    assert int(result.hits) == 1


def test_auxiliary_heads_add_their_weighted_losses():
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.side = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)

        def forward(self, x):
            return SimpleNamespace(logits=self.main(x), auxiliary=(self.side(x),), weight=0.3)

    net = TwoHeads()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    result = train_step(
        net,
        Batch(torch.ones(1, 1), torch.tensor([0])),
        losses.cross_entropy(),
        torch.optim.SGD(net.parameters(), lr=1.0),
    )
    assert float(result.loss) == pytest.approx(1.3 * math.log(2))
    assert net.main.weight.flatten().tolist() == pytest.approx([0.5, -0.5])
    assert net.side.weight.flatten().tolist() == pytest.approx([0.15, -0.15])


def test_the_criterion_of_1998_by_its_formula():
    """Equation 9: y_c + log(exp(-j) + sum_k exp(-y_k)), the penalties y = 1, 2, 4 of three classes."""
    logits, label = -torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([1])
    expected = 2 + math.log(math.exp(-0.1) + math.exp(-1) + math.exp(-2) + math.exp(-4))
    assert float(losses.map_1998(j=0.1)(logits, label)) == pytest.approx(expected)


def test_label_smoothing_spreads_its_share_evenly():
    logits, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    log_p = torch.log_softmax(logits, 1)[0]
    expected = -(0.95 * log_p[0] + 0.05 * log_p[1])  # smoothing 0.1 over two classes
    assert float(losses.cross_entropy(0.1)(logits, label)) == pytest.approx(float(expected))


@pytest.mark.parametrize("model", ["resnet20_cifar", "lenet5"])
def test_biases_and_norms_are_not_decayed_unless_the_recipe_says_so(model):
    net = create_model(model)
    decayed, rest = optim.parameter_groups(net, 5e-4)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (5e-4, 0.0)
    assert {parameter.ndim for parameter in rest["params"]} == {1}
    assert min(parameter.ndim for parameter in decayed["params"]) > 1
    assert len(decayed["params"]) + len(rest["params"]) == len(list(net.parameters()))
    (everything,) = optim.parameter_groups(net, 5e-4, decay_all=True)
    assert len(everything["params"]) == len(list(net.parameters()))


def test_an_optimizer_that_does_not_exist_is_named():
    with pytest.raises(RecipeError, match="'adam' is not known"):
        optim.build("adam", [{"params": [nn.Parameter(torch.zeros(1))]}], lr=0.1)


def test_dropout_is_keyed_by_seed_and_update():
    drop = nn.Dropout(0.5)

    def mask(seed: int, step: int) -> list[float]:
        seed_update(seed, step)
        torch.rand(step)  # whatever was drawn before
        seed_update(seed, step)
        return drop(torch.ones(32)).tolist()

    assert mask(0, 7) == mask(0, 7)
    assert len({tuple(mask(seed, step)) for seed in (0, 1) for step in (7, 8)}) == 4


def test_sixteen_images_are_memorised():
    """Small enough to be learned by heart: if it cannot do that, something is wired wrongly."""
    torch.manual_seed(0)
    net = create_model("lenet5@modern")
    images, labels = torch.randn(16, 1, 32, 32), torch.arange(16) % 10
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    results = [train_step(net, Batch(images, labels), losses.cross_entropy(), optimizer) for _ in range(60)]
    assert int(results[-1].hits) == 16
