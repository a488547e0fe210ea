"""`Setup`: everything a training needs, built and checked before anything is written.

There are three ways to start: `prepare_new` with random weights, `prepare_from_weights` with weights of an earlier
training, and `prepare_resumed` for a run that was interrupted. `prepare` chooses between the first two by the recipe.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas import arithmetic, models, training
from convatlas.batch import Batch, EpochBatches
from convatlas.data import Batches, Preprocessing
from convatlas.data.ranks import RankBatches
from convatlas.data.store import default_cache_dir
from convatlas.errors import ConvAtlasError, DataError, RecipeError, ShapeError, UsageError
from convatlas.models import registry
from convatlas.models.lenet import widen_
from convatlas.models.speednet import whiten_
from convatlas.recipes.recipe import Recipe
from convatlas.runs.options import RunOptions
from convatlas.runs.reconstruction import ImagesAsTargets, check_loss
from convatlas.runs.run import Run
from convatlas.runs.speed import choose_update_mode
from convatlas.runs.training_data import TrainingData
from convatlas.runs.transfer import Origin, StageSettings, load_initial_weights, read_source, stage_settings
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
from convatlas.training.gradient_norms import GradientNorms
from convatlas.training.loggers import by_names
from convatlas.training.regularisers import set_dropout, set_stochastic_depth
from convatlas.training.trial import Update, UpdateMode, time_updates

TIMED_UPDATES = 8  # updates whose time determines the epochs of a time budget

WHITENING_IMAGES = 5_000  # training images whose patches the first layer whitens, if the recipe asks for it


@dataclass(frozen=True)
class Setup:
    """Everything a training needs, built and checked before its directory exists."""

    entry: models.Entry
    recipe: Recipe
    options: RunOptions
    training_data: TrainingData
    hardware: Hardware
    net: nn.Module
    preprocessing: Preprocessing
    batches: Batches
    validation: Batches
    test: Batches
    seed: int
    process_group: ProcessGroup
    start: dict[str, Any] | None = None  # which initial weights were loaded
    stages: StageSettings | None = None  # stages that are frozen or have a learning rate of their own

    def test_image(self, index: int) -> np.ndarray:
        """Return the pixels of test image ``index``, uint8 (h, w, c), as they were read."""
        return self.training_data.dataset.read(int(self.training_data.split.test[index]))

    def of_this_rank(self, batches: Batches) -> EpochBatches:
        """Return the rows of ``batches`` that this process computes, with the targets of this network."""
        return of_this_rank(batches, self.process_group, self.entry)

    def loss(self) -> losses.Loss:
        return build_loss(self.recipe, self.training_data, self.hardware.device)

    def learner(self, net: nn.Module | None = None) -> Learner:
        """Return the network, or ``net``, a copy of it, with a new optimizer and new callbacks."""
        net = self.net if net is None else net
        learner = build_learner(net, self.recipe, self.batches, self.loss(), self.stages)
        if self.options.gradient_norms:
            return dataclasses.replace(learner, callbacks=[*learner.callbacks, GradientNorms(net)])
        return learner

    def with_epochs(self, epochs: int) -> Setup:
        """Return this setup with the number of epochs that rank 0 measured."""
        return dataclasses.replace(self, recipe=self.recipe.change(epochs=epochs))


# --- the three starts -------------------------------------------------------------------------------------------------


def prepare(
    model: str | nn.Module,
    training_data: TrainingData,
    recipe: Recipe,
    seed: int,
    time_s: float | None = None,
    *,
    options: RunOptions | None = None,
    download: bool = False,
    needs_test: bool = True,
) -> Setup:
    """Build and check everything for a training of ``model``; nothing is written.

    Args:
        time_s: duration of the training, which determines the epochs; None: the epochs of the recipe.
        options: the settings of the run besides its recipe; None stands for the defaults.
        download: whether published weights to start from may be downloaded.
        needs_test: whether a split without a test set is an error, because the training ends with a test.
    """
    if recipe.start_from is not None and (isinstance(model, nn.Module) or models.entry(model).own):
        raise UsageError(
            "start_from is for networks of the atlas; load the weights into your own network in Python and pass the "
            "module to train."
        )
    if recipe.start_from is None:
        return prepare_new(model, training_data, recipe, seed, time_s, options=options, needs_test=needs_test)
    assert isinstance(model, str)
    return prepare_from_weights(
        model, training_data, recipe, seed, time_s, options=options, download=download, needs_test=needs_test
    )


def prepare_new(
    model: str | nn.Module,
    training_data: TrainingData,
    recipe: Recipe,
    seed: int,
    time_s: float | None = None,
    *,
    options: RunOptions | None = None,
    needs_test: bool = True,
) -> Setup:
    """Prepare a training that starts with random weights."""
    conditions = check_conditions(model, training_data, recipe, options, seed, time_s, needs_test)
    return conditions.setup(conditions.network())


def prepare_from_weights(
    model: str,
    training_data: TrainingData,
    recipe: Recipe,
    seed: int,
    time_s: float | None = None,
    *,
    options: RunOptions | None = None,
    download: bool = False,
    needs_test: bool = True,
) -> Setup:
    """Prepare a training that starts with the weights named by ``recipe.start_from``.

    Images are prepared as they were when these weights were trained, unless the recipe says otherwise.
    """
    assert recipe.start_from is not None
    conditions = check_conditions(model, training_data, recipe, options, seed, time_s, needs_test)
    source = read_source(recipe.start_from, model, download, recipe.image_size, Origin.of(recipe))
    net = conditions.network(source.preprocessing)
    transfer = load_initial_weights(
        net,
        conditions.entry.full_name,
        source,
        training_data.dataset.classes,
        conditions.image_size(source.preprocessing),
    )
    return conditions.setup(net, source.preprocessing, transfer.to_dict())


def prepare_resumed(run: Run, training_data: TrainingData, recipe: Recipe, options: RunOptions) -> Setup:
    """Prepare the continuation of a run that has a checkpoint, with its recipe and options or changed ones.

    The weights come from the checkpoint later, so the weights that the run started from are not needed any more.
    """
    conditions = check_conditions(run.subject, training_data, recipe, options, run.seed)
    reference = run.preprocessing if recipe.start_from is not None else None
    return conditions.setup(conditions.network(reference), reference, run.config.get("start"))


# --- what the starts share --------------------------------------------------------------------------------------------


def check_conditions(
    model: str | nn.Module,
    training_data: TrainingData,
    recipe: Recipe,
    options: RunOptions | None,
    seed: int,
    time_s: float | None = None,
    needs_test: bool = True,
) -> Conditions:
    """Check the settings, join the process group, apply the settings of the machine, and seed torch's generator."""
    module = model if isinstance(model, nn.Module) else None
    entry = entry_for(model)
    check_loss(entry, recipe)
    options = (options or RunOptions()).for_recipe(recipe)
    process_group = join(options.rank_timeout_s)
    refuse_contradictions(recipe.batch_size, recipe.accumulate, process_group)
    if process_group.size > 1 and options.sync_batchnorm and time_s is not None:
        raise UsageError("--time measures one process, where batch norm cannot be synchronised; pass --epochs instead.")
    if process_group.is_main:
        by_names(options.log)  # a missing package is reported before the images are decoded
    hardware = training.apply(
        training.choose(
            process_group.device(options.device),
            options.threads,
            options.precision,
            options.channels_last,
            options.allocator,
        )
    )
    torch.manual_seed(seed)
    return Conditions(entry, training_data, recipe, options, hardware, process_group, seed, time_s, module, needs_test)


@dataclass(frozen=True)
class Conditions:
    """The part of a setup that all three starts share: data, settings, machine and process group."""

    entry: models.Entry
    training_data: TrainingData
    recipe: Recipe
    options: RunOptions
    hardware: Hardware
    process_group: ProcessGroup
    seed: int
    time_s: float | None
    module: nn.Module | None = None  # the user's own, which is trained as it is
    needs_test: bool = True  # whether the training ends with a test

    def image_size(self, reference: Preprocessing | None = None) -> int:
        """Return the side of the input; ``reference`` is the preprocessing of the initial weights."""
        return self.training_data.side(self.entry, self.recipe, reference)

    def network(self, reference: Preprocessing | None = None) -> nn.Module:
        dataset = self.training_data.dataset
        if self.entry.own:
            net = self.module
            if net is None:
                net = models.create_model(
                    self.entry.full_name, len(dataset.classes), dataset.channels, self.image_size(reference)
                )
            side = self.image_size(reference)
            return checked_own(net, self.entry, self.recipe, (dataset.channels, side, side), len(dataset.classes))
        return build_network(
            self.entry, self.recipe, len(dataset.classes), dataset.channels, self.image_size(reference)
        )

    def setup(
        self, net: nn.Module, reference: Preprocessing | None = None, start: dict[str, Any] | None = None
    ) -> Setup:
        """Build the rest of the setup around a network with its initial weights.

        Args:
            reference: the preprocessing of the initial weights, if they were trained before.
            start: the record of the initial weights for the header and config.toml.
        """
        entry, data, recipe, options = self.entry, self.training_data, self.recipe, self.options
        process_group, hardware = self.process_group, self.hardware
        if options.sync_batchnorm:
            net = process_group.with_synced_batchnorm(hardware.place(net))
        side = self.image_size(reference)
        stages = stage_settings(net, recipe, (data.dataset.channels, side, side))
        preprocessing, store = data.prepared(entry, recipe, reference)
        batches = data.training_batches(preprocessing, store, recipe, self.seed, hardware.device)
        if len(batches) == 0:
            raise DataError("the training set is empty. Give more images, or another split.")
        recipe = checked_split(data, recipe, self.needs_test)
        batches.merge_last = merges_last(net, batches, recipe, process_group.size, options.sync_batchnorm)
        if recipe.initial == "whitened":
            first = data.batches("train", preprocessing, store, batch_size=WHITENING_IMAGES)
            whiten_(net, next(first.epoch(0)).images)
        net = hardware.place(net)

        epochs = max(recipe.epochs, math.ceil(recipe.min_updates / len(batches)))
        recipe = recipe.change(epochs=epochs, min_updates=0)
        loss_fn = build_loss(recipe, data, hardware.device)
        own_batches = of_this_rank(batches, process_group, entry)
        trial = TrialUpdates(net, recipe, batches, own_batches, loss_fn, stages, hardware)
        if self.time_s is not None:
            recipe = recipe.change(epochs=epochs_within(self.time_s, trial))
        if process_group.size > 1 or recipe.optimizer == "sdlm":
            if options.compile == "on":
                raise UsageError("compile = on needs one process and an optimizer other than sdlm; leave it off.")
        else:
            images = min(recipe.batch_size, len(batches.indices))
            shape = (images, preprocessing.channels, *preprocessing.size)
            updates = recipe.epochs * len(batches)
            with torch.random.fork_rng(devices=()):
                hardware = choose_update_mode(
                    hardware, options, entry.full_name, shape, updates, trial.in_mode, default_cache_dir()
                )
        return Setup(
            entry=entry,
            recipe=recipe,
            options=options,
            training_data=data,
            hardware=hardware,
            net=hardware.place(net),
            preprocessing=preprocessing,
            batches=batches,
            validation=data.batches("val", preprocessing, store, hardware.device),
            test=data.batches("test", preprocessing, store, hardware.device),
            seed=self.seed,
            process_group=process_group,
            start=start,
            stages=stages,
        )


def of_this_rank(batches: Batches, process_group: ProcessGroup, entry: models.Entry) -> EpochBatches:
    """Return the rows of ``batches`` that this process computes. The targets of a reconstruction are its images."""
    rows = RankBatches(batches, process_group.rank, process_group.size) if process_group.size > 1 else batches
    return ImagesAsTargets(rows) if entry.reconstructs else rows


def merges_last(net: nn.Module, batches: Batches, recipe: Recipe, processes: int, sync_batchnorm: bool) -> bool:
    """Return whether a last batch of one image must join the one before, because batch norm cannot normalise one value.

    Batch norm over 1 x 1 pixels has one value per channel and image, so its training needs two images at a time.

    Raises:
        UsageError: other batches, or their parts, have one image.
    """
    images, size = len(batches.indices), recipe.batch_size
    rest = images % size

    def least_part(batch: int) -> int:
        """Return the images of the smallest part in which a batch of so many goes through the network."""
        rows = batch if batch < processes else batch // processes
        return rows // min(recipe.accumulate, rows)

    alone = [batch for batch in {min(size, images), rest} - {0} if least_part(batch) == 1]
    synchronised = processes > 1 and sync_batchnorm
    if (
        not alone
        or synchronised
        or not normalises_one_value(net, (batches.preprocessing.channels, *batches.preprocessing.size))
    ):
        return False
    if alone == [1] and images > size > 1:
        return True
    if images < 2:
        raise UsageError("there is one training image, and batch norm needs two at a time; give more images.")
    if recipe.accumulate > 1 or processes > 1:
        raise UsageError(
            "a batch of {batch} images in {parts} parts has parts of one image, and the batch norm of this network "
            "needs two at a time. Pass a larger --batch-size, or fewer parts with --accumulate.",
            batch=alone[0],
            parts=processes * recipe.accumulate,
        )
    raise UsageError(
        "--batch-size {size}: the batch norm of this network needs two images at a time. Pass 2 or more.", size=size
    )


class _OneValue(Exception):
    """Ends the trial pass of `normalises_one_value`."""


def normalises_one_value(net: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Return whether some batch norm sees one value per channel when one image of ``shape`` (C, H, W) is trained on."""

    def refuse(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            raise _OneValue

    trial = copy.deepcopy(net).train()
    for module in trial.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(refuse)
    device = next(trial.parameters()).device
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            trial(torch.zeros(1, *shape, device=device))
    except _OneValue:
        return True
    return False


def checked_split(training_data: TrainingData, recipe: Recipe, needs_test: bool = True) -> Recipe:
    """Return the recipe, which keeps the last weights if there is no validation set to choose the best by.

    Raises:
        DataError: no test set where one is needed, or no validation set and a setting that needs one.
    """
    split, source = training_data.split, training_data.dataset.source
    if needs_test and not len(split.test):
        raise DataError(
            "the split of {source} has no test set, so no accuracy can be reported. Leave --split out to have a test "
            "set drawn, or name a split file that has one.",
            source=source,
        )
    if len(split.val):
        return recipe
    if recipe.schedule == "plateau" or recipe.patience is not None:
        raise DataError(
            "the split of {source} has no validation set, which {setting} needs. Set another schedule and no patience, "
            "or leave --split out to have a validation set drawn.",
            source=source,
            setting="schedule = plateau" if recipe.schedule == "plateau" else "patience",
        )
    return recipe.change(keep="last")


def entry_for(model: str | nn.Module) -> models.Entry:
    """The catalogue's line of a network by name, or what stands in its place for a module of the user's own."""
    return registry.own_entry(model, type(model).__name__) if isinstance(model, nn.Module) else models.entry(model)


def checked_own(
    net: nn.Module, entry: models.Entry, recipe: Recipe, shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """The user's own network with the regularisers of the recipe, after one pass of two images of ``shape``.

    Raises:
        ShapeError: it does not give one logit for each class.
        RecipeError: a setting for networks of the atlas.
    """
    if recipe.initial == "whitened" or recipe.initial == "root-fan-in":
        raise RecipeError("initial = {initial} is for networks of the atlas; leave it out.", initial=recipe.initial)
    was_training, device = net.training, next((p.device for p in net.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            result = net.eval()(torch.zeros(2, *shape, device=device))
    except ConvAtlasError:
        raise
    except Exception as error:
        summary = arithmetic.summarize(net, shape)  # names the layer, where it can
        raise ShapeError("{network} stopped: {error}", network=summary.model, error=error) from error
    finally:
        net.train(was_training)
    found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    if found != (2, classes):
        raise ShapeError(
            "{network} must give one logit for each of the {classes} classes: (2, {classes}) for 2 images of {shape}; "
            "it gave {found}. Change its last layer, or let its class take num_classes.",
            network=entry.label,
            classes=classes,
            shape=" x ".join(map(str, shape)),
            found=found,
        )
    if recipe.dropout is not None:
        set_dropout(net, recipe.dropout)
    if recipe.stochastic_depth:
        set_stochastic_depth(net, recipe.stochastic_depth)
    return net


def build_network(entry: models.Entry, recipe: Recipe, classes: int, channels: int, image_size: int) -> nn.Module:
    """Build the network with its initial weights and the regularisers of the recipe.

    Raises:
        RecipeError: a setting that this network does not support.
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


# --- timing updates before the run ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialUpdates:
    """Updates of a copy of the network, made to be timed. The network of the run is not changed.

    The callbacks are built for the copy too, because frozen stages make an update faster.
    """

    net: nn.Module
    recipe: Recipe
    batches: Batches
    own_batches: EpochBatches  # the rows of this rank
    loss_fn: losses.Loss
    stages: StageSettings | None
    hardware: Hardware

    def in_mode(self, mode: UpdateMode) -> Update:
        """Return the update in a mode, always on the first batch."""
        hardware = dataclasses.replace(self.hardware, precision=mode.precision, channels_last=mode.channels_last)
        learner = self._copy(hardware)
        batch = next(iter(self.own_batches.epoch(0)))
        if mode.compiled:
            module, _ = compiled(learner.net, [batch.images], hardware.autocast())
            learner = dataclasses.replace(learner, compiled=module)
        return lambda: self._update(learner, batch, hardware)

    def with_data(self) -> Update:
        """Return the update as the run will make it: each on the next batch, whose preparation is part of it."""
        learner, batches = self._copy(self.hardware), iter(self.own_batches.epoch(0))
        for callback in learner.callbacks:
            callback.before_epoch(0)
        return lambda: self._update(learner, next(batches), self.hardware)

    def _copy(self, hardware: Hardware) -> Learner:
        net = hardware.place(copy.deepcopy(self.net)).train()
        return build_learner(net, self.recipe, self.batches, self.loss_fn, self.stages)

    def _update(self, learner: Learner, batch: Batch, hardware: Hardware) -> Tensor:
        return training.train_step(
            learner.module,
            batch,
            self.loss_fn,
            learner.optimizer,
            autocast=hardware.autocast(),
            accumulate=self.recipe.accumulate,
        ).loss


def epochs_within(time_s: float, trial: TrialUpdates) -> int:
    """Return how many epochs fit into ``time_s`` seconds, at least 1, by the median time of a few updates.

    Raises:
        UsageError: the time is not above 0.
    """
    if not time_s > 0:
        raise UsageError("a time budget of {time_s:g} s: it must be above 0.", time_s=time_s)
    steps = len(trial.batches)
    seconds = time_updates(trial.with_data(), min(TIMED_UPDATES, steps))
    return max(1, int(time_s / (statistics.median_high(seconds) * steps)))


def compile_for_updates(setup: Setup) -> tuple[nn.Module | None, float]:
    """Compile the network for the shapes of the training batches, if that was chosen.

    Returns the compiled module, or None, and the seconds it took.
    """
    if not setup.hardware.compile:
        return None, 0.0
    batches, size = setup.batches, setup.recipe.batch_size
    last = batches.end(len(batches) - 1) - (len(batches) - 1) * size
    sizes = {min(size, len(batches.indices)), last}
    examples = [batches.batch(batches.indices[:count]).images for count in sorted(sizes, reverse=True)]
    return compiled(setup.net, examples, setup.hardware.autocast())


# --- loss, optimizer, schedule, callbacks, validation -----------------------------------------------------------------


def build_loss(recipe: Recipe, training_data: TrainingData, device: str) -> losses.Loss:
    weights = None
    if recipe.loss == "map-1998":
        return losses.map_1998()
    if recipe.loss == "mse":
        return losses.mean_squared_error()
    if recipe.class_weights != "none":
        labels = training_data.labels[training_data.split.train]
        counts = np.bincount(labels, minlength=len(training_data.dataset.classes))
        weights = losses.class_weights(recipe.class_weights, counts.tolist()).to(device)
    if recipe.loss == "focal":
        return losses.focal(recipe.focal_gamma, recipe.label_smoothing, weights)
    return losses.cross_entropy(recipe.label_smoothing, weights)


def build_schedule(recipe: Recipe) -> schedule.Schedule:
    after_warmup = schedule.by_name(recipe.schedule, **recipe.schedule_settings)
    if recipe.warmup_epochs:
        return schedule.warmed_up(after_warmup, recipe.warmup_epochs, recipe.warmup_factor)
    return after_warmup


def build_optimizer(net: nn.Module, recipe: Recipe, stages: StageSettings | None = None) -> torch.optim.Optimizer:
    if recipe.optimizer == "sdlm":
        return StochasticDiagonalLM(net.parameters(), lr=recipe.lr)
    groups = optim.parameter_groups(
        net, recipe.weight_decay, recipe.decay_all, l1=recipe.l1, norm_bias_lr=recipe.norm_bias_lr
    )
    if stages is not None:
        groups = stages.scaled(net, groups)
    return optim.build(
        recipe.optimizer, groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, eps=recipe.eps
    )


def build_learner(
    net: nn.Module, recipe: Recipe, batches: Batches, loss_fn: losses.Loss, stages: StageSettings | None = None
) -> Learner:
    """Return ``net`` with the optimizer and the callbacks of the recipe."""
    optimizer = build_optimizer(net, recipe, stages)
    callbacks: list[Callback] = []
    if isinstance(optimizer, StochasticDiagonalLM):

        def patterns(epoch: int) -> tuple[Tensor, Tensor]:
            batch = batches.batch(batches.order(epoch)[:500], epoch)
            return batch.images, batch.targets

        callbacks.append(CurvatureEstimate(optimizer, net, patterns, loss_fn))
    if stages is not None and stages.frozen:
        callbacks.append(stages.freezing(net))
    if recipe.filter_rms is not None:
        callbacks.append(FilterRadius(net, recipe.filter_rms))
    if recipe.lookahead:
        callbacks.append(Lookahead(net, recipe.lookahead, updates=recipe.epochs * len(batches)))
    if recipe.ema is not None:
        callbacks.append(WeightAverage(net, recipe.ema))
    return Learner(net, optimizer, callbacks)


def validator(setup: Setup) -> Callable[[nn.Module], Validation] | None:
    """Return the function that validates a network: mean loss and top-1 on the validation set, without augmentation.

    The loss of a network that reconstructs its images is the mean squared error, and it has no top-1. None if there is
    no validation set.
    """
    if len(setup.validation) == 0:
        return None
    process_group, batches = setup.process_group, setup.of_this_rank(setup.validation)
    classifies = not setup.entry.reconstructs

    def validate(net: nn.Module) -> Validation:
        net.eval()
        loss, hits, count = 0.0, 0, 0
        with torch.inference_mode(), setup.hardware.autocast():
            for images, targets, share in batches.epoch(0):
                if not share.counted:
                    continue
                outputs = net(images).float()
                if classifies:
                    loss += float(F.cross_entropy(outputs, targets, reduction="sum"))
                    hits += int((outputs.argmax(dim=1) == targets).sum())
                else:
                    loss += float(F.mse_loss(outputs, targets)) * len(targets)
                count += len(targets)
        totals = process_group.sum_over_ranks(torch.tensor([loss, hits, count], dtype=torch.float64))
        loss, hits, count = totals.tolist()
        return Validation(loss / count, hits / count if classifies else None)

    return validate
