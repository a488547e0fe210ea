"""`Recipe`: every setting of a training, once; the library, the command line and the TOML file all read it here."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convatlas.errors import RecipeError, UnknownNameError
from convatlas.message import Message, joined

# what the papers that introduced them have: Szegedy et al., arXiv:1409.4842, section 6; VGG, arXiv:1409.1556, 3.1
CROP_AREA, CROP_RATIO, CROP_SCALE = (0.08, 1.0), (3 / 4, 4 / 3), (256.0, 512.0)


def setting(default: Any, help: str, group: str, choices: tuple[str, ...] = (), **limits: float) -> Any:
    """A field of `Recipe` with its help; ``limits`` are ``above`` and ``below`` (exclusive), ``least`` and ``most``."""
    metadata = {"help": help, "group": group, "choices": choices, "limits": limits}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training. Immutable: a change is a new recipe (`change`).

    Raises:
        RecipeError: a value out of range, or two that contradict each other.
    """

    name: str = setting("", "Name of the recipe.", "recipe")
    source: str = setting("", "Where it is described.", "recipe")

    epochs: int = setting(15, "Passes over the training part.", "length", least=1)
    min_updates: int = setting(
        0, "Small data sets get more passes, until there are this many updates; 0 switches this off.", "length", least=0
    )
    batch_size: int = setting(128, "Images per update.", "length", least=1)

    optimizer: str = setting("sgd", "The rule of the update.", "update", ("sgd", "adamw", "rmsprop", "muon", "sdlm"))
    lr: float = setting(0.1, "Learning rate; the schedule multiplies it.", "update", above=0)
    momentum: float = setting(0.9, "Momentum; the first beta of AdamW.", "update", least=0, most=0.9999)
    nesterov: bool = setting(False, "Nesterov's form of the momentum.", "update")
    eps: float | None = setting(
        None, "Added to the divisor: 1e-8 in adamw and muon, 1.0 under rmsprop's root.", "update", above=0
    )
    weight_decay: float = setting(
        0.0, "Weight decay: L2, added to the gradient; with adamw and muon decoupled from it.", "update", least=0
    )
    l1: float = setting(
        0.0, "L1 penalty on what is decayed: so many times the sum of absolute weights.", "update", least=0
    )
    decay_all: bool = setting(False, "Decay biases and norms too, as the papers did.", "update")
    norm_bias_lr: float = setting(1.0, "Learning rate of the norms' shifts, relative to all others.", "update", above=0)
    lookahead: int = setting(
        0, "Go back to a slow average of the weights after every so many updates; 0: never.", "update", least=0
    )
    max_grad_norm: float | None = setting(None, "Clip the gradients to this L2 norm.", "update", above=0)
    accumulate: int = setting(
        1,
        "Parts in which an update's images go through the network, to save memory; their gradients are added. "
        "Batch norm sees each part by itself.",
        "update",
        least=1,
    )

    ema: float | None = setting(
        None,
        "Judge and keep a moving average of the weights with this decay, 0.999 say; none: the weights themselves.",
        "update",
        above=0,
        below=1,
    )

    schedule: str = setting(
        "constant",
        "How the learning rate moves.",
        "schedule",
        ("constant", "one-cycle", "cosine", "multistep", "per-pass", "exponential", "plateau"),
    )
    schedule_settings: Mapping[str, Any] = setting({}, "Settings of the schedule, by its own names.", "schedule")
    warmup_epochs: float = setting(0.0, "Epochs at the beginning at lr times warmup_factor.", "schedule", least=0)
    warmup_factor: float = setting(0.1, "See warmup_epochs.", "schedule", above=0)

    initial: str = setting(
        "printed",
        "The first weights: as the paper prints; modern, one rule for all; root-fan-in widens LeNet-5's to "
        "2.4/sqrt(F); whitened fits speednet_cifar's first layer to the training images.",
        "update",
        ("printed", "modern", "root-fan-in", "whitened"),
    )
    start_from: str | None = setting(
        None,
        "Start from these weights: a run directory, a file, or published ones by name (torchvision:IMAGENET1K_V1). "
        "The head is new where the classes differ.",
        "start",
    )
    freeze: str | None = setting(
        None,
        "Stages that are not trained, from the images on: how many, the last one's name, or all-but-head.",
        "start",
    )
    unfreeze_every: int = setting(
        0, "Thaw one frozen stage after every so many epochs, the one nearest to the head first; 0: none.", "start",
        least=0,
    )  # fmt: skip
    stage_lr_decay: float = setting(
        1.0, "Learning rate of a stage, times that of the stage after it; the head has lr.", "start", above=0, most=1
    )

    loss: str = setting(
        "cross-entropy",
        "What is minimised: cross-entropy, focal (both in nats), map-1998 (LeNet-5's); mse, of a reconstruction.",
        "loss",
        ("cross-entropy", "focal", "map-1998", "mse"),
    )
    focal_gamma: float = setting(2.0, "With loss focal: how little counts what is already right.", "loss", least=0)
    class_weights: str = setting(
        "none",
        "What an image counts in the loss: inverse, each class the same together; effective, by the class's "
        "effective number of images.",
        "loss",
        ("none", "inverse", "effective"),
    )
    label_smoothing: float = setting(0.0, "Share of the target spread over all classes.", "loss", least=0, most=0.9)
    dropout: float | None = setting(None, "Rate of every dropout of the network; the paper's where not given.",
                                    "regularisation", least=0, below=1)  # fmt: skip
    stochastic_depth: float = setting(
        0.0,
        "Probability that a residual network's last branch is left out of an update, rising from 0 with the depth.",
        "regularisation",
        least=0,
        below=1,
    )

    filter_rms: float | None = setting(
        None,
        "Scale a convolution's filter back when its root mean square exceeds this; 0.1 in ZFNet's paper.",
        "regularisation",
        above=0,
    )

    image_size: int | None = setting(None, "Side of the square image; the paper's where not given.", "images", least=1)
    fit: str = setting(
        "auto",
        "How an image that is not square becomes the square input: crop keeps the centre, squash changes the aspect "
        "ratio, pad adds a background; auto crops, unless the sizes suggest otherwise.",
        "images",
        ("auto", "crop", "squash", "pad"),
    )
    resize: int | None = setting(
        None,
        "Shorter side the kept images are fitted to, pixels; crops are cut out of them. By default 256/224 of the side "
        "for photos, the side itself for small images, the middle of crop_scale with it (VGG's test scale).",
        "images",
        least=1,
    )
    crop: str = setting(
        "pad",
        "pad: a window of the padded image; random-resized: a box of random area and shape, fitted to the side; "
        "scale-jitter: a window of the image scaled to a random size.",
        "images",
        ("pad", "random-resized", "scale-jitter"),
    )
    pad: str = setting(
        "auto",
        "With crop pad: background added on each side, pixels; auto: a sixteenth of the side, none where resize is "
        "larger than the side.",
        "images",
    )
    pad_with: str = setting(
        "background",
        "With crop pad: the data's background, or the image mirrored at its edge.",
        "images",
        ("background", "reflection"),
    )
    crop_area: tuple[float, float] = setting(
        CROP_AREA, "With crop random-resized: share of the area, from and to.", "images", above=0, most=1
    )
    crop_ratio: tuple[float, float] = setting(
        CROP_RATIO, "With crop random-resized: width over height, from and to.", "images", above=0
    )
    crop_scale: tuple[float, float] = setting(
        CROP_SCALE,
        "With crop scale-jitter: the shorter side the image is scaled to, from and to, pixels (VGG's S).",
        "images",
        least=1,
    )
    flip: str = setting(
        "auto",
        "Mirror: on, half of the images; alternating, each in every second epoch; auto, alternating for colour only.",
        "images",
        ("auto", "on", "alternating", "off"),
    )
    shift: float = setting(
        0.0, "Shift by up to this share of the side, both ways, along both axes.", "images", least=0, most=1
    )
    rotate: float = setting(0.0, "Turn by up to so many degrees, both ways.", "images", least=0, most=180)
    scale: tuple[float, float] = setting((1.0, 1.0), "Enlarge by a factor, from and to.", "images", above=0)
    brightness: float = setting(0.0, "Multiply by a factor from 1 - x to 1 + x.", "images", least=0)
    contrast: float = setting(0.0, "Likewise, away from the mean luma.", "images", least=0)
    saturation: float = setting(0.0, "Likewise, away from each pixel's luma.", "images", least=0)
    hue: float = setting(0.0, "Turn the hue by up to this share of the circle, both ways.", "images", least=0, most=0.5)
    pca_noise: float = setting(
        0.0, "Deviation of AlexNet's noise along the principal colours; 0.1 in the paper.", "images", least=0
    )
    policy: str = setting(
        "none",
        "Named operations at random: trivial, one of any strength (TrivialAugment, wide); rand, policy_number of them, "
        "each of strength policy_magnitude (RandAugment).",
        "images",
        ("none", "trivial", "rand"),
    )
    policy_number: int = setting(2, "With policy rand: operations per image (the paper's N).", "images", least=1)
    policy_magnitude: float = setting(
        9.0,
        "With policy rand: their strength, 10 the most of AutoAugment's (the paper's M).",
        "images",
        least=0,
        most=30,
    )
    cutout: int = setting(0, "Side of a square set to the mean, pixels.", "images", least=0)
    erasing: float = setting(
        0.0, "Probability that a box is filled with noise (random erasing).", "images", least=0, most=1
    )
    mixup: float = setting(0.0, "Alpha of mixup: two images blended; 0: none.", "images", least=0)
    cutmix: float = setting(
        0.0, "Alpha of cutmix: a box of another image; with mixup too, each batch takes either.", "images", least=0
    )
    sampling: str = setting(
        "natural",
        "natural: every image once a pass; balanced: every class as often as any other, as many images a pass.",
        "images",
        ("natural", "balanced"),
    )
    pixels: str = setting(
        "auto",
        "standard: mean 0 and deviation 1 per channel of the training part; lenet-1998: background -0.1, ink 1.175; "
        "auto: as the weights of start_from were trained, else standard.",
        "images",
        ("auto", "standard", "lenet-1998"),
    )

    validation_images: int = setting(
        5000,
        "Images held out for validation at most (15 % of the training images at most); 0: train on all of them.",
        "run",
        least=0,
    )
    keep: str = setting(
        "best", "Which weights the run ends with: of the best validation, or the last.", "run", ("best", "last")
    )
    patience: int | None = setting(
        None, "Stop after so many epochs without a better validation; none: never early.", "run", least=1
    )
    checkpoint_every_s: float = setting(60.0, "Seconds between two checkpoints.", "run", above=0)
    checkpoint_every_steps: int | None = setting(None, "Also a checkpoint every so many updates.", "run", least=1)

    log: str = setting(
        "", "Also write the run for tensorboard, wandb, mlflow; several with commas. All stay on this machine.", "run"
    )

    device: str = setting("auto", "auto, cpu, cuda or cuda:N.", "machine")
    sync_batchnorm: bool = setting(
        False, "With torchrun: batch norm over the whole batch instead of each process's rows.", "machine"
    )
    rank_timeout_s: float = setting(
        30.0, "With torchrun: seconds until a process that does not answer is given up.", "machine", above=0
    )
    threads: int | None = setting(None, "Threads of the CPU; all where not given.", "machine", least=1)
    precision: str = setting(
        "auto", "auto asks the processor whether bf16 is fast.", "machine", ("auto", "bf16", "fp32")
    )
    channels_last: bool | None = setting(
        None, "Keep channels innermost in memory; yes where not given, unless a trial says otherwise.", "machine"
    )
    trial: bool = setting(
        True,
        "Before a long run, try for a few updates what of precision, channels_last and compile is left open; "
        "the answer is kept for this machine.",
        "machine",
    )
    compile: str = setting(
        "auto",
        "torch.compile for the updates; auto: where a trial says that a run repays it.",
        "machine",
        ("auto", "on", "off"),
    )
    allocator: bool = setting(True, "Keep freed memory in the process (glibc).", "machine")

    def __post_init__(self) -> None:
        if isinstance(self.freeze, int) and not isinstance(self.freeze, bool):  # so many stages
            object.__setattr__(self, "freeze", str(self.freeze))
        for each in dataclasses.fields(self):
            if isinstance(getattr(self, each.name), list):  # TOML and JSON have no tuples
                object.__setattr__(self, each.name, tuple(getattr(self, each.name)))
            check(each, getattr(self, each.name))
        object.__setattr__(self, "schedule_settings", types.MappingProxyType(dict(self.schedule_settings)))
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise RecipeError("nesterov needs the optimizer sgd with a momentum above 0; drop --nesterov.")
        if self.optimizer == "sdlm" and (self.weight_decay or self.l1):
            raise RecipeError("the optimizer sdlm has no weight decay and no L1 penalty; set weight_decay and l1 to 0.")
        if self.eps is not None and self.optimizer in ("sgd", "sdlm"):
            raise RecipeError(
                "eps = {eps:g}: the optimizer {optimizer} divides by nothing; leave it out.",
                eps=self.eps,
                optimizer=self.optimizer,
            )
        if self.accumulate > self.batch_size:
            raise RecipeError(
                "accumulate = {accumulate} parts of {batch_size} images: pass a larger batch_size, which "
                "is that of the whole update, or fewer parts.",
                accumulate=self.accumulate,
                batch_size=self.batch_size,
            )
        if self.validation_images == 0 and (self.keep == "best" or self.schedule == "plateau" or self.patience):
            raise RecipeError(
                "without validation_images nothing can be chosen by them: set keep to last, and no plateau or patience."
            )
        self._check_loss()
        self._check_images()
        self._check_stages()

    def _check_loss(self) -> None:
        if self.loss in ("map-1998", "mse"):
            for name in ("label_smoothing", "mixup", "cutmix"):
                if getattr(self, name):
                    raise RecipeError(
                        "{name} has no meaning for the loss {loss}; set it to 0.", name=name, loss=self.loss
                    )
            if self.class_weights != "none":
                raise RecipeError(
                    "class_weights are not written for the loss {loss}; set them to none.", loss=self.loss
                )
        if self.class_weights != "none" and self.sampling == "balanced":
            raise RecipeError(
                "class_weights and sampling = balanced both make up for rare classes, which would then count too much: "
                "choose one of them."
            )

    def _check_stages(self) -> None:
        if self.unfreeze_every and self.freeze in (None, "0"):
            raise RecipeError(
                "unfreeze_every = {unfreeze_every}, and nothing is frozen: say what with freeze (all-but-head), "
                "or set unfreeze_every to 0.",
                unfreeze_every=self.unfreeze_every,
            )
        if self.start_from is not None and self.initial == "whitened":
            raise RecipeError("initial = whitened and start_from both say what the first layer is; leave one out.")
        if self.optimizer == "sdlm" and (self.freeze not in (None, "0") or self.stage_lr_decay != 1):
            raise RecipeError("the optimizer sdlm trains LeNet-5 whole, by its own rule; leave freeze and "
                              "stage_lr_decay out.")  # fmt: skip

    def _check_images(self) -> None:
        """The settings of crop, policy and mixing that would be without effect, or cannot be."""
        if self.pad != "auto" and not self.pad.isdecimal():
            raise RecipeError("pad {pad!r} is neither auto nor a number of pixels.", pad=self.pad)
        for name, (chooser, value) in _BELONGS_TO.items():
            mine, chosen = getattr(self, name), getattr(self, chooser)
            if chosen != value and mine not in (FIELDS[name].default, "0"):
                raise RecipeError(
                    "{name} = {mine!r} belongs to {chooser} {value}, and {chooser} is {chosen}: "
                    "set {chooser} to {value}, or leave {name} as it is by default.",
                    name=name,
                    mine=mine,
                    chooser=chooser,
                    value=value,
                    chosen=chosen,
                )

    def change(self, **changes: Any) -> Recipe:
        """A new recipe with other values.

        Raises:
            UnknownNameError: a field that does not exist; the near ones are offered.
        """
        for name in changes:
            if name not in FIELDS:
                raise UnknownNameError("setting", name, FIELDS)
        if changes.get("epochs") is not None:
            changes.setdefault("min_updates", 0)  # who asks for a number of epochs gets that number
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in FIELDS}
        return values | {"schedule_settings": dict(self.schedule_settings)}


FIELDS: dict[str, dataclasses.Field[Any]] = {each.name: each for each in dataclasses.fields(Recipe)}
# settings that mean nothing unless another one has this value
_BELONGS_TO = {
    "focal_gamma": ("loss", "focal"),
    "pad": ("crop", "pad"),
    "pad_with": ("crop", "pad"),
    "crop_area": ("crop", "random-resized"),
    "crop_ratio": ("crop", "random-resized"),
    "crop_scale": ("crop", "scale-jitter"),
    "policy_number": ("policy", "rand"),
    "policy_magnitude": ("policy", "rand"),
}
# what a user may set: all but the recipe's own name
SETTINGS = {name: each for name, each in FIELDS.items() if each.metadata["group"] != "recipe"}
_TYPES = typing.get_type_hints(Recipe)


def kind(name: str) -> tuple[type, bool]:
    """The type of a field, and whether None is a value of it."""
    options = typing.get_args(_TYPES[name])
    optional = type(None) in options
    wanted = next(option for option in options if option is not type(None)) if optional else _TYPES[name]
    return typing.get_origin(wanted) or wanted, optional


def check(each: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a value of the wrong type or out of its range, by name."""
    wanted, optional = kind(each.name)
    if value is None and optional:
        return
    good = isinstance(value, (int, float) if wanted is float else wanted)
    if not good or (isinstance(value, bool) and wanted is not bool):
        raise RecipeError(
            "{name} = {value!r}: a value of type {kind} was expected.",
            name=each.name,
            value=value,
            kind=wanted.__name__,
        )
    choices = each.metadata["choices"]
    if choices and value not in choices:
        raise RecipeError(
            "{name} = {value!r} is not known. Known: {choices}.",
            name=each.name,
            value=value,
            choices=", ".join(choices),
        )
    if wanted is tuple and not _is_range(value):
        raise RecipeError(
            "{name} = {value!r}: two numbers were expected, the smaller first.", name=each.name, value=value
        )
    for number in value if wanted is tuple else (value,):
        check_limits(each, number)


def check_limits(each: dataclasses.Field[Any], value: Any) -> None:
    limits = each.metadata["limits"]
    if "above" in limits and not value > limits["above"]:
        raise RecipeError(
            "{name} = {value!r}: it must be above {above:g}.", name=each.name, value=value, above=limits["above"]
        )
    if "below" in limits and not value < limits["below"]:
        raise RecipeError(
            "{name} = {value!r}: it must be below {below:g}.", name=each.name, value=value, below=limits["below"]
        )
    if "least" in limits and not value >= limits["least"]:
        raise RecipeError(
            "{name} = {value!r}: at least {least:g} is needed.", name=each.name, value=value, least=limits["least"]
        )
    if "most" in limits and not value <= limits["most"]:
        raise RecipeError(
            "{name} = {value!r}: at most {most:g} is allowed.", name=each.name, value=value, most=limits["most"]
        )


def _is_range(value: tuple[Any, ...]) -> bool:
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
    return len(value) == 2 and numbers and value[0] <= value[1]


def from_text(name: str, text: str) -> Any:
    """The value of a field written as text, as in an environment variable.

    Raises:
        RecipeError: the text is no such value.
    """
    wanted, optional = kind(name)
    if optional and text.lower() in ("", "none"):
        return None
    if wanted is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise RecipeError("{name} = {text!r}: on or off was expected.", name=name, text=text)
    try:
        if wanted is tuple:  # "0.08,1" or "0.08 1"
            return tuple(float(number) for number in text.replace(",", " ").split())
        return wanted(text)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            "{name} = {text!r}: a value of type {kind} was expected.", name=name, text=text, kind=wanted.__name__
        ) from error


def settings_of_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """``CONVATLAS_LR=0.05`` and its like.

    Raises:
        UnknownNameError: a variable that is nearly the name of a setting; others may be somebody else's.
    """
    for variable in environment:
        name = variable.removeprefix("CONVATLAS_").lower()
        if name != variable.lower() and name not in SETTINGS and difflib.get_close_matches(name, SETTINGS, 1, 0.75):
            raise UnknownNameError("setting", name, SETTINGS, hint=Message("({variable})", variable=variable))
    found = {name: f"CONVATLAS_{name.upper()}" for name in SETTINGS}
    return {name: from_text(name, environment[variable]) for name, variable in found.items() if variable in environment}


def settings_of_file(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, at its top level or under ``[recipe]``.

    Raises:
        RecipeError: not TOML, or not to be read.
        UnknownNameError: a setting that does not exist.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError("--config {path} cannot be read: {error}.", path=path, error=error) from error
    table = content.get("recipe", content)
    for name in table:
        if name not in FIELDS:
            raise UnknownNameError("setting", name, SETTINGS, hint=Message("(in {path})", path=path))
    return {name: value for name, value in table.items() if name in SETTINGS}


def resolve(
    recipe: Recipe,
    flags: Mapping[str, Any] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Recipe, dict[str, str]]:
    """The recipe as it will be run, and where each value came from.

    A setting wins in this order: flag, environment, file, recipe, default.

    Raises:
        RecipeError: a value out of range, or two that contradict each other; where not all were typed just now, the
            message says where each is from.
        UnknownNameError: a setting that does not exist.
    """
    defaults = Recipe()
    origins = {name: "default" if getattr(recipe, name) == getattr(defaults, name) else "recipe" for name in SETTINGS}
    values: dict[str, Any] = {}
    layers = (
        ("file", settings_of_file(config) if config else {}),
        ("environment", settings_of_environment(environment)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    )
    for origin, layer in layers:
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        return recipe.change(**values), origins
    except RecipeError as error:
        named = [name for name in values if re.search(rf"\b{name}\b", str(error))]
        if all(origins[name] == "flag" for name in named):
            raise
        places = joined(
            Message("{name} is from {place}", name=name, place=place(name, origins[name], config)) for name in named
        )
        raise RecipeError("{problem} ({places})", problem=error.message, places=places) from error


def place(name: str, origin: str, config: Path | None) -> str:
    """What the user wrote to set it: ``--lr``, ``CONVATLAS_LR``, or the file."""
    flag = f"--{name.replace('_', '-')}"
    return {"flag": flag, "environment": f"CONVATLAS_{name.upper()}", "file": str(config)}[origin]


def describe(recipe: Recipe, origins: Mapping[str, str]) -> str:
    """The settings with where each came from, for ``train --print-config``."""
    values = recipe.to_dict()
    width = max(len(name) for name in origins)
    return "\n".join(
        f"{name:<{width}}  {json.dumps(values[name], ensure_ascii=False):<24}  # {origin}"
        for name, origin in origins.items()
    )
