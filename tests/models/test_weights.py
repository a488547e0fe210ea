"""Other people's files: what fits is loaded bit for bit, what does not is named and leaves the network as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import convatlas as ca
from convatlas import models
from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.models.weights import detect, load_weights, published
from convatlas.models.weights.claims import Claims
from convatlas.models.weights.sources import SOURCES


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ca.create_model("resnet20_cifar")


@pytest.fixture
def other():
    torch.manual_seed(1)
    return ca.create_model("resnet20_cifar")


def weights(net) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def as_akamaster(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module.{key.replace('stage', 'layer').replace('fc.', 'linear.')}": value for key, value in state.items()}


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
def test_our_own_weights_come_back_bit_for_bit(net, other, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    state = weights(net)
    if suffix == ".safetensors":
        save_file(state, path)
    elif suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        np.savez(path, **{key: value.numpy() for key, value in state.items()})
    loaded = load_weights(other, path)
    assert loaded.source == "convatlas"
    assert loaded.tensors == len(state)
    assert equal(weights(other), state)


def test_akamasters_names_are_detected_and_bring_their_preparation(net, other, tmp_path):
    torch.save({"state_dict": as_akamaster(weights(net)), "best_prec1": 91.7}, tmp_path / "resnet20.th")
    loaded = load_weights(other, tmp_path / "resnet20.th")
    assert loaded.source == "akamaster"
    assert loaded.preparation.mean == (0.485, 0.456, 0.406)
    assert equal(weights(other), weights(net))


def test_chenyaofos_names_are_detected(tmp_path):
    """Torchvision's names on a CIFAR network, whose shortcuts are projected."""
    net, other = ca.create_model("resnet20_cifar@projected"), ca.create_model("resnet20_cifar@projected")
    theirs = {
        key.replace("stage", "layer")
        .replace("shortcut.conv", "downsample.0")
        .replace("shortcut.bn", "downsample.1"): value
        for key, value in weights(net).items()
    }
    torch.save(theirs, tmp_path / "cifar10_resnet20.pt")
    assert load_weights(other, tmp_path / "cifar10_resnet20.pt").source == "chenyaofo"
    assert equal(weights(other), weights(net))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.weight"), r"1 missing \(conv1\.weight\)"),
        (lambda s: s.update({"conv9.weight": torch.zeros(3)}), r"1 unknown \(conv9\.weight\)"),
        (
            lambda s: s.update({"fc.bias": torch.zeros(100)}),
            r"fc\.bias \(100,\) for \(10,\)\)\. Build the network with",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(net, other, tmp_path, change, message):
    state, before = weights(net), weights(other)
    change(state)
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_weights(other, tmp_path / "wrong.safetensors")
    assert equal(weights(other), before)


def test_weights_of_another_network_are_of_no_known_source(other, tmp_path):
    save_file({"transformer.block.weight": torch.zeros(4)}, tmp_path / "alien.safetensors")
    with pytest.raises(CheckpointError, match=r"of no source known for resnet20_cifar: transformer\.block\.weight"):
        load_weights(other, tmp_path / "alien.safetensors")


def test_a_source_named_wrongly(net, other, tmp_path):
    save_file(weights(net), tmp_path / "ours.safetensors")
    with pytest.raises(UnknownNameError, match="Did you mean torchvision"):
        load_weights(other, tmp_path / "ours.safetensors", source="torchvison")
    with pytest.raises(
        CheckpointError, match=r"timm has no resnet_cifar weights known here; .* there are: convatlas, aka"
    ):
        load_weights(other, tmp_path / "ours.safetensors", source="timm")


class Payload:
    def __reduce__(self):
        return (print, ("this code must not run",))


def test_a_pickle_with_code_is_refused_and_not_run(other, tmp_path, capsys):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Payload()}))
    with pytest.raises(CheckpointError, match=r"could run code; it is refused|damaged"):
        load_weights(other, tmp_path / "evil.pth")
    torch.save(Payload(), tmp_path / "evil2.pth")
    with pytest.raises(CheckpointError, match="could run code; it is refused"):
        load_weights(other, tmp_path / "evil2.pth")
    assert capsys.readouterr().out == ""


def test_a_network_without_convolutions_takes_weights_too(tmp_path):
    torch.manual_seed(0)
    theirs, ours = (ca.create_model("mlp") for _ in range(2))
    save_file(weights(theirs), tmp_path / "mlp.safetensors")
    assert load_weights(ours, tmp_path / "mlp.safetensors").source == "convatlas"
    assert equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
def test_a_file_cut_short_is_damaged(net, other, tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    state = weights(net)
    if suffix == ".safetensors":
        save_file(state, whole)
    elif suffix == ".pth":
        torch.save(state, whole)
    else:
        np.savez(whole, **{key: value.numpy() for key, value in state.items()})
    cut, before = tmp_path / f"cut{suffix}", weights(other)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_weights(other, cut)
    assert equal(weights(other), before)


def test_missing_files_unknown_endings_and_foreign_modules(other, tmp_path):
    with pytest.raises(CheckpointError, match="there is no weights file"):
        load_weights(other, tmp_path / "none.pth")
    (tmp_path / "weights.doc").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    with pytest.raises(CheckpointError, match=r"not a weights file .* begins with the bytes d0 cf 11 e0"):
        load_weights(other, tmp_path / "weights.doc")
    with pytest.raises(UsageError, match="made by create_model"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "weights.doc")


def as_torchvision(net) -> dict[str, torch.Tensor]:
    """A squeezenet1_1's weights under torchvision's names, which count layers."""
    children = [name for name, _ in net.named_children()]
    theirs = {}
    for key, value in net.state_dict().items():
        layer, _, rest = key.partition(".")
        theirs[f"classifier.1.{rest}" if layer == "conv10" else f"features.{children.index(layer)}.{rest}"] = value
    return {key.replace("squeeze1x1", "squeeze"): value for key, value in theirs.items()}


def test_torchvision_names_are_detected_for_vgg_by_position():
    net = ca.create_model("squeezenet1_1", num_classes=3)
    assert detect(net, as_torchvision(net)) == "torchvision"


def test_a_published_file_is_known_by_its_bytes_and_prepared_as_published(tmp_path, monkeypatch):
    net = ca.create_model("squeezenet1_1", num_classes=3)
    torch.save(as_torchvision(net), tmp_path / "renamed.pth")
    stranger = load_weights(net, tmp_path / "renamed.pth")
    assert (stranger.source, stranger.preparation.resize) == ("torchvision", 256)
    assert stranger.preparation_from.startswith("assumed: usual for torchvision weights of squeezenet1_1;")

    v2 = published.published("resnet50@torchvision", "torchvision:IMAGENET1K_V2")
    digest = hashlib.sha256((tmp_path / "renamed.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(published, "table", lambda: (dataclasses.replace(v2, sha256_prefix=digest[:8]),))
    known = load_weights(net, tmp_path / "renamed.pth")
    assert (known.source, known.preparation.resize) == ("torchvision", 232)
    assert known.preparation_from == "published with torchvision:IMAGENET1K_V2 of resnet50@torchvision"


def test_our_own_files_say_nothing_of_preparation(net, other, tmp_path):
    save_file(weights(net), tmp_path / "ours.safetensors")
    loaded = load_weights(other, tmp_path / "ours.safetensors")
    assert loaded.preparation is None
    assert loaded.preparation_from.startswith("unknown")


@pytest.mark.parametrize(
    ("source", "network", "resize", "crop", "mean"),
    [  # timm's default_cfgs: floor(299 / 0.8975) = 333, floor(299 / 0.875) = 341; torchvision's Inception_V3_Weights
        ("timm", "inception_resnet_v2@timm", 333, 299, 0.5),
        ("timm", "xception@timm", 333, 299, 0.5),
        ("timm", "inception_v4", 341, 299, 0.5),
        ("timm", "resnet50@torchvision", 235, 224, 0.485),  # a1_in1k: floor(224 / 0.95)
        ("timm", "densenet121", 256, 224, 0.485),
        ("torchvision", "inception_v3@torchvision", 342, 299, 0.5),
        ("keras", "inception_resnet_v2@keras", 342, 299, 0.5),
        ("keras", "densenet121", 256, 224, 0.485),
        ("keras", "resnet50@keras", 256, 224, 123.68 / 255),
        ("caffe", "resnet50@caffe", 256, 224, 123.68 / 255),
        ("caffe", "alexnet@caffe", 256, 227, 122.679 / 255),  # the mean pixel of BVLC's imagenet_mean.binaryproto
        ("caffe", "googlenet@caffe", 256, 224, 123 / 255),  # mean_value in its train_val.prototxt
    ],
)
def test_what_is_assumed_of_a_source(source, network, resize, crop, mean):
    usual = SOURCES[source].usual_preparation(network)
    assert (usual.resize, usual.crop, usual.mean[0]) == (resize, crop, mean)


def test_every_exception_names_a_network_of_the_atlas():
    bases = {name.partition("@")[0] for name in ca.list_models()}
    assert {network for source in SOURCES.values() for network in source.preparations} <= bases
    families = {models.entry(name).family for name in ca.list_models()}
    assert {family for source in SOURCES.values() for family in source.families or ()} <= families


def test_an_npz_that_claims_absurd_sizes_is_refused_before_memory_is_taken(other, tmp_path):
    """1,000,000 x 1,000,000 numbers in its header, none behind it; numpy would take 4 TB and then see."""
    before = weights(other)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "vast.npz", "w") as archive:
        archive.writestr("conv1.weight.npy", header.getvalue())
    with pytest.raises(CheckpointError, match=r"conv1\.weight\.npy claims the shape \(1000000, 1000000\).* refused"):
        load_weights(other, tmp_path / "vast.npz")
    assert equal(weights(other), before)


def test_an_npz_that_expands_beyond_what_deflate_can_is_refused(tmp_path):
    claims = Claims(tmp_path / "bomb.npz")
    claims.tensor("honest", (1000, 1000), 4, stored=4_000_000)
    with pytest.raises(CheckpointError, match=r"bomb, of shape \(1000, 1000\), claims 4,000,000 bytes, but 1,000 are"):
        claims.tensor("bomb", (1000, 1000), 4, stored=1000)
    claims.tensor("large", (1000, 1000, 1000), 4, stored=4_000_000_000)
    with pytest.raises(CheckpointError, match=r"needs? more than 8,589,934,592, more than any network here; refused"):
        claims.tensor("larger", (1200, 1000, 1000), 4, stored=4_800_000_000)  # possible alone, not with those before
