"""The header of a run, printed before its first update: every choice that affects its speed or accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.data import Augmentation, Batches
from convatlas.message import Message, joined
from convatlas.models.weights.published import table
from convatlas.recipes.recipe import Recipe
from convatlas.runs.transfer import shortened
from convatlas.settings import settings_of

if TYPE_CHECKING:
    from convatlas.runs.prepare import Setup


FEW_PHOTOS = 50  # training images per class; below, trained weights to start from help most


def advice_for_few_photos(setup: Setup) -> Message | None:
    """Advise to start from trained weights, where few colour images per class are trained on from random weights."""
    images, classes = len(setup.training_data.split.train), len(setup.training_data.dataset.classes)
    if (
        setup.start is not None
        or setup.entry.reconstructs
        or setup.training_data.dataset.channels != 3
        or images >= FEW_PHOTOS * classes
    ):
        return None
    published = next((line for line in table() if line.network.partition("@")[0] == setup.entry.name), None)
    per_class = f"{images / classes:.3g}"
    if published is None:
        return Message(
            "{per_class} training images per class are few: a network that starts from trained weights is usually more "
            "accurate. Pass --recipe finetune --start-from RUN, a run of {network} on similar images",
            per_class=per_class,
            network=setup.entry.full_name,
        )
    return Message(
        "{per_class} training images per class are few: a network that starts from trained weights is usually more "
        "accurate:  convatlas train {network} --recipe finetune --start-from {weights} --download",
        per_class=per_class,
        network=published.network,
        weights=published.full_name,
    )


def header(setup: Setup) -> dict[str, str]:
    """Names and values, in the order in which they are printed."""
    recipe, preprocessing, batches, hardware = setup.recipe, setup.preprocessing, setup.batches, setup.hardware
    split, data = setup.training_data.split, setup.training_data.dataset
    left_out: dict[str, str] = {}
    if data.problems:
        bad_files = [
            Message("{path} (index {index})", path=problem.name, index=problem.index) for problem in data.problems
        ]
        files = Message("{n} files that cannot be read: {names}", n=len(bad_files), names=shortened(bad_files, 10))
        left_out = {Message("left out"): files}
    processes: dict[str, str] = {}
    if setup.process_group.size > 1:
        processes = {Message("processes"): setup.process_group.describe(recipe.batch_size)}
    average = Message(
        "; the exponential moving average of the weights (decay {decay:g}) is evaluated and saved",
        decay=recipe.ema or 0,
    )
    return {
        Message("network"): Message(
            "{network}, {n:,} parameters",
            network=setup.entry.label,
            n=sum(p.numel() for p in setup.net.parameters()),
        ),
        Message("data"): Message(
            "{source} ({layout}): {classes} classes, {train} train, {val} validation, {test} test",
            source=data.source,
            layout=data.layout,
            classes=len(data.classes),
            train=len(split.train),
            val=len(split.val),
            test=len(split.test),
        ),
        Message("split"): split.rule,
        **({} if len(split.val) else {Message("validation"): Message("none: the weights of the last epoch are used")}),
        **left_out,
        **({Message("initial weights"): setup.start["said"]} if setup.start else {}),
        **({Message("advice"): few} if (few := advice_for_few_photos(setup)) else {}),
        **({Message("prepared"): setup.start["prepared"]} if setup.start and "prepared" in setup.start else {}),
        **(
            {Message("weights"): joined(setup.start["remarks"], "; ")}
            if setup.start and "remarks" in setup.start
            else {}
        ),
        **({Message("stages"): setup.stages.description} if setup.stages else {}),
        Message("images"): joined(
            (
                f"{preprocessing.size[0]} x {preprocessing.size[1]} x {preprocessing.channels}, ",
                preprocessing.why,
                "; ",
                batches.store.origin,
            ),
            "",
        ),
        Message("augmentation"): describe_augmentation(batches.augment),
        **({Message("sampling"): describe_sampling(batches)} if batches.sampling == "balanced" else {}),
        Message("recipe"): Message(
            "{name}: {epochs} epochs of {updates} updates of {batch_size} images, {optimizer}, lr {lr:g} "
            "{schedule}{average}",
            name=recipe.name,
            epochs=recipe.epochs,
            updates=len(batches),
            batch_size=recipe.batch_size,
            optimizer=recipe.optimizer,
            lr=recipe.lr,
            schedule=recipe.schedule,
            average=average if recipe.ema else "",
        ),
        **(
            {
                Message("last batch"): Message(
                    "its single image is added to the batch before it, because batch norm needs two images"
                )
            }
            if batches.merge_last
            else {}
        ),
        Message("loss"): describe_loss(recipe),
        Message("machine"): Message(
            "{device}, {threads} threads, {precision} ({why}), {layout}, allocator {allocator}",
            device=hardware.device,
            threads=hardware.threads,
            precision=hardware.precision,
            why=hardware.why,
            layout=Message("channels last") if hardware.channels_last else Message("channels first"),
            allocator=hardware.allocator,
        ),
        **processes,
        Message("seed"): str(setup.seed),
    }


def describe_loss(recipe: Recipe) -> Message:
    """Describe the loss with its unit, and the regularisation."""
    parts = {
        "cross-entropy": [Message("cross-entropy, nats")],
        "focal": [Message("focal loss, nats, gamma {gamma:g}", gamma=recipe.focal_gamma)],
        "map-1998": [Message("map-1998: the criterion of LeNet-5's paper")],
        "mse": [Message("mean squared error of the reconstruction, pixels with standard deviation 1")],
    }[recipe.loss]
    if recipe.label_smoothing:
        parts.append(Message("label smoothing {share:g}", share=recipe.label_smoothing))
    if recipe.class_weights != "none":
        parts.append(Message("class weights: {how}", how=recipe.class_weights))
    if recipe.weight_decay:
        on_all = Message("weight decay (L2) {decay:g} on all parameters", decay=recipe.weight_decay)
        parts.append(on_all if recipe.decay_all else Message("weight decay (L2) {decay:g}", decay=recipe.weight_decay))
    if recipe.l1:
        parts.append(Message("L1 {l1:g}", l1=recipe.l1))
    if recipe.dropout is not None:
        parts.append(Message("dropout {rate:g}", rate=recipe.dropout))
    if recipe.stochastic_depth:
        parts.append(Message("stochastic depth {rate:g}", rate=recipe.stochastic_depth))
    if recipe.filter_rms is not None:
        parts.append(Message("root mean square of each filter limited to {rms:g}", rms=recipe.filter_rms))
    return joined(parts)


def describe_augmentation(augment: Augmentation | None) -> Message:
    """Describe a resolved augmentation; settings without effect are left out."""
    if augment is None:
        return Message("none")
    changed = []
    for name, setting in settings_of(Augmentation).items():
        value = getattr(augment, name)
        has_effect = setting.needs is None or getattr(augment, setting.needs[0]) == setting.needs[1]
        if has_effect and value != setting.off:
            changed.append(f"{name} {value}")
    return joined(changed) if changed else Message("random crop where the stored image is larger")


def describe_sampling(batches: Batches) -> str:
    """State how many images an epoch has under balanced sampling, and how many of each class."""
    images, classes = len(batches.indices), len(batches.labels.cpu()[batches.indices].unique())
    least, more = divmod(images, classes)
    per_class = Message("{least} or {most}", least=least, most=least + 1) if more else least
    return Message("balanced: {n} images per epoch, {per_class} of each class", n=images, per_class=per_class)
