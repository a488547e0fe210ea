"""Evaluate a network on batches: the result is an `Evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.errors import DataError, ShapeError, UsageError
from convatlas.evaluation.protocols import (
    ImageRegion,
    Pass,
    Protocol,
    combined,
    get_protocol,
    log_mean_probability,
)
from convatlas.evaluation.result import Evaluation, check_result
from convatlas.message import Message
from convatlas.modes import eval_mode

Batch = Sequence[Any]  # images (N, C, H, W), labels (N,), and anything else, which is ignored


def evaluate(
    network: nn.Module,
    batches: Iterable[Batch] | Callable[[ImageRegion], Iterable[Batch]],
    classes: Sequence[str],
    protocol: str | Protocol = "centre",
    *,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    names: Sequence[str] = (),
    run: str | None = None,
    data: str | None = None,
    part: str | None = None,
) -> Evaluation:
    """Compute the logits of ``network`` for every image of ``batches``. The network is not changed.

    Args:
        batches: batches (images (N, C, H, W), labels (N,), ...); items after the labels are ignored. Images are moved
            to the device of the network's parameters. A protocol that needs larger images than the network's input
            takes a function from an `ImageRegion` to such batches, in which all images of a batch have one size.
        classes: K names, in the order of the logits.
        size: (h, w) of the network's input; required for a protocol that needs larger images.
        precision: "fp32", which gives the same results on every machine up to rounding, or "bf16" autocast.
        names: one per image, in the order of the batches; kept in the result.
        protocol: name of the evaluation protocol, or the `Protocol`.
        run: name of the run, for the report.
        data: name of the data set, for the report.
        part: name of the set, for the report.

    Raises:
        DataError: no images, or a label that is not one of the classes.
        ShapeError: the number of logits is not the number of classes.
        TrainingError: logits that are not finite.
        UsageError: the protocol needs larger images than were given, or the network's head does not allow it.
    """
    if precision not in ("fp32", "bf16"):
        raise UsageError("precision {precision!r} is not known for evaluation. Use fp32 or bf16.", precision=precision)
    protocol, classes = get_protocol(protocol), tuple(classes)
    if protocol.needs_larger_images and (not callable(batches) or size is None):
        raise UsageError(
            "the protocol {name} needs larger images than the network's input: {description}. Pass size, and batches "
            "as a function of the image region; or call convatlas.evaluate(run, protocol=...), which does both.",
            name=protocol.name,
            description=protocol.description,
        )
    autocast = torch.autocast(_device_of(network).type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with eval_mode(network), torch.inference_mode(), autocast:
        results = [_run_pass(network, one_pass, batches, len(classes), size, part) for one_pass in protocol.passes]
    result = Evaluation(
        classes=classes,
        labels=results[0][1].numpy().astype(np.int64),
        logits=combined([logits for logits, _ in results], protocol.passes).numpy(),
        protocol=protocol.name,
        names=tuple(names),
        run=run,
        data=data,
        part=part,
    )
    check_result(result)
    return result


def check_network(protocol: str | Protocol, network: nn.Module, size: tuple[int, int], channels: int) -> None:
    """Run the first pass of a protocol on one random image, to find out before a training whether it works.

    Args:
        protocol: name of the evaluation protocol, or the `Protocol`.
        network: the network; it is not changed.
        size: (H, W) of its input, pixels.
        channels: C of its input.

    Raises:
        UsageError: the network's head does not allow the protocol.
    """
    first = get_protocol(protocol).passes[0]
    side = first.region.side(size)
    with eval_mode(network), torch.inference_mode():
        first.reader(network, size)(torch.rand(1, channels, side, side))


def _run_pass(
    network: nn.Module,
    one_pass: Pass,
    batches: Iterable[Batch] | Callable[[ImageRegion], Iterable[Batch]],
    num_classes: int,
    size: tuple[int, int] | None,
    part: str | None,
) -> tuple[Tensor, Tensor]:
    """(N, K) logits of one pass over the images, and (N,) labels, both on the CPU."""
    device = _device_of(network)
    reader = None if size is None else one_pass.reader(network, size)
    all_logits: list[Tensor] = []
    all_labels: list[Tensor] = []
    for images, labels, *_rest in batches(one_pass.region) if callable(batches) else batches:
        if reader is None:
            reader = one_pass.reader(network, (images.shape[-2], images.shape[-1]))
        logits = reader(images.to(device, non_blocking=True))
        _check_logits(logits, len(labels), num_classes)
        all_logits.append(logits.float().cpu())
        all_labels.append(torch.as_tensor(labels).cpu())
    if not all_labels:
        raise (
            DataError("no images to evaluate in the {part} set.", part=part)
            if part
            else DataError("no images to evaluate.")
        )
    return torch.cat(all_logits), torch.cat(all_labels)


def ensemble(members: Sequence[Evaluation]) -> Evaluation:
    """Average the probabilities of several networks on the same images, as AlexNet's authors do for five and seven.

    The protocol of the result is, for example, ``ensemble of 3, centre``. Classes in another order are reordered as in
    the first member.

    Args:
        members: evaluations of several networks on the same images.

    Raises:
        UsageError: no member, or members under different protocols.
        DataError: other images, labels or classes.
    """
    protocol = common_protocol(members)
    first = members[0]
    aligned = [_in_order_of(first, member) for member in members]
    return replace(
        first,
        logits=log_mean_probability([torch.from_numpy(member.logits) for member in aligned]).numpy(),
        protocol=Message("ensemble of {n}, {protocol}", n=len(members), protocol=protocol),
        run=", ".join(member.run or Message("a network") for member in members),
    )


def common_protocol(evaluations: Sequence[Evaluation]) -> str:
    """The protocol of all evaluations. Accuracies in one table must have the same protocol.

    Args:
        evaluations: of the same images.

    Raises:
        UsageError: no evaluation, or different protocols: their accuracies are different quantities.
    """
    protocols = list(dict.fromkeys(evaluation.protocol for evaluation in evaluations))
    if len(protocols) != 1:
        raise UsageError(
            "accuracies with different protocols cannot be compared ({listed}). Evaluate all with the same protocol.",
            listed=", ".join(protocols) or Message("no evaluation"),
        )
    return protocols[0]


def _in_order_of(first: Evaluation, member: Evaluation) -> Evaluation:
    """``member`` with its classes in the order of ``first``."""
    if set(member.classes) != set(first.classes):
        other = sorted(set(member.classes) ^ set(first.classes))
        raise DataError(
            "{member} and {first} were trained on different classes: only one of them has {others}. "
            "Choose ensemble members with the same classes.",
            member=member.run or Message("a network"),
            first=first.run or Message("the first"),
            others=", ".join(other[:5]) + (" ..." if len(other) > 5 else ""),
        )
    order = [member.classes.index(name) for name in first.classes]
    labels = np.argsort(order)[member.labels]  # each label of the member as an index into first.classes
    if member.names != first.names or not np.array_equal(labels, first.labels):
        raise DataError(
            "{member} and {first} were evaluated on different images. "
            "Evaluate all ensemble members on the same images, in the same order.",
            member=member.run or Message("a network"),
            first=first.run or Message("the first"),
        )
    return replace(member, classes=first.classes, labels=labels, logits=member.logits[:, order])


def _device_of(network: nn.Module) -> torch.device:
    tensors = (*network.parameters(), *network.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def _check_logits(logits: Tensor, n: int, num_classes: int) -> None:
    if tuple(logits.shape) != (n, num_classes):
        raise ShapeError(
            "the network's logits have shape {shape}; ({n}, {num_classes}) was expected for {n} images of {num_classes}"
            " classes. Evaluate the network on data with the classes that it was trained on.",
            shape=tuple(logits.shape),
            n=n,
            num_classes=num_classes,
        )
