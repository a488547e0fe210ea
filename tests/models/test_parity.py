"""Where a peer has truly the same network, its weights in ours give the same logits, gradients and training forward.

Where it has not, the difference is named and checked by its size. Run with  pytest -m peers  in an environment that
has torchvision and timm (and keras with h5py for its part).
"""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.models import entry
from convatlas.models.weights import detect, load_weights
from convatlas.models.weights.read import read_tensors

pytestmark = pytest.mark.peers

# peer's name -> ours
TORCHVISION = {
    "alexnet": "alexnet@torchvision",
    **{f"vgg{depth}": f"vgg{depth}@torchvision" for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": f"vgg{depth}@torchvision_bn" for depth in (11, 13, 16, 19)},
    "googlenet": "googlenet@torchvision",
    "inception_v3": "inception_v3@torchvision",
    **{f"resnet{depth}": f"resnet{depth}@torchvision" for depth in (18, 34, 50, 101, 152)},
    "squeezenet1_0": "squeezenet1_0@torchvision",
    "squeezenet1_1": "squeezenet1_1@torchvision",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
}
TIMM = {
    "vgg16": "vgg16",
    "vgg19_bn": "vgg19@torchvision_bn",
    "resnet18": "resnet18",
    "resnet50": "resnet50@torchvision",
    "inception_v3": "inception_v3@torchvision",
    "inception_v4": "inception_v4",
    "inception_resnet_v2": "inception_resnet_v2@timm",
    "legacy_xception": "xception@timm",
    "densenet121": "densenet121",
}
TOLERANCE = 1e-4  # of the largest logit


def disturb(net: nn.Module) -> None:
    """Statistics and scales as a trained network has them, so that no layer is the identity by accident."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest logit."""
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    assert difference <= TOLERANCE
    return difference


def compare(peer: nn.Module, name: str, tmp_path, record_property) -> None:
    disturb(peer)
    torch.save(peer.state_dict(), tmp_path / "peer.pth")
    ours = ca.create_model(name)
    load_weights(ours, tmp_path / "peer.pth", source=None)
    x = torch.randn(2, *entry(name).input)

    peer.eval(), ours.eval()
    theirs_logits, our_logits = peer(x), ours(x)
    record_property("largest_difference", same(our_logits, theirs_logits))
    assert torch.equal(our_logits.argmax(1), theirs_logits.argmax(1))
    (theirs_stem,) = torch.autograd.grad(theirs_logits.square().sum(), first_weight(peer))
    (our_stem,) = torch.autograd.grad(our_logits.square().sum(), first_weight(ours))
    same(our_stem, theirs_stem)

    for module in (*peer.modules(), *ours.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    peer.train(), ours.train()
    with torch.no_grad():
        same(logits(ours(x)), logits(peer(x)))


def first_weight(net: nn.Module) -> nn.Parameter:
    return next(parameter for parameter in net.parameters() if parameter.dim() == 4)


def logits(outputs: torch.Tensor | tuple) -> torch.Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", TORCHVISION)
def test_torchvision(peer, torchvision, tmp_path, record_property):
    options = {"init_weights": False, "aux_logits": True} if peer in ("googlenet", "inception_v3") else {}
    options |= {"transform_input": False} if options else {}
    compare(getattr(torchvision.models, peer)(weights=None, **options), TORCHVISION[peer], tmp_path, record_property)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", TIMM)
def test_timm(peer, timm, tmp_path, record_property):
    compare(timm.create_model(peer, pretrained=False), TIMM[peer], tmp_path, record_property)


@pytest.mark.filterwarnings("ignore")
def test_where_torchvision_departs_from_the_paper(torchvision):
    """Not the same networks: the difference in parameters, as the cards and the errata have it."""

    def params(peer: str, **options: bool) -> int:
        with torch.device("meta"):
            net = getattr(torchvision.models, peer)(weights=None, **options)
        return sum(p.numel() for p in net.parameters())

    assert params("alexnet") - entry("alexnet").params == 61_100_840 - 60_965_224
    googlenet = params("googlenet", aux_logits=False, init_weights=False)
    assert entry("googlenet").params - googlenet == 6_998_552 - 6_624_904
    assert params("resnet18") - entry("resnet18_a").params == 173_824  # projections
    assert params("resnet50") == entry("resnet50").params  # the stride moves no parameter
    assert entry("resnet50@torchvision").macs - entry("resnet50").macs == 231_211_008


KERAS = {
    "ResNet50": "resnet50@keras",
    "VGG16": "vgg16",
    "DenseNet121": "densenet121",
    "InceptionV3": "inception_v3@keras",
    "Xception": "xception",
    "InceptionResNetV2": "inception_resnet_v2@keras",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", KERAS)
def test_keras(peer, tmp_path, record_property):
    os.environ["KERAS_BACKEND"] = "torch"
    keras = pytest.importorskip("keras", reason="keras is not installed")
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    keras.utils.set_random_seed(0)
    net = getattr(keras.applications, peer)(weights=None, classifier_activation=None)
    name = KERAS[peer]
    with h5py.File(tmp_path / "peer.h5", "w") as file:  # the layout of the published files
        for layer in net.layers:
            for weight in layer.weights:
                value = keras.ops.convert_to_numpy(weight)
                if "variance" in weight.name or "gamma" in weight.name:
                    value = value * 1.3
                    weight.assign(value)
                file[f"{layer.name}/{layer.name}/{weight.name}:0"] = value
    ours = ca.create_model(name).eval()
    assert detect(ours, read_tensors(tmp_path / "peer.h5")) == "keras"
    load_weights(ours, tmp_path / "peer.h5", source="keras")
    x = torch.randn(2, *entry(name).input)
    shown = x.flip(1) if entry(name).family in ("resnet", "vgg") else x  # its weights read BGR
    with torch.no_grad():
        theirs = net(shown.permute(0, 2, 3, 1), training=False)
        record_property("largest_difference", same(ours(x), torch.as_tensor(theirs).float().cpu()))
