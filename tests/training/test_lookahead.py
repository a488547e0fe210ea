"""Look-ahead averaging, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.training import Learner, Lookahead, checkpoint


def one_weight() -> nn.Linear:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    return net


def test_every_second_update_the_weight_goes_back_to_the_slow_average():
    """w = 0, then +1 at each of 4 updates. After the 2nd, d = 0.95^5 / 8: slow = (1 - d) * 2, and w with it."""
    net = one_weight()
    lookahead = Lookahead(net, every=2, updates=4)
    seen = []
    for step in (1, 2, 3, 4):
        with torch.no_grad():
            net.weight.add_(1)
        lookahead.after_update(step)
        seen.append(net.weight.item())
    second = (1 - 0.95**5 / 8) * 2
    assert seen == pytest.approx([1, second, second + 1, second])  # the last goes back to the slow weights as they are


def test_lookahead_resumes_from_a_checkpoint():
    nets = [one_weight(), one_weight()]
    optimizers = [torch.optim.SGD(net.parameters(), lr=1.0) for net in nets]
    before, after = (Lookahead(net, every=2, updates=4) for net in nets)
    with torch.no_grad():
        nets[0].weight.fill_(3)
    before.after_update(2)
    tensors, scalars = checkpoint.pack(Learner(nets[0], optimizers[0], [before]))
    checkpoint.unpack(tensors, scalars, Learner(nets[1], optimizers[1], [after]))
    assert torch.equal(after.slow["weight"], before.slow["weight"])
