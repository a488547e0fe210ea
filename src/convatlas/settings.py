"""Settings. Each one is declared once, as a field of a frozen dataclass, with its help, choices and limits.

    @dataclass(frozen=True, kw_only=True)
    class Recipe:
        lr: float = setting(0.1, "Learning rate.", "update", above=0)
        augment: Augmentation = field(default_factory=Augmentation)      # nested: its settings are settings of Recipe

        def __post_init__(self) -> None:
            check(self)

Flags, environment variables, TOML files and the documentation are derived from `settings_of`. They use flat names: the
name of a nested record (``augment``) does not occur in them.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar

from convatlas.errors import RecipeError
from convatlas.message import Message

# what other tools call these settings, for "did you mean"; case and punctuation aside
ALIASES = {
    "learning_rate": "lr", "lr0": "lr", "base_lr": "lr", "batch": "batch_size", "bs": "batch_size",
    "train_batch_size": "batch_size", "epoch": "epochs", "num_epochs": "epochs", "max_epochs": "epochs",
    "wd": "weight_decay", "l2": "weight_decay", "opt": "optimizer", "optim": "optimizer", "scheduler": "schedule",
    "lr_scheduler": "schedule", "sched": "schedule", "warmup": "warmup_epochs", "imgsz": "image_size",
    "img_size": "image_size", "input_size": "image_size", "resolution": "image_size", "smoothing": "label_smoothing",
    "pretrained": "start_from", "finetune": "start_from", "amp": "precision", "fp16": "precision",
    "mixed_precision": "precision", "dtype": "precision", "early_stopping": "patience", "gpu": "device",
    "gpus": "device", "cuda": "device", "accelerator": "device", "num_threads": "threads",
    "gradient_accumulation_steps": "accumulate", "grad_accum_steps": "accumulate", "clip_grad": "max_grad_norm",
    "clip_grad_norm": "max_grad_norm", "gradient_clip_val": "max_grad_norm", "drop": "dropout",
    "dropout_rate": "dropout", "drop_path": "stochastic_depth", "drop_path_rate": "stochastic_depth",
    "model_ema": "ema", "init": "initial", "initialization": "initial", "random_erasing": "erasing",
    "auto_augment": "policy", "aa": "policy", "torch_compile": "compile", "logger": "log", "loggers": "log",
    "criterion": "loss", "loss_fn": "loss",
}  # fmt: skip


R = TypeVar("R")  # a frozen dataclass of settings


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting.

    Attributes:
        kind: bool, int, float or str; tuple for two numbers, the smaller first; Mapping for a table.
        optional: whether None is allowed.
        choices: the allowed texts; for an int, the words that are allowed instead of a number.
        limits: ``above`` and ``below`` (exclusive), ``least`` and ``most`` (inclusive).
        needs: another setting and the value it must have. With any other value this setting has no effect.
        off: the value without an effect; the default unless declared otherwise.
        formerly: an earlier name, which still works.
        resumable: whether a run that is resumed may have another value than it was started with.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    group: str
    choices: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    needs: tuple[str, str] | None = None
    off: Any = None
    formerly: str | None = None
    resumable: bool = False

    @property
    def flag(self) -> str:
        """``--batch-size``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """``CONVATLAS_BATCH_SIZE``."""
        return f"CONVATLAS_{self.name.upper()}"

    def from_text(self, text: str) -> Any:
        """Parse a value, such as that of an environment variable.

        Raises:
            RecipeError: the text is not a value of this type.
        """
        if self.optional and text.lower() in ("", "none"):
            return None
        if self.kind is bool:
            if text.lower() in ("1", "true", "yes", "on"):
                return True
            if text.lower() in ("0", "false", "no", "off"):
                return False
            raise RecipeError("{name} = {value!r}: on or off was expected.", **self._message_fields(text))
        try:
            if self.kind is tuple:  # "0.08,1" or "0.08 1"
                return tuple(float(number) for number in text.replace(",", " ").split())
            return text if self.kind is int and text in self.choices else self.kind(text)
        except (TypeError, ValueError) as error:
            raise self._wrong_type(text) from error

    def converted(self, value: Any) -> Any:
        """A value from TOML, JSON or a flag, converted to the setting's type where that loses nothing."""
        if self.kind is tuple and isinstance(value, list):  # TOML and JSON have no tuples
            return tuple(value)
        if self.kind is int and self.choices and isinstance(value, str) and value.isdecimal():
            return int(value)
        return value

    def check(self, value: Any) -> None:
        """Raise RecipeError where the value has the wrong type or is out of range."""
        if value is None and self.optional:
            return
        if self.kind is int and isinstance(value, str) and value in self.choices:
            return
        accepted: Any = (int, float) if self.kind is float else self.kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and self.kind is not bool):
            raise self._wrong_type(value)
        if self.kind is str and self.choices and value not in self.choices:
            choices = ", ".join(self.choices)
            raise RecipeError(
                "{name} = {value!r} is not known. Known: {choices}.", **self._message_fields(value), choices=choices
            )
        if self.kind is tuple and not _is_range(value):
            raise RecipeError(
                "{name} = {value!r}: two numbers were expected, the smaller first.", **self._message_fields(value)
            )
        for number in value if self.kind is tuple else (value,):
            self._check_limits(number)

    def _check_limits(self, value: Any) -> None:
        fields, limits = self._message_fields(value), self.limits
        if "above" in limits and not value > limits["above"]:
            raise RecipeError("{name} = {value!r}: it must be above {above:g}.", **fields, above=limits["above"])
        if "below" in limits and not value < limits["below"]:
            raise RecipeError("{name} = {value!r}: it must be below {below:g}.", **fields, below=limits["below"])
        if "least" in limits and not value >= limits["least"]:
            raise RecipeError("{name} = {value!r}: at least {least:g} is needed.", **fields, least=limits["least"])
        if "most" in limits and not value <= limits["most"]:
            raise RecipeError("{name} = {value!r}: at most {most:g} is allowed.", **fields, most=limits["most"])

    def _wrong_type(self, value: Any) -> RecipeError:
        if self.kind is int and self.choices:
            words = ", ".join(self.choices)
            return RecipeError(
                "{name} = {value!r}: an int or {words} was expected.", **self._message_fields(value), words=words
            )
        kind = self.kind.__name__
        return RecipeError(
            "{name} = {value!r}: a value of type {kind} was expected.", **self._message_fields(value), kind=kind
        )

    def _message_fields(self, value: Any) -> dict[str, Any]:
        """The arguments of every error about a value of this setting."""
        return {"settings": (self.name,), "name": self.name, "value": value}


def setting(
    default: Any,
    help: str,
    group: str,
    choices: tuple[str, ...] = (),
    *,
    needs: tuple[str, str] | None = None,
    off: Any = dataclasses.MISSING,
    formerly: str | None = None,
    resumable: bool = False,
    **limits: float,
) -> Any:
    """A dataclass field that is a setting; see `Setting` for the arguments."""
    declaration = {"help": help, "group": group, "choices": choices, "limits": limits, "needs": needs,
                   "off": default if off is dataclasses.MISSING else off, "formerly": formerly,
                   "resumable": resumable}  # fmt: skip
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={"setting": declaration})
    return field(default=default, metadata={"setting": declaration})


_SETTINGS: dict[type, dict[str, Setting]] = {}  # by dataclass, so that type hints are read only once


def settings_of(record: type) -> dict[str, Setting]:
    """The settings of a dataclass by name. Those of a nested dataclass come at the position of its field."""
    if record in _SETTINGS:
        return _SETTINGS[record]
    settings: dict[str, Setting] = _SETTINGS.setdefault(record, {})
    hints = typing.get_type_hints(record)
    for item in dataclasses.fields(record):
        if dataclasses.is_dataclass(hints[item.name]):
            settings |= settings_of(hints[item.name])
            continue
        options = typing.get_args(hints[item.name]) if NoneType in typing.get_args(hints[item.name]) else ()
        kind = next((option for option in options if option is not NoneType), hints[item.name])
        if int in typing.get_args(kind):  # int | str: a number, or one of the choices
            kind = int
        default = {} if item.default is dataclasses.MISSING else item.default
        settings[item.name] = Setting(
            item.name, typing.get_origin(kind) or kind, bool(options), default, **item.metadata["setting"]
        )
    return settings


def check(record: Any) -> None:
    """Convert and check every setting of a frozen record; to be called in its ``__post_init__``.

    Raises:
        RecipeError: a value is out of range, or has no effect with the other values.
    """
    own = {item.name for item in dataclasses.fields(record)}
    settings = {name: setting for name, setting in settings_of(type(record)).items() if name in own}
    for name, setting in settings.items():
        object.__setattr__(record, name, setting.converted(getattr(record, name)))
        setting.check(getattr(record, name))
    for name, setting in settings.items():
        if setting.needs is None or getattr(record, name) in (setting.default, setting.off):
            continue
        other, needed = setting.needs
        if getattr(record, other) != needed:
            raise RecipeError(
                "{name} = {value!r} has an effect only with {other} = {needed}, and {other} is {actual}: "
                "set {other} to {needed}, or leave {name} out.",
                settings=(name, other),
                name=name,
                value=getattr(record, name),
                other=other,
                needed=needed,
                actual=getattr(record, other),
            )


def values_of(record: Any) -> dict[str, Any]:
    """The settings of a record by their flat names."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        values |= values_of(value) if dataclasses.is_dataclass(value) else {item.name: value}
    return values


def changed(record: R, values: Mapping[str, Any]) -> R:
    """A copy of a record with some values replaced. ``values`` has flat names, or a nested record by its own name."""
    own = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}  # type: ignore[arg-type]
    new = {name: value for name, value in values.items() if name in own}
    for name, nested in own.items():
        if dataclasses.is_dataclass(nested):
            inner = {key: values[key] for key in settings_of(type(nested)) if key in values}
            if inner:
                new[name] = changed(new.get(name, nested), inner)
    return dataclasses.replace(record, **new)  # type: ignore[type-var]


def with_current_names(
    values: Mapping[str, Any], settings: Iterable[Setting]
) -> tuple[dict[str, Any], tuple[Message, ...]]:
    """The values with former names of settings replaced by the current ones, and a notice for each."""
    formerly = {setting.formerly: setting.name for setting in settings if setting.formerly is not None}
    renamed = {name: formerly[name] for name in values if name in formerly}
    current = {renamed.get(name, name): value for name, value in values.items() if renamed.get(name) not in values}
    notices = (
        Message("{old} is now called {new}; the old name works in this version only.", old=old, new=new)
        for old, new in renamed.items()
    )
    return current, tuple(notices)


def _is_range(value: tuple[Any, ...]) -> bool:
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
    return len(value) == 2 and numbers and value[0] <= value[1]
