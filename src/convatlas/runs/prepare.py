"""`Setup`: everything a training needs, made and checked before anything is written."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas import models, training
from convatlas.data import Batches, Preprocessing
from convatlas.data.ranks import RankBatches
from convatlas.data.store import default_cache_dir
from convatlas.errors import DataError, UsageError
from convatlas.models.lenet import widen_
from convatlas.models.speednet import whiten_
from convatlas.recipes.recipe import Recipe
from convatlas.runs.options import RunOptions
from convatlas.runs.reconstruction import OwnTargets, check_loss
from convatlas.runs.run import Run
from convatlas.runs.speed import settle
from convatlas.runs.training_data import TrainingData
from convatlas.runs.transfer import Origin, StageSettings, in_stages, read_source, take_over
from convatlas.training import (
    Callback,
    Hardware,
    Learner,
    Lookahead,
    Validation,
    WeightAverage,
    losses,
    optim,
    schedule,
)
from convatlas.training.compilation import compiled
from convatlas.training.curvature import CurvatureEstimate, StochasticDiagonalLM
from convatlas.training.distributed import ProcessGroup, join, refuse_contradictions
from convatlas.training.filter_radius import FilterRadius
from convatlas.training.loggers import by_names
from convatlas.training.regularisers import set_dropout, set_stochastic_depth
from convatlas.training.trial import Update, UpdateMode

WHITENED_BY = 5_000  # training images whose patches the first layer is fitted to, where a recipe whitens it


@dataclass(frozen=True)
class Setup:
    """Everything a training needs, made and checked before its directory exists."""

    entry: models.Entry
    recipe: Recipe
    options: RunOptions
    training_data: TrainingData
    hardware: Hardware
    net: nn.Module
    rule: Preprocessing
    batches: Batches
    validation: Batches
    test: Batches
    seed: int
    process_group: ProcessGroup
    start: dict[str, Any] | None = None  # what was taken over from other weights
    stages: StageSettings | None = None  # what is frozen or slowed down

    def test_image(self, index: int) -> np.ndarray:
        """Pixels of test image ``index``, uint8 (h, w, c), as they were read."""
        return self.training_data.dataset.read(int(self.training_data.split.test[index]))

    def rows_of(self, batches: Batches) -> Batches | RankBatches | OwnTargets:
        """Of each batch what this process computes, with its targets: all of it, where it is the only one."""
        rows = (
            RankBatches(batches, self.process_group.rank, self.process_group.size)
            if self.process_group.size > 1
            else batches
        )
        return OwnTargets(rows) if self.entry.reconstructs else rows


def prepare(
    model: str,
    training_data: TrainingData,
    recipe: Recipe,
    seed: int,
    time_s: float | None,
    *,
    options: RunOptions | None = None,
    download: bool = False,
    begun: Run | None = None,
) -> Setup:
    """Build and check everything; nothing is written.

    Args:
        time_s: how long the training shall last, which sets its epochs; None: as many as the recipe says.
        options: the settings of the run beside its recipe; the defaults where None.
        download: whether published weights to start from may be fetched.
        begun: the run that is to be continued: its checkpoints hold what it once started from.
    """
    entry = models.entry(model)
    check_loss(entry, recipe)
    options = (options or RunOptions()).for_recipe(recipe)
    process_group = join(options.rank_timeout_s)
    refuse_contradictions(recipe.batch_size, recipe.accumulate, process_group)
    if process_group.size > 1 and options.sync_batchnorm and time_s is not None:
        raise UsageError("--time measures one process, where batch norm cannot be synchronised; pass --epochs instead.")
    if process_group.leads:
        by_names(options.log)  # what it needs is missing now, not after the data have been read
    hardware = training.choose(
        process_group.device(options.device),
        options.threads,
        options.precision,
        options.channels_last,
        options.allocator,
    )
    torch.manual_seed(seed)
    source = None
    if recipe.start_from is not None and begun is None:
        source = read_source(recipe.start_from, model, download, recipe.image_size, Origin.of(recipe))
    like = source.rule if source else begun.preprocessing if begun and recipe.start_from is not None else None
    image_size = recipe.image_size or (like.size[0] if like else entry.input[1])
    classes = training_data.dataset.classes
    net = build_network(entry, recipe, len(classes), training_data.dataset.channels, image_size)
    start = begun.config.get("start") if begun else None
    if source is not None:
        start = take_over(net, entry.full_name, source, classes, image_size).to_dict()
    if options.sync_batchnorm:
        net = process_group.synced(hardware.place(net))
    stages = in_stages(net, recipe, (training_data.dataset.channels, image_size, image_size))
    rule, store = training_data.prepared(entry, recipe, like)
    batches = training_data.training_batches(rule, store, recipe, seed, hardware.device)
    if len(batches) == 0:
        raise DataError("the training part holds no image; give more images, or another split.")
    if recipe.initial == "whitened":
        first = training_data.batches("train", rule, store, batch_size=WHITENED_BY)
        whiten_(net, next(first.epoch(0))[0])
    net = hardware.place(net)
    epochs = max(recipe.epochs, math.ceil(recipe.min_updates / len(batches)))
    setup = Setup(
        entry=entry,
        recipe=recipe.change(epochs=epochs, min_updates=0),
        options=options,
        training_data=training_data,
        hardware=hardware,
        net=net,
        rule=rule,
        batches=batches,
        validation=training_data.batches("val", rule, store, hardware.device),
        test=training_data.batches("test", rule, store, hardware.device),
        seed=seed,
        process_group=process_group,
        start=start,
        stages=stages,
    )
    if time_s is not None:
        setup = dataclasses.replace(setup, recipe=setup.recipe.change(epochs=epochs_within(setup, time_s)))
    return settled(setup)


def build_network(entry: models.Entry, recipe: Recipe, classes: int, channels: int, image_size: int) -> nn.Module:
    """The network with first weights, and with what the recipe changes inside it.

    Raises:
        RecipeError: a setting that this network has no place for.
    """
    head: dict[str, Any] = {} if entry.reconstructs else {"num_classes": classes}
    net = models.create_model(
        entry.full_name,
        **head,
        in_channels=channels,
        image_size=image_size,
        init="modern" if recipe.initial == "modern" else "printed",
    )
    if recipe.dropout is not None:
        set_dropout(net, recipe.dropout)
    if recipe.stochastic_depth:
        set_stochastic_depth(net, recipe.stochastic_depth)
    if recipe.initial == "root-fan-in":
        widen_(net)
    return net


def settled(setup: Setup) -> Setup:
    """The setup, computing in the way that is fastest here; see `_speed`."""
    if setup.process_group.size > 1 or setup.recipe.optimizer == "sdlm":
        if setup.options.compile == "on":
            raise UsageError("compile = on needs one process and an optimizer other than sdlm; leave it off.")
        return setup
    shape = (min(setup.recipe.batch_size, len(setup.batches.indices)), setup.rule.channels, *setup.rule.size)
    updates = setup.recipe.epochs * len(setup.batches)
    with torch.random.fork_rng(devices=()):
        hardware = settle(
            setup.hardware,
            setup.options,
            setup.entry.full_name,
            shape,
            updates,
            partial(rehearsed, setup),
            default_cache_dir(),
        )
    return dataclasses.replace(setup, hardware=hardware, net=hardware.place(setup.net))


def rehearsed(setup: Setup, way: UpdateMode) -> Update:
    """An update of a copy of the network, computed that way, always on the first batch."""
    hardware = dataclasses.replace(setup.hardware, precision=way.precision, channels_last=way.channels_last)
    net = hardware.place(copy.deepcopy(setup.net)).train()
    rehearsal = dataclasses.replace(setup, hardware=hardware, net=net)
    optimizer, loss_fn = build_learner(rehearsal).optimizer, build_loss(rehearsal)  # frozen parts take less time
    images, labels = next(setup.rows_of(setup.batches).epoch(0))
    called = compiled(net, [images], hardware.autocast())[0] if way.compiled else net

    def update() -> Tensor:
        return training.train_step(
            called, images, labels, loss_fn, optimizer, hardware.autocast(), None, setup.recipe.accumulate
        ).loss

    return update


def compiled_for(setup: Setup) -> tuple[nn.Module, float]:
    """What the updates call, compiled where that was chosen, and the seconds it took."""
    if not setup.hardware.compile:
        return setup.net, 0.0
    batches, size = setup.batches, setup.recipe.batch_size
    sizes = {min(size, len(batches.indices)), len(batches.indices) % size} - {0}
    examples = [batches.batch(batches.indices[:count])[0] for count in sorted(sizes, reverse=True)]
    return compiled(setup.net, examples, setup.hardware.autocast())


def epochs_within(setup: Setup, time_s: float, trial: int = 8) -> int:
    """How many epochs fit into ``time_s``, by timing a few updates of a copy; one at least.

    Raises:
        UsageError: no time at all.
    """
    if not time_s > 0:
        raise UsageError("a time budget of {time_s:g} s: it must be above 0.", time_s=time_s)
    rehearsal = Setup(**{**setup.__dict__, "net": copy.deepcopy(setup.net)})
    optimizer, loss_fn = build_learner(rehearsal).optimizer, build_loss(setup)  # frozen parts take less time
    times = []
    stream = setup.rows_of(setup.batches).epoch(0)
    for _ in range(min(trial, len(setup.batches))):
        clock = time.perf_counter()
        images, labels = next(stream)
        training.train_step(
            rehearsal.net, images, labels, loss_fn, optimizer, setup.hardware.autocast(), None, setup.recipe.accumulate
        )
        times.append(time.perf_counter() - clock)
    update_s = sorted(times)[len(times) // 2]
    return max(1, int(time_s / (update_s * len(setup.batches))))


def build_loss(setup: Setup) -> losses.Loss:
    recipe, weights = setup.recipe, None
    if recipe.loss == "map-1998":
        return losses.map_1998()
    if recipe.loss == "mse":
        return losses.mean_squared_error()
    if recipe.class_weights != "none":
        labels = setup.training_data.labels[setup.training_data.split.train]
        counts = np.bincount(labels, minlength=len(setup.training_data.dataset.classes))
        weights = losses.class_weights(recipe.class_weights, counts.tolist()).to(setup.hardware.device)
    if recipe.loss == "focal":
        return losses.focal(recipe.focal_gamma, recipe.label_smoothing, weights)
    return losses.cross_entropy(recipe.label_smoothing, weights)


def build_schedule(recipe: Recipe) -> schedule.Schedule:
    rule = schedule.by_name(recipe.schedule, **recipe.schedule_settings)
    if recipe.warmup_epochs:
        return schedule.warmed_up(rule, recipe.warmup_epochs, recipe.warmup_factor)
    return rule


def build_optimizer(setup: Setup) -> torch.optim.Optimizer:
    recipe = setup.recipe
    if recipe.optimizer == "sdlm":
        return StochasticDiagonalLM(setup.net.parameters(), lr=recipe.lr)
    groups = optim.parameter_groups(
        setup.net, recipe.weight_decay, recipe.decay_all, l1=recipe.l1, norm_bias_lr=recipe.norm_bias_lr
    )
    if setup.stages is not None:
        groups = setup.stages.scaled(setup.net, groups)
    return optim.build(
        recipe.optimizer, groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, eps=recipe.eps
    )


def build_callbacks(setup: Setup, optimizer: torch.optim.Optimizer) -> list[Callback]:
    """What goes along with the training, by the recipe: see `training.callback`."""
    callbacks: list[Callback] = []
    if isinstance(optimizer, StochasticDiagonalLM):

        def patterns(epoch: int) -> tuple[Tensor, Tensor]:
            return setup.batches.batch(setup.batches.order(epoch)[:500], epoch)

        callbacks.append(CurvatureEstimate(optimizer, setup.net, patterns, build_loss(setup)))
    if setup.stages is not None and setup.stages.frozen:
        callbacks.append(setup.stages.freezing(setup.net))
    if setup.recipe.filter_rms is not None:
        callbacks.append(FilterRadius(setup.net, setup.recipe.filter_rms))
    if setup.recipe.lookahead:
        updates = setup.recipe.epochs * len(setup.batches)
        callbacks.append(Lookahead(setup.net, setup.recipe.lookahead, updates))
    if setup.recipe.ema is not None:
        callbacks.append(WeightAverage(setup.net, setup.recipe.ema))
    return callbacks


def build_learner(setup: Setup) -> Learner:
    optimizer = build_optimizer(setup)
    return Learner(setup.net, optimizer, build_callbacks(setup, optimizer))


def validator(setup: Setup) -> Callable[[nn.Module], Validation] | None:
    """Mean loss and top-1 on the validation part, computed as in training but unaugmented; None without one.

    Of a network that gives back images the loss is the mean squared error, and there is no top-1.
    """
    if len(setup.validation) == 0:
        return None

    process_group, batches, own_targets = (
        setup.process_group,
        setup.rows_of(setup.validation),
        setup.entry.reconstructs,
    )

    def validate(net: nn.Module) -> Validation:
        net.eval()
        loss, hits, count = 0.0, 0, 0
        with torch.inference_mode(), setup.hardware.autocast():
            for step, (images, labels) in enumerate(batches.epoch(0)):
                if process_group.share(len(labels), batches, step).images == 0:
                    continue  # another rank counts them
                outputs = net(images).float()
                if own_targets:
                    loss += float(F.mse_loss(outputs, labels)) * len(labels)
                else:
                    loss += float(F.cross_entropy(outputs, labels, reduction="sum"))
                    hits += int((outputs.argmax(dim=1) == labels).sum())
                count += len(labels)
        loss, hits, count = process_group.add(torch.tensor([loss, hits, count], dtype=torch.float64)).tolist()
        return Validation(loss / count, None if own_targets else hits / count)

    return validate
