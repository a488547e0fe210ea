"""The result of a comparison: one row per network, the recommendation, and the conditions of the measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from convatlas import tables, units
from convatlas.comparison.budget import Budget
from convatlas.comparison.deployed import Deployment, Deployments, deployment_label
from convatlas.comparison.measure import Latency, Memory
from convatlas.comparison.proposal import Proposal
from convatlas.evaluation.statistics import Accuracy, Difference
from convatlas.i18n import _, translated
from convatlas.message import Message, joined


class Choice(Protocol):
    """What can be recommended: a network, or a deployment of one."""

    @property
    def label(self) -> str: ...
    @property
    def accuracy(self) -> Accuracy: ...
    @property
    def test_top1(self) -> float: ...
    @property
    def latency(self) -> Latency: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def at_chance(self) -> bool: ...

    def costs(self) -> Mapping[str, float | None]: ...


@dataclass(frozen=True)
class ComparisonRow:
    """One network, or hand-made features. ``params`` and ``macs`` are derived; everything else is measured.

    Args:
        model: full name, ``NAME`` or ``NAME@VARIANT``; or the name of hand-made features.
        seeds: one per run.
        runs: the run directories, in the order of the seeds.
        accuracy: on the test set, over all runs.
        val_top1: mean over the runs of the validation accuracy that chose the weights.
        latency, memory: of the first run.
        size_bytes: size of the weights file.
        epochs: number of epochs of each run.
        train_s: mean wall time of one training in seconds.
        pareto: whether no other network is at least as accurate and as fast, and better in one of the two.
        over_budget: the exceeded limits, in words; none if deployments are compared, whose budget it then is.
        at_chance: whether it is not significantly more accurate than the majority class.
        predicted_s: median latency in seconds that was predicted before the training, if the network was proposed.
    """

    model: str
    seeds: tuple[int, ...]
    runs: tuple[Path, ...]
    accuracy: Accuracy
    val_top1: float | None
    params: int
    macs: int | None
    latency: Latency
    memory: Memory
    size_bytes: int
    epochs: tuple[float, ...]
    train_s: float
    pareto: bool = False
    over_budget: tuple[str, ...] = ()
    at_chance: bool = False
    predicted_s: float | None = None

    @property
    def label(self) -> str:
        """The name in tables and sentences."""
        return self.model

    @property
    def test_top1(self) -> float:
        return self.accuracy.top1

    def costs(self) -> dict[str, float | None]:
        """The quantities that a budget can limit, in seconds, bytes or counts."""
        return {
            "latency": self.latency.p95_s,
            "latency_p50": self.latency.p50_s,
            "size": self.size_bytes,
            "memory": self.memory.peak_bytes,
            "params": self.params,
            "macs": self.macs,
        }

    def to_dict(self) -> dict[str, Any]:
        """One row of the JSON document of ``convatlas compare``."""
        return {
            "model": self.model,
            "seeds": list(self.seeds),
            "test_top1": self.test_top1,
            "ci95": list(self.accuracy.ci95),
            "ci95_covers": self.accuracy.covers,
            "test_top1_by_seed": list(self.accuracy.by_seed),
            "test_n": self.accuracy.n,
            "val_top1": self.val_top1,
            "params": self.params,
            "macs": self.macs,
            "latency_ms": self.latency.to_dict() | self._predicted(),
            "peak_memory_bytes": self.memory.peak_bytes,
            "size_bytes": self.size_bytes,
            "epochs": list(self.epochs),
            "train_s": self.train_s,
            "pareto": self.pareto,
            "over_budget": list(self.over_budget),
            "at_chance": self.at_chance,
            "runs": [str(run) for run in self.runs],
        }

    def _predicted(self) -> dict[str, float]:
        return {} if self.predicted_s is None else {"predicted": self.predicted_s * 1e3}


# how the rows of a comparison can be ordered; rows that are equal keep the order in which they were named
SORTED_BY: dict[str, Callable[[ComparisonRow | Deployment], float]] = {
    "named": lambda row: 0,
    "top1": lambda row: -row.test_top1,
    "latency": lambda row: row.latency.p50_s,
    "memory": lambda row: float("inf") if row.memory.peak_bytes is None else row.memory.peak_bytes,
    "size": lambda row: row.size_bytes,
    "params": lambda row: row.params,
    "macs": lambda row: float("inf") if row.macs is None else row.macs,
    "training": lambda row: row.train_s,
}


@dataclass(frozen=True)
class Majority:
    """The answer that needs no network: the class with the most training images, for every image.

    Args:
        accuracy: on the test set. A network that has learned something is more accurate.
        label: the most frequent class of the training images.
    """

    label: str
    accuracy: Accuracy

    def to_dict(self) -> dict[str, Any]:
        return {"class": self.label, "test_top1": self.accuracy.top1, "ci95": list(self.accuracy.ci95)}


@dataclass(frozen=True)
class Failure:
    """A network that could not be compared, and the reason.

    Attributes:
        model: the network.
        why: the error in words.
    """

    model: str
    why: str


@dataclass(frozen=True)
class Recommendation:
    """The recommended network; ``model`` is None if no network meets the budget, or none has learned anything.

    ``answer`` is a sentence, ``reasons`` are further sentences, and ``why`` is all of them.

    If deployments were compared, one of them is recommended: ``engine`` and ``precision`` are its own, ``file`` is the
    exported file, and ``ties`` and ``differences`` are about deployments.

    ``ties`` are the networks that do not differ significantly from the most accurate one; they include the most
    accurate one if another is recommended. ``differences`` are the tests of the most accurate network against every
    other.
    """

    model: str | None
    answer: Message
    reasons: tuple[Message, ...] = ()
    ties: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    engine: str | None = None
    precision: str | None = None
    file: Path | None = None

    @property
    def label(self) -> str | None:
        """The name of what is recommended, in sentences and in the lists of ties."""
        if self.model is None or self.engine is None or self.precision is None:
            return self.model
        return deployment_label(self.model, self.engine, self.precision)

    @property
    def why(self) -> Message:
        """The answer and its reasons."""
        return joined((self.answer, *self.reasons), " ")

    def to_dict(self) -> dict[str, Any]:
        found = {"model": self.model, "why": self.why, "ties": list(self.ties)}
        if self.engine is not None:
            found |= {"engine": self.engine, "precision": self.precision, "file": str(self.file)}
        return found


@dataclass(frozen=True)
class Conditions:
    """The conditions of a comparison, which stand in the report and in the JSON document.

    Args:
        data: the data set as named by the user.
        parts: number of images in the training, validation and test set.
        split: how the data were split, in words; every network has the same split.
        training: the training of each network, in words.
        protocol: the evaluation protocol of every accuracy.
        machine: properties of the machine that the times depend on.
        command: the command that repeats the comparison.
        classes: class names.
        seeds: of the trainings.
    """

    data: str
    classes: tuple[str, ...]
    parts: Mapping[str, int]
    split: str
    training: str
    seeds: tuple[int, ...]
    protocol: str
    machine: Mapping[str, str]
    command: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "classes": len(self.classes),
            "parts": dict(self.parts),
            "split": self.split,
            "training": self.training,
            "seeds": list(self.seeds),
            "protocol": self.protocol,
            "machine": dict(self.machine),
            "command": self.command,
        }


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`. ``rows`` have the order of the networks' names; ``report`` is the HTML report.

    ``deployments`` are the networks as exported files in engines, if engines were named; the recommendation is then one
    of them.

    ``skipped`` are networks that were not trained, because they cannot fit the budget. ``proposal`` is set if the
    networks were proposed and not named.

    Attributes:
        budget: the limits that were stated.
        conditions: what all rows share: data, test images, machine.
        failures: networks that could not be trained or measured.
        folder: the directory of the comparison.
        majority: what always naming the most frequent class would reach.
    """

    rows: tuple[ComparisonRow, ...]
    recommendation: Recommendation
    budget: Budget
    conditions: Conditions
    failures: tuple[Failure, ...]
    folder: Path
    majority: Majority
    skipped: tuple[Failure, ...] = ()
    deployments: Deployments | None = None
    proposal: Proposal | None = None

    @property
    def nothing_fits(self) -> bool:
        """Whether every network exceeds the budget; of deployments, whether each exceeds it or breaks its contract."""
        if self.deployments is not None:
            return not any(row.sound and not row.over_budget for row in self.deployments.rows)
        return all(row.over_budget for row in self.rows)

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def row(self, model: str) -> ComparisonRow:
        return next(row for row in self.rows if row.model == model)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``convatlas compare``."""
        return {
            "data": self.conditions.data,
            "rows": [row.to_dict() for row in self.rows],
            "recommendation": self.recommendation.to_dict(),
            "budget": str(self.budget),
            "differences": [difference.to_dict() for difference in self.recommendation.differences],
            "majority": self.majority.to_dict(),
            "failures": [{"model": failure.model, "why": failure.why} for failure in self.failures],
            "skipped": [{"model": skipped.model, "why": skipped.why} for skipped in self.skipped],
            "conditions": self.conditions.to_dict(),
            **({} if self.deployments is None else self.deployments.to_dict()),
            **({} if self.proposal is None else {"proposal": self.proposal.to_dict()}),
            "report": str(self.report),
        }

    def __repr__(self) -> str:
        names = ", ".join(row.model for row in self.rows)
        return f"Comparison({names}; data={self.conditions.data!r}, recommended={self.recommendation.model!r})"

    def __str__(self) -> str:
        table = tables.text(_columns(), map(_cells, self.rows))
        return f"{table}\n\n{translated(self.recommendation.why)}"

    def _repr_html_(self) -> str:
        """The rows and the recommendation, for a notebook."""
        return tables.html(_columns(), map(_cells, self.rows), title=translated(self.recommendation.why))


def _columns() -> tuple[tables.Column, ...]:
    numbers = (_("test top-1"), f"95 % {_('interval')}", _("params"), "MACs", "p50", _("size"), _("training"))
    return (tables.Column(_("network")), *(tables.Column(heading, number=True) for heading in numbers))


def _cells(row: ComparisonRow) -> tuple[str, ...]:
    return (
        row.model,
        units.percent(row.test_top1),
        units.interval(*row.accuracy.ci95),
        units.exact(row.params),
        "-" if row.macs is None else units.short(row.macs),
        units.duration(row.latency.p50_s),
        units.bytes_(row.size_bytes),
        units.duration(row.train_s),
    )
