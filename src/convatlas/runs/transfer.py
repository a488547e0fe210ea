"""Start a training from the weights of an earlier one: which tensors are loaded, and which stages are frozen.

convatlas train resnet18 --data PHOTOS --recipe finetune --start-from runs/resnet18-cifar-001
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from convatlas import models
from convatlas.data import Preprocessing
from convatlas.errors import CheckpointError, DataError, RecipeError, UsageError
from convatlas.message import Message, joined
from convatlas.models.blocks import Classifier
from convatlas.models.stages import Stage, frozen_stages, stages
from convatlas.models.weights.contents import in_folder
from convatlas.models.weights.given import GivenPreparation
from convatlas.models.weights.load import filled, fitted, per_class
from convatlas.models.weights.published import fetched, published
from convatlas.models.weights.source import spare
from convatlas.recipes.recipe import Recipe
from convatlas.runs.loaded_network import preprocessing_of
from convatlas.runs.run import CONFIG, WEIGHTS, Run
from convatlas.training import checkpoint
from convatlas.training.freezing import Freezing


@dataclass(frozen=True)
class InitialWeights:
    """Weights to start from, and what is known about them.

    Attributes:
        name: the run directory or file, or the published name.
        network: the network of the tensors, whose names and shapes are those of `create_model`.
        classes: its class names; empty if they are not known.
        preprocessing: of its images; None if it is not known.
        prepared_from: where the preprocessing comes from, in words; empty for a run.
        lacking: tensors of the network that are missing in a backbone without a head.
        remarks: how a file was converted, and what its user should know.
    """

    name: str
    network: str
    tensors: dict[str, Tensor]
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    prepared_from: str = ""
    lacking: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What the user states about weights that convatlas did not write.

    Attributes:
        rename: a TOML file of names.
        preparation: the preparation of the images for these weights.
    """

    rename: str | None = None
    preparation: GivenPreparation = field(default_factory=GivenPreparation)

    @classmethod
    def of(cls, recipe: Recipe) -> Origin:
        """Return what the settings of a recipe state.

        Raises:
            UsageError: a mean or standard deviation is not a list of numbers.
        """
        preparation = GivenPreparation.of_texts(
            recipe.mean, recipe.std, channels=recipe.channels, interpolation=recipe.interpolation
        )
        return cls(recipe.rename, preparation)

    def __bool__(self) -> bool:
        return self.rename is not None or bool(self.preparation)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_source(
    start_from: str, model: str, download: bool = False, image_size: int | None = None, origin: Origin | None = None
) -> InitialWeights:
    """Read the weights of a run or of a file, or published weights by name.

    Args:
        model: the network to train. A file that convatlas did not write must have weights of this network.
        image_size: the side of the images for which the network of such a file was built; None: the paper's.
        origin: what the user states about such a file.

    Raises:
        UsageError: ``origin`` is set for weights that convatlas wrote.
        DataError: there is nothing of that name, or the directory is not a run directory.
        CheckpointError: the run has no weights yet, or the file is damaged or has weights of another network.
        UnknownNameError: there are no published weights of that name.
    """
    path, origin = Path(start_from), origin or Origin()
    if path.is_dir() and not (path / CONFIG).exists():
        with suppress(CheckpointError):  # no weights either: it is taken for the run that it should be
            path = in_folder(path)
    if path.is_dir():
        refuse_origin(start_from, origin)
        run = Run(path)
        if not run.finished:
            raise CheckpointError(
                "start_from {path} has no {weights} yet: the training did not finish. "
                "Continue it:  convatlas train --resume {path}",
                path=path,
                weights=WEIGHTS,
            )
        return read_own_weights(path / WEIGHTS, start_from)
    if not path.exists():
        if ":" not in start_from:
            raise DataError(
                "start_from {start_from!r} does not exist. Give a run directory, a file of weights, or published "
                "weights by name, such as torchvision:IMAGENET1K_V1.",
                start_from=start_from,
            )
        return read_foreign_weights(fetched(published(model, start_from), download), start_from, model, None, origin)
    if is_convatlas_file(path):
        refuse_origin(start_from, origin)
        return read_own_weights(path, start_from)
    return read_foreign_weights(path, start_from, model, image_size, origin)


def refuse_origin(start_from: str, origin: Origin) -> None:
    """Raise UsageError if names or a preparation are set for weights that convatlas wrote."""
    if origin:
        raise UsageError(
            "start_from {start_from} was written by convatlas and contains its names and preprocessing: leave "
            "rename, mean, std, channels and interpolation out.",
            start_from=start_from,
        )


def is_convatlas_file(path: Path) -> bool:
    """Whether convatlas wrote the file, and its header identifies the network."""
    try:
        with safe_open(path, framework="pt") as file:
            return "convatlas" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # not a complete safetensors file; reading it as foreign weights gives the precise error


def read_own_weights(path: Path, name: str) -> InitialWeights:
    """Read the ``model.safetensors`` of a run."""
    tensors, identity = checkpoint.load(path)
    if not {"model", "classes", "preprocessing"} <= set(identity):
        raise CheckpointError(
            "{path} is an intermediate checkpoint, not the final weights of a run. Give the run directory.",
            path=path,
        )
    preprocessing = Preprocessing.from_dict(identity["preprocessing"])
    return InitialWeights(name, identity["model"], tensors, tuple(identity["classes"]), preprocessing)


def read_foreign_weights(path: Path, name: str, model: str, image_size: int | None, origin: Origin) -> InitialWeights:
    """Read weights of ``model`` that convatlas did not write.

    The number of classes and channels may differ from the paper's, and the head may be missing.
    """
    entry = models.entry(model)
    net = models.create_model(model, image_size=image_size)
    assert isinstance(net, Classifier)
    fit = fitted(net, path, rename=origin.rename)
    heads = sorted(per_class(model, entry.input[0], image_size or entry.input[1]))
    classes = next((len(fit.ours[head]) for head in heads if head in fit.ours), entry.num_classes)
    stem = next((key for key, tensor in net.state_dict().items() if tensor.dim() == 4), "")
    channels = fit.ours[stem].shape[1] if stem in fit.ours else entry.input[0]
    if (classes, channels) != (entry.num_classes, entry.input[0]):
        net = models.create_model(model, num_classes=classes, in_channels=channels, image_size=image_size)
        assert isinstance(net, Classifier)
        fit = fitted(net, path, rename=origin.rename)
    if not fit.headless:
        fit.complain()
    loaded = filled(net, fit, origin.preparation)
    lacking = frozenset(fit.missing)
    return InitialWeights(
        name,
        entry.full_name,
        {key: tensor for key, tensor in net.state_dict().items() if key not in lacking},
        loaded.labels.names if loaded.labels and not lacking else (),
        preprocessing_of(loaded.preparation) if loaded.preparation else None,
        loaded.preparation_from,
        lacking,
        loaded.remarks,
    )


# --- loading into the network -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightTransfer:
    """Which tensors were loaded into a network, for the header and config.toml.

    Attributes:
        source: the name of the weights.
        loaded, initialized: names of the tensors that were loaded, and of those with new initial values.
        reason: why tensors were initialized anew.
        sha256: of the loaded tensors, in the order of their names.
        remarks: those of the source.
        prepared: how the images of the source were prepared, and where that is stated; empty for a run.
    """

    source: str
    loaded: tuple[str, ...]
    initialized: tuple[str, ...]
    reason: Message
    sha256: str
    remarks: tuple[str, ...] = ()
    prepared: str = ""

    def __str__(self) -> str:
        return self.description

    @property
    def description(self) -> Message:
        if not self.initialized:
            return Message("{source}: all {n} tensors loaded", source=self.source, n=len(self.loaded))
        return Message(
            "{source}: {loaded} tensors loaded, {n} initialized anew ({names}): {reason}",
            source=self.source,
            loaded=len(self.loaded),
            n=len(self.initialized),
            names=shortened(self.initialized, 4),
            reason=self.reason,
        )

    def to_dict(self) -> dict[str, Any]:
        remarks = {"remarks": list(self.remarks)} if self.remarks else {}
        prepared = {"prepared": self.prepared} if self.prepared else {}
        counts = {"taken": len(self.loaded), "new": list(self.initialized), "taken_sha256": self.sha256}
        return {"said": self.description, **remarks, **prepared, **counts}


def load_initial_weights(
    net: nn.Module, model: str, source: InitialWeights, classes: tuple[str, ...], image_size: int
) -> WeightTransfer:
    """Load the tensors of ``source`` into ``net``, which was built for ``classes``.

    If the class names differ, the head (the tensors with a row per class) keeps its new initial values. Everything is
    checked before anything is loaded.

    Raises:
        CheckpointError: the weights are of another network, or of one for images of another size or number of channels.
    """
    own = net.state_dict()
    layers = None if source.network == model else shared_layers(source.network, model)
    available = source.tensors if layers is None else tensors_of(layers, source.tensors)
    heads = per_class(model, int(getattr(net, "in_channels", 3)), image_size)
    replaced = heads if source.classes != classes else frozenset()
    replaced |= source.lacking
    wanted = [name for name in own if name not in replaced and (layers is None or name in available)]
    missing = [name for name in wanted if name not in available and not spare(name)]
    unknown = [name for name in available if name not in own and not spare(name)]
    misfits = [name for name in wanted if name in available and available[name].shape != own[name].shape]
    if missing or unknown:
        raise CheckpointError(
            "{name} does not fit {model}: {missing} of its tensors are missing{missing_names}, and {unknown} tensors "
            "do not belong to it{unknown_names}. Start from weights of {model}.",
            name=source.name,
            model=model,
            missing=len(missing),
            missing_names=first_names(missing),
            unknown=len(unknown),
            unknown_names=first_names(unknown),
        )
    if misfits:
        reason = describe_misfits(misfits, available, own)
        raise CheckpointError("{name} does not fit: {reason}", name=source.name, reason=reason)
    loaded = {name: available[name].to(own[name].dtype) for name in wanted if name in available}
    net.load_state_dict(own | loaded)
    initialized = tuple(name for name in own if name not in loaded)
    digest = hashlib.sha256()
    for name in sorted(loaded):
        digest.update(name.encode() + loaded[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    prepared = ""
    if source.preprocessing is not None and source.prepared_from:
        why = source.preprocessing.why
        prepared = Message("{preprocessing} ({origin})", preprocessing=why, origin=source.prepared_from)
    return WeightTransfer(
        source.name,
        tuple(loaded),
        initialized,
        reason_to_initialize(source, classes, layers, initialized, heads),
        digest.hexdigest(),
        source.remarks,
        prepared,
    )


def shared_layers(source: str, target: str) -> tuple[str, ...]:
    """Return the layers of ``source`` from which the paper of ``target`` starts its training.

    Raises:
        CheckpointError: the paper of ``target`` does not start from ``source``.
    """
    layers = models.entry(target).starts_from.get(source)
    if layers is None:
        raise CheckpointError(
            "start_from has weights of {source}, but the network to train is {target}. Give weights of {target}.",
            source=source,
            target=target,
        )
    return layers


def tensors_of(layers: tuple[str, ...], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of these layers."""
    return {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] in layers}


def reason_to_initialize(
    source: InitialWeights,
    classes: tuple[str, ...],
    layers: tuple[str, ...] | None,
    initialized: tuple[str, ...],
    heads: frozenset[str],
) -> Message:
    """State why these tensors were not loaded."""
    reasons = []
    if source.lacking:
        return Message("the file is a backbone without a head")
    if any(name in heads for name in initialized):
        if source.classes:
            counts = {"there": len(source.classes), "here": len(classes)}
            reasons.append(Message("its {there} classes are not the {here} classes of these data", **counts))
        else:
            reasons.append(Message("its class names are not known"))
    if any(name not in heads for name in initialized):
        missing = Message("it does not contain them")
        reasons.append(missing if layers is None else Message("{network} has no such layers", network=source.network))
    return joined(reasons, "; ")


def shortened(names: Sequence[object], limit: int) -> Message:
    """Return the first ``limit`` names, and how many more there are."""
    first = joined(names[:limit])
    return Message("{first} and {n} more", first=first, n=len(names) - limit) if len(names) > limit else first


def describe_misfits(misfits: list[str], available: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Message:
    """Describe the first tensor of another shape, and what to do about it."""
    name = misfits[0]
    there, here = tuple(available[name].shape), tuple(own[name].shape)
    more = Message(" ({n} tensors in all)", n=len(misfits)) if len(misfits) > 1 else ""
    way_out = Message("Use images of the size of the source: --image-size.")
    if len(there) == 4 and there[0] == here[0] and there[2:] == here[2:]:
        way_out = Message(
            "The source reads {there} channels, and these images have {here}: convert the images.",
            there=there[1],
            here=here[1],
        )
    return Message(
        "{name} has the shape {there} in the source and {here} here{more}. {way_out}",
        name=name,
        there=there,
        here=here,
        more=more,
        way_out=way_out,
    )


def first_names(names: list[str]) -> str:
    """Return up to three names in parentheses, after a space; empty if there are none."""
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


# --- stages -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageSettings:
    """The stages of a network, how many of them are frozen at first, and the learning rate of each.

    Attributes:
        stages: from the input to the head.
        frozen: number of frozen stages at first, counted from the input.
        unfreeze_every: epochs after which one more stage is unfrozen; 0 is never.
        lr_decay: learning rate of each stage as a fraction of that of the next stage.
    """

    stages: tuple[Stage, ...]
    frozen: int
    unfreeze_every: int
    lr_decay: float

    @property
    def lr_scales(self) -> list[float]:
        """The factor on the learning rate of each stage; 1 for the head."""
        return [self.lr_decay ** (len(self.stages) - 1 - number) for number in range(len(self.stages))]

    def __str__(self) -> str:
        return self.description

    @property
    def description(self) -> Message:
        parts = []
        if self.frozen:
            names = ", ".join(stage.name for stage in self.stages[: self.frozen])
            parts.append(Message("{stages} frozen, with their batch norm", stages=names))
        if self.unfreeze_every:
            several = Message("every {n} epochs", n=self.unfreeze_every)
            period = Message("each epoch") if self.unfreeze_every == 1 else several
            parts.append(Message("one more stage unfrozen after {period}", period=period))
        if self.lr_decay != 1:
            scales = zip(self.stages, self.lr_scales, strict=True)
            factors = ", ".join(f"{stage.name} {scale:.3g}" for stage, scale in scales)
            parts.append(Message("factors on the learning rate: {factors}", factors=factors))
        return joined(parts, "; ")

    def freezing(self, net: nn.Module) -> Freezing:
        return Freezing([stage.modules(net) for stage in self.stages], self.frozen, self.unfreeze_every)

    def scaled(self, net: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Divide the parameter groups of an optimizer by stage, and set the ``lr_scale`` of each."""
        scale_of = {
            id(parameter): scale
            for stage, scale in zip(self.stages, self.lr_scales, strict=True)
            for parameter in stage.parameters(net)
        }
        divided = []
        for group in groups:
            scales = Counter(scale_of[id(parameter)] for parameter in group["params"])
            for scale in scales:
                own = [parameter for parameter in group["params"] if scale_of[id(parameter)] == scale]
                divided.append({**group, "params": own, "lr_scale": group.get("lr_scale", 1.0) * scale})
        return divided


def stage_settings(net: nn.Module, recipe: Recipe, image: tuple[int, int, int]) -> StageSettings | None:
    """Return the stages as the recipe freezes them or reduces their learning rates; None if it does neither.

    Raises:
        RecipeError: the initial weights are random, or nothing is left to train.
        UnknownNameError: there is no such stage.
    """
    if recipe.freeze in (None, "0") and recipe.stage_lr_decay == 1:
        return None
    if recipe.start_from is None:
        setting = f"freeze = {recipe.freeze!r}" if recipe.freeze else f"stage_lr_decay = {recipe.stage_lr_decay:g}"
        raise RecipeError(
            "recipe {name!r}: {setting} is for pretrained weights, and the initial weights are random. "
            "Pass --start-from with a run or a file of weights.",
            name=recipe.name,
            setting=setting,
        )
    all_stages = stages(net, image)
    frozen = frozen_stages(all_stages, recipe.freeze or "0")
    if not any(parameter.numel() for stage in all_stages[frozen:] for parameter in stage.parameters(net)):
        raise RecipeError(
            "freeze = {freeze!r} leaves nothing to train: {name} has no parameters. Freeze fewer of "
            "the stages {stages}.",
            freeze=recipe.freeze,
            name=all_stages[-1].name,
            stages=", ".join(stage.name for stage in all_stages),
        )
    return StageSettings(all_stages, frozen, recipe.unfreeze_every if frozen else 0, recipe.stage_lr_decay)
