"""What is printed before the first update: every choice that bears on speed or accuracy, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.data import Augmentation, Batches
from convatlas.message import Message, joined
from convatlas.recipes.recipe import Recipe
from convatlas.runs.transfer import some_of
from convatlas.settings import settings_of

if TYPE_CHECKING:
    from convatlas.runs.prepare import Setup


def header(setup: Setup) -> dict[str, str]:
    """Names and values, in the order in which they are printed."""
    recipe, rule, batches, hardware = setup.recipe, setup.rule, setup.batches, setup.hardware
    split, data = setup.training_data.split, setup.training_data.dataset
    left_out: dict[str, str] = {}
    if data.problems:
        places = [Message("{path} (index {index})", path=each.name, index=each.index) for each in data.problems]
        files = Message("{n} files that cannot be read: {names}", n=len(places), names=some_of(places, 10))
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
        **(
            {}
            if len(split.val)
            else {Message("validation"): Message("none: the weights of the last epoch are kept, not chosen")}
        ),
        **left_out,
        **({Message("starts from"): setup.start["said"]} if setup.start else {}),
        **({Message("prepared"): setup.start["prepared"]} if setup.start and "prepared" in setup.start else {}),
        **(
            {Message("weights"): joined(setup.start["remarks"], "; ")}
            if setup.start and "remarks" in setup.start
            else {}
        ),
        **({Message("stages"): setup.stages.said} if setup.stages else {}),
        Message("images"): joined(
            (f"{rule.size[0]} x {rule.size[1]} x {rule.channels}, ", rule.why, "; ", batches.store.origin), ""
        ),
        Message("augmentation"): augmentation_in_words(batches.augment),
        **({Message("sampling"): balance_in_words(batches)} if batches.sampling == "balanced" else {}),
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
            {Message("last batch"): Message("its one image joins the batch before it: batch norm needs two at a time")}
            if batches.merge_last
            else {}
        ),
        Message("loss"): loss_in_words(recipe),
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


def loss_in_words(recipe: Recipe) -> Message:
    """The loss and its regularisation, with units."""
    parts = {
        "cross-entropy": [Message("cross-entropy, nats")],
        "focal": [Message("focal loss, nats, gamma {gamma:g}", gamma=recipe.focal_gamma)],
        "map-1998": [Message("map-1998: the criterion of LeNet-5's paper")],
        "mse": [Message("mean squared error of the reconstruction, pixels with standard deviation 1")],
    }[recipe.loss]
    if recipe.label_smoothing:
        parts.append(Message("label smoothing {share:g}", share=recipe.label_smoothing))
    if recipe.class_weights != "none":
        parts.append(Message("classes weighted ({how})", how=recipe.class_weights))
    if recipe.weight_decay:
        of_all = Message("weight decay (L2) {decay:g} on all parameters", decay=recipe.weight_decay)
        parts.append(of_all if recipe.decay_all else Message("weight decay (L2) {decay:g}", decay=recipe.weight_decay))
    if recipe.l1:
        parts.append(Message("L1 {l1:g}", l1=recipe.l1))
    if recipe.dropout is not None:
        parts.append(Message("dropout {rate:g}", rate=recipe.dropout))
    if recipe.stochastic_depth:
        parts.append(Message("stochastic depth {rate:g}", rate=recipe.stochastic_depth))
    if recipe.filter_rms is not None:
        parts.append(Message("filters scaled back to a root mean square of {rms:g}", rms=recipe.filter_rms))
    return joined(parts)


def augmentation_in_words(augment: Augmentation | None) -> Message:
    """What a resolved augmentation does; settings without effect are left out."""
    if augment is None:
        return Message("none")
    changed = []
    for name, each in settings_of(Augmentation).items():
        value = getattr(augment, name)
        chosen = each.needs is None or getattr(augment, each.needs[0]) == each.needs[1]
        if chosen and value != each.off:
            changed.append(f"{name} {value}")
    return joined(changed) if changed else Message("random crop where the stored image is larger")


def balance_in_words(batches: Batches) -> str:
    """How many images an epoch has under balanced sampling, and how many of each class."""
    images, classes = len(batches.indices), len(batches.labels.cpu()[batches.indices].unique())
    least, more = divmod(images, classes)
    each = Message("{least} or {most}", least=least, most=least + 1) if more else least
    return Message("balanced: {n} images per epoch, {each} of each class", n=images, each=each)
