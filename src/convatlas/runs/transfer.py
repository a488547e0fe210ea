"""A training that starts from other weights: which of them are taken, how its images are prepared, what is frozen.

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
from convatlas.runs.loaded_network import rule_of
from convatlas.runs.run import CONFIG, WEIGHTS, Run
from convatlas.training import checkpoint
from convatlas.training.freezing import Freezing


@dataclass(frozen=True)
class InitialWeights:
    """Weights to start from, and what is known of their making.

    Attributes:
        name: the run directory or file, or the published name.
        network: whose tensors these are, by the names and in the shapes of `create_model`.
        classes: what its outputs are called; empty where that is not known.
        rule: how its images were prepared; None where that is not known.
        prepared_from: where the rule is from, in words; empty for a run's own.
        lacking: tensors of the network that a backbone without a head does not hold.
        remarks: what was undone in a file, and what its user should know.
    """

    name: str
    network: str
    tensors: dict[str, Tensor]
    classes: tuple[str, ...] = ()
    rule: Preprocessing | None = None
    prepared_from: str = ""
    lacking: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What the user says of other people's weights.

    Attributes:
        rename: a TOML file of names.
        preparation: how images were prepared for them.
    """

    rename: str | None = None
    preparation: GivenPreparation = field(default_factory=GivenPreparation)

    @classmethod
    def of(cls, recipe: Recipe) -> Origin:
        """What a recipe says.

        Raises:
            UsageError: numbers that are none.
        """
        given = GivenPreparation.of_texts(
            recipe.mean, recipe.std, channels=recipe.channels, interpolation=recipe.interpolation
        )
        return cls(recipe.rename, given)

    def __bool__(self) -> bool:
        return self.rename is not None or bool(self.preparation)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_source(
    start_from: str, model: str, download: bool = False, image_size: int | None = None, origin: Origin | None = None
) -> InitialWeights:
    """The weights of a run, of a file, or published ones by name.

    Args:
        model: the network to be trained; a file of other people's weights is taken for one of it ...
        image_size: ... that was built for images of this side, the paper's where None.
        origin: what is known of such a file.

    Raises:
        UsageError: an origin given for a run, which knows its own.
        DataError: nothing of that name, or a directory that is no run.
        CheckpointError: a run without weights yet; a file that is damaged or of another network.
        UnknownNameError: no such published weights.
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
        return ours(path / WEIGHTS, start_from)
    if not path.exists():
        if ":" not in start_from:
            raise DataError(
                "start_from {start_from!r} does not exist. Give a run directory, a file of weights, or published "
                "weights by name, such as torchvision:IMAGENET1K_V1.",
                start_from=start_from,
            )
        return foreign(fetched(published(model, start_from), download), start_from, model, None, origin)
    if written_here(path):
        refuse_origin(start_from, origin)
        return ours(path, start_from)
    return foreign(path, start_from, model, image_size, origin)


def refuse_origin(start_from: str, origin: Origin) -> None:
    """Raise UsageError where names or a preparation are given for weights that convatlas trained."""
    if origin:
        raise UsageError(
            "start_from {start_from} was trained here and holds its names and the preparation of its images: leave "
            "rename, mean, std, channels and interpolation out.",
            start_from=start_from,
        )


def written_here(path: Path) -> bool:
    """Whether convatlas wrote the file, with what it needs to be known again in its header."""
    try:
        with safe_open(path, framework="pt") as file:
            return "convatlas" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # no whole safetensors file; whoever reads it as what it is will say more


def ours(path: Path, name: str) -> InitialWeights:
    """``model.safetensors`` of a run, which says what it is of."""
    tensors, identity = checkpoint.load(path)
    if not {"model", "classes", "preprocessing"} <= set(identity):
        raise CheckpointError(
            "{path} is a checkpoint on the way, not the weights a run ended with; give the run.",
            path=path,
        )
    rule = Preprocessing.from_dict(identity["preprocessing"])
    return InitialWeights(name, identity["model"], tensors, tuple(identity["classes"]), rule)


def foreign(path: Path, name: str, model: str, image_size: int | None, origin: Origin) -> InitialWeights:
    """Other people's weights of ``model``, whatever their number of classes and of channels; without a head too."""
    entry = models.entry(model)
    net = models.create_model(model, image_size=image_size)
    assert isinstance(net, Classifier)
    fit = fitted(net, path, rename=origin.rename)
    heads = sorted(per_class(model, entry.input[0], image_size or entry.input[1]))
    classes = next((len(fit.ours[head]) for head in heads if head in fit.ours), entry.num_classes)
    stem = next((own for own, value in net.state_dict().items() if value.dim() == 4), "")
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
        {key: value for key, value in net.state_dict().items() if key not in lacking},
        loaded.labels.names if loaded.labels and not lacking else (),
        rule_of(loaded.preparation) if loaded.preparation else None,
        loaded.preparation_from,
        lacking,
        loaded.remarks,
    )


# --- taking over ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightTransfer:
    """What a network took over, for header and config.toml."""

    source: str
    taken: tuple[str, ...]
    new: tuple[str, ...]
    why_new: Message
    sha256: str  # of all that was taken, in the order of its names
    remarks: tuple[str, ...] = ()
    prepared: str = ""  # how the source's images were prepared, and where that is from

    def __str__(self) -> str:
        return self.said

    @property
    def said(self) -> Message:
        if not self.new:
            return Message("{source}: all {n} tensors taken", source=self.source, n=len(self.taken))
        return Message(
            "{source}: {taken} tensors taken, {n} new ({new}): {why}",
            source=self.source,
            taken=len(self.taken),
            n=len(self.new),
            new=some_of(self.new, 4),
            why=self.why_new,
        )

    def to_dict(self) -> dict[str, Any]:
        said = {"remarks": list(self.remarks)} if self.remarks else {}
        prepared = {"prepared": self.prepared} if self.prepared else {}
        taken = {"taken": len(self.taken), "new": list(self.new), "taken_sha256": self.sha256}
        return {"said": self.said, **said, **prepared, **taken}


def take_over(
    net: nn.Module, model: str, source: InitialWeights, classes: tuple[str, ...], image_size: int
) -> WeightTransfer:
    """Give ``net``, built for ``classes``, the tensors of ``source``; its head stays new where the classes differ.

    The head is what has a row per class. All is checked before anything is loaded.

    Raises:
        CheckpointError: weights of another network, or of one for other images; the message says what does not fit.
    """
    own = net.state_dict()
    layers = None if source.network == model else shared_layers(source.network, model)
    given = source.tensors if layers is None else tensors_of(layers, source.tensors)
    heads = per_class(model, int(getattr(net, "in_channels", 3)), image_size)
    replaced = heads if source.classes != classes else frozenset()
    replaced |= source.lacking
    wanted = [name for name in own if name not in replaced and (layers is None or name in given)]
    missing = [name for name in wanted if name not in given and not spare(name)]
    unknown = [name for name in given if name not in own and not spare(name)]
    misfits = [name for name in wanted if name in given and given[name].shape != own[name].shape]
    if missing or unknown:
        raise CheckpointError(
            "{name} does not fit {model}: {network} lacks {missing} of its tensors"
            "{lacking} and has {unknown} others{others}. Start from a run of {model}.",
            name=source.name,
            model=model,
            network=source.network,
            missing=len(missing),
            lacking=named(missing),
            unknown=len(unknown),
            others=named(unknown),
        )
    if misfits:
        raise CheckpointError("{name} does not fit: {reason}", name=source.name, reason=said_of(misfits, given, own))
    taken = {name: given[name].to(own[name].dtype) for name in wanted if name in given}
    net.load_state_dict(own | taken)
    new = tuple(name for name in own if name not in taken)
    digest = hashlib.sha256()
    for name in sorted(taken):
        digest.update(name.encode() + taken[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    prepared = ""
    if source.rule is not None and source.prepared_from:
        prepared = Message("{rule} ({origin})", rule=source.rule.why, origin=source.prepared_from)
    return WeightTransfer(
        source.name,
        tuple(taken),
        new,
        why_new(source, classes, layers, new, heads),
        digest.hexdigest(),
        source.remarks,
        prepared,
    )


def shared_layers(source: str, target: str) -> tuple[str, ...]:
    """The layers that a network starts with where it starts from another one; the rest of its weights is drawn.

    Raises:
        CheckpointError: the network's paper starts it from no such network.
    """
    layers = models.entry(target).starts_from.get(source)
    if layers is None:
        raise CheckpointError(
            "start_from holds weights of {source}, and {target} is to be trained; give one of its own.",
            source=source,
            target=target,
        )
    return layers


def tensors_of(layers: tuple[str, ...], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of these layers."""
    return {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] in layers}


def why_new(
    source: InitialWeights,
    classes: tuple[str, ...],
    layers: tuple[str, ...] | None,
    new: tuple[str, ...],
    heads: frozenset[str],
) -> Message:
    reasons = []
    if source.lacking:
        return Message("the file is a backbone without a head")
    if any(name in heads for name in new):
        named = Message("{n} others", n=len(source.classes))
        others = named if source.classes else Message("classes that it does not name")
        reasons.append(Message("{n} classes here, {others} there", n=len(classes), others=others))
    if any(name not in heads for name in new):
        unknown = Message("{network} has no layer for them", network=source.network)
        reasons.append(unknown if layers is not None else Message("it does not hold them"))
    return joined(reasons, "; ")


def some_of(names: Sequence[object], most: int) -> Message:
    """The first of them, and how many more there are."""
    first = joined(names[:most])
    return Message("{first} and {n} more", first=first, n=len(names) - most) if len(names) > most else first


def said_of(misfits: list[str], given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Message:
    """The first tensor of another shape, and what to do about it."""
    name = misfits[0]
    there, here = tuple(given[name].shape), tuple(own[name].shape)
    more = Message(" ({n} tensors in all)", n=len(misfits)) if len(misfits) > 1 else ""
    way_out = Message("Give images of the source's size: --image-size.")
    if len(there) == 4 and there[0] == here[0] and there[2:] == here[2:]:
        way_out = Message(
            "It reads {there} channels and the images here have {here}: convert the images.",
            there=there[1],
            here=here[1],
        )
    return Message(
        "{name} is {there} there and {here} here{more}. {way_out}",
        name=name,
        there=there,
        here=here,
        more=more,
        way_out=way_out,
    )


def named(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


# --- stages -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageSettings:
    """The network in stages, how many of them are frozen at first, and each one's learning rate."""

    all: tuple[Stage, ...]
    frozen: int
    thaw_every: int
    lr_decay: float

    @property
    def lr_scales(self) -> list[float]:
        """1 for the head, ``lr_decay`` times as much for every stage towards the images."""
        return [self.lr_decay ** (len(self.all) - 1 - number) for number in range(len(self.all))]

    def __str__(self) -> str:
        return self.said

    @property
    def said(self) -> Message:
        said = []
        if self.frozen:
            names = ", ".join(stage.name for stage in self.all[: self.frozen])
            said.append(Message("{stages} frozen, their norms too", stages=names))
        if self.thaw_every:
            every = Message("every {n} epochs", n=self.thaw_every)
            after = Message("each epoch") if self.thaw_every == 1 else every
            said.append(Message("the last of them thaws after {after}", after=after))
        if self.lr_decay != 1:
            scales = zip(self.all, self.lr_scales, strict=True)
            said.append(
                Message("lr times {scales}", scales=", ".join(f"{scale:.3g} {stage.name}" for stage, scale in scales))
            )
        return joined(said, "; ")

    def freezing(self, net: nn.Module) -> Freezing:
        return Freezing([stage.parts(net) for stage in self.all], self.frozen, self.thaw_every)

    def scaled(self, net: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """An optimizer's parameter groups, divided by stage, each with its learning rate (``lr_scale``)."""
        scale_of = {
            id(parameter): scale
            for stage, scale in zip(self.all, self.lr_scales, strict=True)
            for parameter in stage.parameters(net)
        }
        divided = []
        for group in groups:
            scales = Counter(scale_of[id(parameter)] for parameter in group["params"])
            for scale in scales:
                own = [parameter for parameter in group["params"] if scale_of[id(parameter)] == scale]
                divided.append({**group, "params": own, "lr_scale": group.get("lr_scale", 1.0) * scale})
        return divided


def in_stages(net: nn.Module, recipe: Recipe, image: tuple[int, int, int]) -> StageSettings | None:
    """What the recipe freezes and slows down; None where it does neither.

    Raises:
        RecipeError: stages of a network whose first weights are random, or all that can be trained frozen.
        UnknownNameError: no such stage.
    """
    if recipe.freeze in (None, "0") and recipe.stage_lr_decay == 1:
        return None
    if recipe.start_from is None:
        setting = f"freeze = {recipe.freeze!r}" if recipe.freeze else f"stage_lr_decay = {recipe.stage_lr_decay:g}"
        raise RecipeError(
            "recipe {name!r}: {setting} spares weights that were trained before, and here they are random. "
            "Say where they are: --start-from RUN, or a file of weights.",
            name=recipe.name,
            setting=setting,
        )
    found = stages(net, image)
    frozen = frozen_stages(found, recipe.freeze or "0")
    if not any(parameter.numel() for stage in found[frozen:] for parameter in stage.parameters(net)):
        raise RecipeError(
            "freeze = {freeze!r} leaves nothing to train: {name} has no parameters. Freeze fewer of "
            "the stages {found}.",
            freeze=recipe.freeze,
            name=found[-1].name,
            found=", ".join(stage.name for stage in found),
        )
    return StageSettings(found, frozen, recipe.unfreeze_every if frozen else 0, recipe.stage_lr_decay)
