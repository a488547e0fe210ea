"""Checkpoints as other programs leave them: known by content, unwrapped, renamed, told apart; made by real programs."""

from __future__ import annotations

import argparse
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import convatlas as ca
from convatlas.errors import CheckpointError, UsageError
from convatlas.models import list_models
from convatlas.models.weight_shapes import outputs_differ, shapes_and_digest
from convatlas.models.weights import GivenPreparation, fitted, load_weights, published, read_file
from convatlas.models.weights.names import paired, skeleton
from convatlas.models.weights.shapes import nearest, shapes_of, table, twins

NET = "resnet20_cifar"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return ca.create_model(NET).state_dict()


def prefixed(state, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def load(path, **about):
    torch.manual_seed(1)
    net = ca.create_model(NET)
    return net, load_weights(net, path, **about)


def same(net, state) -> bool:
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


# --- wrappings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        *((each, (each,)) for each in ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")),
        ("module._orig_mod.", ("module.", "_orig_mod.")),
        ("_orig_mod.module.model.", ("_orig_mod.", "module.", "model.")),
        ("model.encoder.module.", ("model.", "encoder.", "module.")),
    ],
)
def test_prefixes_are_taken_off_in_any_order_and_named(state, tmp_path, prefix, said):
    torch.save(prefixed(state, prefix), tmp_path / "wrapped.pth")
    net, loaded = load(tmp_path / "wrapped.pth")
    assert same(net, state)
    assert sorted(loaded.undone) == sorted(f"the prefix '{each}' taken off" for each in said)
    assert loaded.undone[0] in loaded.remarks[0]


@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model", "net", "weights", "my_network"])
def test_a_dictionary_around_the_weights_is_opened(state, tmp_path, key):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)
    torch.save({key: state, "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth.tar")
    net, loaded = load(tmp_path / "checkpoint.pth.tar")
    assert same(net, state)
    assert loaded.undone == (f"'{key}' opened",)
    assert set(read_file(tmp_path / "checkpoint.pth.tar").others) == {"optimizer", "epoch"}


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_of_weights_and_their_average_the_average_is_taken_and_said(state, tmp_path, key):
    other = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": prefixed(other, "module."), key: prefixed(state, "module.")}, tmp_path / "timm.pth")
    net, loaded = load(tmp_path / "timm.pth")
    assert same(net, state)
    assert loaded.undone[0] == f"the averaged weights {key!r} taken, 'state_dict' left"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_torch_itself_wraps_comes_back(state, tmp_path):
    """DataParallel, AveragedModel and torch.compile, by their own state_dict."""
    net = ca.create_model(NET)
    net.load_state_dict(state)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    averaged.update_parameters(net)
    compiled = torch.compile(ca.create_model(NET))
    compiled._orig_mod.load_state_dict(state)
    for name, module in (("parallel", nn.DataParallel(net)), ("swa", averaged), ("compiled", compiled)):
        torch.save(module.state_dict(), tmp_path / f"{name}.pt")
        assert same(load(tmp_path / f"{name}.pt")[0], state), name


def test_a_lightning_checkpoint_with_a_criterion_and_settings_beside_the_network(state, tmp_path):
    document = {
        "state_dict": prefixed(state, "model.") | {"criterion.weight": torch.ones(10)},
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "best": np.float64(0.5),
    }
    torch.save(document, tmp_path / "epoch=3.ckpt")
    net, loaded = load(tmp_path / "epoch=3.ckpt")
    assert same(net, state)
    assert loaded.ignored == ("criterion.weight",)
    assert "1 tensors beside the network left out (criterion.weight)" in loaded.notes[0]


def test_counters_of_a_profiler_and_compiled_parts_do_not_matter(state, tmp_path):
    theirs = {name.replace("stage1.0.", "stage1._orig_mod.0."): value for name, value in state.items()}
    theirs |= {"total_ops": torch.tensor([1.0]), "stage1.total_params": torch.tensor([1.0])}
    torch.save(theirs, tmp_path / "thop.pth")
    assert same(load(tmp_path / "thop.pth")[0], state)


@pytest.mark.parametrize("ending", [".bin", ".ckpt", ".pth", ".weights", ".safetensors", ""])
def test_the_content_decides_and_not_the_ending(state, tmp_path, ending):
    torch.save(state, tmp_path / f"torch{ending}")
    save_file(dict(state), tmp_path / f"safe{ending}")
    np.savez(tmp_path / "arrays.npz", **{name: value.numpy() for name, value in state.items()})
    (tmp_path / "arrays.npz").rename(tmp_path / f"arrays{ending}")
    for name, kind in (("torch", "torch"), ("safe", "safetensors"), ("arrays", "npz")):
        assert read_file(tmp_path / f"{name}{ending}").kind == kind
        assert same(load(tmp_path / f"{name}{ending}")[0], state)


def test_the_older_format_of_pytorch_is_read(state, tmp_path):
    document = {"state_dict": state, "args": argparse.Namespace(arch="resnet20")}
    torch.save(document, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "old.pth")[0], state)


# --- several files ----------------------------------------------------------------------------------------------------


def sharded(folder, state, ending: str = "safetensors") -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    names = list(state)
    places = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file = f"model-{number:05}-of-00002.{ending}"
        tensors = {name: state[name].clone() for name in part}
        save_file(tensors, folder / file) if ending == "safetensors" else torch.save(tensors, folder / file)
        places |= dict.fromkeys(part, file)
    return places


@pytest.mark.parametrize(
    ("ending", "index"),
    [("safetensors", "model.safetensors.index.json"), ("bin", "pytorch_model.bin.index.json")],
)
def test_shards_are_put_together_by_their_index_or_folder(state, tmp_path, ending, index):
    places = sharded(tmp_path / "hub", state, ending)
    (tmp_path / "hub" / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for given in (tmp_path / "hub" / index, tmp_path / "hub"):
        net, loaded = load(given)
        assert same(net, state)
        assert loaded.undone == ("2 files joined",)


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "a/../../x.bin", "C:\\x.bin", "..\\x.bin", 3]
)
def test_an_index_that_points_outside_its_folder_is_refused(state, tmp_path, place):
    save_file(dict(state), tmp_path / "secret.safetensors")
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "m.index.json").write_text(json.dumps({"weight_map": {"conv1.weight": place}}))
    with pytest.raises(CheckpointError, match="outside the folder of the index; refused"):
        read_file(folder / "m.index.json")


def test_shards_that_are_missing_or_of_other_weights_are_named(state, tmp_path):
    places = sharded(tmp_path / "hub", state)
    index = tmp_path / "hub" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places | {"extra": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(CheckpointError, match="extra is not in model-00001"):
        read_file(index)
    (tmp_path / "hub" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="names 1 files that are not there: model-00002"):
        read_file(index)


# --- what is no checkpoint --------------------------------------------------------------------------------------------


def saved_alone(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def gzipped(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "weights.pth")


def tarred(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "weights.pth")


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run/weights.pth", b"x")


def exported(path):
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, path)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: p.write_text("<!DOCTYPE html><html>404</html>"), "a web page .HTML.*/resolve/"),
        (lambda p: p.write_text("\n <HTML><body>Sign in"), "a web page"),
        (lambda p: p.write_text('<?xml version="1.0"?><html xmlns="x">'), "a web page"),
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid"), "LFS pointer.*git lfs pull"),
        (lambda p: p.write_bytes(b""), "is empty: 0 bytes"),
        (lambda p: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), p), "TorchScript.*jit.load"),
        (lambda p: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), p), "TorchScript"),
        (exported, r"an exported program \(torch.export, .pt2\).*export.load"),
        (lambda p: torch.save(nn.Sequential(nn.Linear(2, 2)), p), "pickled torch.nn.modules.container.Sequential, not"),
        (lambda p: torch.save(Own(), p), r"pickled [\w.]*Own, not a state_dict.*model.state_dict\(\)"),
        (lambda p: torch.save({"model": Own(), "epoch": 3}, p), r"pickled [\w.]*Own"),
        (lambda p: torch.save(Own(), p, _use_new_zipfile_serialization=False), r"more than tensors in it \([\w.]*Own"),
        (lambda p: torch.save([1, 2], p), "holds a list, not a state_dict"),
        (lambda p: torch.save({"epoch": 3, "lr": 0.1}, p), "holds no tensors; it has 'epoch', 'lr'"),
        (lambda p: p.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\x10"), "an ONNX model"),
        (lambda p: p.write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 50), "a TensorFlow Lite model"),
        (lambda p: p.write_bytes(b"\x08\x01\x12\x99\x08" + b"\0" * 50), "a TensorFlow SavedModel"),
        (lambda p: p.write_bytes(b"\0" * 9 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"), "of a TensorFlow checkpoint"),
        (gzipped, "an archive .gzip.*Unpack"),
        (tarred, "an archive .tar.*Unpack"),
        (zipped, r"an archive \(zip\) of 1 files. Unpack it and give one of run/weights.pth"),
        (lambda p: p.write_text('{"architectures": ["ResNet"]}'), "a JSON document without weights"),
        (lambda p: p.write_text("epoch,loss\n1,0.5\n"), "a text file, not a file of weights; it begins: epoch,loss"),
        (lambda p: p.write_text("404: Not Found"), "it begins: 404: Not Found"),
        (saved_alone, "a single numpy array"),
        (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "an image"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_no_checkpoint_is_named_for_what_it_is(tmp_path, write, said):
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(CheckpointError, match=said):
        read_file(path)


def test_folders_without_one_file_of_weights_are_named(state, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="a folder without a weights file"):
        read_file(tmp_path / "empty")
    for name in ("a.pth", "b.pth"):
        torch.save(state, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"a folder with several weights files: a\.pth, b\.pth"):
        read_file(tmp_path)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(CheckpointError, match="TensorFlow SavedModel"):
        read_file(tmp_path / "saved")


class Payload:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("old", [True, False])
def test_code_beside_the_weights_is_never_run(state, tmp_path, capsys, old):
    """Unknown objects are put aside unseen; a call of the system is refused altogether."""
    document = {"state_dict": state, "args": Payload(print, "this code must not run")}
    torch.save(document, tmp_path / "sly.pth", _use_new_zipfile_serialization=not old)
    assert same(load(tmp_path / "sly.pth")[0], state)
    import os

    document["args"] = Payload(os.system, f"touch {tmp_path / 'ran'}")
    torch.save(document, tmp_path / "evil.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(CheckpointError, match="could run code; it is refused"):
        read_file(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    assert capsys.readouterr().out == ""


def test_a_bare_pickle_is_no_checkpoint(tmp_path):
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps({"a": np.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"could run code; it is refused|damaged"):
        read_file(tmp_path / "weights.pkl")


def test_huge_claims_are_refused_before_memory_is_taken(tmp_path):
    vast = torch.zeros(1).expand(1_000_000, 1_000_000)
    torch.save({"conv1.weight": vast}, tmp_path / "vast.pth")
    with pytest.raises(CheckpointError, match=r"conv1\.weight claims the shape \(1000000, 1000000\)"):
        read_file(tmp_path / "vast.pth")
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "small.pth")
    with (
        zipfile.ZipFile(tmp_path / "small.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
        with bomb.open("small/data/9", "w", force_zip64=True) as member:
            for _ in range(9):
                member.write(b"\0" * (1 << 20))
    with zipfile.ZipFile(tmp_path / "bomb.pth", "a") as bomb:
        bomb.infolist()[-1].file_size = 9 << 30
        bomb._didModify = True
    with pytest.raises(CheckpointError, match=r"small/data/9 claims 9,663,676,416 bytes|damaged"):
        read_file(tmp_path / "bomb.pth")


def test_weights_that_are_not_finite_are_refused(state, tmp_path):
    for value in (float("nan"), float("inf")):
        bad = {name: tensor.clone() for name, tensor in state.items()}
        bad["stage2.0.conv1.weight"][0, 0, 0, 0] = value
        torch.save(bad, tmp_path / "diverged.pth")
        with pytest.raises(
            CheckpointError, match=r"stage2\.0\.conv1\.weight holds 1 values of 4608 that are not finite"
        ):
            load(tmp_path / "diverged.pth")


# --- heads and backbones ----------------------------------------------------------------------------------------------


def test_a_head_of_another_size_names_the_ways_out(tmp_path):
    torch.save(ca.create_model(NET, num_classes=7).state_dict(), tmp_path / "seven.pth")
    with pytest.raises(CheckpointError, match=r"Its head has 7 outputs.*--classes FILE.*num_classes=7.*--start-from"):
        load(tmp_path / "seven.pth")


@pytest.mark.parametrize("projector", [False, True])
def test_a_backbone_is_named_and_starts_a_training(state, tmp_path, projector):
    body = {f"encoder.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    if projector:
        body |= {"encoder.fc.0.weight": torch.ones(64, 64), "encoder.fc.2.weight": torch.ones(128, 64)}
    torch.save({"state_dict": body}, tmp_path / "moco.pth.tar")
    with pytest.raises(
        CheckpointError, match=r"a backbone without a classification head.*convatlas train resnet20_cifar --start-from"
    ):
        load(tmp_path / "moco.pth.tar")


def test_features_of_vgg_without_its_fully_connected_layers_are_a_backbone(tmp_path):
    net = ca.create_model("vgg11", num_classes=10, image_size=32)
    torch.save({k: v for k, v in net.state_dict().items() if not k.startswith("fc")}, tmp_path / "features.pth")
    fit = fitted(ca.create_model("vgg11", num_classes=10, image_size=32), tmp_path / "features.pth")
    assert fit.headless
    assert {name.partition(".")[0] for name in fit.missing} == {"fc6", "fc7", "fc8"}


# --- names of one's own -----------------------------------------------------------------------------------------------


def own_names(state) -> dict[str, torch.Tensor]:
    """The names of someone who numbers layers: unlike any source's."""
    theirs = {}
    for name, value in state.items():
        name = name.replace("stage", "part_").replace(".conv", ".c").replace(".bn", ".n").replace("fc.", "out.")
        theirs[name.replace("conv1.w", "stem.w") if name.startswith("conv1") else name.replace("bn1.", "stem_n.", 1)
               if name.startswith("bn1") else name] = value  # fmt: skip
    return theirs


PATTERNS = r"""
'stem\.weight' = "conv1.weight"
'stem_n\.(.*)' = 'bn1.\1'
'part_(\d)\.(\d)\.c(\d)\.(.*)' = 'stage\1.\2.conv\3.\4'
'part_(\d)\.(\d)\.n(\d)\.(.*)' = 'stage\1.\2.bn\3.\4'
out.weight = "fc.weight"
"out.bias" = "fc.bias"
"""


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_of_names_with_patterns_loads_unknown_names(state, tmp_path, prefix):
    torch.save(prefixed(own_names(state), prefix), tmp_path / "own.pth")
    (tmp_path / "names.toml").write_text(PATTERNS)
    with pytest.raises(CheckpointError, match=r"of no source known .*convatlas weights .* --like resnet20_cifar"):
        load(tmp_path / "own.pth")
    net, loaded = load(tmp_path / "own.pth", rename=tmp_path / "names.toml")
    assert same(net, state)
    assert loaded.preparation is None
    assert "names changed by" in ", ".join(loaded.undone)


@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        ("'part_(' = 'x'", UsageError, "is no name and no regular expression"),
        (r"'part_(\d)' = 'stage\2'", UsageError, "is no name and no regular expression"),
        ("a = 3", UsageError, "a line is a name of the file"),
        ("not toml", UsageError, "cannot be read"),
        ("", UsageError, "holds no line"),
        ("'.*' = 'conv1.weight'", UsageError, "gives two tensors of the file the name conv1.weight"),
    ],
)
def test_a_file_of_names_that_cannot_be_is_refused(state, tmp_path, lines, error, said):
    torch.save(own_names(state), tmp_path / "own.pth")
    (tmp_path / "names.toml").write_text(lines)
    with pytest.raises(error, match=said):
        load(tmp_path / "own.pth", rename=tmp_path / "names.toml")


def test_names_that_fit_nothing_and_tensors_left_out_are_said(state, tmp_path):
    torch.save(state | {"projector.weight": torch.ones(3)}, tmp_path / "more.pth")
    _, loaded = load(tmp_path / "more.pth", rename={"projector.weight": "", "typo.weight": "conv1.weight"})
    assert any("1 tensors left out (projector.weight)" in each for each in loaded.undone)
    assert any("fit no name (typo.weight)" in each for each in loaded.undone)


@pytest.mark.parametrize("safe", [False, True])
def test_a_proposed_file_of_names_is_right_where_order_and_shapes_say_enough(state, tmp_path, safe):
    theirs = own_names(state)
    save_file(theirs, tmp_path / "own.bin") if safe else torch.save(theirs, tmp_path / "own.bin")
    fit = fitted(ca.create_model(NET), tmp_path / "own.bin", anything=True)
    pairs = paired(fit)
    (tmp_path / "names.toml").write_text(skeleton(fit))
    if not safe:
        assert len(pairs) == len(fit.missing)
        assert same(load(tmp_path / "own.bin", rename=tmp_path / "names.toml")[0], state)
    else:  # its names are sorted, so some pairs are open; those that are proposed have the right shapes
        shapes = ca.create_model(NET).state_dict()
        assert len(pairs) > len(fit.missing) / 3
        assert all(theirs[here].shape == shapes[there].shape for here, there in pairs.items())


# --- nearest and alike ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet20_cifar", "densenet_bc100_k12_cifar", "lenet5", "squeezenet1_1"])
def test_the_nearest_network_is_the_network_itself(name):
    with torch.device("meta"):
        state = ca.create_model(name, num_classes=7).state_dict()
    first = nearest(shapes_of(state, "torch"))[0]
    assert name in (first.name, *twins(first.name))
    assert first.score > 0.8


def test_the_order_of_the_kernels_counts():
    shapes = list(table()["vgg11"].shapes)
    assert nearest(shapes)[0].score == 1
    assert nearest(shapes[::-1])[0].score < 0.95


@pytest.mark.parametrize("name", ["resnet50", "googlenet@torchvision", "xception@timm", "lenet5"])
def test_the_table_of_shapes_is_fresh(name):
    assert table()[name].shapes == shapes_and_digest(name)[0], "stale: run  make catalogue"


def test_the_table_has_every_network_and_its_twins_are_mutual():
    assert list(table()) == list_models()
    for name in table():
        for other in twins(name):
            assert name in twins(other)
            assert shapes_and_digest(name)[1] == shapes_and_digest(other)[1]


def test_networks_are_twins_where_equal_weights_give_other_outputs():
    assert "resnet20_cifar" in twins("plain20_cifar")
    assert outputs_differ("resnet20_cifar", "plain20_cifar")
    assert "resnet18@torchvision" not in twins("resnet18")  # the stride is in the 3x3 anyway
    assert not outputs_differ("resnet18", "resnet18@torchvision")
    assert twins("resnet50") == ("resnet50@torchvision",)


def test_a_file_that_fits_two_networks_is_said_with_both_names(tmp_path):
    net = ca.create_model("resnet50", num_classes=3)
    names = {f"conv{stage + 1}_x.": f"layer{stage}." for stage in range(1, 5)}
    theirs = {}
    for name, value in net.state_dict().items():
        for ours, their in names.items():
            name = name.replace(ours, their)
        theirs[name.replace("shortcut.conv", "downsample.0").replace("shortcut.bn", "downsample.1")] = value
    torch.save(theirs, tmp_path / "torchvision.pth")
    loaded = load_weights(net, tmp_path / "torchvision.pth")
    assert loaded.source == "torchvision"
    assert "fit resnet50 and resnet50@torchvision alike" in loaded.notes[0]
    variant = ca.create_model("resnet50@torchvision", num_classes=3)
    assert load_weights(variant, tmp_path / "torchvision.pth").notes == ()  # the names say so


def test_a_published_file_of_the_other_network_is_refused(tmp_path, monkeypatch):
    import dataclasses
    import hashlib

    torch.save(ca.create_model(NET).state_dict(), tmp_path / "x.pth")
    digest = hashlib.sha256((tmp_path / "x.pth").read_bytes()).hexdigest()
    line = dataclasses.replace(published.table()[0], network="plain20_cifar", sha256_prefix=digest[:8])
    monkeypatch.setattr(published, "table", lambda: (line,))
    with pytest.raises(CheckpointError, match=r"of plain20_cifar\. Its tensors fit resnet20_cifar as well, but"):
        load(tmp_path / "x.pth", source="convatlas")


# --- preparation as given ---------------------------------------------------------------------------------------------


def test_a_preparation_can_be_given_and_says_so(state, tmp_path):
    torch.save(state, tmp_path / "plain.pth")
    given = GivenPreparation(mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))
    _, loaded = load(tmp_path / "plain.pth", preparation=given)
    assert loaded.preparation.mean == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-3)
    assert loaded.preparation.std[0] == pytest.approx(63 / 255)
    assert (loaded.preparation.resize, loaded.preparation.crop) == (32, 32)
    assert loaded.preparation_from == "mean, std as given; the rest as is usual for this network"


def test_bgr_weights_answer_as_they_would_on_bgr_images(state, tmp_path):
    """The network with turned weights on RGB is the network as it was on BGR, in every logit."""
    torch.save(state, tmp_path / "bgr.pth")
    given = GivenPreparation(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), channels="bgr", resize=40, crop=32)
    net, loaded = load(tmp_path / "bgr.pth", preparation=given)
    assert loaded.preparation.mean == (0.3, 0.2, 0.1)
    as_it_was = ca.create_model(NET)
    as_it_was.load_state_dict(state)
    pixels = torch.rand(2, 3, 32, 32)
    rgb = (pixels - torch.tensor(loaded.preparation.mean).view(3, 1, 1)) / torch.tensor(loaded.preparation.std).view(
        3, 1, 1
    )
    bgr = (pixels.flip(1) - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(rgb), as_it_was.eval()(bgr), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mean": (0.5,)}, "needs both --mean and --std; given: mean"),
        ({"mean": (0.5, 0.5), "std": (0.5,)}, "is not one number or three"),
        ({"mean": (0.5,), "std": (0.0,)}, "expected numbers above 0"),
        ({"mean": (0.5,), "std": (0.5,), "resize": 20, "crop": 32}, "a crop of 32 pixels from images resized to 20"),
        ({"channels": "hsv"}, "expected rgb or bgr"),
        ({"resize": 0}, "at least 1 pixel"),
        ({"mean": (float("nan"),)}, "is not one number or three"),
    ],
)
def test_a_preparation_that_cannot_be_is_refused(state, tmp_path, given, said):
    torch.save(state, tmp_path / "plain.pth")
    with pytest.raises(UsageError, match=said):
        load(tmp_path / "plain.pth", preparation=GivenPreparation(**given))


def test_a_grey_network_takes_one_mean(tmp_path):
    torch.save(ca.create_model("lenet5").state_dict(), tmp_path / "lenet.pth")
    net = ca.create_model("lenet5")
    loaded = load_weights(net, tmp_path / "lenet.pth", preparation=GivenPreparation(mean=(0.13,), std=(0.31,)))
    assert loaded.preparation.mean == (0.13,)
    assert "grey, mean and std 0.13  0.31" in str(loaded.preparation)
    with pytest.raises(UsageError, match="the network reads 1 channel"):
        load_weights(net, tmp_path / "lenet.pth", preparation=GivenPreparation(channels="bgr"))


def test_texts_of_numbers():
    assert GivenPreparation.of_texts("0.5, 0.25 0.125", None).mean == (0.5, 0.25, 0.125)
    with pytest.raises(UsageError, match="is not one number or three"):
        GivenPreparation.of_texts("half", None)
    assert not GivenPreparation()
