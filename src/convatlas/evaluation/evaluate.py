"""From a network and batches to an ``Evaluation``: every image's logits, kept, and all figures drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.errors import DataError, ShapeError, TrainingError, UsageError
from convatlas.evaluation import metrics
from convatlas.evaluation.metrics import ClassScore, Interval
from convatlas.evaluation.protocols import Canvas, Look, Protocol, get_protocol, log_mean, together
from convatlas.message import Message
from convatlas.modes import eval_mode

TOP5_CLASSES = 6  # with five classes or fewer every network is right within five guesses, and the figure says nothing
MATRIX_UP_TO = 100  # classes whose confusion matrix is written out


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network said about each of N images, and how right it was. Measured.

    Args:
        classes: K names, in the order of the logits.
        labels: (N,) true classes.
        logits: (N, K) float32; of a protocol with several views, the log of the mean probability.
        protocol: name of the protocol.
        names: N names of images (files, or "index 17"), or empty when they were not given.
        run, data, part: where network and images came from, where known; "test" is the part nothing was chosen on.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    protocol: str
    names: tuple[str, ...] = ()
    run: str | None = None
    data: str | None = None
    part: str | None = None

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """(N,) the class each image was given."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) whether that class is the true one."""
        return metrics.topk_hits(self.logits, self.labels, 1)

    @property
    def top1(self) -> float:
        """Share of images whose first class is the true one."""
        return float(self.hits.mean())

    @property
    def top5(self) -> float | None:
        """Share of images whose true class is among the first five; None with fewer than six classes."""
        if len(self.classes) < TOP5_CLASSES:
            return None
        return float(metrics.topk_hits(self.logits, self.labels, 5).mean())

    @property
    def ci95(self) -> Interval:
        """Wilson's 95 % interval of ``top1``. It covers which images were drawn, not which seed was trained with."""
        return metrics.wilson(int(self.hits.sum()), self.n)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) counts: row = true class, column = predicted class."""
        return metrics.confusion_matrix(self.labels, self.predictions, len(self.classes))

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """Precision, recall and F1 of every class, with intervals."""
        return metrics.per_class(self.confusion, self.classes)

    @property
    def most_confused(self) -> list[tuple[str, str, int]]:
        """The five commonest mistakes: (true, predicted, count)."""
        return metrics.most_confused(self.confusion, self.classes)

    @property
    def nll(self) -> float:
        """Mean negative log likelihood, in nats."""
        return metrics.mean_nll(self.logits, self.labels)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, 15 bins."""
        return metrics.expected_calibration_error(self.logits, self.labels)

    def surest_mistakes(self, limit: int = 12) -> list[tuple[int, int, int, float]]:
        """The images that are wrong and were called with the most confidence: what to look at first.

        Returns: (index, true class, predicted class, confidence), the surest first.
        """
        confidence = metrics.probabilities(self.logits).max(axis=1)
        wrong = np.flatnonzero(~self.hits)
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        return [(int(i), int(self.labels[i]), int(self.predictions[i]), float(confidence[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """The keys of DESIGN section 2, ``evaluate``, and more beside them.

        ``mistakes`` are all that occurred, (true, predicted, count), the commonest first; ``confusion`` is their matrix
        up to 100 classes and None above, where it would be a million numbers, nearly all of them 0.
        """
        return {
            "run": self.run,
            "data": self.data,
            "part": self.part,
            "protocol": self.protocol,
            "n": self.n,
            "top1": self.top1,
            "top5": self.top5,
            "ci95": list(self.ci95),
            "nll": self.nll,
            "calibration_error": self.calibration_error,
            "classes": list(self.classes),
            "per_class": [score.to_dict() for score in self.per_class],
            "mistakes": [list(mistake) for mistake in metrics.most_confused(self.confusion, self.classes, self.n)],
            "confusion": self.confusion.tolist() if len(self.classes) <= MATRIX_UP_TO else None,
        }

    def __repr__(self) -> str:
        return f"Evaluation(top1={self.top1:.4f}, n={self.n}, classes={len(self.classes)}, protocol={self.protocol!r})"


Batch = Sequence[Any]  # images (N, C, H, W), labels (N,), and what else a caller keeps with them


def evaluate(
    network: nn.Module,
    batches: Iterable[Batch] | Callable[[Canvas], Iterable[Batch]],
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
    """Let ``network`` label every image of ``batches``; change nothing in it.

    Args:
        batches: of (images (N, C, H, W), labels (N,), ...); what follows the labels is not looked at. Images are moved
            to the device of the network's parameters. For a protocol that asks for more of an image than the network's
            input: a function from a `Canvas` to such batches, all images of a batch of one size.
        classes: K names, in the order of the logits.
        size: (h, w) of the network's input, for a protocol that asks for more.
        precision: "fp32" so that figures do not depend on the machine's fast paths, or "bf16" autocast.
        names: one per image, in the order of the batches; kept with the result.

    Raises:
        DataError: no images, or a label that is not one of the classes.
        ShapeError: the network does not give one logit per class.
        TrainingError: logits that are not a number.
        UsageError: a protocol that needs larger images than it was given, or that the network's head does not allow.
    """
    if precision not in ("fp32", "bf16"):
        raise UsageError("precision {precision!r} is not known for evaluation. Use fp32 or bf16.", precision=precision)
    protocol, classes = get_protocol(protocol), tuple(classes)
    if protocol.needs_more and (not callable(batches) or size is None):
        raise UsageError(
            "the protocol {name} asks for larger images than the network's input: {what}. Give "
            "batches as a function of the canvas, and size; convatlas.evaluate(run, protocol=...) does.",
            name=protocol.name,
            what=protocol.what,
        )
    autocast = torch.autocast(_device_of(network).type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with eval_mode(network), torch.inference_mode(), autocast:
        found = [_looked(network, look, batches, len(classes), size, part) for look in protocol.looks]
    result = Evaluation(
        classes=classes,
        labels=found[0][1].numpy().astype(np.int64),
        logits=together([logits for logits, _ in found], protocol.looks).numpy(),
        protocol=protocol.name,
        names=tuple(names),
        run=run,
        data=data,
        part=part,
    )
    _check_result(result)
    return result


def try_out(protocol: str | Protocol, network: nn.Module, size: tuple[int, int], channels: int) -> None:
    """Look at one random image by the first look of a protocol, before a training is spent on it.

    Raises:
        UsageError: the network's head does not allow the protocol.
    """
    look = get_protocol(protocol).looks[0]
    side = look.canvas.side(size)
    with eval_mode(network), torch.inference_mode():
        look.reading(network, size)(torch.rand(1, channels, side, side))


def _looked(
    network: nn.Module,
    look: Look,
    batches: Iterable[Batch] | Callable[[Canvas], Iterable[Batch]],
    num_classes: int,
    size: tuple[int, int] | None,
    part: str | None,
) -> tuple[Tensor, Tensor]:
    """(N, K) logits of one look at every image, and (N,) labels, both on the CPU."""
    device = _device_of(network)
    reader = None if size is None else look.reading(network, size)
    all_logits: list[Tensor] = []
    all_labels: list[Tensor] = []
    for images, labels, *_ in batches(look.canvas) if callable(batches) else batches:
        if reader is None:
            reader = look.reading(network, (images.shape[-2], images.shape[-1]))
        logits = reader(images.to(device, non_blocking=True))
        _check_logits(logits, len(labels), num_classes)
        all_logits.append(logits.float().cpu())
        all_labels.append(torch.as_tensor(labels).cpu())
    if not all_labels:
        raise (
            DataError("no images to evaluate in the {part} part.", part=part)
            if part
            else DataError("no images to evaluate.")
        )
    return torch.cat(all_logits), torch.cat(all_labels)


def ensemble(members: Sequence[Evaluation]) -> Evaluation:
    """The mean of the probabilities several networks gave the same images, as AlexNet's of five and seven networks.

    Its protocol says so: ``ensemble of 3, centre``. Classes in another order are put in that of the first.

    Raises:
        UsageError: no member, or members under different protocols.
        DataError: other images, labels or classes.
    """
    protocol = one_protocol(members)
    first = members[0]
    aligned = [_in_order_of(first, member) for member in members]
    return replace(
        first,
        logits=log_mean([torch.from_numpy(member.logits) for member in aligned]).numpy(),
        protocol=Message("ensemble of {n}, {protocol}", n=len(members), protocol=protocol),
        run=", ".join(member.run or Message("a network") for member in members),
    )


def one_protocol(evaluations: Sequence[Evaluation]) -> str:
    """The protocol that all of them share: what every column of accuracies asks for before it is written.

    Raises:
        UsageError: none was given, or they differ: their accuracies are different quantities.
    """
    found = list(dict.fromkeys(evaluation.protocol for evaluation in evaluations))
    if len(found) != 1:
        listed = " and ".join(found) or "no evaluation"
        raise UsageError(
            "accuracies under {listed} do not belong together; evaluate all by one protocol.",
            listed=listed,
        )
    return found[0]


def _in_order_of(first: Evaluation, member: Evaluation) -> Evaluation:
    """``member`` with the classes of ``first`` in their order."""
    if set(member.classes) != set(first.classes):
        other = sorted(set(member.classes) ^ set(first.classes))
        raise DataError(
            "{member} was trained on other classes than {first}: "
            "{others} are not common to both. An ensemble needs the same classes.",
            member=member.run or Message("a network"),
            first=first.run or Message("the first"),
            others=", ".join(other[:5]) + (" ..." if len(other) > 5 else ""),
        )
    order = [member.classes.index(name) for name in first.classes]
    labels = np.argsort(order)[member.labels]  # the place in first.classes of the member's class
    if member.names != first.names or not np.array_equal(labels, first.labels):
        raise DataError(
            "{member} was evaluated on other images than {first}; an ensemble "
            "needs the same images, in the same order.",
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
            "the network gave logits of shape {shape} for {n} images of {num_classes} classes; "
            "({n}, {num_classes}) was expected. Evaluate it on data with the classes it was trained on.",
            shape=tuple(logits.shape),
            n=n,
            num_classes=num_classes,
        )


def _check_result(result: Evaluation) -> None:
    if result.names and len(result.names) != result.n:
        raise UsageError(
            "{names} names were given for {n} images; one each, or none, is expected.",
            names=len(result.names),
            n=result.n,
        )
    outside = np.flatnonzero((result.labels < 0) | (result.labels >= len(result.classes)))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            "label {label} of image {first} is not one of the {classes} classes (0 to {last}).",
            label=int(result.labels[first]),
            first=first,
            classes=len(result.classes),
            last=len(result.classes) - 1,
        )
    bad = np.flatnonzero(~np.isfinite(result.logits).all(axis=1))
    if len(bad):
        raise TrainingError(
            "the network's logits are not finite for {bad} of {n} images "
            "(the first is image {first}): its weights have diverged. Train again with a lower learning rate.",
            bad=len(bad),
            n=result.n,
            first=int(bad[0]),
        )
