"""Measure the training and inference speed of networks on this machine, beside the machine's peak speed.

The images are random and are on the device before the measurement, so reading and augmentation are not included. All
measurements, of networks and of the machine, take turns, so that another process on the machine slows all of them
alike. A turn of several calls begins with one that is not counted, because the calls before have replaced the contents
of the caches.

An update costs about three forward passes: the gradients of the weights and of the inputs take as many multiply-adds as
the outputs. An update therefore has 6 * MACs floating-point operations per image. Its rate divided by that of a large
matrix product is the share of the machine's peak that training reaches.
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
WARM_UP = 2  # calls of each before the first measurement
ROUNDS_AT_LEAST = 3
ROUNDS_AIMED_AT = 5  # the length of a turn is chosen so that this many rounds fit into the time
CALLS_AT_MOST = 100  # in one turn
SMALL_IMAGE = 64  # pixels; batches of images up to this side have `BATCH_OF_SMALL` images
BATCH_OF_SMALL, BATCH_OF_LARGE = 128, 16
GPU_BATCH = 8  # factor of the batch size on a GPU
LARGE_PRODUCT_S = 0.03  # the matrices are enlarged until their product takes this long
COPIED_BYTES = 256 << 20  # much larger than a processor's caches
Call = Callable[[], object]
Key = TypeVar("Key")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Times:
    """Wall times of single calls in seconds, in the order of the calls."""

    samples_s: tuple[float, ...]

    def rate(self, amount: float) -> dict[str, float]:
        """``amount`` per call as a rate per second: the median, and the 10th and 90th percentile of the calls."""
        low, median, high = (float(value) for value in np.percentile(amount / np.array(self.samples_s), (10, 50, 90)))
        return {"median": median, "low": low, "high": high, "calls": len(self.samples_s)}

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds per call: the median, and the 10th and 90th percentile."""
        low, median, high = (float(value) * 1e3 for value in np.percentile(self.samples_s, (10, 50, 90)))
        return {"median": median, "low": low, "high": high, "calls": len(self.samples_s)}


@dataclass(frozen=True)
class MachineSpeed:
    """Peak speeds of this machine: products of large matrices, and copies of a large tensor."""

    products: Mapping[str, Times]  # precision -> times of the product of two square matrices
    sides: Mapping[str, int]  # precision -> number of rows and columns of the matrices
    copies: Times  # times of a copy of COPIED_BYTES

    def flops_per_s(self, precision: str) -> dict[str, float]:
        """Floating-point operations per second; a multiply-add counts as two."""
        return self.products[precision].rate(2 * self.sides[precision] ** 3)

    def to_dict(self) -> dict[str, Any]:
        products = {name: {**self.flops_per_s(name), "matrix": self.sides[name]} for name in self.products}
        # a copy reads and writes every byte
        return {"matmul_flops_per_s": products, "copy_bytes_per_s": self.copies.rate(2 * COPIED_BYTES)}


@dataclass(frozen=True)
class NetworkSpeed:
    """Times of one network: updates, inferences of a batch, and inferences of a single image."""

    model: str
    input: tuple[int, int, int]  # (C, H, W)
    batch_size: int
    macs: int  # multiply-adds of the forward pass of one image; derived
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
        """Rate of training divided by that of a large matrix product in the same precision. Derived."""
        images_per_s = self.training.rate(self.batch_size)["median"]
        return 6 * self.macs * images_per_s / machine.flops_per_s(precision)["median"]


@dataclass(frozen=True)
class Speed:
    """The result of `measure_speed`."""

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
    """Measure the times of updates and inferences of the networks called ``names``, on random images.

    Args:
        hardware: device, precision and memory format to use.
        batch_size: images per batch; by default 128 for images up to 64 pixels and 16 for larger ones, eight times as
            many on a GPU.
        image_size: side of the images in pixels; by default that of each network.
        time_s: seconds per network, without the warm-up; at least three rounds are made.
        on_stage: called with a description of each stage before it begins.

    Raises:
        UnknownNameError: there is no network with that name.
        ShapeError: the images are too small for a network.
    """
    for name in names:
        entry(name)  # check all names before the first network is built
    calls: dict[tuple[str, str], Call] = {}
    facts: dict[str, tuple[tuple[int, int, int], int, int]] = {}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for name in dict.fromkeys(names):
            on_stage(name)
            network = TimedNetwork(name, hardware, batch_size, image_size)
            facts[name] = network.input, network.batch_size, network.macs
            calls |= {(name, "training"): network.update}
            calls |= {(name, "inference"): network.infer, (name, "single"): network.infer_one}
        device, sides = torch.device(hardware.device), {}
        for precision, dtype in DTYPES.items():
            sides[precision], calls["machine", precision] = large_product(device, dtype)
        calls["machine", "copy"] = copy(device)
        on_stage(Message("measuring all networks in turn"))
        times = take_turns(calls, time_s * len(facts), device)
    products = {precision: times["machine", precision] for precision in DTYPES}
    machine = MachineSpeed(products, sides, times["machine", "copy"])
    networks = tuple(
        NetworkSpeed(name, *of_network, *(times[name, kind] for kind in ("training", "inference", "single")))
        for name, of_network in facts.items()
    )
    return Speed(hardware, processor_name(hardware.device), machine, networks)


class TimedNetwork:
    """A network of the atlas with random images and labels, and the calls that are measured."""

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
        # with learning rate 0 an update costs the same, and the weights stay finite after any number of updates
        self._optimizer = torch.optim.SGD(self._net.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4, fused=True)

    def update(self) -> None:
        self._net.train()
        train_step(self._net, self._batch, self._loss, self._optimizer, autocast=self._autocast())

    def infer(self) -> None:
        infer(self._net, self._batch.images, self._autocast())

    def infer_one(self) -> None:
        infer(self._net, self._batch.images[:1], self._autocast())


def infer(net: nn.Module, images: Tensor, autocast: AbstractContextManager[Any]) -> None:
    with torch.inference_mode(), autocast, eval_mode(net):
        net(images)


def large_product(device: torch.device, dtype: torch.dtype) -> tuple[int, Call]:
    """The side of square matrices whose product takes long enough to be measured, and a call of that product."""
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
    """A call that copies `COPIED_BYTES`. Both tensors were written before, because unwritten pages take no memory."""
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.zeros_like(source).fill_(0.0)
    return lambda: target.copy_(source)


def take_turns(calls: Mapping[Key, Call], limit_s: float, device: torch.device) -> dict[Key, Times]:
    """Measure all calls in rounds; in each round every call has one turn.

    No round begins after ``limit_s`` seconds, but at least three rounds are made. Turns have about the same length: an
    equal share of the time, and at least one call.
    """
    single_s = {}
    for key, call in calls.items():
        single_s[key] = [timed(call, device) for _ in range(WARM_UP)][-1]
    share_s = limit_s / len(calls) / ROUNDS_AIMED_AT
    counts = {key: min(CALLS_AT_MOST, max(1, int(share_s / single_s[key]) - 1)) for key in calls}
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    start, rounds = time.perf_counter(), 0
    while rounds < ROUNDS_AT_LEAST or time.perf_counter() - start < limit_s:
        for key, call in calls.items():
            if counts[key] > 1:
                timed(call, device)
            samples[key] += [timed(call, device) for _ in range(counts[key])]
        rounds += 1
    return {key: Times(tuple(of_call)) for key, of_call in samples.items()}


def timed(call: Call, device: torch.device) -> float:
    """Wall time of one call in seconds, until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    clock = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - clock
