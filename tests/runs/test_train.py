"""`train` and `resume` on the embedded digits: real data, real files, the same bits."""

from __future__ import annotations

import hashlib
import json
import signal
import threading

import pytest
import torch

from convatlas.errors import (
    CheckpointError,
    ConvAtlasError,
    DataError,
    Interrupted,
    NonFiniteLossError,
    RecipeError,
    ShapeError,
    UnknownNameError,
    UsageError,
)
from convatlas.recipes.registry import recipe_for
from convatlas.runs.directory import locked
from convatlas.runs.evaluate import evaluate
from convatlas.runs.lr_range import find_lr
from convatlas.runs.options import RunOptions
from convatlas.runs.prepare import TrialUpdates, prepare
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener, resume, train
from convatlas.runs.training_data import TrainingData
from convatlas.training import checkpoint
from convatlas.training.trial import UpdateMode

SHORT = {"epochs": 2, "threads": 1}


@pytest.fixture(scope="module")
def digits() -> TrainingData:
    return TrainingData("digits", seed=0)


def weights_hash(run: Run) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(run.network().state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def lines_without_times(run: Run) -> list[dict]:
    timed = {"train_s", "images_per_s", "run"}
    return [{name: value for name, value in line.items() if name not in timed} for line in run.metrics()]


class StopAt(RunListener):
    """Raises a signal as a user would, once ``step`` updates are made."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.step, self.number = step, number

    def on_step(self, state, loss, images_per_s) -> None:
        if state.step >= self.step:
            self.step = 10**9
            signal.raise_signal(self.number)


def test_a_run_directory_holds_what_is_needed_to_judge_and_repeat_it(digits, tmp_path):
    run = train("mlp", digits, out=tmp_path, **SHORT)
    files = {path.name for path in run.path.iterdir()}
    assert {"config.toml", "env.json", "metrics.jsonl", "split.csv", "model.safetensors", "report.html"} <= files
    assert not [name for name in files if name.endswith(".part")]
    assert [line["event"] for line in run.metrics()] == ["epoch", "epoch", "done"]
    assert run.result["test_n"] == len(digits.split.test)
    assert run.config["recipe"]["epochs"] == 2
    assert run.environment["torch"] == torch.__version__
    assert (run.split(run.dataset()).test == digits.split.test).all()
    assert "<html" in (run.path / "report.html").read_text()


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(digits, tmp_path):
    first, again = (train("lenet5@modern", digits, out=tmp_path, seed=3, **SHORT) for _ in range(2))
    other = train("lenet5@modern", digits, out=tmp_path, seed=4, **SHORT)
    assert weights_hash(first) == weights_hash(again) != weights_hash(other)
    assert lines_without_times(first) == lines_without_times(again)


@pytest.mark.parametrize(
    ("step", "number", "code"),
    [(20, signal.SIGINT, 130), (20, signal.SIGTERM, 143)],
)
def test_stopped_in_the_middle_of_an_epoch_and_resumed_is_never_stopped(digits, tmp_path, step, number, code):
    settings = {"epochs": 3, "threads": 1, "batch_size": 32}  # 39 updates an epoch
    whole = train("lenet5@modern", digits, out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted, match="Continue:") as stopped:
        train("lenet5@modern", digits, out=tmp_path / "cut", listener=StopAt(step, number), **settings)
    assert stopped.value.exit_code == code
    (folder,) = (tmp_path / "cut").iterdir()
    assert not Run(folder).finished
    resumed = resume(folder)
    assert weights_hash(resumed) == weights_hash(whole)
    assert lines_without_times(resumed) == lines_without_times(whole)


def test_a_checkpoint_every_so_many_updates_changes_nothing(digits, tmp_path):
    plain = train("mlp", digits, out=tmp_path, **SHORT)
    often = train("mlp", digits, out=tmp_path, checkpoint_every_steps=3, **SHORT)
    assert weights_hash(plain) == weights_hash(often)
    checkpoints = [path for path in often.path.iterdir() if path.name.startswith("checkpoint")]
    assert sum(path.stat().st_size for path in checkpoints) <= 2 * often.size_bytes
    assert resume(often.path).result == often.result


def test_resuming_a_finished_run_gives_it_back_untouched(digits, tmp_path):
    run = train("mlp", digits, out=tmp_path, **SHORT)
    before = {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert resume(run.path).result == run.result
    assert {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()} == before


def test_a_run_killed_before_its_first_checkpoint_starts_over(digits, tmp_path):
    settings = {"epochs": 2, "threads": 1, "batch_size": 32}
    with pytest.raises(Interrupted):
        train("mlp", digits, out=tmp_path, listener=StopAt(20, signal.SIGINT), **settings)
    (folder,) = tmp_path.iterdir()
    for path in checkpoint.saved(folder):
        path.unlink()
    whole = train("mlp", digits, out=tmp_path / "whole", **settings)
    assert weights_hash(resume(folder)) == weights_hash(whole)


def test_a_loss_that_is_not_finite_stops_the_run_and_never_becomes_best(digits, tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"Pass a lower --lr"):
        train("mlp", digits, out=tmp_path, lr=1e20, epochs=30, threads=1, optimizer="sgd")
    (folder,) = tmp_path.iterdir()
    for path in folder.glob("checkpoint-*.safetensors"):
        tensors, _ = checkpoint.load(path)
        assert all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())
    assert not Run(folder).finished


def test_a_second_process_is_kept_out_of_a_run(digits, tmp_path):
    with pytest.raises(Interrupted):
        train("mlp", digits, out=tmp_path, listener=StopAt(10, signal.SIGINT), **SHORT)
    (folder,) = tmp_path.iterdir()
    problem: list[ConvAtlasError] = []

    def second() -> None:
        try:
            resume(folder)
        except ConvAtlasError as error:
            problem.append(error)

    with locked(folder):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "another process is training" in str(problem[0])


def test_damaged_checkpoints_are_passed_over_by_name(digits, tmp_path):
    notes: list[str] = []

    class Notes(RunListener):
        def on_note(self, text: str) -> None:
            notes.append(text)

    settings = {"epochs": 2, "threads": 1, "batch_size": 32, "checkpoint_every_steps": 10}
    with pytest.raises(Interrupted):
        train("mlp", digits, out=tmp_path / "cut", listener=StopAt(40, signal.SIGINT), **settings)
    (folder,) = (tmp_path / "cut").iterdir()
    newest = checkpoint.saved(folder)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    resumed = resume(folder, listener=Notes())
    assert any(newest.name in note for note in notes)
    assert weights_hash(resumed) == weights_hash(train("mlp", digits, out=tmp_path / "whole", **settings))


def test_data_that_changed_are_refused(digits, tmp_path):
    with pytest.raises(Interrupted):
        train("mlp", digits, out=tmp_path, listener=StopAt(10, signal.SIGINT), **SHORT)
    (folder,) = tmp_path.iterdir()
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('fingerprint = "', 'fingerprint = "0'))
    with pytest.raises(DataError, match="no longer those"):
        resume(folder)


def test_damaged_weights_are_refused(digits, tmp_path):
    run = train("mlp", digits, out=tmp_path, **SHORT)
    weights = run.path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 16
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        run.network()


@pytest.mark.parametrize(
    ("model", "settings", "error", "words"),
    [
        ("resnet21", {}, UnknownNameError, "unknown network 'resnet21'"),
        ("mlp", {"recipe": "moderm"}, UnknownNameError, "Did you mean modern"),
        ("mlp", {"epochs": 0}, RecipeError, "at least 1"),
        ("mlp", {"learning_rate": 1.0}, UnknownNameError, "unknown setting"),
        ("vgg16", {"image_size": 8}, ShapeError, "8"),
        ("mlp", {"device": "cuda:0"}, UsageError, "CUDA"),
        ("mlp", {"time_s": 0}, UsageError, "must be above 0"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(digits, tmp_path, model, settings, error, words):
    if "device" in settings and torch.cuda.is_available():
        pytest.skip("this machine has the device that should be missing")
    with pytest.raises(error, match=words):
        train(model, digits, out=tmp_path / "runs", **settings)
    assert not (tmp_path / "runs").exists()


def test_an_output_folder_that_cannot_be_made_is_named(digits, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="--out"):
        train("mlp", digits, out=tmp_path / "file" / "runs", **SHORT)


def test_a_time_budget_sets_the_epochs_before_the_run_and_writes_them_down(digits, tmp_path):
    run = train("mlp", digits, out=tmp_path, time_s=0.3, threads=1)
    assert run.config["recipe"]["epochs"] == run.result["epochs"] == len(run.epochs())


def test_a_time_budget_of_the_rule_of_1998_times_updates_with_its_curvature(digits, tmp_path):
    recipe = recipe_for("lenet5", "paper")
    run = train("lenet5", digits, recipe, out=tmp_path, time_s=0.1, threads=1)
    assert run.config["recipe"]["epochs"] == run.result["epochs"] >= 1


def test_without_validation_all_images_are_trained_on_and_the_last_weights_kept(tmp_path):
    run = train("lenet5", "digits", recipe_for("lenet5", "paper").change(epochs=1), out=tmp_path, threads=1)
    assert run.result["val_top1"] is None
    assert len(run.split(run.dataset()).val) == 0
    printed = run.result["figures"][0]  # a paper's recipe sets the paper's error beside its own
    assert (printed["printed"], printed["printed_protocol"]) == ("0.95 %", "MNIST test, no distortions")
    assert printed["measured_percent"] == pytest.approx(100 * (1 - run.result["test_top1"]), abs=1e-3)
    assert json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])["val_loss"] is None


def test_an_autoencoder_is_judged_by_what_comes_back(digits, tmp_path):
    run = train("autoencoder", digits, out=tmp_path, **SHORT)
    result, lines = run.result, run.epochs()
    assert (result["test_top1"], result["val_top1"], lines[0]["train_top1"]) == (None, None, None)
    assert result["val_mse"] == min(line["val_loss"] for line in lines)
    assert 0 < result["test_mse"] < 1  # 1 is what the mean image would get
    assert "Images and their reconstructions" in (run.path / "report.html").read_text()
    with pytest.raises(UsageError, match="reconstructs images and has no classes"):
        evaluate(run)
    with pytest.raises(RecipeError, match="its loss is mse"):
        train("autoencoder", digits, out=tmp_path, loss="cross-entropy")
    with pytest.raises(RecipeError, match="is a classifier"):
        train("mlp", digits, out=tmp_path, loss="mse")


def test_no_filter_of_a_run_leaves_the_radius_its_recipe_sets(digits, tmp_path):
    free, held = (train("lenet5@modern", digits, out=tmp_path, filter_rms=radius, **SHORT) for radius in (None, 0.05))

    def largest(run: Run) -> float:
        convolutions = [
            each for each in run.network().requires_grad_(False).modules() if isinstance(each, torch.nn.Conv2d)
        ]
        return max(float(conv.weight.square().mean((1, 2, 3)).sqrt().max()) for conv in convolutions)

    assert largest(held) <= 0.05 * (1 + 1e-6) < largest(free)
    assert held.config["recipe"]["filter_rms"] == 0.05


def test_an_autoencoder_is_timed_and_tested_on_its_own_images(digits):
    """In the range test and in the trial of a long run too, the target is the image."""
    found = find_lr("autoencoder", digits, out=None, updates=20, threads=1)
    assert min(found.range.losses) < found.range.losses[0]
    setup = prepare("autoencoder", digits, recipe_for("autoencoder"), 0, options=RunOptions(threads=1))
    own_batches = setup.of_this_rank(setup.batches)
    trial = TrialUpdates(setup.net, setup.recipe, setup.batches, own_batches, setup.loss(), None, setup.hardware)
    update = trial.in_mode(UpdateMode("fp32", channels_last=True))
    assert float(update()) == pytest.approx(found.range.losses[0], rel=0.1)


def test_patience_ends_a_run_early_and_says_how_long_it_was(digits, tmp_path):
    """At a rate this small nothing changes: the first epoch is never bettered."""
    run = train("mlp", digits, out=tmp_path, epochs=9, patience=2, lr=1e-12, threads=1)
    assert (run.result["epochs"], run.result["epochs_asked"], len(run.epochs())) == (3, 9, 3)
    assert resume(run.path).result == run.result
