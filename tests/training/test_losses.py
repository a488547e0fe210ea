"""Losses against their formulas and against each other; the parts of a batch add up to the whole."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convatlas.batch import Batch
from convatlas.models import create_model
from convatlas.training import losses, train_step


def draw(n: int = 12, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(n, classes), torch.arange(n) % classes


def test_focal_loss_by_its_formula():
    """p = 0.8 of the right class: -(1 - 0.8)^2 log 0.8; its weight multiplies."""
    logits = torch.tensor([[0.8, 0.2]]).log()
    expected = -(0.2**2) * math.log(0.8)
    assert float(losses.focal(2.0)(logits, torch.tensor([0]))) == pytest.approx(expected)
    weighted = losses.focal(2.0, weights=torch.tensor([3.0, 1.0]))
    assert float(weighted(logits, torch.tensor([0]))) == pytest.approx(3 * expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_focal_loss_with_gamma_0_is_cross_entropy(smoothing, weights):
    logits, labels = draw()
    shares = F.one_hot(labels, 3) * 0.7 + 0.1
    for target in (labels, shares):
        focal = losses.focal(0.0, smoothing, weights)(logits, target)
        assert torch.allclose(focal, losses.cross_entropy(smoothing, weights)(logits, target), atol=1e-6)


def test_class_weights_from_counts():
    """90, 9 and 1 images. inverse: 100 / (3 n). effective: 1 / (1 - 0.999^n), brought to a mean of 1 an image."""
    counts = [90, 9, 1]
    assert losses.class_weights("inverse", counts).tolist() == pytest.approx([100 / 270, 100 / 27, 100 / 3])
    raw = [1 / (1 - 0.999**n) for n in counts]
    mean = sum(n * w for n, w in zip(counts, raw, strict=True)) / 100
    assert losses.class_weights("effective", counts).tolist() == pytest.approx([w / mean for w in raw])
    assert losses.class_weights("inverse", [4, 0]).tolist() == [1.0, 0.0]  # nothing to weigh


@pytest.mark.parametrize("loss_fn", [
    losses.cross_entropy(0.1), losses.cross_entropy(weights=torch.tensor([0.1, 3.0, 1.0])), losses.focal(),
    losses.map_1998(),
])  # fmt: skip
def test_a_batch_loses_the_mean_of_its_parts_by_their_images(loss_fn):
    logits, labels = draw()
    parts = sum(loss_fn(logits[a:b], labels[a:b]) * (b - a) for a, b in ((0, 5), (5, 12))) / 12
    assert torch.allclose(loss_fn(logits, labels), parts)


@pytest.mark.parametrize("parts", [2, 3, 5, 64])
def test_accumulated_gradients_are_those_of_the_whole_batch(parts):
    """13 images in 5 parts are 3 3 3 2 2: the mean is over the 13, not over the parts' means."""
    torch.manual_seed(0)
    net = create_model("lenet5@modern")  # no batch norm, no dropout
    images, labels = torch.randn(13, 1, 32, 32), torch.arange(13) % 10
    found = []
    for accumulate in (1, parts):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        result = train_step(net, Batch(images, labels), losses.cross_entropy(), optimizer, accumulate=accumulate)
        found.append((result, [parameter.grad.clone() for parameter in net.parameters()]))
    (whole, gradients), (summed, added) = found
    assert torch.allclose(whole.loss, summed.loss)
    assert (int(whole.hits), whole.images) == (int(summed.hits), summed.images)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(gradients, added, strict=True))


def test_a_reconstruction_is_judged_by_its_pixels():
    net = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(net.weight, 0.5)
    images = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    step = train_step(
        net, Batch(images, images), losses.mean_squared_error(), torch.optim.SGD(net.parameters(), lr=0.0)
    )
    assert float(step.loss) == pytest.approx((0.5**2 + 1.5**2) / 2)
    assert int(step.hits) == 0
