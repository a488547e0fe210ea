"""Caffe's files: a hand-written encoder makes them, whole networks of them are read back."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas as ca
from convatlas.errors import CheckpointError
from convatlas.models.weights import load_weights
from convatlas.models.weights.caffemodel import read_caffemodel
from convatlas.models.weights.source import Target
from convatlas.models.weights.sources.caffe import from_caffe, our_layer

MEAN_BGR = (103.939, 116.779, 123.68)  # of He's ResNets and of VGG


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(tensor: torch.Tensor, shape: tuple[int, ...] | None = None) -> bytes:
    dims = b"".join(varint(side) for side in (shape or tensor.shape))
    return field(7, field(1, dims)) + field(5, tensor.contiguous().numpy().astype("<f4").tobytes())


def legacy_blob(tensor: torch.Tensor) -> bytes:
    sides = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    head = b"".join(varint(number << 3) + varint(side) for number, side in enumerate(sides, start=1))
    return head + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in tensor.flatten().tolist())


def caffemodel(layers: dict[str, list[bytes]], v1: bool = False) -> bytes:
    name, blobs, layer = (4, 6, 2) if v1 else (1, 7, 100)
    return b"".join(
        field(layer, field(name, key.encode()) + b"".join(field(blobs, one) for one in values))
        for key, values in layers.items()
    )


def test_a_caffemodel_is_loaded_and_its_first_convolution_turned_from_bgr(tmp_path):
    torch.manual_seed(0)
    source, target = (ca.create_model("squeezenet1_1", num_classes=7) for _ in range(2))
    layers = {}
    for name, module in source.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            weight = module.weight.detach()
            weight = weight.flip(1) if name == "conv1" else weight
            layers[name.replace(".", "/")] = [blob(weight), blob(module.bias.detach())]
    (tmp_path / "net.caffemodel").write_bytes(field(1, b"SqueezeNet") + caffemodel(layers))
    loaded = load_weights(target, tmp_path / "net.caffemodel")
    assert loaded.source == "caffe"
    assert loaded.preparation.std == (1 / 255,) * 3
    assert same(target.state_dict(), source.state_dict())


def test_caffes_residual_names_and_batch_statistics(tmp_path):
    assert our_layer("res2a_branch1") == "conv2_x.0.shortcut.conv"
    assert our_layer("bn3b7_branch2c") == "conv3_x.7.bn3"
    assert our_layer("scale5c_branch2b") == "conv5_x.2.bn2"
    assert our_layer("inception_4a/5x5_reduce") == "inception_4a.reduce5x5.conv"
    tensors = {"bn_conv1.0": torch.tensor([4.0]), "bn_conv1.1": torch.tensor([6.0]), "bn_conv1.2": torch.tensor([2.0])}
    ours = from_caffe(tensors, Target(torch.nn.Module(), "resnet", {}, "conv1.weight"))
    assert {key: value.item() for key, value in ours.items()} == {"bn1.running_mean": 2.0, "bn1.running_var": 3.0}


def test_the_caffemodel_reader_knows_both_generations():
    value = torch.arange(6.0).reshape(2, 3)
    new = read_caffemodel(caffemodel({"fc": [blob(value)]}))
    old = read_caffemodel(caffemodel({"fc": [legacy_blob(value)]}, v1=True))
    assert torch.equal(new["fc.0"], value)
    assert torch.equal(old["fc.0"], value.reshape(1, 1, 2, 3))


def caffes(name: str) -> str:
    """Our layer as He's prototxt calls it: conv3_x.1.conv2 is res3b_branch2b, and its bn2 is bn3b_branch2b."""
    if name in ("conv1", "fc"):
        return {"conv1": "conv1", "fc": "fc1000"}[name]
    if name == "bn1":
        return "bn_conv1"
    stage, block, layer = re.fullmatch(r"conv(\d)_x\.(\d+)\.(.+)", name).groups()
    kind, branch = ("res", "1") if layer == "shortcut.conv" else ("bn", "1")
    if not layer.startswith("shortcut"):
        kind, branch = {"c": "res", "b": "bn"}[layer[0]], "2" + "abc"[int(layer[-1]) - 1]
    return f"{kind}{stage}{'abcdef'[int(block)]}_branch{branch}"


def whole_resnet(net: torch.nn.Module, factor: float) -> bytes:
    """A residual network that reads BGR as its authors saved it: batch norm's statistics are sums, their weight beside
    them, and its scale and shift are a layer of their own."""
    layers: dict[str, list[bytes]] = {}
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            sums = (module.running_mean * factor, module.running_var * factor, torch.tensor([factor]))
            layers[caffes(name)] = [blob(value) for value in sums]
            scale = re.sub("^bn", "scale", caffes(name))
            layers[scale] = [blob(module.weight.detach()), blob(module.bias.detach())]
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            values = [value.detach() for value in (module.weight, module.bias) if value is not None]
            layers[caffes(name)] = [blob(value) for value in values]
    return field(1, b"ResNet") + caffemodel(layers)


@torch.no_grad()
def trained_looking(net: torch.nn.Module) -> torch.nn.Module:
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(std=0.1)
    return net.eval()


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50@caffe", marks=pytest.mark.slow)])
def test_a_whole_caffe_resnet_sees_what_its_authors_saw(name, tmp_path):
    torch.manual_seed(0)
    theirs = trained_looking(ca.create_model(name))  # taken as a network that reads BGR less the mean
    (tmp_path / "ResNet.caffemodel").write_bytes(whole_resnet(theirs, factor=999.98236))
    ours = ca.create_model(name)
    loaded = load_weights(ours, tmp_path / "ResNet.caffemodel")
    assert (loaded.source, loaded.ignored) == ("caffe", ())
    assert all(name.endswith("num_batches_tracked") for name in loaded.kept)
    for key, value in theirs.state_dict().items():
        expected = value.flip(1) if key == "conv1.weight" else value
        torch.testing.assert_close(ours.state_dict()[key], expected, rtol=1e-6, atol=1e-7)

    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    blue_first = torch.tensor(pixels[16:240, 16:240, ::-1].copy()).float() - torch.tensor(MEAN_BGR)
    with torch.inference_mode():
        expected = theirs(blue_first.permute(2, 0, 1)[None]).softmax(1)[0]
    (answer,) = ca.predict(ours, [tmp_path / "noise.png"], top=1000)
    found = dict(answer.top)
    named = [found[label] for label in loaded.labels.names]
    torch.testing.assert_close(torch.tensor(named), expected, rtol=1e-3, atol=1e-6)


def caffes_densenet(name: str) -> str:
    """Our layer as DenseNet-Caffe's prototxt calls it; a norm by the convolution it stands before."""
    for pattern, theirs in (
        (r"^(conv|norm)0$", lambda m: "conv1" if m[1] == "conv" else "conv1/bn"),
        (r"^norm5$", lambda m: "conv5_blk/bn"),
        (r"^transition(\d)\.(conv|norm)$", lambda m: f"conv{int(m[1]) + 1}_blk" + "/bn" * (m[2] == "norm")),
        (
            r"^block(\d)\.(\d+)\.(conv|norm)(\d)$",
            lambda m: f"conv{int(m[1]) + 1}_{int(m[2]) + 1}/x{m[4]}" + "/bn" * (m[3] == "norm"),
        ),
        (r"^classifier$", lambda m: "fc6"),
    ):
        name, found = re.subn(pattern, theirs, name)
        if found:
            return name
    raise AssertionError(name)


def test_a_caffe_densenet_comes_back_under_our_names(tmp_path):
    """Its classifier is a 1x1 convolution, its pixels are scaled after the mean is taken off."""
    torch.manual_seed(0)
    theirs, ours = trained_looking(ca.create_model("densenet121")), ca.create_model("densenet121")
    layers: dict[str, list[bytes]] = {}
    for name, module in theirs.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            statistics = (module.running_mean, module.running_var, torch.ones(1))
            layers[caffes_densenet(name)] = [blob(value) for value in statistics]
            scale = caffes_densenet(name).replace("/bn", "/scale")
            layers[scale] = [blob(module.weight.detach()), blob(module.bias.detach())]
        elif isinstance(module, torch.nn.Conv2d):
            weight = module.weight.detach()
            layers[caffes_densenet(name)] = [blob(weight.flip(1) if name == "conv0" else weight)]
    layers["fc6"] = [blob(theirs.classifier.weight.detach()[:, :, None, None]), blob(theirs.classifier.bias.detach())]
    (tmp_path / "DenseNet_121.caffemodel").write_bytes(caffemodel(layers))
    loaded = load_weights(ours, tmp_path / "DenseNet_121.caffemodel")
    assert (loaded.source, loaded.ignored) == ("caffe", ())
    assert same(ours.state_dict(), theirs.state_dict())
    assert loaded.preparation.std == pytest.approx([1 / (255 * 0.017)] * 3)


def test_batch_norm_of_a_caffe_file_that_saw_no_image_is_zero():
    tensors = {f"bn_conv1.{index}": torch.zeros(1) for index in range(3)}
    assert from_caffe(tensors, Target(torch.nn.Module(), "resnet", {}, "conv1.weight"))["bn1.running_var"].item() == 0.0


def test_a_caffemodel_with_absurd_or_wrong_sizes_is_refused():
    value = torch.zeros(4)
    with pytest.raises(CheckpointError, match=r"claims the shape \(1000000, 1000000\).*refused"):
        read_caffemodel(caffemodel({"fc": [blob(value, (10**6, 10**6))]}))
    with pytest.raises(CheckpointError, match=r"claims the shape \(5,\) but holds 4 numbers"):
        read_caffemodel(caffemodel({"fc": [blob(value, (5,))]}))
    whole = caffemodel({"fc": [blob(value)]})
    with pytest.raises(CheckpointError, match=r"damaged|no weights"):
        read_caffemodel(whole[:-3])
    with pytest.raises(CheckpointError, match=r"damaged|no weights"):
        read_caffemodel(b"\xff" * 40)


def test_a_caffemodel_that_does_not_fit_leaves_the_network_as_it_was(tmp_path):
    net = ca.create_model("squeezenet1_1", num_classes=3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    weight, bias = torch.zeros(3, 512, 1, 1), torch.zeros(3)
    whole = caffemodel({"conv10": [blob(weight), blob(bias)]})
    absurd = caffemodel({"conv10": [blob(weight, (3, 512, 10**5, 10**5)), blob(bias)]})
    for content, message in (
        (whole, r"\(caffe\) does not fit squeezenet1_1: 50 missing \(conv1\.weight"),
        (absurd, "refused"),
        (whole[: len(whole) // 2], "damaged|no weights"),
    ):
        (tmp_path / "net.caffemodel").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_weights(net, tmp_path / "net.caffemodel", source="caffe")
        assert same(net.state_dict(), before)
