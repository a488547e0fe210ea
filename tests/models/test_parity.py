"""Where a peer has truly the same network, its weights in ours give the same logits, gradients and training forward.

Where it has not, the difference is named and checked by its size. ``make test-peers`` installs the peers and runs
this; ``make parity`` runs all of it, the deepest networks too, and writes results/atlas/parity.json.

The images are as small as the networks allow: agreement does not depend on their size, the time does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convatlas as ca
from convatlas.models import entry
from convatlas.models.weights import detect, load_weights
from convatlas.models.weights.read import read_tensors
from convatlas.models.weights.source import Target
from convatlas.models.weights.sources import SOURCES

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-4  # of the largest logit
GRADIENT_TOLERANCE = 1e-3  # of the length of the whole gradient
# Keras computes a batch's variance as E[x^2] - E[x]^2, in float32 whatever its policy says: its training forward has
# that error, and its gradients are compared with the running statistics. Channels-last convolutions sum in another
# order, and where a sum is near zero a ReLU may open on one side only
KERAS_TRAIN_TOLERANCE, KERAS_GRADIENT_TOLERANCE = 2e-3, 1e-2
IMAGES = 4


class Pair(NamedTuple):
    peer: str
    ours: str
    side: int  # of the square images, pixels
    slow: bool = False


TORCHVISION = (
    Pair("alexnet", "alexnet@torchvision", 95),
    Pair("vgg11", "vgg11@torchvision", 48),
    Pair("vgg13", "vgg13@torchvision", 48, slow=True),
    Pair("vgg16", "vgg16@torchvision", 48),
    Pair("vgg19", "vgg19@torchvision", 48, slow=True),
    Pair("vgg11_bn", "vgg11@torchvision_bn", 48, slow=True),
    Pair("vgg13_bn", "vgg13@torchvision_bn", 48, slow=True),
    Pair("vgg16_bn", "vgg16@torchvision_bn", 48, slow=True),
    Pair("vgg19_bn", "vgg19@torchvision_bn", 48),
    Pair("googlenet", "googlenet@torchvision", 96),
    Pair("inception_v3", "inception_v3@torchvision", 299),
    *(Pair(f"resnet{depth}", f"resnet{depth}@torchvision", 64, depth > 101) for depth in (18, 34, 50, 101, 152)),
    Pair("squeezenet1_0", "squeezenet1_0@torchvision", 64),
    Pair("squeezenet1_1", "squeezenet1_1@torchvision", 64),
    *(Pair(f"densenet{depth}", f"densenet{depth}", 64, depth > 169) for depth in (121, 161, 169, 201)),
    Pair("mobilenet_v2", "mobilenet_v2@torchvision", 64),
    Pair("mobilenet_v3_small", "mobilenet_v3_small@torchvision", 64),
    Pair("mobilenet_v3_large", "mobilenet_v3_large@torchvision", 64),
    *(Pair(f"efficientnet_{b}", f"efficientnet_{b}@torchvision", 64, b != "b0") for b in ("b0", "b1", "b2", "b3")),
    *(
        Pair(f"shufflenet_v2_x{width}", f"shufflenet_v2_x{width}", 64, width > "1_0")
        for width in ("0_5", "1_0", "1_5", "2_0")
    ),
    Pair("mnasnet1_0", "mnasnet_b1@torchvision", 64),
    *(Pair(f"efficientnet_b{b}", f"efficientnet_b{b}@torchvision", 64, slow=True) for b in (4, 5)),
    Pair("resnext50_32x4d", "resnext50_32x4d", 64),
    *(Pair(f"resnext101_{width}", f"resnext101_{width}", 64, slow=True) for width in ("32x8d", "64x4d")),
    *(Pair(f"wide_resnet{depth}_2", f"wide_resnet{depth}_2", 64, slow=True) for depth in (50, 101)),
    Pair("regnet_x_400mf", "regnet_x_400mf@torchvision", 64),
    Pair("regnet_y_400mf", "regnet_y_400mf", 64),
    Pair("regnet_y_800mf", "regnet_y_800mf@torchvision", 64, slow=True),
    *(
        Pair(f"regnet_{net}", f"regnet_{net}", 64, slow=True)
        for net in ("x_800mf", "x_1_6gf", "x_3_2gf", "y_1_6gf", "y_3_2gf")
    ),
    *(
        Pair(f"regnet_{peer}", f"regnet_{ours}", 64, slow=True)
        for peer, ours in (
            ("x_8gf", "x_8_0gf"),
            ("x_16gf", "x_16gf"),
            ("y_8gf", "y_8_0gf@torchvision"),
            ("y_16gf", "y_16gf"),
        )
    ),
    *(Pair(f"efficientnet_v2_{net}", f"efficientnet_v2_{net}@torchvision", 64, net != "s") for net in "sml"),
    *(Pair(f"convnext_{net}", f"convnext_{net}", 64, net != "tiny") for net in ("tiny", "small", "base")),
)
TIMM = (
    Pair("vgg11", "vgg11@torchvision", 48, slow=True),
    Pair("vgg13_bn", "vgg13@torchvision_bn", 48, slow=True),
    Pair("vgg16", "vgg16", 224, slow=True),
    Pair("vgg19_bn", "vgg19@torchvision_bn", 48),
    Pair("resnet18", "resnet18", 64),
    Pair("resnet34", "resnet34", 64),
    *(Pair(f"resnet{depth}", f"resnet{depth}@torchvision", 64, depth > 50) for depth in (50, 101, 152)),
    Pair("inception_v3", "inception_v3@torchvision", 139),
    Pair("inception_v4", "inception_v4", 139),
    Pair("inception_resnet_v2", "inception_resnet_v2@timm", 139),
    Pair("legacy_xception", "xception@timm", 96),
    *(Pair(f"densenet{depth}", f"densenet{depth}", 64, depth > 121) for depth in (121, 161, 169, 201)),
    Pair("mobilenetv1_100", "mobilenet_v1@timm", 64),
    Pair("mobilenetv2_100", "mobilenet_v2@torchvision", 64),
    *(Pair(f"mobilenetv3_{size}_100", f"mobilenet_v3_{size}@timm", 64) for size in ("small", "large")),
    *(Pair(f"tf_mobilenetv3_{size}_100", f"mobilenet_v3_{size}", 64) for size in ("small", "large")),
    *(Pair(f"tf_mobilenetv3_{size}_075", f"mobilenet_v3_{size}_075", 64) for size in ("small", "large")),
    *(Pair(f"tf_efficientnetv2_{net}", f"efficientnet_v2_{net}", 64, net != "s") for net in "sm"),
    Pair("efficientnet_b0", "efficientnet_b0@torchvision", 64),
    Pair("semnasnet_100", "mnasnet_a1@timm", 64),
    Pair("mnasnet_100", "mnasnet_b1@torchvision", 64),
    *(Pair(f"repvgg_{net}", f"repvgg_{net}", 64, net != "a0") for net in ("a0", "a1", "a2", "b0", "b1")),
    Pair("seresnet50", "se_resnet50@timm", 64),
    Pair("legacy_seresnet50", "se_resnet50@caffe", 64),
    *(
        Pair(f"regnet{net}", f"regnet_{ours}", 64, net not in ("x_002", "y_004"))
        for net, ours in (
            ("x_002", "x_200mf"),
            ("x_004", "x_400mf"),
            ("x_006", "x_600mf"),
            ("x_008", "x_800mf"),
            ("x_016", "x_1_6gf"),
            ("x_032", "x_3_2gf"),
            ("x_040", "x_4_0gf"),
            ("y_002", "y_200mf"),
            ("y_004", "y_400mf"),
            ("y_006", "y_600mf"),
            ("y_008", "y_800mf"),
            ("y_016", "y_1_6gf"),
            ("y_032", "y_3_2gf"),
            ("y_040", "y_4_0gf"),
            ("x_064", "x_6_4gf"),
            ("x_080", "x_8_0gf"),
            ("x_120", "x_12gf"),
            ("y_064", "y_6_4gf"),
            ("y_080", "y_8_0gf"),
            ("y_120", "y_12gf"),
        )
    ),
    Pair("resnext50_32x4d", "resnext50_32x4d", 64, slow=True),
    Pair("wide_resnet50_2", "wide_resnet50_2", 64, slow=True),
    Pair("convnext_tiny", "convnext_tiny", 64),
    *(Pair(f"tf_efficientnet_{b}", f"efficientnet_{b}", 64, b != "b0") for b in ("b0", "b1", "b2", "b3")),
)
KERAS = (
    Pair("VGG16", "vgg16", 64),
    Pair("VGG19", "vgg19", 64, slow=True),
    *(Pair(f"ResNet{depth}", f"resnet{depth}@keras", 64, depth > 50) for depth in (50, 101, 152)),
    *(Pair(f"DenseNet{depth}", f"densenet{depth}", 64, depth > 121) for depth in (121, 169, 201)),
    Pair("InceptionV3", "inception_v3@keras", 96),
    Pair("Xception", "xception", 96),
    Pair("InceptionResNetV2", "inception_resnet_v2@keras", 96, slow=True),
    Pair("MobileNet", "mobilenet_v1@keras", 96),
    Pair("MobileNetV2", "mobilenet_v2", 96),
    Pair("MobileNetV3Small", "mobilenet_v3_small", 96),
    Pair("MobileNetV3Large", "mobilenet_v3_large", 96),
    Pair("EfficientNetB0", "efficientnet_b0", 96),
    *(Pair(f"EfficientNetB{b}", f"efficientnet_b{b}", 96, slow=True) for b in (1, 2, 3)),
)


def cases(pairs: tuple[Pair, ...]) -> list:
    return [pytest.param(pair, id=pair.peer, marks=[pytest.mark.slow] if pair.slow else []) for pair in pairs]


class Compared(NamedTuple):
    """What a network says of the same images: logits (N, K) in both modes, and a gradient for each parameter."""

    evaluated: Tensor
    trained: Tensor
    gradients: dict[str, Tensor]


def compared(net: nn.Module, images: Tensor, labels: Tensor, batch_statistics: bool = True) -> Compared:
    """One step's worth, with dropout off; the gradient is taken in training mode, or with the running statistics."""
    for module in net.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "StochasticDepth":  # torchvision's
            module.p = 0.0
    evaluated = net.eval()(images)
    if not batch_statistics:
        F.cross_entropy(evaluated, labels).backward()
    trained = first(net.train()(images))
    if batch_statistics:
        F.cross_entropy(trained, labels).backward()
    gradients = {name: value.grad for name, value in net.named_parameters() if value.grad is not None}
    return Compared(evaluated.detach(), trained.detach(), gradients)


def first(outputs: Tensor | tuple) -> Tensor:
    """The logits; auxiliary classifiers come behind them."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


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


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest of their values."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def gradient_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Length of the difference of the two gradients, all parameters together, relative to the length of theirs."""
    assert ours.keys() <= theirs.keys()
    apart = sum((gradient - theirs[name]).square().sum() for name, gradient in ours.items())
    return (apart / sum(theirs[name].square().sum() for name in ours)).sqrt().item()


def agree(
    library: str,
    pair: Pair,
    ours: Compared,
    theirs: Compared,
    parity: Callable[[dict], None],
    train: float = TOLERANCE,
    gradient: float = GRADIENT_TOLERANCE,
) -> None:
    found = {
        "eval_difference": difference(ours.evaluated, theirs.evaluated),
        "train_difference": difference(ours.trained, theirs.trained),
        "gradient_difference": gradient_difference(ours.gradients, theirs.gradients),
    }
    parity({"library": library, **pair._asdict(), **found})
    assert torch.equal(ours.evaluated.argmax(1), theirs.evaluated.argmax(1))
    assert found["eval_difference"] <= TOLERANCE
    assert found["train_difference"] <= train
    assert found["gradient_difference"] <= gradient


def draw(pair: Pair) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 3, pair.side, pair.side, generator=generator)
    return images, torch.randint(1000, (IMAGES,), generator=generator)


def compare(library: str, pair: Pair, peer: nn.Module, tmp_path, parity: Callable[[dict], None]) -> None:
    disturb(peer)
    torch.save(peer.state_dict(), tmp_path / "peer.pth")
    ours = ca.create_model(pair.ours, image_size=pair.side)
    loaded = load_weights(ours, tmp_path / "peer.pth")
    assert loaded.labels.names[0] == "tench"
    images, labels = draw(pair)
    theirs = compared(peer, images, labels)
    renamed = SOURCES[library].convert(theirs.gradients, Target.of(ours))
    agree(library, pair, compared(ours, images, labels), theirs._replace(gradients=renamed), parity)


@pytest.mark.parametrize("pair", cases(TORCHVISION))
def test_torchvision(pair, torchvision, tmp_path, parity):
    options = {"init_weights": False, "aux_logits": True} if pair.peer in ("googlenet", "inception_v3") else {}
    options |= {"transform_input": False} if options else {}
    compare("torchvision", pair, getattr(torchvision.models, pair.peer)(weights=None, **options), tmp_path, parity)


@pytest.mark.parametrize("pair", cases(TIMM))
def test_timm(pair, timm, tmp_path, parity):
    compare("timm", pair, timm.create_model(pair.peer, pretrained=False, drop_rate=0.0), tmp_path, parity)


# networks of keras.applications that prepare the images themselves: what switches it off, or what undoes it
KERAS_OPTIONS = {f"MobileNetV3{size}": {"include_preprocessing": False} for size in ("Small", "Large")}
KERAS_PIXELS = {"EfficientNetB": 255.0}  # divides by 255


def built(keras, pair: Pair):
    """A network of keras.applications whose statistics and scales are as a trained network has them."""
    keras.utils.set_random_seed(0)
    options = KERAS_OPTIONS.get(pair.peer, {})
    net = getattr(keras.applications, pair.peer)(
        weights=None, classifier_activation=None, input_shape=(pair.side, pair.side, 3), **options
    )
    for layer in net.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    generator = np.random.default_rng(0)
    for weight in net.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(generator.normal(0, 0.1, weight.shape))
    return net


def compared_in_keras(net, images: Tensor, labels: Tensor) -> Compared:
    shown = images.permute(0, 2, 3, 1).contiguous()
    evaluated = net(shown, training=False)
    F.cross_entropy(evaluated, labels).backward()
    gradients = {
        f"{layer.name}/{weight.name}": weight.value.grad
        for layer in net.layers
        for weight in layer.weights
        if weight.value.grad is not None
    }
    with torch.no_grad():
        trained = net(shown, training=True)
    return Compared(evaluated.detach(), trained, gradients)


@pytest.mark.parametrize("pair", cases(KERAS))
def test_keras(pair, keras, tmp_path, parity):
    net = built(keras, pair)
    net.save(tmp_path / "peer.keras")
    ours = ca.create_model(pair.ours, image_size=pair.side)
    assert detect(ours, read_tensors(tmp_path / "peer.keras")) == "keras"
    load_weights(ours, tmp_path / "peer.keras")

    images, labels = draw(pair)
    reads_bgr = pair.ours.startswith(("resnet", "vgg"))
    pixels = next((factor for name, factor in KERAS_PIXELS.items() if pair.peer.startswith(name)), 1.0)
    theirs = compared_in_keras(net, pixels * (images.flip(1) if reads_bgr else images), labels)
    theirs = theirs._replace(gradients=SOURCES["keras"].convert(theirs.gradients, Target.of(ours)))
    mine = compared(ours, images, labels, batch_statistics=False)
    agree("keras", pair, mine, theirs, parity, KERAS_TRAIN_TOLERANCE, KERAS_GRADIENT_TOLERANCE)


@pytest.mark.parametrize("pair", [pair for pair in KERAS if pair.peer in ("DenseNet121", "InceptionV3", "Xception")])
def test_keras_files_of_three_kinds_hold_the_same(pair, keras, tmp_path):
    """Named layers, numbered layers without scales, separable convolutions: each way a Keras file can be written."""
    net = built(keras, pair)
    net.save(tmp_path / "whole.keras")
    net.save(tmp_path / "whole.h5")
    net.save_weights(tmp_path / "only.weights.h5")
    states = []
    for name in ("whole.keras", "whole.h5", "only.weights.h5"):
        ours = ca.create_model(pair.ours, image_size=pair.side)
        assert load_weights(ours, tmp_path / name).source == "keras"
        states.append(ours.state_dict())
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


# (peer, ours) -> by how many parameters the peer's network is larger, and why; 0 where the difference is elsewhere
DEPARTURES = {
    ("torchvision", "alexnet", "alexnet"): (135_616, "the one-column network of 2014, not the two towers of 2012"),
    ("torchvision", "googlenet", "googlenet"): (6_624_904 - 6_998_552, "3x3 for 5x5; batch norm for biases"),
    ("torchvision", "vgg16_bn", "vgg16"): (2 * 4_224, "a scale and a shift for each of 4,224 maps"),
    ("torchvision", "resnet18", "resnet18_a"): (173_824, "projections: 64*128 + 128*256 + 256*512, and their norms"),
    ("torchvision", "resnet34", "resnet34_a"): (173_824, "the same three projections"),
    ("torchvision", "resnet50", "resnet50"): (0, "the stride is in the 3x3: 231,211,008 more MACs"),
    ("timm", "resnet50d", "resnet50"): (19_232, "three 3x3 for the 7x7 in front"),
    ("timm", "inception_resnet_v2", "inception_resnet_v2"): (
        23_409_536,
        "the released network, wider than the paper's",
    ),
    ("timm", "densenet264d", "densenet264"): (39_398_512, "growth 48 and a deep stem, not growth 32"),
    ("timm", "legacy_xception", "xception"): (0, "pooling padded on every side; epsilon 1e-5 for 1e-3"),
    ("keras", "ResNet50", "resnet50"): (26_560, "a bias before each batch norm"),
    ("keras", "InceptionV3", "inception_v3"): (-17_216, "batch norm without scale"),
    ("keras", "InceptionResNetV2", "inception_resnet_v2"): (23_379_264, "the released network, without norms' scales"),
}


@pytest.mark.parametrize(("library", "peer", "ours"), DEPARTURES, ids=lambda name: name)
def test_where_a_peer_departs_from_the_paper(library, peer, ours, request):
    """Not the same networks: the difference in parameters is the one that its reason explains."""
    package = request.getfixturevalue(library)
    if library == "keras":
        net = getattr(package.applications, peer)(weights=None)
        params = sum(weight.value.numel() for weight in net.trainable_weights)
    else:
        options = {"aux_logits": False, "init_weights": False} if peer == "googlenet" else {}
        with torch.device("meta"):
            net = getattr(package.models, peer)(**options) if library == "torchvision" else package.create_model(peer)
        params = sum(value.numel() for value in net.parameters())
    assert params - entry(ours).params == DEPARTURES[library, peer, ours][0]


def test_the_stride_that_moves_no_parameter_costs_multiplications():
    assert entry("resnet50@torchvision").macs - entry("resnet50").macs == 231_211_008
