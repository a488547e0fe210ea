"""Keras's files, written here by hand as Keras lays them out; whole networks of Keras's own are in test_parity.py."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.errors import CheckpointError
from convatlas.models.weights import load_weights
from convatlas.models.weights.hdf5 import snake_case
from convatlas.models.weights.read import read_tensors

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

# group below layers/, the layer's name, the shapes of its variables in their order
LAYERS = {
    "conv2d": ("conv1_conv", [(7, 7, 3, 64), (64,)]),
    "conv2d_1": ("conv2_conv", [(1, 1, 64, 8)]),
    "batch_normalization": ("conv1_bn", [(64,)] * 4),
    "batch_normalization_1": ("conv2_bn", [(8,)] * 3),  # without scale
    "separable_conv2d": ("block2_sepconv1", [(3, 3, 8, 1), (1, 1, 8, 16)]),
    "dense": ("predictions", [(16, 10), (10,)]),
}
EXPECTED = {
    "conv1_conv/kernel", "conv1_conv/bias", "conv2_conv/kernel",
    "conv1_bn/gamma", "conv1_bn/beta", "conv1_bn/moving_mean", "conv1_bn/moving_variance",
    "conv2_bn/beta", "conv2_bn/moving_mean", "conv2_bn/moving_variance",
    "block2_sepconv1/depthwise_kernel", "block2_sepconv1/pointwise_kernel",
    "predictions/kernel", "predictions/bias",
}  # fmt: skip
CLASSES = {"conv2d": "Conv2D", "batch_normalization": "BatchNormalization", "separable_conv2d": "SeparableConv2D"}


def weights_h5(named: bool = True, prefix: str = "") -> bytes:
    """What Keras 3's save_weights writes: numbered variables, the layer's name beside them, the optimiser's behind."""
    content, draw = io.BytesIO(), np.random.default_rng(0)
    with h5py.File(content, "w") as file:
        for group, (name, shapes) in LAYERS.items():
            variables = file.create_group(f"{prefix}layers/{group}/vars")
            if named:
                variables.attrs["name"] = name
            for number, shape in enumerate(shapes):
                variables[str(number)] = draw.normal(size=shape).astype("f4")
        file["optimizer/vars/0"] = np.zeros(3, "f4")
    return content.getvalue()


def config(nested: bool = False) -> dict:
    layers = [
        {"class_name": CLASSES.get(kind := group.rstrip("_1"), kind.capitalize()), "config": {"name": name}}
        for group, (name, _) in LAYERS.items()
    ]
    model = {"class_name": "Functional", "config": {"name": "model", "layers": layers}}
    return {"class_name": "Functional", "config": {"name": "outer", "layers": [model]}} if nested else model


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr({"weights": "model.weights.h5", "config": "config.json"}[name], content)
    return path


def test_numbered_variables_get_their_names(tmp_path):
    (tmp_path / "net.weights.h5").write_bytes(weights_h5())
    tensors = read_tensors(tmp_path / "net.weights.h5")
    assert set(tensors) == EXPECTED
    assert tensors["block2_sepconv1/depthwise_kernel"].shape == (3, 3, 8, 1)
    assert tensors["conv2_bn/beta"].shape == (8,)


@pytest.mark.parametrize("nested", [False, True])
def test_a_keras_archive_names_its_layers_in_its_configuration(nested, tmp_path):
    """Early files of Keras 3 have no names beside the variables; a model inside a model has its own layers."""
    prefix = "layers/functional/" if nested else ""
    path = archive(
        tmp_path / "net.keras",
        weights=weights_h5(named=False, prefix=prefix),
        config=json.dumps(config(nested)).encode(),
    )
    assert set(read_tensors(path)) == EXPECTED
    assert snake_case("SeparableConv2D") == "separable_conv2d"


def vast() -> bytes:
    """No chunk of it is written: a small file that claims 4 TB."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", shape=(10**6, 10**6), dtype="f4", chunks=(64, 64))
    return content.getvalue()


def hollow() -> bytes:
    """A possible size, of which nothing is there."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", shape=(10**4, 10**4), dtype="f4", chunks=(64, 64))
    return content.getvalue()


DEEP = b"[" * 200_000
GOOD = json.dumps(config()).encode()


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".weights.h5", weights_h5(named=False), r"does not name its layers \(layers/[a-z0-9_]+\)"),
        (".weights.h5", weights_h5(), "does not fit resnet50@keras|of no source known"),
        (".h5", weights_h5()[:4000], "damaged or cut short"),
        (".h5", b"no file of HDF5", "is a text file, not a file of weights; it begins: no file of HDF5"),
        (".h5", vast(), r"kernel:0 claims the shape \(1000000, 1000000\), 4,000,.* refused"),
        (".h5", hollow(), r"claims 400,000,000 bytes, but 0 are stored for it .* refused"),
        (".keras", b"no zip", "is a text file, not a file of weights; it begins: no zip"),
        (".keras", {"weights": weights_h5()}, r"is no \.keras file: it holds no config\.json"),
        (".keras", {"config": GOOD}, r"it holds no model\.weights\.h5"),
        (".keras", {"config": b"{", "weights": weights_h5()}, "damaged or cut short"),
        (".keras", {"config": DEEP, "weights": weights_h5()}, "damaged or cut short|refused"),
        (".keras", {"config": b"[1]", "weights": weights_h5()}, "its configuration is not a model's"),
        (".keras", {"config": GOOD, "weights": vast()}, r"claims the shape \(1000000, 1000000\).* refused"),
        (
            ".keras",
            {"config": b" " * (65 << 20), "weights": weights_h5()},
            r"config\.json claims 68,157,440 .* refused",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(".") else "",
)
def test_a_bad_file_is_refused_and_the_network_keeps_its_weights(suffix, content, message, tmp_path, net):
    path = tmp_path / f"bad{suffix}"
    if isinstance(content, dict):
        archive(path, **content)
    else:
        path.write_bytes(content)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(net, path)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.fixture(scope="module")
def net():
    return ca.create_model("resnet20_cifar")


def test_an_archive_cut_short_is_damaged(tmp_path):
    whole = archive(tmp_path / "whole.keras", weights=weights_h5(), config=GOOD).read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.keras").write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            read_tensors(tmp_path / "cut.keras")


def test_nothing_is_read_from_another_file(tmp_path):
    (tmp_path / "private").write_bytes(bytes(64))
    with h5py.File(tmp_path / "sly.h5", "w") as file:
        outside = [(str(tmp_path / "private"), 0, 64)]
        file.create_dataset("conv1/conv1/kernel:0", shape=(16,), dtype="f4", external=outside)
    with pytest.raises(
        CheckpointError, match=r"kernel:0 would be read from another file of this machine; refused|claims"
    ):
        read_tensors(tmp_path / "sly.h5")
    (tmp_path / "other.h5").write_bytes(weights_h5())
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_tensors(tmp_path / "linked.h5")
