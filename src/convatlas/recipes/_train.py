"""`train`: where a network, a data set and the loop meet."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from convatlas import models, training
from convatlas.data import Augment, Batches, Dataset, Preprocessing, write_split
from convatlas.errors import DataError, UsageError
from convatlas.evaluation import evaluate
from convatlas.recipes import _folder
from convatlas.recipes._material import Material
from convatlas.recipes._names import recipe_for
from convatlas.recipes._recipe import Recipe
from convatlas.recipes._run import CONFIG, ENVIRONMENT, METRICS, REPORT, SPLIT, WEIGHTS, Run
from convatlas.training import Hardware, Plan, Validation, checkpoint, journal, losses, optim, schedule
from convatlas.training.curvature import StochasticDiagonalLM
from convatlas.visualization import run_report


class Watcher(training.Observer):
    """Hears a run from its beginning; the command line shows it, a test may count it."""

    def on_start(self, header: Mapping[str, str], epochs: int, updates_per_epoch: int) -> None: ...

    def on_note(self, text: str) -> None: ...

    def on_images(self, done: int, total: int) -> None:
        """Images are being opened or decoded, before the start."""


@dataclass(frozen=True)
class Setup:
    """Everything a training needs, made and checked before its directory exists."""

    entry: models.Entry
    recipe: Recipe
    material: Material
    hardware: Hardware
    net: nn.Module
    rule: Preprocessing
    batches: Batches
    validation: Batches
    test: Batches
    seed: int

    def test_image(self, index: int) -> np.ndarray:
        """Pixels of test image ``index``, uint8 (h, w, c), as they were read."""
        return self.material.dataset.read(int(self.material.split.test[index]))

    def header(self) -> dict[str, str]:
        """What is printed before the first update: every choice that bears on speed or accuracy."""
        split, data = self.material.split, self.material.dataset
        augment = self.batches.augment
        left_out = {}
        if data.problems:
            listed = "; ".join(f"{problem.name} (index {problem.index})" for problem in data.problems[:10])
            more = f" and {len(data.problems) - 10} more" if len(data.problems) > 10 else ""
            left_out = {"left out": f"{len(data.problems)} files that cannot be read: {listed}{more}"}
        return {
            "network": f"{self.entry.full_name}, {sum(p.numel() for p in self.net.parameters()):,} parameters",
            "data": f"{data.source} ({data.layout}): {len(data.classes)} classes, "
            f"{len(split.train)} train, {len(split.val)} validation, {len(split.test)} test",
            "split": split.rule,
            **left_out,
            "images": f"{self.rule.size[0]} x {self.rule.size[1]} x {self.rule.channels}, {self.rule.why}; "
            f"{self.batches.store.origin}",
            "augmentation": in_words(augment),
            "recipe": f"{self.recipe.name}: {self.recipe.epochs} epochs of {len(self.batches)} updates of "
            f"{self.recipe.batch_size} images, {self.recipe.optimizer}, lr {self.recipe.lr:g} {self.recipe.schedule}",
            "machine": f"{self.hardware.device}, {self.hardware.threads} threads, {self.hardware.precision} "
            f"({self.hardware.why}), {'channels last' if self.hardware.channels_last else 'channels first'}, "
            f"allocator {self.hardware.allocator}",
            "seed": str(self.seed),
        }


def train(
    model: str,
    data: str | Path | Dataset | Material = "digits",
    recipe: str | Recipe = "modern",
    *,
    seed: int = 0,
    out: str | Path = "runs",
    split: str | Path | None = None,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    time_s: float | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Train a network of the atlas and leave a run directory.

    The weights are chosen by the validation part; the test part is looked at once, at the end.

    Args:
        model: a name of `list_models`.
        data: what `open_data` opens, or a `Material` shared with other trainings.
        recipe: ``"modern"``, ``"paper"``, a recipe's name, or a `Recipe`.
        out: the parent of the run directory.
        split: a split file to reuse instead of making a split.
        on_bad: what an image that cannot be read does: "fail", or "skip" it, count it and list it ...
        max_bad: ... up to this share of all images.
        time_s: train for about so long: a few updates are timed and the epochs set accordingly.
        settings: fields of `Recipe` to change, e.g. ``epochs=3, lr=0.05``.

    Raises:
        UsageError: an unknown name, a setting out of range, an image too small for the network.
        DataError: data that cannot be used.
        TrainingError: the loss diverged, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    watcher = watcher or Watcher()
    chosen = (recipe_for(model, recipe) if isinstance(recipe, str) else recipe).change(**settings)
    material = data if isinstance(data, Material) else Material(
        data,
        seed=seed,
        split=Path(split) if split else None,
        on_bad=on_bad,
        max_bad=max_bad,
        validation_images=chosen.validation_images,
        progress=watcher.on_images,
    )  # fmt: skip
    setup = prepare(model, material, chosen, seed, time_s)
    folder = _folder.make(Path(out), setup.entry.full_name, material.dataset.source)
    write_beginning(folder, setup)
    return carry_out(folder, setup, training.State(), watcher)


def resume(folder: str | Path, *, watcher: Watcher | None = None) -> Run:
    """Go on with an interrupted run where its newest whole checkpoint was; a finished one is returned as it is.

    On the same machine with the same number of threads the final weights have the same bits as without the
    interruption.

    Raises:
        CheckpointError: no checkpoint of the run is whole.
        DataError: the data are no longer what the run was started with.
    """
    watcher = watcher or Watcher()
    run = Run(folder)
    if run.finished and run.result is not None:
        watcher.on_note(f"{run.path} is finished already")
        return run
    data = run.config["data"]
    material = Material(
        data["source"],
        split=run.split_path,
        on_bad=data["on_bad"],
        max_bad=data["max_bad"],
        progress=watcher.on_images,
    )
    if material.dataset.fingerprint != data["fingerprint"]:
        raise DataError(
            f"the data at {data['source']} are no longer those of {run.path}: names, labels or files have changed. "
            "Start a new run, or put the old data back."
        )
    setup = prepare(run.model, material, run.recipe, run.seed, None)
    for name, then, now in (
        ("threads", run.config["machine"]["threads"], setup.hardware.threads),
        ("torch", run.environment["torch"], torch.__version__),
    ):
        if then != now:
            watcher.on_note(f"{name} was {then} and is {now}: the result may differ in its last bits")
    state = training.State()
    if checkpoint.saved(run.path):
        _, tensors, content, complaints = checkpoint.newest(run.path)
        for complaint in complaints:
            watcher.on_note(f"{complaint} The one before it is used.")
        optimizer = build_optimizer(setup)
        checkpoint.unpack(tensors, content["optimizer"], setup.net, optimizer)
        state = training.State(**content["state"])
        return carry_out(run.path, setup, state, watcher, optimizer)
    return carry_out(run.path, setup, state, watcher)


def prepare(model: str, material: Material, recipe: Recipe, seed: int, time_s: float | None) -> Setup:
    """Build and check everything; nothing is written."""
    entry = models.entry(model)
    hardware = training.choose(recipe.device, recipe.threads, recipe.precision, recipe.channels_last, recipe.allocator)
    torch.manual_seed(seed)
    net = models.create_model(
        model,
        num_classes=len(material.dataset.classes),
        in_channels=material.dataset.channels,
        image_size=recipe.image_size or entry.input[1],
    )
    rule, store = material.prepared(entry, recipe)
    batches = material.training_batches(rule, store, recipe, seed, hardware.device)
    if len(batches) == 0:
        raise DataError("the training part holds no image; give more images, or another split.")
    net = hardware.place(net)
    epochs = max(recipe.epochs, math.ceil(recipe.min_updates / len(batches)))
    setup = Setup(
        entry=entry,
        recipe=recipe.change(epochs=epochs, min_updates=0),
        material=material,
        hardware=hardware,
        net=net,
        rule=rule,
        batches=batches,
        validation=material.batches("val", rule, store, hardware.device),
        test=material.batches("test", rule, store, hardware.device),
        seed=seed,
    )
    if time_s is not None:
        recipe = setup.recipe.change(epochs=epochs_within(setup, time_s))
        return Setup(**{**setup.__dict__, "recipe": recipe})
    return setup


def epochs_within(setup: Setup, time_s: float, trial: int = 8) -> int:
    """How many epochs fit into ``time_s``, by timing a few updates of a copy; one at least.

    Raises:
        UsageError: no time at all.
    """
    if not time_s > 0:
        raise UsageError(f"a time budget of {time_s:g} s: it must be above 0.")
    rehearsal = Setup(**{**setup.__dict__, "net": copy.deepcopy(setup.net)})
    optimizer, loss_fn = build_optimizer(rehearsal), build_loss(setup.recipe)
    times = []
    stream = setup.batches.epoch(0)
    for _ in range(min(trial, len(setup.batches))):
        clock = time.perf_counter()
        images, labels = next(stream)
        training.train_step(rehearsal.net, images, labels, loss_fn, optimizer, setup.hardware.autocast())
        times.append(time.perf_counter() - clock)
    update_s = sorted(times)[len(times) // 2]
    return max(1, int(time_s / (update_s * len(setup.batches))))


def write_beginning(folder: Path, setup: Setup) -> None:
    """config.toml, env.json and split.csv: what the run is, before it is."""
    data = setup.material.dataset
    write_split(folder / SPLIT, data, setup.material.split)
    _folder.write_json(folder / ENVIRONMENT, training.environment())
    tables: dict[str, dict[str, Any]] = {
        "run": {
            "model": setup.entry.full_name,
            "seed": setup.seed,
            "in_channels": data.channels,
            "image_size": setup.rule.size[0],
        },
        "data": {
            "source": str(Path(data.source).resolve()) if Path(data.source).exists() else data.source,
            "layout": data.layout,
            "fingerprint": data.fingerprint,
            "on_bad": setup.material.on_bad,
            "max_bad": setup.material.max_bad,
            "classes": list(data.classes),
            "split": setup.material.split.rule,
        },
        "recipe": setup.recipe.to_dict() | {"threads": setup.hardware.threads, "precision": setup.hardware.precision},
        "preprocessing": setup.rule.to_dict(),
        "machine": setup.hardware.to_dict(),
    }
    _folder.write_toml(folder / CONFIG, tables)


def carry_out(
    folder: Path,
    setup: Setup,
    state: training.State,
    watcher: Watcher,
    optimizer: torch.optim.Optimizer | None = None,
) -> Run:
    """Train from ``state`` on, then choose the weights and evaluate them once on the test part."""
    recipe = setup.recipe
    watcher.on_start(setup.header(), recipe.epochs, len(setup.batches))
    optimizer = optimizer or build_optimizer(setup)
    with _folder.only_one(folder):
        plan = Plan(
            epochs=recipe.epochs,
            lr=recipe.lr,
            seed=setup.seed,
            max_grad_norm=recipe.max_grad_norm,
            checkpoint_every_s=recipe.checkpoint_every_s,
            checkpoint_every_steps=recipe.checkpoint_every_steps,
        )
        state = training.fit(
            setup.net,
            setup.batches,
            build_loss(recipe),
            optimizer,
            build_schedule(recipe),
            plan,
            hardware=setup.hardware,
            folder=folder,
            validate=validator(setup),
            state=state,
            observer=watcher,
            before_epoch=before_epoch(setup, optimizer),
        )
        finish(folder, setup, state)
    return Run(folder)


def finish(folder: Path, setup: Setup, state: training.State) -> None:
    """model.safetensors, the test's line in the journal, the report."""
    if setup.recipe.keep == "best":
        tensors, _ = checkpoint.load(checkpoint.best(folder))
        checkpoint.load_network(tensors, setup.net)
        epoch = state.best_epoch
    else:
        epoch = setup.recipe.epochs - 1
    assert epoch is not None  # keep = "best" has validations to choose by
    data = setup.material.dataset
    names = tuple(data.names[int(index)] for index in setup.material.split.test)
    evaluation = evaluate(setup.net, setup.test.epoch(0), setup.material.dataset.classes, names=names)
    seen = setup.recipe.epochs * len(setup.material.split.train)
    result = {
        "run": str(folder),
        "model": setup.entry.full_name,
        "epochs": setup.recipe.epochs,
        "train_s": round(state.train_s, 3),
        "images_per_s": round(seen / state.train_s, 1) if state.train_s else None,
        "val_top1": state.val_top1[epoch] if state.val_top1 else None,
        "test_top1": evaluation.top1,
        "test_top5": evaluation.top5,
        "test_n": evaluation.n,
        "test_ci95": list(evaluation.ci95),
        "protocol": evaluation.protocol,
        "chosen_epoch": epoch,
        "seed": setup.seed,
    }
    with journal.Journal(folder / METRICS, state.journal_bytes) as lines:
        lines.write("done", **result)
        lines.sync()
    identity = {
        "model": setup.entry.full_name,
        "classes": list(setup.material.dataset.classes),
        "preprocessing": setup.rule.to_dict(),
        "chosen_epoch": epoch,
    }
    checkpoint.save(folder / WEIGHTS, dict(setup.net.state_dict()), identity)
    report = run_report(setup.header(), Run(folder).epochs(), result, evaluation, setup.test_image)
    _folder.write_text(folder / REPORT, report)


def build_loss(recipe: Recipe) -> losses.Loss:
    if recipe.loss == "map-1998":
        return losses.map_1998()
    return losses.cross_entropy(recipe.label_smoothing)


def build_schedule(recipe: Recipe) -> schedule.Schedule:
    rule = schedule.by_name(recipe.schedule, **recipe.schedule_settings)
    if recipe.warmup_epochs:
        return schedule.warmed_up(rule, recipe.warmup_epochs, recipe.warmup_factor)
    return rule


def build_optimizer(setup: Setup) -> torch.optim.Optimizer:
    recipe = setup.recipe
    if recipe.optimizer == "sdlm":
        return StochasticDiagonalLM(setup.net.parameters(), lr=recipe.lr)
    groups = optim.parameter_groups(setup.net, recipe.weight_decay, recipe.decay_all)
    return optim.build(recipe.optimizer, groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def before_epoch(setup: Setup, optimizer: torch.optim.Optimizer) -> Callable[[int], None] | None:
    """LeNet-5's rule estimates its curvatures on 500 patterns before each pass; no other needs anything."""
    if not isinstance(optimizer, StochasticDiagonalLM):
        return None

    def estimate(epoch: int) -> None:
        images, labels = setup.batches.batch(setup.batches.order(epoch)[:500], epoch)
        optimizer.estimate(setup.net, images, labels, build_loss(setup.recipe))

    return estimate


def validator(setup: Setup) -> Callable[[nn.Module], Validation] | None:
    """Mean loss and top-1 on the validation part, computed as in training but unaugmented; None without one."""
    if len(setup.validation) == 0:
        return None

    def validate(net: nn.Module) -> Validation:
        net.eval()
        loss, hits, count = 0.0, 0, 0
        with torch.inference_mode(), setup.hardware.autocast():
            for images, labels in setup.validation.epoch(0):
                logits = net(images).float()
                loss += float(F.cross_entropy(logits, labels, reduction="sum"))
                hits += int((logits.argmax(dim=1) == labels).sum())
                count += len(labels)
        return Validation(loss / count, hits / count)

    return validate


def in_words(augment: Augment | None) -> str:
    """What an augmentation does, the parts that do nothing left out."""
    if augment is None:
        return "none"
    changed = [
        f"{each.name} {getattr(augment, each.name)}" if getattr(augment, each.name) is not True else each.name
        for each in dataclasses.fields(augment)
        if getattr(augment, each.name) != each.default
    ]
    return ", ".join(changed) or "random crop where the stored image is larger"


def describe(recipe: Recipe, origins: Mapping[str, str]) -> str:
    """The settings with where each came from, for ``train --print-config``."""
    values = recipe.to_dict()
    width = max(len(name) for name in origins)
    return "\n".join(
        f"{name:<{width}}  {json.dumps(values[name], ensure_ascii=False):<24}  # {origin}"
        for name, origin in origins.items()
    )
