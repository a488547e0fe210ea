"""Deployments of a comparison: each trained network as an exported file in an engine, measured as it would be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.comparison.machine_load import MachineLoad
from convatlas.comparison.measure import Latency, Memory
from convatlas.evaluation.statistics import Accuracy, Difference
from convatlas.exports.contract import State

# the format of the file that each engine runs
FORMAT_OF = {"torch": "torch", "onnxruntime": "onnx", "openvino": "openvino"}


def deployment_label(model: str, engine: str, precision: str) -> str:
    """The name of a deployment in sentences: ``resnet20_cifar/openvino/int8``."""
    return f"{model}/{engine}/{precision}"


@dataclass(frozen=True)
class Startup:
    """Seconds from the start of a process to its first label, of several starts in their order."""

    samples_s: tuple[float, ...]

    @property
    def p50_s(self) -> float:
        return float(np.median(self.samples_s))

    def to_dict(self) -> dict[str, Any]:
        return {"p50": self.p50_s, "starts": list(self.samples_s)}


@dataclass(frozen=True)
class Deployment:
    """A network as an exported file in an engine.

    Args:
        model: the network's name; params, macs and train_s are those of its row.
        engine, precision: what runs the file, and the precision of the export.
        files: the exported files, one per run, in the order of the seeds.
        contract: the state of the contract; with several files the worst.
        contract_n: number of validation images on which the contract was checked.
        float_layers: number of layers of the int8 file that stayed in float32 to keep the contract.
        accuracy: of the files' own predictions on the test set, over all runs.
        against_network: accuracy of the network in PyTorch minus that of the file, on the same test images.
        latency, memory, startup, size_bytes: of the file of the first run. Latency is from prepared pixels to
            probabilities, memory is the peak of a whole process.
        pareto: whether no other deployment is at least as accurate and as fast, and better in one of the two.
    """

    model: str
    engine: str
    precision: str
    files: tuple[Path, ...]
    contract: State
    contract_n: int
    float_layers: int
    accuracy: Accuracy
    against_network: Difference
    latency: Latency
    memory: Memory
    startup: Startup | None
    size_bytes: int
    params: int
    macs: int | None
    train_s: float
    pareto: bool = False
    over_budget: tuple[str, ...] = ()
    at_chance: bool = False

    @property
    def label(self) -> str:
        return deployment_label(self.model, self.engine, self.precision)

    @property
    def test_top1(self) -> float:
        return self.accuracy.top1

    @property
    def sound(self) -> bool:
        """Whether it may be recommended: its contract is not broken."""
        return self.contract != "broken"

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
        """One entry of ``deployments`` in the JSON document of ``convatlas compare``."""
        lost = self.against_network
        return {
            "model": self.model,
            "engine": self.engine,
            "precision": self.precision,
            "refused": None,
            "contract": self.contract,
            "contract_n": self.contract_n,
            "float_layers": self.float_layers,
            "test_top1": self.test_top1,
            "ci95": list(self.accuracy.ci95),
            "test_top1_by_seed": list(self.accuracy.by_seed),
            "test_n": self.accuracy.n,
            "lost": lost.only_first,
            "won": lost.only_second,
            "loss": lost.difference,
            "loss_ci95": list(lost.ci95),
            "latency_ms": self.latency.to_dict(),
            "peak_memory_bytes": self.memory.peak_bytes,
            "size_bytes": self.size_bytes,
            "startup_s": None if self.startup is None else self.startup.to_dict(),
            "pareto": self.pareto,
            "over_budget": list(self.over_budget),
            "at_chance": self.at_chance,
            "files": [str(file) for file in self.files],
        }


@dataclass(frozen=True)
class Refusal:
    """A deployment that there is not, and the reason. ``model`` is None if no network can be deployed like this."""

    model: str | None
    engine: str | None
    precision: str | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model, "engine": self.engine, "precision": self.precision, "refused": self.why}


@dataclass(frozen=True)
class Deployments:
    """All deployments of a comparison, those that could not be made, and what else the machine did meanwhile."""

    rows: tuple[Deployment, ...]
    refusals: tuple[Refusal, ...]
    load: MachineLoad | None

    def row(self, label: str | None) -> Deployment | None:
        return next((row for row in self.rows if row.label == label), None)

    def to_dict(self) -> dict[str, Any]:
        """The keys of the JSON document of ``convatlas compare`` that only a comparison of deployments has."""
        refused = [refusal.to_dict() for refusal in self.refusals]
        return {
            "deployments": [row.to_dict() for row in self.rows] + refused,
            "machine_load": None if self.load is None else self.load.to_dict(),
        }
