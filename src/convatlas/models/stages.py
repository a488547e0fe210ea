"""Stages of a network: the groups of layers that are frozen, unfrozen and given a learning rate together.

A stage consists of the layers that work at one resolution, as in Table 1 of VGG and of ResNet: consecutive children of
the network whose maps have the same stride. The strides are derived by tracing, so any network has stages. In addition:

- layers before the first block are a separate stage, such as the stem of the CIFAR networks, which has the resolution
  of their first stage;
- each fully connected layer is a stage, as it has no resolution; norms and activations with parameters belong to the
  layer before them;
- the head is the last layer with parameters, together with the auxiliary heads, which run in training only.

The name of a stage is that of its only layer or block (``conv3_x``, ``fc6``), or the common beginning of the names of
its layers where no other layer has it (``conv3`` for ``conv3_1`` and ``conv3_2``, ``inception_4``), or the first and
the last name (``fire5-fire8``).
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
    """Consecutive children of a network, in the order in which they run.

    Attributes:
        children: paths of the children with parameters or buffers.
    """

    name: str
    children: tuple[str, ...]

    def modules(self, net: nn.Module) -> tuple[nn.Module, ...]:
        """The modules of the stage in ``net``."""
        return tuple(net.get_submodule(path) for path in self.children)

    def parameters(self, net: nn.Module) -> Iterator[nn.Parameter]:
        """The parameters of the stage in ``net``."""
        for module in self.modules(net):
            yield from module.parameters()

    def contains(self, name: str) -> bool:
        """Whether the tensor ``name`` of the network's state_dict belongs to this stage."""
        return any(name.startswith(f"{path}.") for path in self.children)


def stages(net: nn.Module, image: tuple[int, int, int]) -> tuple[Stage, ...]:
    """The stages of a network, from the input to the head, which comes last.

    Every parameter belongs to exactly one stage. The network is traced on the meta device, which computes nothing.

    Args:
        image: (C, H, W) of one image.
    Raises:
        UsageError: the network has only one layer.
    """
    children = _children(net)
    stride: dict[str, object] = {}  # of each child's last layer, in the order in which they run
    for row in summarize(net, image).rows:
        path = next((path for path in children if f"{row.path}.".startswith(f"{path}.")), None)
        if path is not None and (row.own_params or path not in stride):
            stride.pop(path, None)
            stride[path] = row.jump or path  # a layer without resolution is a stage by itself
    *body, head = stride
    if not body:
        raise UsageError("the network has only one layer, {head!r}, and therefore no stages.", head=head)
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
    """The number of stages, counted from the input, that ``freeze`` means.

    Args:
        freeze: the number; the name of the last frozen stage, or of its last layer; or "all-but-head".
    Raises:
        UnknownNameError: no such stage; the message lists similar names.
        UsageError: a layer inside a stage, or all stages.
    """
    last = {name: number for number, stage in enumerate(all_stages, 1) for name in (stage.children[-1], stage.name)}
    inside = {path: stage for stage in all_stages for path in stage.children[:-1]}
    names = [stage.name for stage in all_stages]
    if freeze == ALL_BUT_HEAD:
        return len(all_stages) - 1
    if freeze not in last and freeze in inside:
        stage = inside[freeze]
        raise UsageError(
            "freeze = {freeze!r} is a layer inside the stage {name!r}, and stages are frozen as a whole. "
            "Pass {name!r}.",
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
            "freeze = {freeze!r} leaves nothing to train: the network has {count} stages, {names}. Pass at most "
            "{all_but_head!r} ({most}).",
            freeze=freeze,
            count=len(all_stages),
            names=", ".join(names),
            all_but_head=ALL_BUT_HEAD,
            most=len(all_stages) - 1,
        )
    return count


def _children(net: nn.Module) -> list[str]:
    """Paths of the outermost modules with parameters or buffers; a module with a single child is replaced by it."""
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
    """The first stage, split where layers end and blocks begin."""
    stem = tuple(itertools.takewhile(lambda path: not any(True for _ in net.get_submodule(path).children()), first))
    return [group for group in (stem, first[len(stem) :]) if group]


def _multiplies(net: nn.Module, path: str) -> bool:
    """Whether a child multiplies by weights, unlike a norm or an activation, which have one number per channel."""
    return any(parameter.ndim > 1 for parameter in net.get_submodule(path).parameters())


def _name(net: nn.Module, group: tuple[str, ...], children: list[str]) -> str:
    """``conv3`` for conv3_1 and conv3_2; ``conv1-cccp2`` for conv1, cccp1 and cccp2."""
    layers = [path for path in children if _multiplies(net, path)]
    members = [path for path in layers if path in group] or list(group)
    if len(members) > 1 or members[0].endswith("_1"):
        prefix = os.path.commonprefix([*members, members[0].removesuffix("1")]).rstrip("_")  # noqa: RUF071 - letters
        with_prefix = [path for path in layers if re.match(rf"{re.escape(prefix)}(?!\d)", path)]
        if prefix[-1:].isdigit() and with_prefix == members:
            return prefix
    return members[0] if len(members) == 1 else f"{members[0]}-{members[-1]}"
