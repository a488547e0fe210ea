"""Starting from other weights: real runs on the embedded digits, and the digits' parity as the new task."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import signal

import pytest
import torch
from safetensors.torch import save_file

from convatlas import models
from convatlas.errors import (
    CheckpointError,
    ConvAtlasError,
    DataError,
    Interrupted,
    RecipeError,
    UnknownNameError,
    UsageError,
)
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.header import header
from convatlas.runs.lr_range import find_lr
from convatlas.runs.options import RunOptions, apply
from convatlas.runs.prepare import prepare
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, resume, train
from convatlas.runs.training_data import TrainingData
from convatlas.runs.transfer import InitialWeights, load_initial_weights, shared_layers, tensors_of
from convatlas.training import checkpoint, train_step

NET = "resnet20_cifar"
SMALL = {"image_size": 8, "threads": 1, "precision": "fp32"}  # the digits as they are: 8 x 8


@pytest.fixture(scope="module")
def digits() -> TrainingData:
    return TrainingData("digits", seed=0)


@pytest.fixture(scope="module")
def parity(digits) -> TrainingData:
    data = dataclasses.replace(digits.dataset, classes=("even", "odd"), labels=digits.dataset.labels % 2)
    return TrainingData(data, seed=0)


@pytest.fixture(scope="module")
def source(digits, tmp_path_factory) -> Run:
    return train(NET, digits, out=tmp_path_factory.mktemp("source"), epochs=1, **SMALL)


def prepared(training_data: TrainingData, start_from, model: str = NET, **settings):
    settings = {"epochs": 1, "start_from": str(start_from)} | SMALL | settings
    recipe, options = apply(recipe_for(model), None, settings)
    return prepare(model, training_data, recipe, 1, options=options)


def weights_hash(run: Run) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(run.network().state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


# --- which tensors are loaded -----------------------------------------------------------------------------------------


def test_for_the_same_classes_every_tensor_is_loaded(digits, source):
    setup = prepared(digits, source.path)
    trained = source.network().state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in setup.net.state_dict().items())
    assert header(setup)["initial weights"] == f"{source.path}: all {len(trained)} tensors loaded"


def test_for_other_classes_the_head_is_initialized_anew(parity, source):
    setup = prepared(parity, source.path)
    trained, own = source.network().state_dict(), setup.net.state_dict()
    assert own["fc.weight"].shape == (2, 64)
    assert all(torch.equal(own[name], trained[name]) for name in own if not name.startswith("fc."))
    expected = f"{len(own) - 2} tensors loaded, 2 initialized anew (fc.weight, fc.bias): "
    expected += "its 10 classes are not the 2 classes of these data"
    assert expected in header(setup)["initial weights"]


def test_the_preprocessing_is_that_of_the_initial_weights_unless_the_recipe_says_otherwise(parity, source):
    theirs = source.preprocessing
    recipe = recipe_for(NET).change(epochs=1, start_from=str(source.path))
    taken_over = prepare(NET, parity, recipe, 0, options=RunOptions(threads=1)).preprocessing
    assert (taken_over.size, taken_over.mean, taken_over.std) == ((8, 8), theirs.mean, theirs.std)
    assert "of the images of the initial weights" in taken_over.why
    parity.split = dataclasses.replace(parity.split, train=parity.split.train[:100])  # with other channel statistics
    recipe = recipe.change(image_size=12, normalization="standard")
    own = prepare(NET, parity, recipe, 0, options=RunOptions(threads=1)).preprocessing
    assert own.size == (12, 12)
    assert own.mean != theirs.mean


def test_a_file_of_other_peoples_weights_may_have_any_number_of_classes(parity, source, tmp_path):
    torch.manual_seed(5)
    theirs = models.create_model(NET, num_classes=7, in_channels=1).state_dict()
    save_file(theirs, tmp_path / "theirs.safetensors")
    own = prepared(parity, tmp_path / "theirs.safetensors").net.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own if not name.startswith("fc."))


def test_a_deeper_vgg_loads_the_layers_of_a_trained_a():
    """Section 3.1: the first four convolutions and the fully connected layers; fc8 only where the classes are equal."""
    torch.manual_seed(5)
    a, b = (models.create_model(name, num_classes=3, image_size=32) for name in ("vgg11", "vgg13"))
    drawn = {name: tensor.clone() for name, tensor in b.state_dict().items()}
    source = InitialWeights("runs/vgg11-photos-001", "vgg11", a.state_dict(), classes=("a", "b", "c"))
    same_classes = load_initial_weights(b, "vgg13", source, ("a", "b", "c"), image_size=32)
    layers = {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"}
    assert {name.rpartition(".")[0] for name in same_classes.loaded} == layers
    for name, tensor in b.state_dict().items():
        expected = a.state_dict()[name] if name in same_classes.loaded else drawn[name]
        assert torch.equal(tensor, expected), name
    other_classes = load_initial_weights(b, "vgg13", source, ("x", "y", "z"), image_size=32)
    assert set(same_classes.loaded) - set(other_classes.loaded) == {"fc8.weight", "fc8.bias"}


@pytest.mark.parametrize(
    ("source", "network"),
    [("vgg16", "vgg19"), ("vgg11", "vgg11_lrn"), ("vgg11", "alexnet"), ("vgg11", "vgg16@torchvision")],
)
def test_no_other_network_starts_from_another(source, network):
    with pytest.raises(CheckpointError, match=f"has weights of {source}, but the network to train is {network}"):
        shared_layers(source, network)


@pytest.mark.parametrize("name", [name for name in models.list_models() if models.entry(name).starts_from])
def test_shared_layers_have_the_same_shapes_in_both(name):
    for source, layers in models.entry(name).starts_from.items():
        with torch.device("meta"):
            own, theirs = (models.create_model(each).state_dict() for each in (name, source))
        shared = tensors_of(layers, theirs)
        assert len(shared) == 2 * len(layers)  # weight and bias
        assert all(tensor.shape == own[key].shape for key, tensor in shared.items())


# --- what is trained --------------------------------------------------------------------------------------------------


def test_frozen_stages_keep_every_bit_and_cost_no_gradient(parity, source, tmp_path):
    run = train(NET, parity, out=tmp_path, epochs=2, start_from=str(source.path), freeze="stage2", **SMALL)
    before, after = source.network().state_dict(), run.network().state_dict()
    same = {name for name in after if torch.equal(before.get(name, torch.empty(0)), after[name])}
    frozen = {name for name in after if name.split(".")[0] in ("conv1", "bn1", "stage1", "stage2")}
    assert same == frozen  # weights, running statistics, counters; and nothing else stood still
    setup = prepared(parity, source.path, freeze="stage2")
    learner = setup.learner()
    train_step(setup.net, next(setup.batches.epoch(0)), setup.loss(), learner.optimizer)
    graded = {name.split(".")[0] for name, parameter in setup.net.named_parameters() if parameter.grad is not None}
    assert graded == {"stage3", "fc"}
    assert header(setup)["stages"] == "conv1, stage1, stage2 frozen, with their batch norm"


def test_a_stages_learning_rate_falls_towards_the_images(parity, source):
    setup = prepared(parity, source.path, stage_lr_decay=0.5, weight_decay=1e-4)
    groups = setup.learner().optimizer.param_groups
    name_of = {id(parameter): name for name, parameter in setup.net.named_parameters()}
    scales = {name_of[id(parameter)]: group["lr_scale"] for group in groups for parameter in group["params"]}
    decays = {name_of[id(parameter)]: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert scales.keys() == {name for name, _ in setup.net.named_parameters()}  # every one, once
    by_child = {"fc": 1, "stage3": 1 / 2, "stage2": 1 / 4, "stage1": 1 / 8, "conv1": 1 / 16, "bn1": 1 / 16}
    assert all(scale == by_child[name.split(".")[0]] for name, scale in scales.items())
    assert decays["bn1.weight"] == 0
    assert decays["conv1.weight"] == 1e-4


class StopAt(RunListener):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state, loss, images_per_s) -> None:
        if state.step >= self.step:
            self.step = 10**9
            signal.raise_signal(signal.SIGINT)


UNFREEZING = {"epochs": 3, "batch_size": 128, "freeze": "all-but-head", "unfreeze_every": 1, "stage_lr_decay": 0.5}


@pytest.fixture(scope="module")
def unfrozen(digits, source, tmp_path_factory) -> Run:
    return train(
        NET, digits, out=tmp_path_factory.mktemp("unfrozen"), start_from=str(source.path), **UNFREEZING | SMALL
    )


def test_gradual_unfreezing_resumes_to_the_same_bits_without_its_source(digits, source, tmp_path, unfrozen):
    here = shutil.copytree(source.path, tmp_path / "source")
    settings = UNFREEZING | SMALL | {"start_from": str(here), "checkpoint_every_steps": 5}
    with pytest.raises(Interrupted):  # in the middle of the second epoch of ten updates
        train(NET, digits, out=tmp_path / "runs", listener=StopAt(15), **settings)
    shutil.rmtree(here)
    (folder,) = (tmp_path / "runs").iterdir()
    assert weights_hash(resume(folder)) == weights_hash(unfrozen)


def test_a_run_stopped_before_its_first_checkpoint_starts_from_its_source_again(source, tmp_path, unfrozen):
    assert unfrozen.config["start"]["taken"] == len(source.network().state_dict())
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("config.toml", "env.json", "split.csv"):
        shutil.copy(unfrozen.path / name, begun / name)
    assert weights_hash(resume(begun)) == weights_hash(unfrozen)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"freeze": "stage4"}, UnknownNameError, "Did you mean stage"),
        ({"freeze": "5"}, ConvAtlasError, "leaves nothing to train"),
        ({"freeze": "fc"}, ConvAtlasError, "leaves nothing to train"),
        ({"unfreeze_every": 2}, RecipeError, "no stage is frozen"),
        ({"freeze": "0", "unfreeze_every": 2}, RecipeError, "no stage is frozen"),
        ({"stage_lr_decay": 1.5}, RecipeError, "at most 1"),
        ({"start_from": None, "freeze": "stage1"}, RecipeError, "--start-from"),
        ({"start_from": None, "stage_lr_decay": 0.5}, RecipeError, "the initial weights are random"),
        ({"start_from": "runs/no-such"}, DataError, "does not exist"),
        ({"start_from": "torchvision:IMAGENET1K_V1"}, ConvAtlasError, "no published weights are known"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    digits, source, tmp_path, settings, error, message
):
    with pytest.raises(error, match=message):
        train(NET, digits, out=tmp_path / "runs", **SMALL | {"start_from": str(source.path)} | settings)
    assert not (tmp_path / "runs").exists()


def test_weights_that_do_not_fit_are_refused_with_what_does_not(digits, source, tmp_path, shared):
    def refused(message: str, start_from, model: str = NET, training_data: TrainingData = digits, **settings) -> None:
        with pytest.raises((CheckpointError, DataError), match=message):
            prepared(training_data, start_from, model, **settings)

    refused("contains no config.toml", tmp_path)
    refused("weights of resnet20_cifar, but the network to train is resnet32_cifar", source.path, "resnet32_cifar")
    weights = source.path / "model.safetensors"
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:-100])
    refused("damaged or cut short", tmp_path / "cut.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-3] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    refused("does not match its SHA-256", tmp_path / "damaged.safetensors")
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x04cos\nsystem\n.")
    refused("pickle.pth", tmp_path / "pickle.pth")
    unfinished = shutil.copytree(source.path, tmp_path / "unfinished")
    (unfinished / "model.safetensors").unlink()
    refused("did not finish", unfinished)
    mlp = models.create_model("mlp", num_classes=10, in_channels=1, image_size=8).state_dict()
    identity = {"model": "mlp", "classes": list(source.classes), "preprocessing": source.preprocessing.to_dict()}
    checkpoint.save(tmp_path / "mlp.safetensors", mlp, identity)
    refused(
        "fc1.weight has the shape .* in the source and .* here.*--image-size",
        tmp_path / "mlp.safetensors",
        "mlp",
        image_size=20,
    )
    colour = TrainingData(str(shared("data/hymenoptera")), seed=0)
    refused("reads 1 channels, and these images have 3", source.path, training_data=colour)


def test_intermediate_checkpoints_are_not_weights_to_start_from(digits, source, tmp_path):
    tensors = {f"net.{name}": tensor for name, tensor in source.network().state_dict().items()}
    checkpoint.save(checkpoint.best(tmp_path), tensors, {"epoch": 0, "val_top1": 0.5})
    with pytest.raises(CheckpointError, match="intermediate checkpoint"):
        prepared(digits, checkpoint.best(tmp_path))


def test_freeze_may_be_a_number_of_stages():
    assert Recipe(freeze=2, start_from="runs/x").freeze == "2"


# --- the range test ---------------------------------------------------------------------------------------------------


def test_the_range_test_writes_numbers_and_a_picture_and_changes_nothing_else(digits, source, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in source.path.iterdir()}
    settings = {"start_from": str(source.path), "freeze": "stage2", "updates": 40, **SMALL}
    test = find_lr(NET, digits, "finetune", out=tmp_path, **settings)
    assert {path.name for path in test.folder.iterdir()} == {"lr-range.json", "lr-range.png"}
    assert (test.folder / "lr-range.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((test.folder / "lr-range.json").read_text())
    assert content["suggestion"] == test.range.suggestion
    assert content["lrs"][0] == 1e-5
    assert {path.name: path.stat().st_mtime_ns for path in source.path.iterdir()} == before
    again = find_lr(NET, digits, "finetune", out=None, **settings)
    assert again.range == test.range
    assert again.folder is None


def test_a_folder_of_shards_starts_a_training_and_a_run_takes_no_preparation(parity, source, tmp_path):
    torch.manual_seed(5)
    theirs = models.create_model(NET, num_classes=7, in_channels=1).state_dict()
    names, places = list(theirs), {}
    for number, part in enumerate((names[:50], names[50:])):
        torch.save({name: theirs[name].clone() for name in part}, tmp_path / f"part-{number}.bin")
        places |= dict.fromkeys(part, f"part-{number}.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    setup = prepared(parity, tmp_path, mean="0.25", std="64")
    own = setup.net.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own if not name.startswith("fc."))
    assert setup.preprocessing.std == (64 / 255,)
    assert "2 files joined" in header(setup)["weights"]
    with pytest.raises(UsageError, match="was written by convatlas and contains its names"):
        prepared(parity, source.path, mean="0.5", std="0.5")
