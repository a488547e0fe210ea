"""Every function of the room on every network of the atlas: right shapes, and the network is left as it was.

By default on a few small networks, one of each kind; on all of them with ``-m slow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.errors import ConvAtlasError
from convatlas.inspection import (
    ForwardPass,
    channel_statistics,
    deconvolve,
    feature_maps,
    first_layer_filters,
    randomisation_check,
)
from convatlas.inspection.attribution import METHODS, grad_cam
from convatlas.inspection.faithfulness import faithfulness
from convatlas.models import entry, list_models

SMALL = {"lenet5": 32, "nin_cifar": 32, "resnet20_cifar": 32, "squeezenet1_1": 64, "bn_inception": 64}
LEAST_SIDE = 32  # of the images that every network is run on; its own smallest size where that is larger
FEW = {
    "smoothgrad": {"samples": 2},
    "rise": {"masks": 4, "batch_size": 4},
    "occlusion": {"stride": 16, "patch": 16},
    "integrated_gradients": {"steps": 2},
}

Check = Callable[[nn.Module, Tensor, str], None]


def attribution(name: str) -> Check:
    def check(net: nn.Module, images: Tensor, layer: str) -> None:
        found = METHODS[name].function(net, images, **FEW.get(name, {}))
        assert found.values.shape in {tuple(images.shape), (len(images), 1, *images.shape[2:])}
        assert np.isfinite(found.values).all()
        assert found.heat().min() >= 0

    return check


def rows(net: nn.Module, images: Tensor, layer: str) -> None:
    assert ForwardPass(net, images).logits.shape[0] == len(images)


def maps(net: nn.Module, images: Tensor, layer: str) -> None:
    assert feature_maps(net, images, layer).values.shape[0] == len(images)


def statistics(net: nn.Module, images: Tensor, layer: str) -> None:
    found = channel_statistics(net, images.split(1), layer)
    assert found.images == len(images)
    assert ((found.zeros >= 0) & (found.zeros <= 1)).all()


def filters(net: nn.Module, images: Tensor, layer: str) -> None:
    assert first_layer_filters(net).weights.ndim == 4


def patterns(net: nn.Module, images: Tensor, layer: str) -> None:
    assert deconvolve(net, images, layer, channel=0).shape == images.shape


def sanity(net: nn.Module, images: Tensor, layer: str) -> None:
    assert len(randomisation_check(net, images, grad_cam).correlations) == len(images)


def scores(net: nn.Module, images: Tensor, layer: str) -> None:
    heat = images.abs().sum(dim=1).numpy()
    assert faithfulness(net, images, heat, [0] * len(images), steps=2).deletion.shape == (len(images), 3)


CHECKS: dict[str, Check] = {
    **{name: attribution(name) for name in METHODS},
    "rows": rows,
    "maps": maps,
    "statistics": statistics,
    "filters": filters,
    "patterns": patterns,
    "sanity": sanity,
    "scores": scores,
}


def state(net: nn.Module) -> dict[str, Any]:
    """Everything that an inspection might leave behind."""
    return {
        "modes": [(name, module.training, getattr(module, "inplace", None)) for name, module in net.named_modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules()],
        "backward hooks": [len(module._backward_hooks) + len(module._backward_pre_hooks) for module in net.modules()],
        "gradients": [(name, parameter.grad is None, parameter.requires_grad) for name, parameter in
                      net.named_parameters()],
        "attributes": [sorted(vars(module)) for module in net.modules()],
    }  # fmt: skip


NEED_MAPS = {"grad_cam", "grad_cam_plus_plus", "maps", "statistics", "filters", "patterns", "sanity"}
NEED_CLASSES = {*METHODS, "sanity", "scores"}


def checks_for(name: str) -> list[str]:
    """All; without those that need feature maps for an MLP, and without those that need classes for an autoencoder."""
    without = NEED_MAPS if entry(name).family == "mlp" else NEED_CLASSES if entry(name).reconstructs else set()
    return [check for check in CHECKS if check not in without]


def check_network(net: nn.Module, images: Tensor, names: list[str]) -> None:
    layer = "" if NEED_MAPS.isdisjoint(names) else ForwardPass(net, images).last_spatial_row()
    net.train()
    before, tensors = state(net), {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.get_rng_state()
    for name in names:
        CHECKS[name](net, images, layer)
        assert state(net) == before, name
        assert all(torch.equal(tensor, tensors[key]) for key, tensor in net.state_dict().items()), name
        assert torch.equal(torch.get_rng_state(), generator), name


def network(name: str, side: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    channels = entry(name).input[0]
    return ca.create_model(name, image_size=side), torch.randn(2, channels, side, side)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SMALL)
def test_a_function_leaves_a_small_network_as_it_was(name, check):
    check_network(*network(name, SMALL[name]), [check])


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_function_leaves_every_network_as_it_was(name):
    check_network(*network(name, max(entry(name).smallest_size, LEAST_SIDE)), checks_for(name))


@pytest.mark.parametrize("check", sorted(set(CHECKS) - {"filters"}))
def test_after_an_error_too(check):
    """Images of another size than the first fully connected layer was built for."""
    net, _ = network("alexnet", 95)
    net.train()
    before = state(net)
    with pytest.raises(ConvAtlasError, match="alexnet needs 95 x 95 images"):
        CHECKS[check](net, torch.randn(2, 3, 127, 127), "conv5")
    assert state(net) == before
