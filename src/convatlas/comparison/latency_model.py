"""A latency model of this machine: how long one image takes through a network that was never run.

Fitted on a few networks (`fit_latency_model`), whose operators are timed within their forward passes, so that the
caches are as in use. For each kind of operator

    time = a + b * multiply-adds + c * activations read and written + d * parameters read

with non-negative coefficients that minimise the relative error. What this line misses is taken from the five timed
operators of the same kind that are most alike: the mean of the logarithm of measured over fitted time. The latency of a
network is e * (sum over its operators) + f * (number of operators), fitted on the whole passes of the same networks.

The prediction is the median at batch size 1, in fp32 with PyTorch's eager mode, as `measure.latencies` measures it. It
holds for the machine, the torch version and the number of threads of the fit.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.atomic import atomic_file
from convatlas.comparison.operators import Operator, operators_of, timed_operators
from convatlas.data.store import default_cache_dir
from convatlas.errors import DataError
from convatlas.message import Message, system_reason
from convatlas.models import create_model, entry
from convatlas.modes import eval_mode
from convatlas.training import environment

# networks of the fit: small and large images, narrow and wide, every kind of layer; about 3,000 operators
FIT_NETWORKS = (
    "lenet5@modern", "resnet20_cifar", "densenet_bc100_k12_cifar", "squeezenet1_1", "shufflenet_v2_x1_0",
    "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf", "googlenet@torchvision", "resnet18",
    "repvgg_a0", "densenet121", "resnet50", "convnext_tiny", "vgg11",
)  # fmt: skip
FIT_TIME_S = 45.0
WARM_UP, PASSES_AT_LEAST, PASSES_AT_MOST = 2, 5, 60
NEIGHBOURS, NEAR = 5, 0.3  # operators of the same kind; distance below which they count alike
SHORTEST_S = 1e-6  # a shorter time is that of the clock
SCHEMA = 1
FILE = "latency-models.json"
# weights of the logarithms of `Operator.features` in the distance: sizes count half of shapes
WEIGHTS = np.array((0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0))


@dataclass(frozen=True)
class WholePass:
    """A network of the fit: its measured median and 95th percentile, and the number of its operators."""

    model: str
    p50_s: float
    p95_s: float


@dataclass(frozen=True)
class LatencyModel:
    """Measured operators and passes, and what is fitted to them.

    Args:
        machine: what the times hold for: see `machine_of`.
        operators: operators with their times in seconds, network by network.
        passes: the networks of the fit; ``operators`` has one entry for each.
        fit_s: duration of the measurements.
    """

    machine: Mapping[str, str]
    operators: tuple[tuple[tuple[Operator, float], ...], ...]
    passes: tuple[WholePass, ...]
    fit_s: float
    _memo: dict[Operator, float] = field(default_factory=dict, repr=False, compare=False)

    def predict(self, operators: Sequence[Operator]) -> float:
        """The median latency of a network in seconds, from its operators (`operators_of`)."""
        of_sum, of_count = self._calibration
        return of_sum * sum(map(self._operator, operators)) + of_count * len(operators)

    def predict_network(self, net: nn.Module, input_shape: Sequence[int]) -> float:
        """The median latency of a network on the meta device for images (C, H, W), in seconds."""
        return self.predict(operators_of(net, input_shape))

    @property
    def spread(self) -> float:
        """The 95th percentile over the median: the middle one of the networks of the fit."""
        return float(np.median([each.p95_s / each.p50_s for each in self.passes]))

    @property
    def fit_networks(self) -> tuple[str, ...]:
        return tuple(each.model for each in self.passes)

    @cached_property
    def _by_kind(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each kind: coefficients of the line; features of the measured operators; logarithms of what is missed."""
        from scipy.optimize import nnls

        of_kind: dict[str, list[tuple[Operator, float]]] = {}
        for operator, seconds in (sample for network in self.operators for sample in network):
            of_kind.setdefault(operator.kind, []).append((operator, max(seconds, SHORTEST_S)))
        fitted = {}
        for kind, samples in of_kind.items():
            terms = np.array([_terms(operator) for operator, _ in samples])
            times = np.array([measured for _, measured in samples])
            largest = terms.max(axis=0)
            largest[largest == 0] = 1.0
            solution, _ = nnls(terms / largest / times[:, None], np.ones(len(samples)))
            line = solution / largest
            missed = np.log(times / np.maximum(terms @ line, SHORTEST_S))
            features = np.log(np.array([operator.features() for operator, _ in samples], dtype=float))
            fitted[kind] = line, features, missed
        return fitted

    @cached_property
    def _calibration(self) -> tuple[float, float]:
        """Seconds of a whole pass for a second of its operators, and for each operator."""
        from scipy.optimize import nnls

        sums = [sum(self._operator(operator) for operator, _ in network) for network in self.operators]
        terms = np.array([(total, 1e-6 * len(network)) for total, network in zip(sums, self.operators, strict=True)])
        measured = np.array([each.p50_s for each in self.passes])
        solution, _ = nnls(terms / measured[:, None], np.ones(len(measured)))
        return float(solution[0]), float(1e-6 * solution[1])

    def _operator(self, operator: Operator) -> float:
        """Seconds of one operator within a pass."""
        if operator not in self._memo:
            kinds = self._by_kind
            line, features, missed = kinds[operator.kind if operator.kind in kinds else "elementwise"]
            fitted = max(float(np.dot(_terms(operator), line)), SHORTEST_S)
            apart = WEIGHTS * (features - np.log(np.array(operator.features(), dtype=float)))
            distances = np.sqrt((apart**2).sum(axis=1))
            nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
            weights = 1 / (distances[nearest] + NEAR)
            self._memo[operator] = fitted * math.exp(float(weights @ missed[nearest] / weights.sum()))
        return self._memo[operator]

    def to_dict(self) -> dict[str, Any]:
        """The record of the cache; `from_dict` reads it."""
        return {
            "machine": dict(self.machine),
            "fit_s": self.fit_s,
            "networks": [
                {
                    "model": each.model,
                    "p50_s": each.p50_s,
                    "p95_s": each.p95_s,
                    "operators": [[*vars(operator).values(), round(seconds, 8)] for operator, seconds in operators],
                }
                for each, operators in zip(self.passes, self.operators, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> LatencyModel:
        """Raises LookupError, TypeError or ValueError where ``record`` is not one."""
        networks = record["networks"]
        operators = tuple(
            tuple(
                (Operator(str(kind), *map(int, counts)), float(seconds)) for kind, *counts, seconds in of["operators"]
            )
            for of in networks
        )
        passes = tuple(WholePass(str(of["model"]), float(of["p50_s"]), float(of["p95_s"])) for of in networks)
        if not passes or not all(operators):
            raise ValueError(record)
        return cls(dict(record["machine"]), operators, passes, float(record["fit_s"]))


def _terms(operator: Operator) -> tuple[float, float, float, float]:
    return 1.0, float(operator.macs), float(operator.read + operator.written), float(operator.weights)


# --- measuring --------------------------------------------------------------------------------------------------------


def fit_latency_model(
    names: Sequence[str] = FIT_NETWORKS,
    *,
    time_s: float = FIT_TIME_S,
    on_stage: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyModel:
    """Measure the networks and their operators with torch's current number of threads, on random images.

    Args:
        time_s: seconds of measurement over all networks, without building them and warming up.
        on_stage: called with a description of each stage before it begins.
    """
    begin = time.perf_counter()
    share_s = time_s / len(names) / 2  # one half for whole passes, one half for operators
    operators, passes = [], []
    for place, name in enumerate(names, start=1):
        on_stage(Message("{place}/{count}  {name}", place=place, count=len(names), name=name))
        net, image = with_random_weights(name)
        samples = pass_times(net, image, share_s, clock)
        passes.append(WholePass(name, *(float(np.percentile(samples, share)) for share in (50, 95))))
        operators.append(_operator_times(net, image, share_s, clock))
    machine = machine_of(torch.get_num_threads())
    return LatencyModel(machine, tuple(operators), tuple(passes), time.perf_counter() - begin)


def with_random_weights(name: str) -> tuple[nn.Module, Tensor]:
    """A network in evaluation mode and one image of its size, both random, so that no value becomes tiny or infinite.

    Drawing the paper's initial weights takes longer than measuring the network.
    """
    with torch.device("meta"):
        net = create_model(name)
    net = net.to_empty(device="cpu").eval()
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=math.sqrt(2 / parameter[0].numel()))
            else:
                parameter.uniform_(0.5, 1.5)
        for buffer in net.buffers():
            buffer.uniform_(0.5, 1.5) if buffer.is_floating_point() else buffer.zero_()
        image = torch.rand(1, *entry(name).input).to(memory_format=torch.channels_last)
    return net, image


def pass_times(
    net: nn.Module, image: Tensor, time_s: float, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of single forward passes, after a warm-up; no pass begins after ``time_s``, but five are made."""
    samples: list[float] = []
    with torch.inference_mode(), eval_mode(net):
        for _ in range(WARM_UP):
            net(image)
        begin = time.perf_counter()
        while len(samples) < PASSES_AT_LEAST or (
            len(samples) < PASSES_AT_MOST and time.perf_counter() - begin < time_s
        ):
            start = clock()
            net(image)
            samples.append(clock() - start)
    return samples


def _operator_times(
    net: nn.Module, image: Tensor, time_s: float, clock: Callable[[], float]
) -> tuple[tuple[Operator, float], ...]:
    """The operators with the shortest time of each over several passes: another process can only lengthen one."""
    best: list[float] = []
    found: list[Operator] = []
    begin, passes = time.perf_counter(), 0
    while passes < PASSES_AT_LEAST or (passes < PASSES_AT_MOST and time.perf_counter() - begin < time_s):
        timed = list(timed_operators(net, image, clock))
        found = [operator for operator, _ in timed]
        seconds = [measured for _, measured in timed]
        best = list(map(min, best, seconds)) if best else seconds
        passes += 1
    return tuple(zip(found, best, strict=True))


# --- the cache --------------------------------------------------------------------------------------------------------


def machine_of(threads: int) -> dict[str, str]:
    """What a latency model holds for."""
    here = environment()
    return {
        "cpu": ", ".join([str(here["cpu"]), *here["isa"]]),
        "cores": str(here["cores"]),
        "torch": str(here["torch"]),
        "threads": str(threads),
    }


class LatencyModels:
    """The latency models of the cache folder, one for each machine, torch version and number of threads.

    The file is written atomically. A damaged file counts as empty and is replaced.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or default_cache_dir()) / FILE

    def get(self, machine: Mapping[str, str]) -> LatencyModel | None:
        """The model fitted for ``machine``; None if there is none."""
        with contextlib.suppress(LookupError, TypeError, ValueError):
            return LatencyModel.from_dict(self._records()[_key(machine)])
        return None

    def put(self, model: LatencyModel) -> None:
        """Store a model in the place of an earlier one for the same machine.

        Raises:
            DataError: the folder cannot be written.
        """
        records = {**self._records(), _key(model.machine): model.to_dict()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.path) as file:
                file.write(json.dumps({"schema": SCHEMA, "models": records}).encode())
        except OSError as error:
            raise DataError(
                "the latency model could not be stored in {path}: {reason}. Name another folder by CONVATLAS_CACHE.",
                path=self.path,
                reason=system_reason(error),
            ) from error

    def _records(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            return dict(document["models"]) if document["schema"] == SCHEMA else {}
        except (OSError, ValueError, LookupError, TypeError):
            return {}


def _key(machine: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in sorted(machine.items()))


def latency_model(*, on_stage: Callable[[str], None] = lambda text: None) -> LatencyModel:
    """The latency model of this machine for torch's current number of threads: from the cache, or fitted now."""
    store = LatencyModels()
    known = store.get(machine_of(torch.get_num_threads()))
    if known is not None:
        return known
    on_stage(
        Message(
            "no latency model of this machine yet: measuring {count} networks, about {seconds} s",
            count=len(FIT_NETWORKS),
            seconds=f"{FIT_TIME_S:.0f}",
        )
    )
    model = fit_latency_model(on_stage=on_stage)
    with contextlib.suppress(DataError):  # the next comparison fits again
        store.put(model)
    return model
