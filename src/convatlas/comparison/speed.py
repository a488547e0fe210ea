"""How fast this machine trains networks and infers with them, beside what it can do at best. Measured.

The images are random, and on the device before the clock starts: no reading, no augmentation. What is timed takes
turns, networks and machine alike, so that a neighbour who loads the machine for a while slows all of them; a turn
of several calls begins with one that is not counted, for those before have taken the caches.

An update costs about three forward passes: the gradients of the weights and of the inputs take as many multiply-adds
as the outputs do. So it makes 6 * MACs floating-point operations an image, and that over the rate of a large matrix
product says how far the training is from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.arithmetic import summarize
from convatlas.batch import Batch
from convatlas.message import Message
from convatlas.models import create_model, entry
from convatlas.modes import eval_mode
from convatlas.training import Hardware, environment, train_step
from convatlas.training.hardware import processor_name
from convatlas.training.losses import Loss, cross_entropy, mean_squared_error

DEFAULT_NETWORKS = ("resnet20_cifar", "resnet18")  # small images and large ones
WARM_UP = 2  # calls of each before anything is timed
ROUNDS_AT_LEAST = 3
ROUNDS_AIMED_AT = 5  # turns are as long as that many fit into the time
CALLS_AT_MOST = 100  # in one turn
SMALL_IMAGE = 64  # pixels; up to there a batch has `BATCH_OF_SMALL` images
BATCH_OF_SMALL, BATCH_OF_LARGE = 128, 16
GPU_BATCH = 8  # times as many on a GPU
LARGE_PRODUCT_S = 0.03  # a matrix product is large enough when it takes that long
COPIED_BYTES = 256 << 20  # far more than a processor's caches hold
Call = Callable[[], object]
Key = TypeVar("Key")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Times:
    """Wall time of single calls, in seconds, in the order they were made."""

    samples_s: tuple[float, ...]

    def rate(self, amount: float) -> dict[str, float]:
        """What is done a second where a call does ``amount``: the median, and what 8 of 10 calls lie between."""
        low, median, high = (float(value) for value in np.percentile(amount / np.array(self.samples_s), (10, 50, 90)))
        return {"median": median, "low": low, "high": high, "calls": len(self.samples_s)}

    def milliseconds(self) -> dict[str, float]:
        """The median call and what 8 of 10 lie between."""
        low, median, high = (float(value) * 1e3 for value in np.percentile(self.samples_s, (10, 50, 90)))
        return {"median": median, "low": low, "high": high, "calls": len(self.samples_s)}


@dataclass(frozen=True)
class MachineSpeed:
    """The best this machine can do: products of large matrices, copies of a large tensor."""

    products: Mapping[str, Times]  # precision -> products of two square matrices
    sides: Mapping[str, int]  # precision -> rows and columns of these
    copies: Times  # of COPIED_BYTES

    def flops_per_s(self, precision: str) -> dict[str, float]:
        """Floating-point operations a second; a multiply-add is two."""
        return self.products[precision].rate(2 * self.sides[precision] ** 3)

    def to_dict(self) -> dict[str, Any]:
        products = {name: {**self.flops_per_s(name), "matrix": self.sides[name]} for name in self.products}
        # a copy reads every byte and writes it
        return {"matmul_flops_per_s": products, "copy_bytes_per_s": self.copies.rate(2 * COPIED_BYTES)}


@dataclass(frozen=True)
class NetworkSpeed:
    """Updates, and inferences of a batch and of one image, of one network."""

    model: str
    input: tuple[int, int, int]  # (C, H, W)
    batch_size: int
    macs: int  # of one image's forward pass; derived
    training: Times
    inference: Times
    single: Times

    def to_dict(self, machine: MachineSpeed, precision: str) -> dict[str, Any]:
        return {
            "model": self.model,
            "input": list(self.input),
            "batch_size": self.batch_size,
            "macs": self.macs,
            "training_images_per_s": self.training.rate(self.batch_size),
            "inference_images_per_s": self.inference.rate(self.batch_size),
            "latency_ms": self.single.milliseconds(),
            "share_of_matmul": self.share(machine, precision),
        }

    def share(self, machine: MachineSpeed, precision: str) -> float:
        """Of the rate of a large matrix product in that precision, what training reaches. Derived."""
        images_per_s = self.training.rate(self.batch_size)["median"]
        return 6 * self.macs * images_per_s / machine.flops_per_s(precision)["median"]


@dataclass(frozen=True)
class Speed:
    """What `measure_speed` found."""

    hardware: Hardware
    processor: str
    machine: MachineSpeed
    networks: tuple[NetworkSpeed, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "processor": self.processor,
            "hardware": self.hardware.to_dict(),
            "environment": environment(),
            "machine": self.machine.to_dict(),
            "networks": [each.to_dict(self.machine, self.hardware.precision) for each in self.networks],
        }


def measure_speed(
    names: Sequence[str],
    hardware: Hardware,
    *,
    batch_size: int | None = None,
    image_size: int | None = None,
    time_s: float = 15.0,
    on_stage: Callable[[str], None] = lambda text: None,
) -> Speed:
    """Time updates and inferences of the networks called ``names``, on random images, as ``hardware`` says.

    Args:
        batch_size: images of a batch; by default 128 up to 64 pixels and 16 above, eight times that on a GPU.
        image_size: side of the images; each network's own by default.
        time_s: seconds a network, warm-up not counted; three rounds are made in any case.
        on_stage: hears what is done next.

    Raises:
        UnknownNameError: no such network.
        ShapeError: the images are too small for a network.
    """
    for name in names:
        entry(name)  # the last name is looked up before the first network is built
    calls: dict[tuple[str, str], Call] = {}
    about: dict[str, tuple[tuple[int, int, int], int, int]] = {}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for name in dict.fromkeys(names):
            on_stage(name)
            subject = TimedNetwork(name, hardware, batch_size, image_size)
            about[name] = subject.input, subject.batch_size, subject.macs
            calls |= {(name, "training"): subject.update}
            calls |= {(name, "inference"): subject.infer, (name, "single"): subject.infer_one}
        device, sides = torch.device(hardware.device), {}
        for precision, dtype in DTYPES.items():
            sides[precision], calls["machine", precision] = large_product(device, dtype)
        calls["machine", "copy"] = copy(device)
        on_stage(Message("timing, taking turns"))
        times = take_turns(calls, time_s * len(about), device)
    products = {precision: times["machine", precision] for precision in DTYPES}
    machine = MachineSpeed(products, sides, times["machine", "copy"])
    networks = tuple(
        NetworkSpeed(name, *of, *(times[name, what] for what in ("training", "inference", "single")))
        for name, of in about.items()
    )
    return Speed(hardware, processor_name(hardware.device), machine, networks)


class TimedNetwork:
    """A network of the atlas with random images and labels, and what is timed of it."""

    def __init__(self, name: str, hardware: Hardware, batch_size: int | None, image_size: int | None) -> None:
        line = entry(name)
        channels, height, width = line.input
        self.input = (channels, image_size or height, image_size or width)
        gpu = torch.device(hardware.device).type == "cuda"
        usual = (BATCH_OF_SMALL if self.input[1] <= SMALL_IMAGE else BATCH_OF_LARGE) * (GPU_BATCH if gpu else 1)
        self.batch_size = batch_size or usual
        self._net = hardware.place(create_model(name, image_size=self.input[1]))
        self.macs = line.macs if self.input == line.input else summarize(self._net, self.input).totals.macs
        images = torch.randn(self.batch_size, *self.input).to(hardware.device)
        targets = images
        self._autocast = hardware.autocast
        self._loss: Loss = mean_squared_error() if line.reconstructs else cross_entropy()
        if line.num_classes:
            targets = torch.randint(line.num_classes, (self.batch_size,)).to(hardware.device)
        self._batch = Batch(images, targets)
        # at learning rate 0 an update costs what it always costs, and the weights stay finite however many are made
        self._optimizer = torch.optim.SGD(self._net.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4, fused=True)

    def update(self) -> None:
        self._net.train()
        train_step(self._net, self._batch, self._loss, self._optimizer, autocast=self._autocast())

    def infer(self) -> None:
        inferred(self._net, self._batch.images, self._autocast())

    def infer_one(self) -> None:
        inferred(self._net, self._batch.images[:1], self._autocast())


def inferred(net: nn.Module, images: Tensor, autocast: AbstractContextManager[Any]) -> None:
    with torch.inference_mode(), autocast, eval_mode(net):
        net(images)


def large_product(device: torch.device, dtype: torch.dtype) -> tuple[int, Call]:
    """The side of square matrices whose product takes long enough to be timed, and that product."""
    side, largest = 256, 8192 if device.type == "cuda" else 4096
    while True:
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        product = Product(left, right, torch.empty_like(left))
        timed(product, device)
        if side == largest or timed(product, device) >= LARGE_PRODUCT_S:
            return side, product
        side *= 2


@dataclass(frozen=True, eq=False)
class Product:
    left: Tensor
    right: Tensor
    out: Tensor

    def __call__(self) -> None:
        torch.mm(self.left, self.right, out=self.out)


def copy(device: torch.device) -> Call:
    """A copy of a tensor of `COPIED_BYTES`, written before: pages nobody has written take no memory."""
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.zeros_like(source).fill_(0.0)
    return lambda: target.copy_(source)


def take_turns(calls: Mapping[Key, Call], limit_s: float, device: torch.device) -> dict[Key, Times]:
    """The times of all calls, a turn each, round after round.

    No round begins after ``limit_s`` seconds, but three are made in any case. A turn is about as long for each: an
    equal share of the time, a call at least.
    """
    once = {}
    for key, call in calls.items():
        once[key] = [timed(call, device) for _ in range(WARM_UP)][-1]
    share_s = limit_s / len(calls) / ROUNDS_AIMED_AT
    counts = {key: min(CALLS_AT_MOST, max(1, int(share_s / once[key]) - 1)) for key in calls}
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    start, rounds = time.perf_counter(), 0
    while rounds < ROUNDS_AT_LEAST or time.perf_counter() - start < limit_s:
        for key, call in calls.items():
            if counts[key] > 1:
                timed(call, device)
            samples[key] += [timed(call, device) for _ in range(counts[key])]
        rounds += 1
    return {key: Times(tuple(found)) for key, found in samples.items()}


def timed(call: Call, device: torch.device) -> float:
    """Wall time of one call, in seconds, until the device has done it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    clock = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - clock
