"""torch.export takes every family of the atlas; torch.jit.script takes those whose files it can read."""

from __future__ import annotations

import pytest
import torch

import convatlas as ca
from convatlas import models

FAMILIES = {models.entry(name).family: name for name in reversed(ca.list_models(variants=False))}
SCRIPTED = ("mlp", "alexnet", "autoencoder", "zfnet", "nin_cifar", "vgg11", "prelu_net_a", "bn_inception")
SCRIPTED += ("squeezenet1_0", "squeezenet_complex_bypass", "resnet18", "resnet50", "plain18", "resnet20_cifar")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES.values())
def test_every_family_can_be_exported(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        exported = torch.export.export(net, (images,)).module()(images)
        assert torch.allclose(exported, net(images), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCRIPTED)
def test_these_can_be_scripted(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(net)(images), net(images), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["lenet5", "densenet40_k12_cifar", "speednet_cifar"])
def test_the_others_can_be_traced(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        traced = torch.jit.trace(net, images)
        assert torch.allclose(traced(images), net(images), atol=1e-5)
