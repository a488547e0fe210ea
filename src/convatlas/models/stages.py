"""Stages of a network: what is frozen, thawed and given a learning rate as one.

A stage is what computes at one resolution, as in VGG's Table 1 and ResNet's Table 1: neighbouring children of the
network (its attributes, in the order they run) whose maps have the same stride, derived by the arithmetic and not
declared, so it holds for any network. Three lines complete the rule:

- plain layers before the first block are a stage of their own: the stem of the CIFAR networks, which works at full
  resolution as their first stage does;
- a fully connected layer is a stage of its own, as resolution says nothing about it; norms and activations with
  parameters belong to the layer before them;
- the head is the last layer that holds anything, with the auxiliary heads, which run in training only.

A stage has its layer's or block's name (``conv3_x``, ``fc6``), or what all of them, and no others, begin with
(``conv3`` of ``conv3_1`` and ``conv3_2``, ``inception_4``), or the first and the last name (``fire5-fire8``).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from convatlas.arithmetic import summarize
from convatlas.errors import UnknownNameError, UsageError
from convatlas.message import Message

ALL_BUT_HEAD = "all-but-head"


@dataclass(frozen=True)
class Stage:
    """Neighbouring children of a network, in the order they run.

    Attributes:
        children: their paths in the network; those that hold parameters or buffers.
    """

    name: str
    children: tuple[str, ...]

    def parts(self, net: nn.Module) -> tuple[nn.Module, ...]:
        """Its modules in ``net``."""
        return tuple(net.get_submodule(path) for path in self.children)

    def parameters(self, net: nn.Module) -> Iterator[nn.Parameter]:
        for part in self.parts(net):
            yield from part.parameters()

    def holds(self, name: str) -> bool:
        """Whether the tensor called ``name`` in the network's state_dict is one of this stage."""
        return any(name.startswith(f"{path}.") for path in self.children)


def stages(net: nn.Module, image: tuple[int, int, int]) -> tuple[Stage, ...]:
    """The stages of a network from its images to its head, which comes last.

    Every parameter is in exactly one. Nothing is computed: the network runs on the meta device.

    Args:
        image: (C, H, W) of one image.
    Raises:
        UsageError: a network of one layer, which has no stages.
    """
    children = _children(net)
    stride: dict[str, object] = {}  # of each child's last layer, in the order they run
    for row in summarize(net, image).rows:
        path = next((path for path in children if f"{row.path}.".startswith(f"{path}.")), None)
        if path is not None and (row.own_params or path not in stride):
            stride.pop(path, None)
            stride[path] = row.jump or path  # where there is no resolution, every layer by itself
    *body, head = stride
    if not body:
        raise UsageError("a network of the one layer {head!r} has no stages.", head=head)
    before = body[0]
    for path in body:
        if not _multiplies(net, path):
            stride[path] = stride[before]
        before = path
    groups = [tuple(group) for _, group in itertools.groupby(body, key=stride.__getitem__)]
    groups[:1] = _without_stem(net, groups[0])
    auxiliary = (path for path in children if path not in stride)
    return (*(Stage(_name(net, group, children), group) for group in groups), Stage(head, (head, *auxiliary)))


def frozen_stages(all_stages: tuple[Stage, ...], freeze: str) -> int:
    """How many stages, counted from the images, ``freeze`` stands for.

    Args:
        freeze: their number; the name of the last of them, or of its last layer; or "all-but-head".
    Raises:
        UnknownNameError: no such stage; near names are offered.
        UsageError: a layer inside a stage, or all there are.
    """
    last = {name: number for number, stage in enumerate(all_stages, 1) for name in (stage.children[-1], stage.name)}
    inside = {path: stage for stage in all_stages for path in stage.children[:-1]}
    names = [stage.name for stage in all_stages]
    if freeze == ALL_BUT_HEAD:
        return len(all_stages) - 1
    if freeze not in last and freeze in inside:
        stage = inside[freeze]
        raise UsageError(
            "freeze = {freeze!r} is a layer inside the stage {name!r}; stages are frozen as a whole. Pass {name!r}.",
            freeze=freeze,
            name=stage.name,
        )
    if not freeze.isdecimal() and freeze not in last:
        raise UnknownNameError(
            "stage", freeze, [*names, ALL_BUT_HEAD], Message("The stages are {names}.", names=", ".join(names))
        )
    count = int(freeze) if freeze.isdecimal() else last[freeze]
    if count >= len(all_stages):
        raise UsageError(
            "freeze = {freeze!r} leaves nothing to train: the network has {count} stages, {names}. "
            "{all_but_head!r} ({most}) is the most.",
            freeze=freeze,
            count=len(all_stages),
            names=", ".join(names),
            all_but_head=ALL_BUT_HEAD,
            most=len(all_stages) - 1,
        )
    return count


def _children(net: nn.Module) -> list[str]:
    """Paths of the outermost modules that hold anything, wrappers of a single one opened."""
    path = ""
    while True:
        module = net.get_submodule(path)
        children = [
            f"{path}.{name}" if path else name
            for name, child in module.named_children()
            if next(itertools.chain(child.parameters(), child.buffers()), None) is not None
        ]
        if len(children) != 1 or not any(True for _ in net.get_submodule(children[0]).children()):
            return children
        path = children[0]


def _without_stem(net: nn.Module, first: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The first stage, cut where plain layers end and blocks begin."""
    stem = tuple(itertools.takewhile(lambda path: not any(True for _ in net.get_submodule(path).children()), first))
    return [group for group in (stem, first[len(stem) :]) if group]


def _multiplies(net: nn.Module, path: str) -> bool:
    """Whether a child is more than a norm or an activation, which hold one number for a channel."""
    return any(parameter.ndim > 1 for parameter in net.get_submodule(path).parameters())


def _name(net: nn.Module, group: tuple[str, ...], children: list[str]) -> str:
    """``conv3`` of conv3_1 and conv3_2; ``conv1-cccp2`` of conv1, cccp1 and cccp2."""
    layers = [path for path in children if _multiplies(net, path)]
    mine = [path for path in layers if path in group] or list(group)
    if len(mine) > 1 or mine[0].endswith("_1"):
        shared = os.path.commonprefix([*mine, mine[0].removesuffix("1")]).rstrip("_")  # noqa: RUF071 - letters
        alike = [path for path in layers if re.match(rf"{re.escape(shared)}(?!\d)", path)]
        if shared[-1:].isdigit() and alike == mine:
            return shared
    return mine[0] if len(mine) == 1 else f"{mine[0]}-{mine[-1]}"
