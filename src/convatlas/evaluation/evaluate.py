"""Evaluate a network on batches: an `Evaluation` keeps the logits of every image and computes all metrics from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas import tables, units
from convatlas.errors import DataError, ShapeError, TrainingError, UsageError
from convatlas.evaluation import metrics
from convatlas.evaluation.metrics import ClassScore, Interval
from convatlas.evaluation.protocols import (
    ImageRegion,
    Pass,
    Protocol,
    combined,
    get_protocol,
    log_mean_probability,
)
from convatlas.i18n import _
from convatlas.message import Message
from convatlas.modes import eval_mode

TOP5_CLASSES = 6  # with five classes or fewer every top-5 accuracy is 100 %
MATRIX_UP_TO = 100  # largest number of classes whose confusion matrix is written to JSON


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The logits of a network for N images, and the metrics computed from them. Measured.

    Args:
        classes: K names, in the order of the logits.
        labels: (N,) true classes.
        logits: (N, K) float32; for a protocol with several views, the logarithm of the mean probability.
        protocol: name of the protocol.
        names: N names of images (files, or "index 17"), or empty.
        run, data, part: the run, the data set, and the set ("train", "val", "test" or "all"), if known.
        notes: sentences on what limits the result, such as images that the network was trained on.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    protocol: str
    names: tuple[str, ...] = ()
    run: str | None = None
    data: str | None = None
    part: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """(N,) predicted classes."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true class."""
        return metrics.topk_hits(self.logits, self.labels, 1)

    @property
    def top1(self) -> float:
        """Fraction of images whose predicted class is the true class."""
        return float(self.hits.mean())

    @property
    def top5(self) -> float | None:
        """Fraction of images whose true class is among the five highest logits; None with fewer than six classes."""
        if len(self.classes) < TOP5_CLASSES:
            return None
        return float(metrics.topk_hits(self.logits, self.labels, 5).mean())

    @property
    def ci95(self) -> Interval:
        """Wilson's 95 % interval of ``top1``. It covers the choice of the test images, not the seed of the training."""
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
        """The five most frequent mistakes: (true, predicted, count)."""
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
        """The mistakes with the highest confidence.

        Returns: (index, true class, predicted class, confidence), the highest confidence first.
        """
        confidence = metrics.probabilities(self.logits).max(axis=1)
        wrong = np.flatnonzero(~self.hits)
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        return [(int(i), int(self.labels[i]), int(self.predictions[i]), float(confidence[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``convatlas evaluate``.

        ``mistakes`` lists all mistakes as (true, predicted, count), the most frequent first. ``confusion`` is the
        confusion matrix for up to 100 classes; with more classes it is None, because nearly all entries would be 0.
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
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"Evaluation(top1={self.top1:.4f}, n={self.n}, classes={len(self.classes)}, protocol={self.protocol!r})"

    def headline(self) -> str:
        """Accuracy, interval, images and protocol in a line, in the language in use."""
        return _(
            "top-1 {top1} (95 % interval {interval}, {n} images, protocol {protocol})",
            top1=units.percent(self.top1),
            interval=units.interval(*self.ci95),
            n=self.n,
            protocol=self.protocol,
        )

    def __str__(self) -> str:
        return f"{self.headline()}\n\n{tables.text(_class_columns(), self._class_rows())}"

    def _repr_html_(self) -> str:
        """The accuracies of the classes, for a notebook."""
        return tables.html(_class_columns(), self._class_rows(), title=self.headline())

    def _class_rows(self) -> list[tuple[str, ...]]:
        def share(value: float | None) -> str:
            return "n/a" if value is None else units.percent(value, 1)

        return [
            (each.name, units.exact(each.n), share(each.recall), share(each.precision), share(each.f1))
            for each in self.per_class
        ]


def _class_columns() -> tuple[tables.Column, ...]:
    numbers = (_("images"), _("recall"), _("precision"), "F1")
    return (tables.Column(_("class")), *(tables.Column(heading, number=True) for heading in numbers))


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
    _check_result(result)
    return result


def check_network(protocol: str | Protocol, network: nn.Module, size: tuple[int, int], channels: int) -> None:
    """Run the first pass of a protocol on one random image, to find out before a training whether it works.

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


def _check_result(result: Evaluation) -> None:
    if result.names and len(result.names) != result.n:
        raise UsageError(
            "there are {names} names for {n} images. Pass one name per image, or none.",
            names=len(result.names),
            n=result.n,
        )
    outside = np.flatnonzero((result.labels < 0) | (result.labels >= len(result.classes)))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            "image {first} has label {label}, but the {classes} classes have labels 0 to {last}. "
            "Evaluate the network on data with the classes that it was trained on.",
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
