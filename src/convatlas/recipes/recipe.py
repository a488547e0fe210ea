"""`Recipe`: the settings that determine what a training computes. `RunOptions` has the settings of the machine."""

from __future__ import annotations

import types
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convatlas.data.augmentation import Augmentation
from convatlas.errors import RecipeError, UnknownNameError
from convatlas.settings import ALIASES, Setting, changed, check, setting, settings_of, values_of, with_current_names


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training. Immutable; `change` returns a new recipe.

    The settings of the augmentation are in ``augment``. In `change`, `to_dict` and `from_dict`, as in flags and files,
    they have their own names beside the other settings.

    Raises:
        RecipeError: a value is out of range, or two values contradict each other.
    """

    name: str = setting("", "Name of the recipe.", "recipe")
    source: str = setting("", "Paper or program that describes the recipe.", "recipe")

    epochs: int = setting(15, "Passes over the training set.", "length", least=1, resumable=True)
    min_updates: int = setting(
        0,
        "Smallest number of updates: a small training set gets more epochs until it is reached; 0 sets no minimum.",
        "length",
        least=0,
    )
    batch_size: int = setting(128, "Images per update, over all processes.", "length", least=1)

    optimizer: str = setting(
        "sgd",
        "Optimizer: sgd, adamw, rmsprop, muon, or sdlm (stochastic diagonal Levenberg-Marquardt, as in LeNet-5's "
        "paper).",
        "update",
        ("sgd", "adamw", "rmsprop", "muon", "sdlm"),
    )
    lr: float = setting(
        0.1, "Learning rate, which the schedule multiplies by its factor.", "update", above=0, resumable=True
    )
    momentum: float = setting(0.9, "Momentum; beta1 of AdamW.", "update", least=0, most=0.9999)
    nesterov: bool = setting(False, "Use Nesterov momentum (sgd only).", "update")
    eps: float | None = setting(
        None,
        "Constant added to the denominator of the update; by default 1e-8 for adamw and muon, and 1.0 for rmsprop, "
        "where it is added inside the square root.",
        "update",
        above=0,
    )
    weight_decay: float = setting(
        0.0, "Weight decay: an L2 penalty added to the gradient; decoupled for adamw and muon.", "update", least=0
    )
    l1: float = setting(
        0.0, "Coefficient of the L1 penalty on the parameters that have weight decay; 0 is off.", "update", least=0
    )
    decay_all: bool = setting(
        False, "Apply weight decay to biases and normalization parameters too, as most papers did.", "update"
    )
    norm_bias_lr: float = setting(
        1.0, "Learning rate of the biases of normalization layers, as a multiple of lr.", "update", above=0
    )
    lookahead: int = setting(
        0,
        "Updates after which the weights return to their slow average (Lookahead); 0 is off.",
        "update",
        least=0,
    )
    max_grad_norm: float | None = setting(
        None, "Clip the gradient to this L2 norm; by default it is not clipped.", "update", above=0
    )
    accumulate: int = setting(
        1,
        "Number of parts into which a batch is split to save memory; their gradients are added. Batch norm uses the "
        "statistics of each part.",
        "update",
        least=1,
    )
    ema: float | None = setting(
        None,
        "Decay of the exponential moving average of the weights, for example 0.999; the averaged weights are evaluated "
        "and saved. By default there is no average.",
        "update",
        above=0,
        below=1,
    )
    full_precision: bool = setting(
        False, "Train in fp32, as most papers did, where the option precision is auto.", "update"
    )

    schedule: str = setting(
        "constant",
        "Learning-rate schedule.",
        "schedule",
        ("constant", "one-cycle", "cosine", "multistep", "per-pass", "exponential", "plateau"),
    )
    schedule_settings: Mapping[str, Any] = setting({}, "Parameters of the schedule, by name.", "schedule")
    warmup_epochs: float = setting(
        0.0, "Epochs of warm-up at the beginning, with the learning rate lr times warmup_factor.", "schedule", least=0
    )
    warmup_factor: float = setting(0.1, "Factor on lr during the warm-up.", "schedule", above=0)

    initial: str = setting(
        "printed",
        "Initialization: printed (as in the network's paper), modern (one rule for all networks), root-fan-in "
        "(LeNet-5's with the wider range 2.4/sqrt(fan-in)), or whitened (the first layer of speednet_cifar whitens the "
        "training images).",
        "update",
        ("printed", "modern", "root-fan-in", "whitened"),
    )
    start_from: str | None = setting(
        None,
        "Weights to start from: a run directory, a file, or published weights by name (torchvision:IMAGENET1K_V1). If "
        "the classes differ, the head is initialized anew.",
        "start",
    )
    rename: str | None = setting(
        None,
        'With a file in start_from: TOML file of names, theirs = "ours", for weights with names of their own; '
        "convatlas weights writes one.",
        "start",
    )
    mean: str | None = setting(
        None,
        "With a file in start_from: mean of the pixels that its weights were trained with, such as 0.485,0.456,0.406; "
        "from 0 to 1, or from 0 to 255 if a value of mean or std is above 1.",
        "start",
    )
    std: str | None = setting(
        None, "With a file in start_from: standard deviation of the pixels, such as 0.229,0.224,0.225.", "start"
    )
    channels: str | None = setting(
        None,
        "With a file in start_from: order of the channels that its weights were trained with: rgb or bgr.",
        "start",
        ("rgb", "bgr"),
    )
    interpolation: str | None = setting(
        None,
        "With a file in start_from: interpolation that images were resized with: bilinear or bicubic.",
        "start",
        ("bilinear", "bicubic"),
    )
    freeze: str | None = setting(
        None,
        "Stages to freeze, counted from the input: how many, the name of the last one, or all-but-head.",
        "start",
    )
    unfreeze_every: int = setting(
        0,
        "Epochs after which one more stage is unfrozen, beginning with the one nearest to the head; 0 is off.",
        "start",
        least=0,
    )
    stage_lr_decay: float = setting(
        1.0,
        "Learning rate of each stage as a fraction of that of the next stage; the head has lr.",
        "start",
        above=0,
        most=1,
    )

    loss: str = setting(
        "cross-entropy",
        "Loss: cross-entropy, focal, map-1998 (the criterion of LeNet-5's paper), or mse (for networks that "
        "reconstruct images).",
        "loss",
        ("cross-entropy", "focal", "map-1998", "mse"),
    )
    focal_gamma: float = setting(
        2.0,
        "With loss focal: focusing exponent; 0 is cross-entropy.",
        "loss",
        needs=("loss", "focal"),
        least=0,
    )
    class_weights: str = setting(
        "none",
        "Weight of each class in the loss: none, inverse (inverse class frequency), or effective (effective number of "
        "samples, Cui et al.).",
        "loss",
        ("none", "inverse", "effective"),
    )
    label_smoothing: float = setting(
        0.0,
        "Label smoothing: share of the target probability that is spread evenly over all classes.",
        "loss",
        least=0,
        most=0.9,
    )
    dropout: float | None = setting(
        None,
        "Rate of every dropout layer; by default that of the network's paper.",
        "regularisation",
        least=0,
        below=1,
    )
    stochastic_depth: float = setting(
        0.0,
        "Stochastic depth: probability that the last residual branch is skipped in an update; it rises linearly from 0 "
        "at the input.",
        "regularisation",
        least=0,
        below=1,
    )
    filter_rms: float | None = setting(
        None,
        "Largest root mean square of a convolution's filter (0.1 in ZFNet's paper); a larger filter is scaled back to "
        "it. By default there is no limit.",
        "regularisation",
        above=0,
    )

    image_size: int | None = setting(
        None, "Side of the square input, in pixels; by default that of the network's paper.", "images", least=1
    )
    fit: str = setting(
        "auto",
        "How an image that is not square becomes the square input: crop keeps the centre, squash changes the aspect "
        "ratio, pad adds a background, and auto crops unless the sizes of the images suggest otherwise.",
        "images",
        ("auto", "crop", "squash", "pad"),
    )
    resize: int | None = setting(
        None,
        "Shorter side, in pixels, that images are resized to before cropping; by default 256/224 of the input's side "
        "for photos, the input's side for small images, and the middle of crop_scale with crop scale-jitter.",
        "images",
        least=1,
    )
    augment: Augmentation = field(default_factory=Augmentation)
    sampling: str = setting(
        "natural",
        "Images of an epoch: natural (each image once), or balanced (each class equally often, as many images in all).",
        "images",
        ("natural", "balanced"),
    )
    repeats: int = setting(
        1,
        "Repeated augmentation: times that an image occurs in a row, each time changed differently; an epoch keeps its "
        "number of images.",
        "images",
        least=1,
    )
    normalization: str = setting(
        "auto",
        "Normalization of the pixels: standard (mean 0 and standard deviation 1 per channel over the training set), "
        "lenet-1998 (background -0.1, ink 1.175), or auto (that of the weights in start_from, otherwise standard).",
        "images",
        ("auto", "standard", "lenet-1998"),
        formerly="pixels",
    )

    validation_images: int = setting(
        5000,
        "Largest number of images held out for validation, never more than 15 % of the training images; 0 trains on "
        "all of them. No effect on data that have a validation set.",
        "validation",
        least=0,
    )
    keep: str = setting(
        "best",
        "Weights that are kept: those of the epoch with the best validation result, or the last.",
        "validation",
        ("best", "last"),
    )
    patience: int | None = setting(
        None,
        "Stop after this many epochs without a better validation result; by default all epochs are trained.",
        "validation",
        resumable=True,
        least=1,
    )

    def __post_init__(self) -> None:
        if isinstance(self.freeze, int) and not isinstance(self.freeze, bool):  # a number of stages
            object.__setattr__(self, "freeze", str(self.freeze))
        check(self)
        object.__setattr__(self, "schedule_settings", types.MappingProxyType(dict(self.schedule_settings)))
        self._check_update()
        self._check_loss()
        self._check_stages()
        if self.validation_images == 0 and (self.keep == "best" or self.schedule == "plateau" or self.patience):
            raise RecipeError(
                "validation_images = 0 leaves no validation set, which keep = best, schedule = plateau and patience "
                "need: set keep to last, another schedule, and no patience.",
                settings=("validation_images", "keep", "schedule", "patience"),
            )

    def _check_update(self) -> None:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise RecipeError(
                "nesterov needs the optimizer sgd with a momentum above 0; drop --nesterov.",
                settings=("nesterov", "optimizer", "momentum"),
            )
        if self.optimizer == "sdlm" and (self.weight_decay or self.l1):
            raise RecipeError(
                "the optimizer sdlm has no weight decay and no L1 penalty; set weight_decay and l1 to 0.",
                settings=("optimizer", "weight_decay", "l1"),
            )
        if self.eps is not None and self.optimizer in ("sgd", "sdlm"):
            raise RecipeError(
                "eps = {eps:g}: the optimizer {optimizer} has no such constant; leave eps out.",
                settings=("eps", "optimizer"),
                eps=self.eps,
                optimizer=self.optimizer,
            )
        if self.accumulate > self.batch_size:
            raise RecipeError(
                "accumulate = {accumulate} splits a batch into more parts than its {batch_size} images: pass a larger "
                "batch_size, or fewer parts.",
                settings=("accumulate", "batch_size"),
                accumulate=self.accumulate,
                batch_size=self.batch_size,
            )

    def _check_loss(self) -> None:
        if self.loss in ("map-1998", "mse"):
            without = {"label_smoothing": self.label_smoothing, "mixup": self.augment.mixup,
                       "cutmix": self.augment.cutmix}  # fmt: skip
            for name, value in without.items():
                if value:
                    raise RecipeError(
                        "{name} has no meaning for the loss {loss}; set it to 0.",
                        settings=(name, "loss"),
                        name=name,
                        loss=self.loss,
                    )
            if self.class_weights != "none":
                raise RecipeError(
                    "class_weights cannot be used with the loss {loss}; set them to none.",
                    settings=("class_weights", "loss"),
                    loss=self.loss,
                )
        if self.repeats > 1 and self.sampling == "balanced":
            raise RecipeError(
                "repeats {repeats} and sampling = balanced both repeat images. Choose one of them.",
                settings=("repeats", "sampling"),
                repeats=self.repeats,
            )
        if self.class_weights != "none" and self.sampling == "balanced":
            raise RecipeError(
                "class_weights and sampling = balanced both give rare classes more weight. Together they give too "
                "much: choose one of them.",
                settings=("class_weights", "sampling"),
            )

    def _check_stages(self) -> None:
        if self.unfreeze_every and self.freeze in (None, "0"):
            raise RecipeError(
                "unfreeze_every = {unfreeze_every}, but no stage is frozen: set freeze (for example to all-but-head), "
                "or set unfreeze_every to 0.",
                settings=("unfreeze_every", "freeze"),
                unfreeze_every=self.unfreeze_every,
            )
        for name in ("rename", "mean", "std", "channels", "interpolation"):
            if getattr(self, name) is not None and self.start_from is None:
                raise RecipeError(
                    "{name} says how the weights in start_from were made, and there are none: set start_from, or leave "
                    "{name} out.",
                    settings=(name, "start_from"),
                    name=name,
                )
        if self.start_from is not None and self.initial == "whitened":
            raise RecipeError(
                "initial = whitened and start_from both set the first layer; leave one of them out.",
                settings=("initial", "start_from"),
            )
        if self.optimizer == "sdlm" and (self.freeze not in (None, "0") or self.stage_lr_decay != 1):
            raise RecipeError(
                "the optimizer sdlm trains the whole of LeNet-5 with its own learning rates; leave freeze and "
                "stage_lr_decay out.",
                settings=("optimizer", "freeze", "stage_lr_decay"),
            )

    def change(self, **changes: Any) -> Recipe:
        """Return a new recipe with other values, also of the augmentation: ``change(lr=0.05, mixup=0.2)``.

        Raises:
            UnknownNameError: a setting does not exist; the message lists similar names.
        """
        changes, notices = with_current_names(changes, FIELDS.values())
        for notice in notices:
            warnings.warn(notice, FutureWarning, stacklevel=2)
        for name in changes:
            if name not in FIELDS and name != "augment":
                raise UnknownNameError("setting", name, FIELDS, aliases=ALIASES)
        if changes.get("epochs") is not None:
            changes.setdefault("min_updates", 0)  # epochs that are set explicitly are not raised
        return changed(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name, with those of the augmentation beside the others."""
        return values_of(self) | {"schedule_settings": dict(self.schedule_settings)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Make a recipe from the result of `to_dict`, of this version or an earlier one."""
        return changed(cls(), with_current_names(values, FIELDS.values())[0])


FIELDS: dict[str, Setting] = settings_of(Recipe)
# the settings that a user can change: all except the recipe's name and source
SETTINGS = {name: each for name, each in FIELDS.items() if each.group != "recipe"}
