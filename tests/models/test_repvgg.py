"""RepVGG's transformation after training: one convolution in the place of three branches, with the same outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.models.repvgg import DeployedBlock, RepVGGBlock, reparametrised


@pytest.fixture(scope="module")
def trained():
    """A network whose norms have statistics and scales as a trained network's."""
    torch.manual_seed(0)
    net = ca.create_model("repvgg_a0", num_classes=10, image_size=32)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net.eval()


def test_the_deployed_network_has_the_same_outputs(trained):
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits, deployed = trained(images), reparametrised(trained)(images)
    assert ((logits - deployed).abs().max() / logits.abs().max()).item() < 1e-5
    assert logits.abs().max() > 0.1


def test_the_deployed_network_is_the_variant_of_that_name(trained):
    other = reparametrised(trained)
    variant = ca.create_model("repvgg_a0@deployed", num_classes=10)
    variant.load_state_dict(other.state_dict())
    assert sum(isinstance(module, DeployedBlock) for module in other.modules()) == 22
    assert not any(isinstance(module, RepVGGBlock | nn.BatchNorm2d) for module in other.modules())


def test_a_block_without_identity_has_two_branches(trained):
    assert trained.stage1[0].identity is None
    assert trained.stage1[1].identity is not None
