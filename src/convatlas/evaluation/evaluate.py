"""From a network and batches to an ``Evaluation``: every image's logits, kept, and all figures drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.errors import DataError, ShapeError, TrainingError, UsageError
from convatlas.evaluation import metrics
from convatlas.evaluation.metrics import ClassScore, Interval
from convatlas.evaluation.protocols import Protocol, get_protocol

TOP5_CLASSES = 6  # with five classes or fewer every network is right within five guesses, and the figure says nothing


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
        """The keys of DESIGN section 2, ``evaluate``, and more beside them."""
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
            "confusion": self.confusion.tolist(),
        }

    def __repr__(self) -> str:
        return f"Evaluation(top1={self.top1:.4f}, n={self.n}, classes={len(self.classes)}, protocol={self.protocol!r})"


def evaluate(
    network: nn.Module,
    batches: Iterable[Sequence[Any]],
    classes: Sequence[str],
    protocol: str | Protocol = "centre",
    *,
    precision: str = "fp32",
    names: Sequence[str] = (),
    run: str | None = None,
    data: str | None = None,
    part: str | None = None,
) -> Evaluation:
    """Let ``network`` label every image of ``batches``; change nothing in it.

    Args:
        batches: of (images (N, C, H, W), labels (N,), ...); what follows the labels is not looked at. Images are moved
            to the device of the network's parameters.
        classes: K names, in the order of the logits.
        precision: "fp32" so that figures do not depend on the machine's fast paths, or "bf16" autocast.
        names: one per image, in the order of the batches; kept with the result.

    Raises:
        DataError: no images, or a label that is not one of the classes.
        ShapeError: the network does not give one logit per class.
        TrainingError: logits that are not a number.
    """
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"precision {precision!r} is not known for evaluation. Use fp32 or bf16.")
    protocol, classes = get_protocol(protocol), tuple(classes)
    device = _device_of(network)
    all_logits: list[Tensor] = []
    all_labels: list[Tensor] = []
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with eval_mode(network), torch.inference_mode(), autocast:
        for images, labels, *_ in batches:
            logits = protocol.logits(network, images.to(device, non_blocking=True))
            _check_logits(logits, len(labels), len(classes))
            all_logits.append(logits.float().cpu())
            all_labels.append(torch.as_tensor(labels).cpu())
    if not all_labels:
        raise DataError(f"no images to evaluate{f' in the {part} part' if part else ''}.")
    result = Evaluation(
        classes=classes,
        labels=torch.cat(all_labels).numpy().astype(np.int64),
        logits=torch.cat(all_logits).numpy(),
        protocol=protocol.name,
        names=tuple(names),
        run=run,
        data=data,
        part=part,
    )
    _check_result(result)
    return result


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """``network.eval()`` for a while; afterwards every module has the mode it had, even after an error."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _device_of(network: nn.Module) -> torch.device:
    tensors = (*network.parameters(), *network.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def _check_logits(logits: Tensor, n: int, num_classes: int) -> None:
    if tuple(logits.shape) != (n, num_classes):
        raise ShapeError(
            f"the network gave logits of shape {tuple(logits.shape)} for {n} images of {num_classes} classes; "
            f"({n}, {num_classes}) was expected. Evaluate it on data with the classes it was trained on."
        )


def _check_result(result: Evaluation) -> None:
    if result.names and len(result.names) != result.n:
        raise UsageError(f"{len(result.names)} names were given for {result.n} images; one each, or none, is expected.")
    outside = np.flatnonzero((result.labels < 0) | (result.labels >= len(result.classes)))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            f"label {int(result.labels[first])} of image {first} is not one of the {len(result.classes)} classes "
            f"(0 to {len(result.classes) - 1})."
        )
    bad = np.flatnonzero(~np.isfinite(result.logits).all(axis=1))
    if len(bad):
        raise TrainingError(
            f"the network's logits are not finite for {len(bad)} of {result.n} images "
            f"(the first is image {int(bad[0])}): its weights have diverged. Train again with a lower learning rate."
        )
